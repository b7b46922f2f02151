"""Sweep folders, and how a second launch extends, skips or reruns jobs: the real program, with tiny networks."""

import json
import shutil
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.signature import signature
from mnist_resnet.config.sweep_grammar import range_values
from mnist_resnet.job_folder import SWEEP, read_json, read_metrics
from mnist_resnet.jobs.lease import acquire_lease
from mnist_resnet.models.resnet import ResNet
from tests.small_sweeps import (
    Place,
    Run,
    assert_same_job,
    attempts,
    result_of,
    run_in_process,
    statuses,
)

LR = "optim.lr=0.02,0.001"
STEM = "model=stem3x3,stem7x7"


def test_named_sweep_has_a_folder_with_its_name_and_readable_job_names(sweep: Run, place: Place) -> None:
    done = sweep("lr_vs_stem", LR, STEM)
    assert done.code == 0, done.out + done.err
    assert statuses(place.multirun / "lr_vs_stem") == {
        f"model={stem},optim.lr={lr}": "completed" for stem in ("stem3x3", "stem7x7") for lr in ("0.001", "0.02")
    }
    assert "written to multirun/lr_vs_stem: table.md, results.csv" in done.out
    table = pd.read_csv(place.multirun / "lr_vs_stem" / "results.csv")
    assert sorted(zip(table["model"], table["optim.lr"], strict=True)) == [
        ("stem3x3", 0.001),
        ("stem3x3", 0.02),
        ("stem7x7", 0.001),
        ("stem7x7", 0.02),
    ]


