"""Failures, resuming and the end of sweeps: the real program in this process, with tiny networks."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import UnreadableFolder, read_metrics
from mnist_resnet.resume import resume
from mnist_resnet.sweeps.folder import read_sweep
from tests.small_sweeps import (
    CHECKOUT,
    Place,
    Run,
    attempts,
    result_of,
    small_disk,
    statuses,
)

FAILING = """
from mnist_resnet.models.resnet import ResNet

def network(blows_up, **rest):
    if blows_up == "raises":
        raise RuntimeError("no such layer:\\n  on purpose")
    if blows_up == "leaves":
        raise SystemExit("gone")
    return ResNet(**rest)
"""


def _failing(place: Place, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (place.folder / "modules").mkdir()
    (place.folder / "modules" / "sometimes_failing.py").write_text(FAILING)
    monkeypatch.syspath_prepend(str(place.folder / "modules"))
    return ["model._target_=sometimes_failing.network"]


def test_failing_job_does_not_stop_other_jobs(sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = _failing(place, monkeypatch)
    monkeypatch.setattr("mnist_resnet.tracking.console.WORTH_AN_ESTIMATE", 0.001)
    done = sweep("fails", *overrides, "+model.blows_up=no,raises,leaves,never")
    assert done.code == 1
    assert done.out.count("at this rate all jobs end in about") == 1
    folder = place.multirun / "fails"
    assert statuses(folder) == {
        "model.blows_up=leaves": "failed",
        "model.blows_up=never": "completed",
        "model.blows_up=no": "completed",
        "model.blows_up=raises": "failed",
    }
    error = result_of(folder / "model.blows_up=raises")["error"]
    assert (error["type"], error["message"]) == ("RuntimeError", "no such layer: on purpose")
    assert "sometimes_failing.py" in error["traceback"]
    report = done.out[done.out.index("Failed, or not readable") :].splitlines()
    assert "fails, model.blows_up=raises: failed: RuntimeError: no such layer: on purpose" in report
    assert "fails, model.blows_up=leaves: failed: SystemExit: gone" in report
    assert done.out.count("no such layer: on purpose") == 3, "before the first job, when it fails, and at the end"
    assert pd.read_csv(folder / "results.csv")["status"].tolist().count("failed") == 2


def test_sweep_is_resumed_from_its_folder_alone(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep("lent", "seed=1,2,3")
    folder = place.multirun / "lent"
    shutil.rmtree(folder / "seed=2")
    assert resume(folder, []) == 0
    assert "1 of 3 jobs to run, 2 ended already" in capfd.readouterr().out
    assert set(statuses(folder).values()) == {"completed"}


def test_untrusted_folder_runs_no_arbitrary_code(sweep: Run, place: Place) -> None:
    sweep("lent", "seed=1,2")
    folder = place.multirun / "lent"
    shutil.rmtree(folder / "seed=2")
    frozen = (folder / "sweep.json").read_text()
    (folder / "sweep.json").write_text(frozen.replace("mnist_resnet.training.schedule.constant", "os.system"))
    with pytest.raises(UsageError, match=r"_target_=os\.system: not on the list"):
        resume(folder, [])
    (folder / "sweep.json").write_text(frozen.replace('"seed=2"', '"../seed=2"'))
    with pytest.raises(UnreadableFolder, match="would lead out of the sweep folder"):
        resume(folder, [])
    assert not (folder / "seed=2").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": 0, "jobs": []}', "format 0, and this version reads format 1"),
        ('{"format": 1, "jo', "can't be read"),
        ('{"format": 1, "jobs": [{"name": "seed=1"}]}', "its job list can't be read"),
    ],
)
def test_invalid_job_list_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(UnreadableFolder) as refused:
        read_sweep(tmp_path)
    assert message in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_failed_jobs_are_run_again(sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = _failing(place, monkeypatch)
    sweep("fails", *overrides, "+model.blows_up=no,raises")
    monkeypatch.delitem(__import__("sys").modules, "sometimes_failing")
    (place.folder / "modules" / "sometimes_failing.py").write_text(FAILING.replace('== "raises"', '== "fixed"'))
    done = sweep("fails", *overrides, "+model.blows_up=no,raises")
    assert done.code == 0
    result = result_of(place.multirun / "fails" / "model.blows_up=raises")
    assert (result["status"], result["error"]) == ("completed", None)
    assert [attempt["status"] for attempt in result["attempts"]] == ["failed", "completed"]


def test_on_failure_stop_starts_no_further_job(sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = _failing(place, monkeypatch)
    done = sweep("fails", *overrides, "+model.blows_up=raises,no", "sweep.on_failure=stop", "sweep.try_recipes=false")
    assert done.code == 1
    assert statuses(place.multirun / "fails") == {"model.blows_up=raises": "failed"}
    assert "no further job is started (sweep.on_failure=stop)" in done.out
    assert "model.blows_up=no: queued" in done.out


def test_divergence_is_a_result_and_reports_the_epoch(sweep: Run, place: Place) -> None:
    done = sweep("diverges", "optim.lr=0.001,1e30", "optim=sgd", "trainer.log_interval=1")
    assert done.code == 0
    result = result_of(place.multirun / "diverges" / "optim.lr=1e+30")
    assert result["status"] == "diverged"
    assert result["error"]["epoch"] == 0
    assert f"diverged: {result['error']['message']}" in done.out
    assert "0 of 2 jobs to run" in sweep("diverges", "optim.lr=0.001,1e30", "optim=sgd", "trainer.log_interval=1").out


def test_folder_of_another_job_is_not_touched(sweep: Run, place: Place) -> None:
    sweep("foreign", "seed=1,2")
    folder = place.multirun / "foreign"
    shutil.rmtree(folder / "seed=2")
    shutil.copytree(folder / "seed=1", folder / "seed=2")
    done = sweep("foreign", "seed=1,2")
    assert done.code == 1
    assert "seed=2: unreadable: multirun/foreign/seed=2: holds another job, seed=1" in done.out
    assert attempts(folder) == {"seed=1": 1, "seed=2": 1}


def test_hydra_basic_launcher_runs_the_frozen_jobs(sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = [*_failing(place, monkeypatch), "hydra/launcher=basic", "+model.blows_up=no,raises,never"]
    done = sweep("public", *overrides)
    assert done.code == 1
    folder = place.multirun / "public"
    assert list(statuses(folder).values()) == ["completed", "completed", "failed"]
    assert "no such layer" in done.out
    assert "3 jobs: 2 completed, 1 failed" in done.out
    assert "1 of 3 jobs to run" in sweep("public", *overrides).out
    assert set(attempts(folder).values()) == {1, 2}


EDITING = """
import os
from pathlib import Path
from mnist_resnet.models.resnet import ResNet

