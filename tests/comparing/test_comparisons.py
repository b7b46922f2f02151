"""Comparisons without a figure, and the measures that decide them."""

import math
from pathlib import Path

import numpy as np
import pytest

from mnist_resnet.comparing.comparisons import Finding, answers
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.measures import MEASURES
from mnist_resnet.job_folder import BATCH_LOSSES, Status
from tests.made_up_jobs import write_job, write_losses


def study(tmp_path: Path, better: list[float], worse: list[float], **more: object) -> list[Job]:
    comparison = {
        "question": "Does Adam do better?", "factor": "optim", "better": "adam", "worse": "sgd",
        "measure": "test_error", "words": "Adam does better than SGD",
    }  # fmt: skip
    config = {"comparisons": [{**comparison, **more}]}
    for optim, accuracies in (("adam", better), ("sgd", worse)):
        for seed, accuracy in enumerate(accuracies):
            write_job(
                tmp_path / f"{optim}{seed}", (accuracy,), seed=seed, config=config, choices={"optim": optim}
            )  # fmt: skip
    return load_jobs([tmp_path])[0]


@pytest.mark.parametrize(
    ("better", "worse", "expected"),
    [
        ([0.99, 0.98, 0.99], [0.95, 0.95, 0.94], Finding.SHOWN),
        ([0.95, 0.95, 0.94], [0.99, 0.98, 0.99], Finding.REVERSED),
        ([0.95, 0.99, 0.94], [0.99, 0.95, 0.95], Finding.UNDECIDED),
        ([0.99, 0.98], [0.95, 0.95], Finding.TOO_FEW),
        ([0.99, 0.98], [], Finding.NO_PAIRS),
    ],
)
def test_findings(tmp_path: Path, better: list[float], worse: list[float], expected: Finding) -> None:
    found, remarks = answers(study(tmp_path, better, worse))
    assert ([answer.finding for answer in found], remarks) == ([expected], [])


def test_quick_study_is_not_at_scale(tmp_path: Path) -> None:
    jobs = study(tmp_path, [0.99, 0.98, 0.99], [0.95, 0.95, 0.94])
    for job in jobs:
        job.choices["scale"] = "quick"
    assert answers(jobs)[0][0].finding == Finding.NOT_AT_SCALE


def test_higher_is_better_for_speed(tmp_path: Path) -> None:
    jobs = study(tmp_path, [0.9, 0.9, 0.9], [0.9, 0.9, 0.9], measure="images_per_second")
    for number, job in enumerate(jobs):
        job.result["images_per_second"] = (200.0 if job.choices["optim"] == "adam" else 100.0) + number**2
    assert answers(jobs)[0][0].finding == Finding.SHOWN


def test_unusable_comparisons_are_reported_in_one_line(tmp_path: Path) -> None:
    found, remarks = answers(study(tmp_path, [0.9], [0.9], measure="beauty"))
    assert found == []
    assert "measure beauty is unknown" in remarks[0]


def measured(tmp_path: Path, name: str, accuracies: tuple[float, ...] = (0.9, 0.99, 0.94, 0.99)) -> float:
    write_losses(write_job(tmp_path / "job", accuracies), [9.0] * 6 + [0.1, 0.2])
    return MEASURES[name].value(load_jobs([tmp_path / "job"])[0][0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("test_error", 1.0),
        ("train_error", 0.9),
        ("overfitting_gap", 0.1),
        ("test_loss_rise", 1.0),
        ("largest_setback", 5.0),
        ("loss_spikes", 50.0),
        ("loss_unsteadiness", math.log10(2) / math.sqrt(2)),
        ("images_per_second", 100.0),
        ("seconds", 10.0),
    ],
)
def test_measures_agree_with_manual_calculation(tmp_path: Path, name: str, value: float) -> None:
    assert measured(tmp_path, name) == pytest.approx(value, rel=1e-5)


def test_test_loss_rise_is_relative_to_the_lowest(tmp_path: Path) -> None:
    assert measured(tmp_path, "test_loss_rise", (0.9, 0.99, 0.98)) == pytest.approx(2.0)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY torn", b"no array"])
def test_broken_batch_losses_give_nan(tmp_path: Path, content: bytes) -> None:
    folder = write_job(tmp_path / "job", status=Status.COMPLETED)
    (folder / BATCH_LOSSES).write_bytes(content)
    assert np.isnan(MEASURES["loss_spikes"].value(load_jobs([folder])[0][0]))
