"""Effects and comparisons against published figures and figures worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mnist_resnet.comparing.comparisons import Finding, answers
from mnist_resnet.comparing.effects import effects, interactions
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.mcnemar import compare_predictions, select_jobs
from mnist_resnet.comparing.measures import MEASURES
from mnist_resnet.comparing.sections import effects_section
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import BATCH_LOSSES, PREDICTIONS, Status, UnreadableFolder
from tests.made_up_jobs import write_job, write_losses, write_predictions

# Student, The probable error of a mean (1908): hours of sleep gained by ten patients with each of two drugs
FIRST_DRUG = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND_DRUG = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame([{"status": "completed", **row} for row in rows])


def test_students_sleep_data() -> None:
    rows = [
        {"drug": drug, "seed": patient, "seconds": gain}
        for drug, gains in (("first", FIRST_DRUG), ("second", SECOND_DRUG))
        for patient, gain in enumerate(gains)
    ]
    (found,) = effects(frame(rows), "drug", [], "seconds")
    assert found.mean == pytest.approx(1.58)
    # as R's t.test(extra ~ group, paired = TRUE) on these data prints them
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert found.p == pytest.approx(0.002833, abs=1e-6)
    assert (found.seeds, found.significant) == (10, True)


def grid(accuracy: dict[tuple[str, str], list[float]]) -> pd.DataFrame:
    return frame(
        [
            {"a": a, "b": b, "seed": seed, "test_accuracy": value}
            for (a, b), values in accuracy.items()
            for seed, value in enumerate(values)
        ]
    )


CROSSED = {("0", "0"): [0.90, 0.91], ("1", "0"): [0.92, 0.94], ("0", "1"): [0.90, 0.92], ("1", "1"): [0.98, 0.97]}


def test_an_effect_is_on_the_error_rate_and_pairs_by_seed_and_by_the_other_factor() -> None:
    (found,) = effects(grid(CROSSED), "a", ["b"])
    # seed 0: −(0.02 + 0.08) / 2 = −0.05; seed 1: −(0.03 + 0.05) / 2 = −0.04
    assert found.mean == pytest.approx(-0.045)
    # s = 0.01 / √2, so s / √2 = 0.005, and t(0.975, 1) = 12.706
    assert (found.low, found.high) == pytest.approx((-0.045 - 0.06353, -0.045 + 0.06353), abs=1e-5)
    assert (found.seeds, found.cells, found.significant) == (2, 2, False)


def test_an_interaction_is_the_difference_of_differences() -> None:
    (found,) = interactions(grid(CROSSED), ["a", "b"])
    # errors; seed 0: −0.08 + 0.02 = −0.06; seed 1: −0.05 + 0.03 = −0.02
    assert found.mean == pytest.approx(-0.04)
    assert found.factors == ("a", "b")


def test_a_pair_that_lost_a_side_is_left_out_and_the_rest_stays_balanced() -> None:
    jobs = grid({key: [*values, 0.95] for key, values in CROSSED.items()})
    jobs.loc[(jobs["a"] == "1") & (jobs["b"] == "1") & (jobs["seed"] == 2), "status"] = "diverged"
    (found,) = effects(jobs, "a", ["b"])
    assert (found.seeds, found.cells, found.left_out) == (2, 2, 2)
    assert found.mean == pytest.approx(-0.045)


def test_a_cell_that_always_diverged_leaves_the_other_cells() -> None:
    jobs = grid(CROSSED)
    jobs.loc[(jobs["a"] == "1") & (jobs["b"] == "1"), "status"] = "diverged"
    (found,) = effects(jobs, "a", ["b"])
    assert (found.seeds, found.cells) == (2, 1)
    assert found.mean == pytest.approx(-0.025)


def test_a_factor_that_never_changes_alone_has_no_effect_to_tell() -> None:
    jobs = grid({("0", "0"): [0.9, 0.91], ("1", "1"): [0.95, 0.96]})
    (found,) = effects(jobs, "a", ["b"])
    assert math.isnan(found.mean)
    assert (found.seeds, found.significant) == (0, False)


def test_one_seed_gives_a_difference_and_no_interval() -> None:
    jobs = grid({("0", "0"): [0.9], ("1", "0"): [0.95]})
    (found,) = effects(jobs, "a", ["b"])
    assert found.mean == pytest.approx(-0.05)
    assert math.isnan(found.low)
    assert not found.significant


def test_equal_differences_but_for_rounding_are_nothing_to_judge_by() -> None:
    jobs = grid({("0", "0"): [0.90, 0.91, 0.92], ("1", "0"): [0.95, 0.96, 0.97]})
    (found,) = effects(jobs, "a", ["b"])
    assert math.isnan(found.p)
    assert not found.significant


def test_a_pair_that_was_never_planned_is_not_left_out() -> None:
    jobs = grid({("0", "0"): [0.9, 0.91], ("1", "0"): [0.95, 0.94], ("1", "1"): [0.95, 0.96]})
    (found,) = effects(jobs, "a", ["b"])
    assert (found.seeds, found.cells, found.left_out) == (2, 1, 0)


def test_each_further_level_is_set_against_the_first() -> None:
    jobs = grid({("0", "0"): [0.9], ("1", "0"): [0.8], ("2", "0"): [0.7]})
    assert [found.levels[0] for found in effects(jobs, "a", ["b"])] == [("0", "1"), ("0", "2")]


# McNemar


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Job, Job]:
    for name, seed in (("a", 1), ("b", 2)):
        write_job(tmp_path / name, seed=seed)
    # 1 image only a reads right, 6 only b, 90 both, 3 neither
    write_predictions(tmp_path / "a", [True] * 91 + [False] * 9)
    write_predictions(tmp_path / "b", [False] + [True] * 96 + [False] * 3)
    first, second = load_jobs([tmp_path / "a", tmp_path / "b"])[0]
    return first, second


def test_mcnemar_worked_out_by_hand(pair: tuple[Job, Job]) -> None:
    found = compare_predictions([pair[0]], [pair[1]])
    assert (found.images, found.only_first, found.only_second) == (100, 1, 6)
    assert (found.both_right, found.both_wrong) == (90, 3)
    # twice the chance of at most 1 in 7 fair coins: 2 · (1 + 7) / 128
    assert found.p == pytest.approx(0.125)


def test_other_test_images_are_refused(pair: tuple[Job, Job]) -> None:
    write_predictions(pair[1].folder, [True] * 100, test_set="other")
    with pytest.raises(UsageError, match="different images"):
        compare_predictions([pair[0]], [pair[1]])


def test_broken_and_missing_predictions_are_one_line(pair: tuple[Job, Job]) -> None:
    (pair[1].folder / PREDICTIONS).write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(UnreadableFolder, match="can't be read"):
        compare_predictions([pair[0]], [pair[1]])
    (pair[1].folder / PREDICTIONS).unlink()
    with pytest.raises(UnreadableFolder, match=f"no {PREDICTIONS}"):
        compare_predictions([pair[0]], [pair[1]])


def test_a_group_reads_right_what_more_than_half_of_it_does(tmp_path: Path) -> None:
    answers = [[True, True, False], [True, False, False], [True, True, True]]
    for number, right in enumerate(answers):
        write_predictions(write_job(tmp_path / f"a{number}", seed=number), right)
    write_predictions(write_job(tmp_path / "b"), [False, False, True])
    jobs = load_jobs(sorted(tmp_path.iterdir()))[0]
    found = compare_predictions(jobs[:3], jobs[3:])
    assert (found.only_first, found.only_second) == (2, 1)


def test_sides_are_named_by_job_or_by_levels(pair: tuple[Job, Job]) -> None:
    assert select_jobs(pair, "a") == [pair[0]]
    assert select_jobs(pair, "seed=2") == [pair[1]]
    assert select_jobs(pair, "model=stem3x3,optim.lr=1e-3") == list(pair)
    for words in ("c", "seed=3", "nothing=1"):
        with pytest.raises(UsageError):
            select_jobs(pair, words)


# comparisons and their measures


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
        ([0.95, 0.99, 0.94], [0.99, 0.95, 0.95], Finding.NOT_SHOWN),
        ([0.99, 0.98], [0.95, 0.95], Finding.TOO_FEW),
        ([0.99, 0.98], [], Finding.UNDECIDED),
    ],
)
def test_findings(tmp_path: Path, better: list[float], worse: list[float], expected: Finding) -> None:
    found, remarks = answers(study(tmp_path, better, worse))
    assert ([one.finding for one in found], remarks) == ([expected], [])


def test_a_quick_study_finds_nothing(tmp_path: Path) -> None:
    jobs = study(tmp_path, [0.99, 0.98, 0.99], [0.95, 0.95, 0.94])
    for job in jobs:
        job.choices["scale"] = "quick"
    assert answers(jobs)[0][0].finding == Finding.NOT_AT_SCALE


def test_more_is_better_for_speed(tmp_path: Path) -> None:
    jobs = study(tmp_path, [0.9, 0.9, 0.9], [0.9, 0.9, 0.9], measure="images_per_second")
    for number, job in enumerate(jobs):
        job.result["images_per_second"] = (200.0 if job.choices["optim"] == "adam" else 100.0) + number**2
    assert answers(jobs)[0][0].finding == Finding.SHOWN


def test_unusable_comparisons_are_one_line(tmp_path: Path) -> None:
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
def test_measures_worked_out_by_hand(tmp_path: Path, name: str, value: float) -> None:
    assert measured(tmp_path, name) == pytest.approx(value, rel=1e-5)


def test_test_loss_rises_past_its_lowest(tmp_path: Path) -> None:
    assert measured(tmp_path, "test_loss_rise", (0.9, 0.99, 0.98)) == pytest.approx(2.0)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY torn", b"no array"])
def test_broken_batch_losses_tell_nothing(tmp_path: Path, content: bytes) -> None:
    folder = write_job(tmp_path / "job", status=Status.COMPLETED)
    (folder / BATCH_LOSSES).write_bytes(content)
    assert np.isnan(MEASURES["loss_spikes"].value(load_jobs([folder])[0][0]))


def test_factor_that_no_two_jobs_vary_alone_is_said_once(tmp_path: Path) -> None:
    for number, (rate, dropout) in enumerate([(0.1, 0.2), (0.2, 0.3), (0.3, 0.4)]):
        write_job(tmp_path / str(number), (0.9,), config={"optim.lr": rate, "regularization.dropout": dropout})
    section = effects_section(jobs_frame(load_jobs([tmp_path])[0]), "test_accuracy")
    assert section is not None
    told = [line for line in section.lines if line.startswith("No two jobs differ in ")]
    assert len(told) == len(set(told)) == 2
    assert "No two jobs differ in optim.lr alone: its effect can't be determined." in told