def network(**arguments):
    conf = Path(os.environ["CONF_TO_EDIT"])
    conf.write_text(conf.read_text().replace("lr: 0.003", "lr: 0.5"))
    return ResNet(**arguments)
"""


@pytest.mark.parametrize("launcher", ["sequential", "basic"])
def test_frozen_jobs_ignore_later_changes_of_conf(
    place: Place, monkeypatch: pytest.MonkeyPatch, sweep: Run, launcher: str
) -> None:
    option = place.folder / "conf" / "optim" / "mine.yaml"
    option.parent.mkdir(parents=True)
    option.write_text((CHECKOUT / "conf" / "optim" / "adam.yaml").read_text().replace("lr: 0.001", "lr: 0.003"))
    (place.folder / "editing.py").write_text(EDITING)
    monkeypatch.syspath_prepend(str(place.folder))
    monkeypatch.setenv("CONF_TO_EDIT", str(option))
    overrides = [f"--config-dir={option.parents[1]}", f"hydra/launcher={launcher}", "optim=mine"]
    done = sweep("frozen", "seed=1,2,3", "model._target_=editing.network", *overrides)
    assert done.code == 0, done.out + done.err
    assert "lr: 0.5" in option.read_text()
    folder = place.multirun / "frozen"
    assert [result_of(folder / f"seed={seed}")["config"]["optim"]["lr"] for seed in (1, 2, 3)] == [0.003] * 3
    assert [epoch["lr"] for epoch in read_metrics(folder / "seed=3")] == [0.003] * 2
    assert "lr: 0.003" in (folder / "seed=3" / ".hydra" / "config.yaml").read_text()


def test_results_note_that_the_code_changed_after_freezing(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep("edited", "seed=1,2")
    folder = place.multirun / "edited"
    shutil.rmtree(folder / "seed=2")
    copy = place.folder / "copy"
    for part in ("mnist_resnet", "hydra_plugins"):
        shutil.copytree(CHECKOUT / part, copy / part)
    (copy / "train.py").write_text((CHECKOUT / "train.py").read_text() + "\n# edited\n")
    monkeypatch.setattr("mnist_resnet.jobs.environment.SOURCE", copy)
    sweep("edited", "seed=1,2")
    assert result_of(folder / "seed=1")["notes"] == []
    (note,) = result_of(folder / "seed=2")["notes"]
    assert note.startswith("code changed since the sweep was frozen: ")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A 20 MiB file system."""
    with small_disk(tmp_path / "disk", "20m") as folder:
        yield folder


