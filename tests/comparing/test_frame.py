"""Job folders in any state become a frame, and what is amiss becomes a line."""

import json
from pathlib import Path

import pytest

import mnist_resnet
from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.comparing.factors import other_factors, shared_values, varying_factors
from mnist_resnet.comparing.frame import jobs_frame, load_sweep
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.levels import level_text
from mnist_resnet.comparing.verdicts import claims_of
from mnist_resnet.job_folder import METRICS, RESULT, SWEEP, Status
from mnist_resnet.jobs.lease import acquire_lease
from tests.made_up_jobs import write_job
from tests.synthetic_sweep import SyntheticSweep


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return SyntheticSweep(predictions=False).write(tmp_path / "sweep")


def test_one_row_a_job_with_config_choices_and_metrics(sweep: Path) -> None:
    frame = mnist_resnet.load_sweep(sweep)
    assert len(frame) == 12
    row = frame.iloc[0]
    assert (row["sweep"], row["status"], row["model"], row["optim.lr"], row["seed"]) == (
        "lr_vs_stem", "completed", "stem3x3", 0.001, 1,
    )  # fmt: skip
    last = json.loads((sweep / row["name"] / METRICS).read_text().splitlines()[-1])
    assert row["test_accuracy"] == last["test_accuracy"]
    assert row["best_test_accuracy"] >= row["test_accuracy"]
    assert frame.attrs["remarks"] == []


def test_one_row_an_epoch(sweep: Path) -> None:
    frame = load_sweep(sweep, epochs=True)
    assert len(frame) == 36
    assert frame["epoch"].tolist()[:4] == [0, 1, 2, 0]
    assert frame["optim.lr"].nunique() == 2


def test_jobs_that_wait_run_or_failed_stand_in_their_place(tmp_path: Path) -> None:
    statuses = {0: None, 1: Status.RUNNING, 2: Status.FAILED, 3: Status.DIVERGED}
    frame = load_sweep(SyntheticSweep(statuses=statuses, predictions=False).write(tmp_path / "sweep"))
    assert frame["status"].tolist()[:5] == ["queued", "running", "failed", "diverged", "completed"]
    assert frame["model"].notna().all()
    assert frame["error"][2] == "ValueError: no such <image>"
    assert frame["error"][3] == "loss nan in epoch 1, step 3"


def test_a_running_job_shows_the_epochs_that_its_result_does_not_know_yet(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", (0.8, 0.9), status=Status.RUNNING, last=None, best=None)
    (job,), remarks = load_jobs([folder])
    assert (job.history.last["test_accuracy"], job.history.best["epoch"], remarks) == (0.9, 1, [])


def test_torn_results_and_newer_formats_are_one_line_each(sweep: Path) -> None:
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


def test_a_torn_sweep_file_leaves_its_jobs_readable(sweep: Path) -> None:
    (sweep / SWEEP).write_text("{")
    jobs, remarks = load_jobs([sweep])
    assert (len(jobs), len(remarks)) == (12, 1)


def test_a_torn_metrics_line_ends_the_epochs(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", (0.8, 0.9, 0.95), status=Status.INTERRUPTED)
    lines = (folder / METRICS).read_text().splitlines()
    (folder / METRICS).write_text("\n".join(lines[:2]) + '\n{"epoch": 2, "test_acc')
    assert load_sweep(folder)["test_accuracy"].tolist() == [0.9]


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "", 3, "..", "x" * 300, "a/../../elsewhere"])
def test_a_job_name_cannot_lead_out_of_its_sweep(tmp_path: Path, name: object) -> None:
    write_job(tmp_path / "elsewhere")
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / SWEEP).write_text(json.dumps({"format": 1, "jobs": [{"name": name, "config": {}}]}))
    jobs, remarks = load_jobs([sweep])
    assert jobs == []
    assert "no usable name" in remarks[0]


def test_a_folder_of_single_runs_is_read_two_levels_deep(tmp_path: Path) -> None:
    write_job(tmp_path / "outputs" / "2026-11-24" / "12-00-00")
    write_job(tmp_path / "outputs" / "2026-11-25" / "12-00-00")
    frame = load_sweep(tmp_path / "outputs")
    assert frame["sweep"].tolist() == ["single runs"] * 2


