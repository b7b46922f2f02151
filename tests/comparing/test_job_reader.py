"""Reading jobs from folders in any state: whatever can't be read becomes a one-line remark."""

import json
from pathlib import Path

import pytest

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.job_folder import METRICS, RESULT, SWEEP, Status
from mnist_resnet.jobs.lease import acquire_lease
from tests.made_up_jobs import write_job
from tests.synthetic_sweep import SyntheticSweep


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return SyntheticSweep(predictions=False).write(tmp_path / "sweep")


def test_jobs_of_every_status_keep_their_order(tmp_path: Path) -> None:
    statuses = {0: None, 1: Status.RUNNING, 2: Status.FAILED, 3: Status.DIVERGED}
    frame = load_sweep(SyntheticSweep(statuses=statuses, predictions=False).write(tmp_path / "sweep"))
    assert frame["status"].tolist()[:5] == ["queued", "running", "failed", "diverged", "completed"]
    assert frame["model"].notna().all()
    assert frame["error"][2] == "ValueError: no such <image>"
    assert frame["error"][3] == "loss nan in epoch 1, step 3"


def test_running_job_shows_epochs_that_its_result_lacks(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", (0.8, 0.9), status=Status.RUNNING, last=None, best=None)
    (job,), remarks = load_jobs([folder])
    assert (job.history.last["test_accuracy"], job.history.best["epoch"], remarks) == (0.9, 1, [])


def test_truncated_results_and_newer_formats_are_one_remark_each(sweep: Path) -> None:
    first, second, third, *_ = sorted(path for path in sweep.iterdir() if path.is_dir())
    (first / RESULT).write_text('{"format": 1, "sta')
    (second / RESULT).write_text(json.dumps({"format": 2, "status": "completed"}))
    (third / RESULT).write_text(json.dumps({"format": 1, "status": "dancing", "config": {}}))
    frame = load_sweep(sweep)
    assert (frame["status"] == "unreadable").sum() == 3
    assert len(frame) == 12
    remarks = frame.attrs["remarks"]
    assert len(remarks) == 3
    assert any("format 2" in remark for remark in remarks)
    assert (first / RESULT).exists()


def test_jobs_are_read_even_if_the_sweep_file_is_truncated(sweep: Path) -> None:
    (sweep / SWEEP).write_text("{")
    jobs, remarks = load_jobs([sweep])
    assert (len(jobs), len(remarks)) == (12, 1)


def test_truncated_metrics_line_ends_the_epochs(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", (0.8, 0.9, 0.95), status=Status.INTERRUPTED)
    lines = (folder / METRICS).read_text().splitlines()
    (folder / METRICS).write_text("\n".join(lines[:2]) + '\n{"epoch": 2, "test_acc')
    assert load_sweep(folder)["test_accuracy"].tolist() == [0.9]


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "", 3, "..", "x" * 300, "a/../../elsewhere"])
def test_job_name_cannot_leave_the_sweep_folder(tmp_path: Path, name: object) -> None:
    write_job(tmp_path / "elsewhere")
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / SWEEP).write_text(json.dumps({"format": 1, "jobs": [{"name": name, "config": {}}]}))
    jobs, remarks = load_jobs([sweep])
    assert jobs == []
    assert "no usable name" in remarks[0]


def test_single_runs_are_found_two_levels_deep(tmp_path: Path) -> None:
    write_job(tmp_path / "outputs" / "2026-11-24" / "12-00-00")
    write_job(tmp_path / "outputs" / "2026-11-25" / "12-00-00")
    frame = load_sweep(tmp_path / "outputs")
    assert frame["sweep"].tolist() == ["single runs"] * 2


@pytest.mark.parametrize("kind", ["missing", "empty folder", "file"])
def test_path_without_jobs_is_one_remark(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    if kind == "empty folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("x")
    jobs, remarks = load_jobs([path])
    assert (jobs, len(remarks)) == ([], 1)
    assert load_sweep(path, epochs=True).empty


@pytest.mark.parametrize(
    ("key", "value"),
    [("status", []), ("config", None), ("last", [1]), ("best", "x"), ("numerics", 3), ("error", 7), ("swept", [])],
)
def test_malformed_results_are_one_remark(tmp_path: Path, key: str, value: object) -> None:
    folder = write_job(tmp_path / "job")
    result = json.loads((folder / RESULT).read_text())
    (folder / RESULT).write_text(json.dumps({**result, key: value}))
    jobs, (remark,) = load_jobs([folder])
    assert jobs == []
    assert key in remark


def test_metrics_that_are_not_numbers_are_ignored(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", (0.9,), status=Status.INTERRUPTED)
    (folder / METRICS).write_text('{"epoch": 0, "test_accuracy": "high", "train_accuracy": null, "test_loss": 0.5}\n')
    frame = load_sweep(folder)
    assert frame[["test_accuracy", "train_accuracy", "best_epoch"]].isna().all(axis=None)
    assert frame["test_loss"].tolist() == [0.5]


def test_job_whose_process_died_is_interrupted(tmp_path: Path) -> None:
    folder = SyntheticSweep(statuses={0: Status.RUNNING, 1: Status.RUNNING}).write(tmp_path / "sweep")
    names = [job.folder for job in load_jobs([folder])[0]][:2]
    claims = [acquire_lease(name, LeaseMonitor()) for name in names]
    dead = claims[0]
    assert dead is not None
    dead._stop_beating()
    file = names[0] / "attempts" / "0001.json"
    file.write_text(file.read_text().replace('"process_started": ', '"process_started": 1'))
    jobs = load_jobs([folder])[0]
    assert [(job.status, job.error) for job in jobs[:2]] == [
        (Status.INTERRUPTED, "its process died"),
        (Status.RUNNING, None),
    ]


def test_folders_inside_of_folders_are_looked_into_up_to_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_resnet.comparing.job_reader.MAX_JOBS", 20)
    for outer in range(6):
        for inner in range(6):
            (tmp_path / f"{outer}" / f"{inner}").mkdir(parents=True)
    jobs, remarks = load_jobs([tmp_path])
    assert jobs == []
    assert [remark.partition(": ")[2] for remark in remarks] == [
        "with it there are more than 20 folders; the others are left out",
        "neither a sweep nor a job folder, and it contains none",
    ]


@pytest.mark.parametrize("attempts", ["a file", "too many"])
def test_running_job_whose_attempts_cannot_be_read_is_a_remark(
    attempts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_resnet.attempts.MAX_ATTEMPTS", 3)
    folder = write_job(tmp_path / "job", (0.8,), status=Status.RUNNING)
    if attempts == "a file":
        (folder / "attempts").write_text("")
    else:
        (folder / "attempts").mkdir()
        for number in range(1, 5):
            (folder / "attempts" / f"000{number}.json").write_text("{}")
    jobs, remarks = load_jobs([folder])
    assert jobs == []
    assert len(remarks) == 1
    assert remarks[0].startswith(f"{folder}: its attempts can't be read (")
