"""Effects and interactions, checked against published and manually calculated figures."""

import math
from pathlib import Path

import pandas as pd
import pytest

from mnist_resnet.comparing.effects import effects, interactions
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.sections import effects_section
from tests.made_up_jobs import write_job

# Student, The probable error of a mean (1908): hours of sleep gained by ten patients with each of two drugs
FIRST_DRUG = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND_DRUG = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame([{"status": "completed", **row} for row in rows])


def test_effect_on_students_sleep_data() -> None:
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


def test_effect_on_the_error_rate_is_paired_by_seed_and_other_factor() -> None:
    (found,) = effects(grid(CROSSED), "a", ["b"])
    # seed 0: −(0.02 + 0.08) / 2 = −0.05; seed 1: −(0.03 + 0.05) / 2 = −0.04
    assert found.mean == pytest.approx(-0.045)
    # s = 0.01 / √2, so s / √2 = 0.005, and t(0.975, 1) = 12.706
    assert (found.low, found.high) == pytest.approx((-0.045 - 0.06353, -0.045 + 0.06353), abs=1e-5)
    assert (found.seeds, found.cells, found.significant) == (2, 2, False)


def test_interaction_is_the_difference_of_differences() -> None:
    (found,) = interactions(grid(CROSSED), ["a", "b"])
    # errors; seed 0: −0.08 + 0.02 = −0.06; seed 1: −0.05 + 0.03 = −0.02
    assert found.mean == pytest.approx(-0.04)
    assert found.factors == ("a", "b")


def test_incomplete_pair_is_left_out_and_the_rest_stays_balanced() -> None:
    jobs = grid({key: [*values, 0.95] for key, values in CROSSED.items()})
    jobs.loc[(jobs["a"] == "1") & (jobs["b"] == "1") & (jobs["seed"] == 2), "status"] = "diverged"
    (found,) = effects(jobs, "a", ["b"])
    assert (found.seeds, found.cells, found.left_out) == (2, 2, 2)
    assert found.mean == pytest.approx(-0.045)


def test_cell_that_always_diverged_is_left_out() -> None:
    jobs = grid(CROSSED)
    jobs.loc[(jobs["a"] == "1") & (jobs["b"] == "1"), "status"] = "diverged"
    (found,) = effects(jobs, "a", ["b"])
    assert (found.seeds, found.cells) == (2, 1)
    assert found.mean == pytest.approx(-0.025)


def test_factor_that_never_changes_alone_has_no_effect() -> None:
    jobs = grid({("0", "0"): [0.9, 0.91], ("1", "1"): [0.95, 0.96]})
    (found,) = effects(jobs, "a", ["b"])
    assert math.isnan(found.mean)
    assert (found.seeds, found.significant) == (0, False)


def test_one_seed_gives_a_difference_without_an_interval() -> None:
    jobs = grid({("0", "0"): [0.9], ("1", "0"): [0.95]})
    (found,) = effects(jobs, "a", ["b"])
    assert found.mean == pytest.approx(-0.05)
    assert math.isnan(found.low)
    assert not found.significant


def test_differences_equal_except_for_rounding_have_no_p_value() -> None:
    jobs = grid({("0", "0"): [0.90, 0.91, 0.92], ("1", "0"): [0.95, 0.96, 0.97]})
    (found,) = effects(jobs, "a", ["b"])
    assert math.isnan(found.p)
    assert not found.significant


def test_unplanned_pair_does_not_count_as_left_out() -> None:
    jobs = grid({("0", "0"): [0.9, 0.91], ("1", "0"): [0.95, 0.94], ("1", "1"): [0.95, 0.96]})
    (found,) = effects(jobs, "a", ["b"])
    assert (found.seeds, found.cells, found.left_out) == (2, 1, 0)


def test_each_level_is_compared_with_the_first() -> None:
    jobs = grid({("0", "0"): [0.9], ("1", "0"): [0.8], ("2", "0"): [0.7]})
    assert [found.levels[0] for found in effects(jobs, "a", ["b"])] == [("0", "1"), ("0", "2")]


def test_factor_that_never_changes_alone_is_listed_once(tmp_path: Path) -> None:
    for number, (rate, dropout) in enumerate([(0.1, 0.2), (0.2, 0.3), (0.3, 0.4)]):
        write_job(tmp_path / str(number), (0.9,), config={"optim.lr": rate, "regularization.dropout": dropout})
    section = effects_section(jobs_frame(load_jobs([tmp_path])[0]), "test_accuracy")
    assert section is not None
    undetermined = [line for line in section.lines if line.startswith("No two jobs differ in ")]
    assert len(undetermined) == len(set(undetermined)) == 2
    assert "No two jobs differ in optim.lr alone: its effect can't be determined." in undetermined