def test_two_unnamed_sweeps_in_the_same_second_get_separate_folders(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppedClock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "StoppedClock":
            return cls(2026, 11, 27, 18, 30, 0, tzinfo=tz)

    monkeypatch.setattr("mnist_resnet.sweeps.launch.datetime", StoppedClock)
    assert [sweep(None, "seed=1,2").code for _ in range(2)] == [0, 0]
    folders = sorted(folder.name for folder in place.multirun.iterdir())
    assert folders == ["2026-11-27_18-30-00", "2026-11-27_18-30-00-2"]
    assert all(len(statuses(place.multirun / name)) == 2 for name in folders)


def test_hydra_sweep_dir_is_used_and_holds_hydras_files(sweep: Run, place: Place) -> None:
    assert sweep(None, "seed=1,2", f"hydra.sweep.dir={place.folder}/mine").code == 0
    job = place.folder / "mine" / "seed=2"
    assert result_of(job)["config"]["seed"] == 2
    assert "seed: 2" in (job / ".hydra" / "config.yaml").read_text()
    assert "- seed=2" in (job / ".hydra" / "overrides.yaml").read_text()


def test_excluded_combinations_are_left_out(sweep: Run, place: Place) -> None:
    assert sweep("some", LR, STEM, "sweep.exclude=['model=stem7x7,optim.lr=2e-2']").code == 0
    assert len(statuses(place.multirun / "some")) == 3
    assert "model=stem7x7,optim.lr=0.02" not in statuses(place.multirun / "some")


def test_dry_run_lists_jobs_and_writes_nothing(sweep: Run, place: Place) -> None:
    done = sweep("planned", LR, STEM, "sweep.dry_run=true")
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["job", "status", "action"]
    assert lines[1] == ["0", "model=stem3x3,optim.lr=0.02", "queued", "run"]
    assert len(lines) == 5
    assert not place.multirun.exists()


def test_dry_run_prints_the_action_for_each_job(sweep: Run, place: Place) -> None:
    sweep("planned", "seed=1,2,3,4")
    folder = place.multirun / "planned"
    _rewrite(folder / "seed=2", status="failed")
    _rewrite(folder / "seed=3", status="running")
    (folder / "seed=4" / "result.json").write_text("{")
    done = sweep("planned", "seed=1,2,3,4,5", "sweep.dry_run=true", "sweep.rerun=['seed=1']")
    actions = {line.split()[1]: line.split(maxsplit=2)[2] for line in done.out.splitlines()[1:]}
    assert {name: " ".join(text.split()) for name, text in actions.items() if name != "seed=4"} == {
        "seed=1": "completed rerun",
        "seed=2": "failed run again",
        "seed=3": "interrupted resume (its process died)",
        "seed=5": "queued run",
    }
    assert actions["seed=4"].split()[:2] == ["unreadable", "leave"]
    assert "result.json" in actions["seed=4"]
    assert attempts(folder) == {f"seed={seed}": 1 for seed in (1, 2, 3, 4)}


def test_repeated_command_skips_completed_jobs(sweep: Run, place: Place) -> None:
    sweep("twice", LR)
    before = {file: file.stat().st_mtime_ns for file in (place.multirun / "twice").glob("*=*/**/*")}
    done = sweep("twice", LR)
    assert done.code == 0
    assert "0 of 2 jobs to run, 2 ended already" in done.out
    assert before == {file: file.stat().st_mtime_ns for file in (place.multirun / "twice").glob("*=*/**/*")}


def test_more_levels_extend_the_sweep_and_only_run_the_new_jobs(sweep: Run, place: Place) -> None:
    sweep("grows", "optim.lr=0.02")
    done = sweep("grows", "optim.lr=0.02,0.001", STEM)
    folder = place.multirun / "grows"
    assert "3 of 4 jobs to run, 1 ended already" in done.out
    (first,) = (name for name in attempts(folder) if "dat=mnist" in name)
    assert "lr=0.02" in first, "if nothing is swept, all overrides form the name"
    assert attempts(folder) == {
        first: 1,
        "model=stem3x3,optim.lr=0.001": 1,
        "model=stem7x7,optim.lr=0.001": 1,
        "model=stem7x7,optim.lr=0.02": 1,
    }
    assert [job["index"] for job in json.loads((folder / SWEEP).read_text())["jobs"]] == [0, 1, 2, 3]
    assert len(pd.read_csv(folder / "results.csv")) == 4


def test_names_of_jobs_that_differ_in_unswept_keys_are_distinct(sweep: Run, place: Place) -> None:
    sweep("apart", "seed=1,2")
    sweep("apart", "seed=1,2", "trainer.epochs=1", "trainer.log_interval=1")
    assert set(statuses(place.multirun / "apart")) == {
        "seed=1",
        "seed=2",
        "seed=1,trainer.epochs=1",
        "seed=2,trainer.epochs=1",
    }


def test_later_launch_names_its_jobs_by_what_the_sweep_varied_and_by_what_is_new(sweep: Run, place: Place) -> None:
    sgd = "optim=sgd"
    sweep("widened", "optim.lr=0.02,0.01", "seed=1")
    sweep("widened", "optim.lr=0.05", "seed=1", sgd)
    sweep("widened", "optim.lr=0.05", "seed=1")
    sweep("widened", "optim.lr=0.02", "seed=2,3")
    sweep("widened", "optim.lr=0.02", "seed=1", sgd)
    assert sorted(statuses(place.multirun / "widened")) == [
        *("optim.lr=0.01", "optim.lr=0.02", "optim.lr=0.02,seed=2", "optim.lr=0.02,seed=3", "optim.lr=0.05"),
        *(f"{sgd},optim.lr=0.02,seed=1", f"{sgd},optim.lr=0.05"),
    ]


def test_jobs_that_are_there_with_other_numerics_are_said_to_be_there(sweep: Run, place: Place) -> None:
    for form in ("auto", "false"):
        sweep("numerics", "seed=1,2", "trainer.threads=1", "trainer.precision=bf16", f"trainer.compile={form}")
    same = ("seed=1,2,3", "trainer.threads=1", "trainer.precision=bf16", "sweep.dry_run=true")
    for asked, had in [
        (["trainer.precision=fp32"], "trainer.precision=bf16"),
        (["trainer.convolutions=pytorch"], "trainer.convolutions=auto"),
        (["trainer.compile=true", "trainer.threads=2"], "trainer.threads=1 trainer.compile=auto"),
    ]:
        done = sweep("numerics", *same, *asked)
        assert f"numerics: has 2 of these 3 jobs with {had}; without it they run once more" in done.out + done.err
    for asked in [[], ["trainer.convolutions=auto,pytorch"]]:
        done = sweep("numerics", *same, *asked)
        assert "once more" not in done.out + done.err


def test_numbers_in_names_have_one_spelling_and_an_older_folder_keeps_its_own(sweep: Run, place: Place) -> None:
    decays = ["optim=adamw", "optim.weight_decay=0.0,1e-1"]
    sweep("spelled", *decays)
    folder = place.multirun / "spelled"
    assert set(statuses(folder)) == {"optim.weight_decay=0", "optim.weight_decay=0.1"}
    older = (folder / SWEEP).read_text().replace('"optim.weight_decay=0"', '"optim.weight_decay=0.0"')
    (folder / SWEEP).write_text(older)
    (folder / "optim.weight_decay=0").rename(folder / "optim.weight_decay=0.0")
    sweep("spelled", *decays)
    assert attempts(folder) == {"optim.weight_decay=0.0": 1, "optim.weight_decay=0.1": 1}
    planned = sweep("spelled", *decays, "trainer.log_interval=1", "trainer.epochs=1", "sweep.dry_run=true").out
    assert "optim.weight_decay=0,trainer.epochs=1 " in planned
    assert "optim.weight_decay=0.1,trainer.epochs=1 " in planned


def test_settings_outside_a_jobs_identity_are_taken_from_the_last_launch(sweep: Run, place: Place) -> None:
    sweep("moved", "seed=1,2", "sweep.keep=none")
    folder = place.multirun / "moved"
    shutil.rmtree(folder / "seed=2")
    images = place.images.rename(place.folder / "elsewhere")
    assert sweep("moved", "seed=1,2", "sweep.keep=model", f"data.root={images}").code == 0
    assert attempts(folder) == {"seed=1": 1, "seed=2": 1}
    assert [(folder / name / "model.pt2").exists() for name in ("seed=1", "seed=2")] == [False, True]


@pytest.mark.parametrize(
    ("rerun", "selected"),
    [("['seed=2']", {"seed=2"}), ("[0]", {"seed=1"}), ("failed", {"seed=3"}), ("all", {"seed=1", "seed=2", "seed=3"})],
)
def test_selected_jobs_are_rerun_and_the_old_attempt_is_kept(
    sweep: Run, place: Place, rerun: str, selected: set[str]
) -> None:
    sweep("again", "seed=1,2,3")
    folder = place.multirun / "again"
    _rewrite(folder / "seed=3", status="failed", notes=["as it was"])
    done = sweep("again", "seed=1,2,3", f"sweep.rerun={rerun}")
    assert done.code == 0 or rerun in ("['seed=2']", "[0]"), done.out
    for name in selected:
        assert result_of(folder / name)["status"] == "completed"
        old = folder / name / "attempt-1"
        assert result_of(old)["attempt"] == 1
        assert len(read_metrics(old)) == 2
        assert [attempt["status"] for attempt in result_of(folder / name)["attempts"]] == [
            "completed",
            "set aside",
            "completed",
        ]
    assert {path.parent.name for path in folder.glob("*/attempt-1")} == selected
    assert len(pd.read_csv(folder / "results.csv")) == 3


def test_unknown_job_cannot_be_rerun(sweep: Run, place: Place) -> None:
    sweep("again", "seed=1,2")
    done = sweep("again", "seed=1,2", "sweep.rerun=[7]")
    assert done.code == 2
    assert done.err == "error: sweep.rerun=7: no job of this sweep; sweep.dry_run=true lists them\n"
    assert set(attempts(place.multirun / "again").values()) == {1}


def test_running_job_cannot_be_rerun(sweep: Run, place: Place) -> None:
    sweep("again", "seed=1,2")
    with acquire_lease(place.multirun / "again" / "seed=1", LeaseMonitor()):  # type: ignore[union-attr]
        done = sweep("again", "seed=1,2", "sweep.rerun=[0]")
    assert done.code == 2
    assert "sweep.rerun=seed=1: held by process" in done.err
    assert result_of(place.multirun / "again" / "seed=1")["status"] == "completed"


def test_more_epochs_resume_from_the_shorter_job_bitwise(sweep: Run, place: Place) -> None:
    sweep("longer", "seed=1,2", "sweep.keep=checkpoint")
    done = sweep("longer", "seed=1,2", "sweep.keep=model", "trainer.epochs=3")
    shown = done.out.splitlines()
    assert shown[1].startswith("[1/2] seed=1,trainer.epochs=3: 3 epochs of 4 batches, resumes after epoch 1")
    assert shown[2] == "  goes on from the end of seed=1, the same computation with fewer epochs"
    assert "epoch 0/2" not in done.out
    sweep("fresh", "seed=1,2", "sweep.keep=model", "trainer.epochs=3")
    for seed in (1, 2):
        longer = place.multirun / "longer" / f"seed={seed},trainer.epochs=3"
        assert_same_job(longer, place.multirun / "fresh" / f"seed={seed}")
        assert any("goes on from the end" in note for note in result_of(longer)["notes"])
    assert attempts(place.multirun / "longer")["seed=1"] == 1, "the shorter job is kept as it was"


def test_more_epochs_start_over_and_report_it_without_a_checkpoint(sweep: Run) -> None:
    sweep("longer", "seed=1,2", "sweep.keep=none")
    done = sweep("longer", "seed=1,2", "trainer.epochs=3")
    assert "starts over: no checkpoint was kept of seed=1" in done.out
    assert done.out.count("epoch 0/2") == 2


@pytest.mark.parametrize("length_dependent", ["schedule=cosine", "averaging=swa"])
def test_more_epochs_start_over_and_report_it_if_schedule_or_averaging_depends_on_the_length(
    length_dependent: str, sweep: Run
) -> None:
    sweep("longer", "seed=1,2", "sweep.keep=checkpoint", length_dependent)
    done = sweep("longer", "seed=1,2", "sweep.keep=checkpoint", length_dependent, "trainer.epochs=3")
    assert "starts over" in done.out
    assert "schedule" in next(line for line in done.out.splitlines() if "starts over" in line)
    assert done.out.count("epoch 0/2") == 2


def test_checkpoint_is_only_deleted_after_the_result_is_written(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses_at_deletion: list[str] = []
    monkeypatch.setattr(
        "mnist_resnet.jobs.weights.drop_checkpoints", lambda job: statuses_at_deletion.append(result_of(job)["status"])
    )
    sweep("kept", "seed=1", "trainer.checkpoint_interval=0")
    assert statuses_at_deletion == ["completed"]


def test_weights_that_a_killed_process_left_are_removed_by_the_next_launch(sweep: Run, place: Place) -> None:
    sweep("kept", "seed=1", "sweep.keep=model")
    (job,) = (result.parent for result in (place.folder / "multirun" / "kept").glob("*/result.json"))
    (job / "checkpoint.pt").write_bytes(b"left by a process that was killed after it wrote the result")
    sweep("kept", "seed=1", "sweep.keep=none")
    assert not (job / "checkpoint.pt").exists()
    assert (job / "model.pt").exists(), "the setting that the job ran with counts"


def test_a_checkpoint_that_the_job_was_to_keep_stays(sweep: Run, place: Place) -> None:
    sweep("kept", "seed=1", "sweep.keep=checkpoint")
    sweep("kept", "seed=1", "sweep.keep=none")
    assert list((place.folder / "multirun" / "kept").glob("*/checkpoint.pt"))


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("checkpoint", {"checkpoint.pt", "model.pt", "model.pt2"}), ("model", {"model.pt", "model.pt2"}), ("none", set())],
)
def test_keep_selects_the_files_that_are_kept(sweep: Run, place: Place, keep: str, kept: set[str]) -> None:
    sweep("kept", "seed=1,2", f"sweep.keep={keep}", "trainer.checkpoint_interval=0")
    for job in ("seed=1", "seed=2"):
        files = {path.name for path in (place.multirun / "kept" / job).iterdir()}
        assert {name for name in files if "model" in name or "checkpoint" in name} == kept


