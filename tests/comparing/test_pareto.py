"""The Pareto front of a search with several objectives."""

from pathlib import Path

from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.pareto import pareto_section
from mnist_resnet.config.metric import BUILT_IN
from mnist_resnet.job_folder import Status, write_metrics
from tests.made_up_jobs import epoch_line, write_job

TRIALS = {"slow": (0.99, 90.0), "even": (0.98, 50.0), "equal": (0.98, 50.0), "worse": (0.97, 50.0), "fast": (0.9, 10.0)}
"""Test accuracy, and seconds of training in each of two epochs."""


def trials(folder: Path, *constraints: str) -> list[Job]:
    objective = {
        "sweep.objective": ["test_accuracy", "training_seconds"],
        "sweep.objective_epoch": "last",
        "sweep.constraints": list(constraints),
    }
    for name, (accuracy, seconds) in TRIALS.items():
        write_job(folder / name, (0.5, accuracy), config=objective)
        lines = [epoch_line(0, 0.5), epoch_line(1, accuracy)]
        write_metrics(folder / name, [line | {"training_seconds": seconds} for line in lines])
    write_job(folder / "diverged", (0.999,), config=objective, status=Status.DIVERGED)
    return load_jobs([folder / name for name in (*TRIALS, "diverged")])[0]


def test_front_holds_what_no_other_trial_beats_in_all_objectives(tmp_path: Path) -> None:
    section = pareto_section(trials(tmp_path))
    assert section is not None
    assert section.table["test accuracy, %"].tolist() == ["99.00", "98.00", "98.00", "90.00"]
    assert section.table["training, s"].tolist() == ["180", "100", "100", "20"]
    assert section.lines[1] == "4 of 5 completed jobs are on the front."


def test_headings_of_shares_name_their_unit() -> None:
    titles = [metric.title for metric in BUILT_IN.values() if metric.is_share]
    assert all(title.endswith(", %") for title in titles), titles


def test_trials_that_break_a_constraint_are_not_on_the_front(tmp_path: Path) -> None:
    section = pareto_section(trials(tmp_path, "training_seconds<=100", "test_accuracy >= 0.95"))
    assert section is not None
    assert section.table["test accuracy, %"].tolist() == ["98.00", "98.00"]


def test_jobs_with_one_objective_have_no_front(tmp_path: Path) -> None:
    write_job(tmp_path / "job")
    assert pareto_section(load_jobs([tmp_path / "job"])[0]) is None