@pytest.mark.parametrize(
    ("keep", "advice"),
    [("checkpoint", "or keep less (model, none)"), ("model", "make room, or keep none"), ("none", "free; make room")],
)
def test_sweep_without_enough_disk_space_is_refused_before_it_starts(
    sweep: Run, disk: Path, keep: str, advice: str
) -> None:
    done = sweep(None, "seed=1,2,3,4,5", f"hydra.sweep.dir={disk}/sweep", f"sweep.keep={keep}")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert "these 5 jobs need about 22.0 MB" in done.err
    assert "where 21.0 MB are free; " in done.err
    assert done.err.endswith(f"{advice}\n")
    assert list(disk.iterdir()) == []


def test_disk_space_is_only_required_for_unfinished_jobs(sweep: Run, disk: Path) -> None:
    assert sweep(None, "seed=1,2,3,4", f"hydra.sweep.dir={disk}/sweep").code == 0
    assert sweep(None, "seed=1,2,3,4,5", f"hydra.sweep.dir={disk}/sweep").code == 0


def _fail_reads(monkeypatch: pytest.MonkeyPatch, fails: Callable[[Path], bool]) -> None:
    """Let a file server fail to deliver files."""
    opened = os.open

    def open_file(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_NONBLOCK and fails(Path(path).absolute()):  # the door for stored files (`open_stored`)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opened(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", open_file)


@pytest.mark.parametrize("file", ["attempts/0001.json", "result.json"])
def test_job_that_cannot_be_read_is_waited_for_with_a_line_and_not_for_ever(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    unreadable = place.folder / "multirun" / "s" / "seed=1" / file
    unreadable.parent.mkdir(parents=True)
    unreadable.touch()
    _fail_reads(monkeypatch, lambda path: path == unreadable)
    monkeypatch.setenv("MNIST_RESNET_STALE_AFTER", "6")
    monkeypatch.setattr("mnist_resnet.job_folder.PAUSES", (0.1, 0.1))
    done = sweep("s", "seed=1,2")
    named = "multirun/s/seed=1" if "attempts" in file else "multirun/s/seed=1/result.json"
    reason = f"{named} can't be read at present (Input/output error)"
    assert done.code == 1, done.out + done.err
    assert f"seed=1: {place.folder}/{reason}; waiting for it to finish or release the job" in done.out
    assert result_of(place.folder / "multirun" / "s" / "seed=2")["status"] == "completed"
    assert f"seed=1: running: {reason}" in done.out
    assert unreadable.stat().st_size == 0, "nothing is written over it"


def test_reads_that_fail_once_change_nothing(sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("seed=1,2", "sweep.keep=model")
    assert sweep("s", *arguments).code == 0
    folder, seen = place.folder / "multirun" / "s", set[Path]()

    def is_first(path: Path) -> bool:
        is_new = path.is_relative_to(folder) and path not in seen
        seen.add(path)
        return is_new

    _fail_reads(monkeypatch, is_first)
    done = sweep("s", *arguments)
    assert done.code == 0, done.out + done.err
    assert "0 of 2 jobs to run, 2 ended already" in done.out
    assert "can't be read" not in done.out
    assert {"sweep.json", "result.json", "0001.json"} <= {path.name for path in seen}