SIZED = ("model._target_=tests.sweeps.test_folder.sized", "+model.sizes={1:2}")


def sized(sizes: dict[int, int], width: int, **settings: Any) -> ResNet:
    """Build the report's network with the width of the first stage; the stages have whole numbers."""
    return ResNet(width=sizes[1], **settings)


def test_nodes_with_whole_number_keys_work_in_a_sweep_as_in_a_single_run(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = run_in_process([*place.common, *SIZED, "hydra.run.dir=alone"], place, monkeypatch, capfd)
    assert alone.code == 0, alone.out + alone.err
    done = sweep("sizes", "seed=1,2", *SIZED)
    assert done.code == 0, done.out + done.err
    folder = place.multirun / "sizes"
    assert read_json(folder / "seed=1" / "result.json")["config"]["model"]["sizes"] == {1: 2}
    assert result_of(folder / "seed=1")["signature"] == result_of(place.folder / "alone")["signature"]
    assert_same_job(folder / "seed=1", place.folder / "alone")
    assert "0 of 2 jobs to run" in sweep("sizes", "seed=1,2", *SIZED).out


def test_node_that_would_be_read_back_as_another_is_refused_before_anything_starts(sweep: Run, place: Place) -> None:
    done = sweep("sizes", "seed=1,2", SIZED[0], "+model.sizes={1:2,a:3}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("error: model.sizes={1: 2, 'a': 3}: can't be stored with the job")
    assert not place.multirun.exists()


def test_zero_and_zero_point_zero_are_one_job(sweep: Run, place: Place) -> None:
    sweep("decay", "optim.weight_decay=0.0", "seed=1,2")
    done = sweep("decay", "optim.weight_decay=0", "seed=1,2")
    assert "0 of 2 jobs to run, 2 ended already" in done.out


def test_job_that_an_older_version_signed_with_its_typed_number_is_the_same_job(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    typed = ("optim.weight_decay=0", "seed=1")
    single = [*place.common, *typed, "hydra.run.dir=alone"]
    sweep("older", *typed)
    run_in_process(single, place, monkeypatch, capfd)
    (job,) = (result.parent for result in place.multirun.glob("older/*/result.json"))
    stored = json.loads((job.parent / SWEEP).read_text())
    config = stored["jobs"][0]["config"]
    config["optim"]["weight_decay"] = 0
    old = {"config": config, "signature": signature(config)}
    assert old["signature"] != stored["jobs"][0]["signature"]
    stored["jobs"][0] |= old
    (job.parent / SWEEP).write_text(json.dumps(stored))
    for folder in (job, place.folder / "alone"):
        _rewrite(folder, **old)
    assert "0 of 1 jobs to run, 1 ended already" in sweep("older", *typed).out
    again = run_in_process(single, place, monkeypatch, capfd)
    assert again.code == 0, again.err
    for folder in (job, place.folder / "alone"):
        assert result_of(folder)["signature"] == old["signature"]


def _rewrite(folder: Path, **changed: object) -> None:
    (folder / "result.json").write_text(json.dumps(result_of(folder) | changed))


@pytest.fixture
def frozen_by_hydra_1_3(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Lists float ranges as Hydra 1.3 does, with binary rounding errors, until the patch is undone."""
    with_errors = [0.1, 0.2, 0.30000000000000004, 0.4]
    monkeypatch.setattr("mnist_resnet.config.sweep_grammar.range_values", lambda _: with_errors)
    return monkeypatch


def test_float_range_goes_on_with_the_numbers_that_are_frozen(
    sweep: Run, place: Place, frozen_by_hydra_1_3: pytest.MonkeyPatch
) -> None:
    lr = "optim.lr=range(0.1,0.4,0.1)"
    assert sweep("rates", lr, "trainer.epochs=1").code == 0
    folder = place.multirun / "rates"
    earlier = [f"optim.lr={value}" for value in ("0.1", "0.2", "0.30000000000000004", "0.4")]
    assert sorted(statuses(folder)) == earlier
    frozen_by_hydra_1_3.setattr("mnist_resnet.config.sweep_grammar.range_values", range_values)
    again = sweep("rates", lr, "trainer.epochs=1")
    assert again.code == 0
    assert f"{lr}: goes on with 0.30000000000000004, as frozen" in again.out
    assert f"{lr}: no longer has optim.lr=0.4; left as they are" in again.out
    assert attempts(folder) == dict.fromkeys(earlier, 1)
