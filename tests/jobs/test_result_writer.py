"""What a job's folder says of it, while it runs, after it ended, and after a crash."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from hydra.errors import InstantiationException

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.hydra_versions import instantiate
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.job_folder import Metrics, Status, UnreadableFolder, read_json, write_atomically, write_metrics
from mnist_resnet.jobs.environment import code_version, environment
from mnist_resnet.jobs.lease import LeaseLost, acquire_lease
from mnist_resnet.jobs.progress import Diverged
from mnist_resnet.jobs.result import read_result
from mnist_resnet.jobs.result_writer import ResultWriter, describe_error, summary
from tests.small_sweeps import small_disk


def job() -> JobSpec:
    return JobSpec(
        name="seed=2",
        config={"seed": 2},
        overrides=["seed=2"],
        swept={"seed": 2},
        choices={"model": "stem3x3"},
        signature="0" * 64,
        code=code_version(),
        index=1,
        sweep="seeds",
    )


def record(folder: Path, one: JobSpec | None = None) -> ResultWriter:
    lease = acquire_lease(folder, LeaseMonitor())
    assert lease is not None
    return ResultWriter(one or job(), lease, read_result(folder))


def epoch(number: int, accuracy: float, **more: float) -> Metrics:
    return {"epoch": number, "test_accuracy": accuracy, "seconds": 2.0, "images_per_second": 100.0, **more}


def test_job_is_running_from_the_moment_it_is_held(tmp_path: Path) -> None:
    record(tmp_path)
    result = read_json(tmp_path / "result.json")
    assert (result["status"], result["attempt"], result["epochs_completed"]) == ("running", 1, 0)
    assert (result["sweep"], result["index"], result["swept"]) == ("seeds", 1, {"seed": 2})


def test_later_attempt_keeps_what_is_the_jobs_own(tmp_path: Path) -> None:
    first = record(tmp_path)
    first.note("one thread, not two", None, "one thread, not two")
    first.result["numerics"] = {"device": "cpu"}
    first.end("interrupted")  # type: ignore[arg-type]
    first._lease.release("interrupted")
    second = record(tmp_path)
    assert second.result["id"] == first.result["id"]
    assert second.result["numerics"] == {"device": "cpu"}
    assert second.result["notes"] == ["one thread, not two"]
    assert [attempt["status"] for attempt in second.result["attempts"]] == ["interrupted", "running"]


def test_one_who_lost_the_job_writes_nothing_more(tmp_path: Path) -> None:
    lost = record(tmp_path)
    before = (tmp_path / "result.json").read_text()
    (tmp_path / "attempts" / "0002.json").write_text('{"pid": 7, "host": "elsewhere"}')
    for write in (lost.write, lost.check, lambda: lost.end("completed")):  # type: ignore[arg-type]
        with pytest.raises(LeaseLost, match="taken over by process 7 on elsewhere"):
            write()
    assert (tmp_path / "result.json").read_text() == before


def test_what_killed_writers_left_is_swept_up_and_nothing_else(tmp_path: Path) -> None:
    leftovers = [".result.json.abc", ".checkpoint.pt.123", ".model.pt2.x", ".metrics.jsonl.y"]
    others = [".hidden", "notes.txt", "checkpoint.pt", ".checkpoint_of_mine"]
    for name in [*leftovers, *others]:
        (tmp_path / name).write_text("")
    record(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= set(others)
    assert not any((tmp_path / name).exists() for name in leftovers)


@pytest.mark.parametrize("edited", [True, False])
def test_edited_code_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: bool) -> None:
    for then_or_now, layers in (("then", 34), ("now", 18 if edited else 34)):
        (tmp_path / then_or_now / "mnist_resnet").mkdir(parents=True)
        (tmp_path / then_or_now / "mnist_resnet" / "network.py").write_text(f"layers = {layers}\n")
    monkeypatch.setattr("mnist_resnet.jobs.environment.SOURCE", tmp_path / "then")
    frozen = job()
    monkeypatch.setattr("mnist_resnet.jobs.environment.SOURCE", tmp_path / "now")
    (tmp_path / "now" / "README.md").write_text("no code")
    notes = record(tmp_path / "seed=2", frozen).result["notes"]
    assert [note.startswith("code changed since the sweep was frozen: ") for note in notes] == [True] * edited


@dataclass
class OneEpoch:
    """Progress of one epoch."""

    history: list[Metrics]
    batch_losses: list[torch.Tensor] = field(default_factory=list)


@pytest.mark.parametrize(
    ("before", "continues", "noted"),
    [
        (
            "Other CPU",
            True,
            ["begun on Other CPU, continued on {}: the last bits may differ from an uninterrupted run"],
        ),
        ("Other CPU", False, []),
        (None, True, []),
        ("{}", True, []),
    ],
)
def test_continuing_on_another_processor_is_noted(
    tmp_path: Path, before: str | None, continues: bool, noted: list[str]
) -> None:
    here = environment("cpu")["cpu"]
    first = record(tmp_path)
    if before:
        first.result["environment"] = {"cpu": before.format(here), "gpu": None}
    first.end(Status.INTERRUPTED)
    first._lease.release("interrupted")
    second = record(tmp_path)
    second.continues = continues
    second.start(OneEpoch([epoch(0, 0.9)]), 3, 10, {}, "cpu")
    assert second.result["notes"] == [note.format(here) for note in noted]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"format": 2}', "format 2, and this version reads format 1"),
        ('{"format": 1}', "not a job's"),
        ('{"format": 1, "status": "sleeping", "signature": "0"}', "not a job's"),
        ("[]", "not a file of this program"),
        ("", "can't be read"),
    ],
)
def test_result_that_is_none_is_refused_in_one_line(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(UnreadableFolder) as refused:
        read_result(tmp_path)
    assert says in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_best_epoch_is_the_first_of_equals_on_the_test_images() -> None:
    said = summary([epoch(0, 0.9), epoch(1, 0.95), epoch(2, 0.95)], {})
    assert said["best"] == epoch(1, 0.95) | {"picked_on": "test"}
    assert said["last"] == epoch(2, 0.95)
    assert (said["epochs_completed"], said["seconds"], said["images_per_second"]) == (3, 6.0, 100.0)


def test_best_epoch_is_picked_on_held_out_images_where_there_are_any() -> None:
    said = summary([epoch(0, 0.9, val_accuracy=0.99), epoch(1, 0.95, val_accuracy=0.98)], {})
    assert (said["best"]["epoch"], said["best"]["picked_on"]) == (0, "val")


def test_training_seconds_are_those_of_all_epochs_and_unknown_where_older_versions_wrote_none() -> None:
    old, new = epoch(0, 0.9), epoch(1, 0.9, training_seconds=1.5)
    assert summary([new, new], {})["training_seconds"] == 3.0
    assert summary([old, new], {})["training_seconds"] is None


def test_speed_is_images_over_time_and_no_mean_of_rates() -> None:
    said = summary([epoch(0, 0.9, images_per_second=100.0), epoch(1, 0.9, images_per_second=300.0)], {})
    assert said["images_per_second"] == pytest.approx(150.0)


def test_error_is_told_by_what_was_raised_in_one_line_with_its_traceback() -> None:
    with pytest.raises(InstantiationException) as raised:
        instantiate({"_target_": "builtins.int", "_args_": ["four\nfive"]}, "all")
    told = describe_error(raised.value)
    assert told["type"] == "ValueError"
    assert told["message"] == "invalid literal for int() with base 10: 'four\\nfive'"
    assert "Traceback" in told["traceback"]
    assert describe_error(RuntimeError())["message"] == "runtime error"


def test_divergence_is_told_by_epoch_and_step() -> None:
    told = describe_error(Diverged(2, 17, float("nan")))
    assert told == {"epoch": 2, "step": 17, "loss": "nan", "metric": "loss", "message": told["message"]}
    assert "epoch 2" in told["message"]


def test_metrics_are_replaced_whole(tmp_path: Path) -> None:
    write_metrics(tmp_path, [epoch(0, 0.1), epoch(1, 0.2)])
    write_metrics(tmp_path, [epoch(0, 0.1)])
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_full_disk_is_told_with_the_file_that_it_has_no_room_for(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk, pytest.raises(OSError, match="No space left") as error:
        write_atomically(disk / "search.json", "0" * 2_000_000)
    assert error.value.filename == str(disk / "search.json")