@pytest.mark.parametrize("kind", ["missing", "empty folder", "file"])
def test_what_is_no_job_folder_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    if kind == "empty folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("x")
    jobs, remarks = load_jobs([path])
    assert (jobs, len(remarks)) == ([], 1)
    assert load_sweep(path, epochs=True).empty


def test_several_sweeps_are_one_frame_and_none_is_read_twice(tmp_path: Path) -> None:
    first = SyntheticSweep(predictions=False).write(tmp_path / "a")
    second = SyntheticSweep(name="other", predictions=False).write(tmp_path / "b")
    frame = load_sweep([first, second, first])
    assert len(frame) == 24
    assert varying_factors(frame)[0] == "sweep"


def test_what_was_swept_varies_and_what_it_implies_does_not(sweep: Path) -> None:
    frame = load_sweep(sweep)
    assert varying_factors(frame) == ["optim.lr", "model"]
    assert shared_values(frame)["optim"] == "adam"
    assert "model" not in shared_values(frame)


STEMS = {"stem3x3": {"model.stem": "3x3"}, "stem7x7": {"model.stem": "7x7"}}
REGULARIZATIONS: dict[str, dict[str, object]] = {
    "none": {"model.dropout": 0.0, "regularization.dropout": 0.0},
    "dropout": {"model.dropout": 0.3, "regularization.dropout": 0.3},
}


def rows(tmp_path: Path) -> Path:
    for name, stem, regularization, lr in [
        ("a", "stem7x7", "none", 0.02),
        ("b", "stem3x3", "none", 0.02),
        ("c", "stem3x3", "dropout", 0.02),
        ("d", "stem3x3", "dropout", 0.001),
    ]:
        write_job(
            tmp_path / "study" / name,
            choices={"experiment": name, "model": stem, "regularization": regularization},
            config={"optim.lr": lr, **STEMS[stem], **REGULARIZATIONS[regularization]},
        )
    return tmp_path / "study"


def test_experiments_vary_with_the_factors_that_they_set(tmp_path: Path) -> None:
    assert set(varying_factors(load_sweep(rows(tmp_path)))) == {"experiment", "model", "regularization", "optim.lr"}


def test_two_jobs_of_different_experiments_may_differ_in_one_factor_alone(tmp_path: Path) -> None:
    frame = load_sweep(rows(tmp_path))
    assert set(other_factors(frame, "model")) == {"regularization", "optim.lr"}
    assert other_factors(frame, "experiment") == []


def test_whole_numbers_stay_whole_where_a_job_has_none(tmp_path: Path) -> None:
    write_job(tmp_path / "runs" / "a", config={"data.train_size": 1000})
    write_job(tmp_path / "runs" / "b")
    assert load_sweep(tmp_path / "runs")["data.train_size"].tolist() == [1000, None]


def test_no_jobs_are_an_empty_frame() -> None:
    assert jobs_frame([]).empty
    assert varying_factors(jobs_frame([])) == []


def test_levels_are_told_apart_by_what_they_mean() -> None:
    assert level_text(1) == level_text(1.0) == "1"
    assert level_text(True) == "True"
    assert level_text(None) == "null"
    assert level_text(0.001) == "0.001"


@pytest.mark.parametrize(
    ("key", "value"),
    [("status", []), ("config", None), ("last", [1]), ("best", "x"), ("numerics", 3), ("error", 7), ("swept", [])],
)
def test_malformed_results_are_one_line(tmp_path: Path, key: str, value: object) -> None:
    folder = write_job(tmp_path / "job")
    result = json.loads((folder / RESULT).read_text())
    (folder / RESULT).write_text(json.dumps({**result, key: value}))
    jobs, (remark,) = load_jobs([folder])
    assert jobs == []
    assert key in remark


def test_metrics_that_are_no_numbers_were_not_measured(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", (0.9,), status=Status.INTERRUPTED)
    (folder / METRICS).write_text('{"epoch": 0, "test_accuracy": "high", "train_accuracy": null, "test_loss": 0.5}\n')
    frame = load_sweep(folder)
    assert frame[["test_accuracy", "train_accuracy", "best_epoch"]].isna().all(axis=None)
    assert frame["test_loss"].tolist() == [0.5]


def test_malformed_claims_are_no_claims(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", config={"claims": {"value": 1}})
    assert claims_of(load_jobs([folder])[0][0]) == []


def test_job_whose_process_died_does_not_run(tmp_path: Path) -> None:
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
