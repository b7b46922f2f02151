"""Comparisons without a figure, and the measures that decide them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnist_resnet.comparing.comparisons import Finding, answers
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.measures import MEASURES
from mnist_resnet.comparing.table import sweep_report
from mnist_resnet.job_folder import BATCH_LOSSES, Status
from tests.made_up_jobs import write_job, write_losses

COMPARISON = {
    "question": "Does Adam do better?", "factor": "optim", "better": "adam", "worse": "sgd",
    "measure": "test_error", "words": "Adam does better than SGD",
}  # fmt: skip


def study(tmp_path: Path, better: list[float], worse: list[float], **more: object) -> list[Job]:
    config = {"comparisons": [{**COMPARISON, **more}]}
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
    jobs = study(tmp_path, better, worse)
    found, remarks = answers(jobs)
    assert ([answer.finding for answer in found], remarks) == ([expected], [])
    methods = " ".join(sweep_report(jobs).methods)
    assert ("Claims without a figure were decided" in methods) == (len(better) == len(worse) == 3)
    assert "Published figures" not in methods


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
        ("loss_spikes", 0.0),
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


@pytest.mark.parametrize(("floor", "noise"), [(0.0, 0.05), (0.5, 0.02), (2.3, 1.0), (0.0, 1e-4)])
@pytest.mark.parametrize("spikes", [0, 2, 5])
def test_spikes_are_relative_to_a_loss_and_its_noise(tmp_path: Path, floor: float, noise: float, spikes: int) -> None:
    # 0.5 is about the least that label smoothing of 0.1 leaves, where a fixed limit of 0.2 called every batch a spike
    steady = floor + noise * (1 + np.tile([0.0, 1.0, 2.0, 3.0], 25))
    steady[:spikes] = floor + 30 * noise
    write_losses(write_job(tmp_path / "job", (0.9,)), steady.tolist())
    assert MEASURES["loss_spikes"].value(load_jobs([tmp_path / "job"])[0][0]) == spikes


# what decides a finding


def test_reduced_job_does_not_veto_pairs_it_has_no_part_in(tmp_path: Path) -> None:
    jobs = study(tmp_path / "full", [0.99, 0.98, 0.99], [0.95, 0.95, 0.94])
    write_job(tmp_path / "small", (0.5,), seed=9, config={"data.train_size": 100}, choices={"optim": "adam"})
    ((answer,), _) = answers([*jobs, *load_jobs([tmp_path / "small"])[0]])
    assert answer.finding == Finding.SHOWN
    assert answer.reason.endswith("1 smaller jobs are left out")
    assert answer.better.n == 3


def test_study_of_reduced_jobs_alone_decides_nothing(tmp_path: Path) -> None:
    jobs = study(tmp_path / "quick", [0.99, 0.98, 0.99], [0.95, 0.95, 0.94])
    for job in jobs:
        job.choices["scale"] = "quick"
    write_job(tmp_path / "full", choices={"optim": "adam"})
    ((answer,), _) = answers([*jobs, *load_jobs([tmp_path / "full"])[0]])
    assert (answer.finding, answer.reason) == (Finding.NOT_AT_SCALE, "scale=quick")


def test_side_that_diverges_more_often_than_not_is_judged_as_that(tmp_path: Path) -> None:
    jobs = study(tmp_path / "jobs", [0.99, 0.98, 0.99], [0.95, 0.95, 0.94])
    for seed in range(10, 14):
        write_job(tmp_path / f"more{seed}", seed=seed, choices={"optim": "sgd"}, status=Status.DIVERGED)
        jobs += load_jobs([tmp_path / f"more{seed}"])[0]
    ((answer,), _) = answers(jobs)
    assert answer.finding == Finding.DIVERGES
    assert answer.reason == "of sgd, 4 jobs diverged and 3 completed"


def test_finding_says_how_many_pairs_completed(tmp_path: Path) -> None:
    jobs = study(tmp_path, [0.99, 0.98, 0.99, 0.985], [0.95, 0.95, 0.94, 0.95])
    jobs[-1] = replace(jobs[-1], status=Status.FAILED)
    ((answer,), _) = answers(jobs)
    assert answer.finding == Finding.SHOWN
    assert answer.reason.endswith("3 of 4 pairs completed")


def test_effect_that_differs_between_cells_is_no_finding(tmp_path: Path) -> None:
    for averaging, gain in (("ema", 0.0), ("none", 0.04)):
        config = {"comparisons": [dict(COMPARISON)]}
        for optim, accuracy in (("adam", 0.95 + gain), ("sgd", 0.95)):
            for seed, noise in enumerate((0.0, 0.001, -0.001, 0.0005)):
                more = noise if (optim == "adam") == (averaging == "ema") else -noise / 2
                write_job(
                    tmp_path / f"{averaging}{optim}{seed}",
                    (accuracy + more,),
                    seed=seed,
                    config=config,
                    choices={"optim": optim, "averaging": averaging},
                )
    ((answer,), _) = answers(load_jobs([tmp_path])[0])
    assert answer.finding == Finding.MIXED


def test_difference_that_cannot_matter_is_a_finding(tmp_path: Path) -> None:
    ((answer,), _) = answers(study(tmp_path, [0.99, 0.9901, 0.9899], [0.9901, 0.99, 0.98995]))
    assert answer.finding == Finding.EQUIVALENT
    assert answer.reason.startswith("no difference larger than 0.1")


def test_equal_differences_leave_nothing_to_judge_by(tmp_path: Path) -> None:
    ((answer,), _) = answers(study(tmp_path, [0.99, 0.99, 0.99], [0.95, 0.95, 0.95]))
    assert answer.finding == Finding.NO_SPREAD


def test_comparisons_are_corrected_for_their_number(tmp_path: Path) -> None:
    better, worse = [0.99, 0.986, 0.988], [0.975, 0.979, 0.976]
    ((alone,), _) = answers(study(tmp_path / "alone", better, worse))
    assert alone.effect is not None
    assert (alone.finding, 0.01 < alone.effect.p < 0.05) == (Finding.SHOWN, True)
    config = {"comparisons": [{**COMPARISON, "words": f"claim {number}"} for number in range(5)]}
    jobs = [
        replace(job, result=job.result | {"config": job.config | config})
        for job in study(tmp_path / "five", better, worse)
    ]
    assert {answer.finding for answer in answers(jobs)[0]} == {Finding.UNDECIDED}


def test_measure_that_was_not_recorded_is_the_reason(tmp_path: Path) -> None:
    jobs = study(tmp_path, [0.99, 0.98, 0.99], [0.95, 0.95, 0.94], measure="loss_spikes")
    (found,), _ = answers(jobs)
    assert (found.finding, found.reason.partition(";")[0]) == (
        Finding.NO_PAIRS,
        "6 of 6 completed jobs have no usable batch_losses.npy",
    )
    assert "completed" not in found.reason.partition(";")[2]
    for number, job in enumerate(jobs):
        if job.config["seed"] != 2:
            write_losses(job.folder, [*np.linspace(1, 2, 20), 50.0 * (1 + number % 2)])
    (found,), _ = answers(jobs)
    assert "2 of 6 completed jobs have no usable batch_losses.npy; 2 of 3 pairs can be used" in found.reason
