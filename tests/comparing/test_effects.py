"""Effects and interactions, checked against published and manually calculated figures."""

import math
import re
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mnist_resnet.comparing.effects import Conclusion, Effect, correct, effects, interactions, spell_out
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.sections.effects import conclusion_text, effects_section
from mnist_resnet.comparing.significance import seeds_needed
from mnist_resnet.job_folder import Status
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
    assert (found.test.low, found.test.high) == pytest.approx((-0.045 - 0.06353, -0.045 + 0.06353), abs=1e-5)
    # at level 0 the mean error rate is 0.0925, and none falls below zero
    assert (found.low, found.high) == pytest.approx((-0.0925, -0.045 + 0.06353), abs=1e-5)
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


def noisy(mean: float, seeds: int, sd: float = 0.0004) -> list[float]:
    """Return accuracies of that mean, with a spread between seeds."""
    pattern = np.resize([0.0, 1.0, -1.0, 0.5, -0.5], seeds)
    return list(mean + sd * (pattern - pattern.mean()))


def words(found: list[Effect]) -> dict[tuple[object, ...], Conclusion]:
    return {(*effect.levels[0], *effect.where.values()): effect.conclusion for effect in correct(spell_out(found))}


def test_cells_that_disagree_are_listed_and_not_averaged() -> None:
    # as weight decay in the record of the lean recipe: nothing in one cell, a point in the other
    cells = {
        ("0.1", "linear"): noisy(0.9962, 10),
        ("0", "linear"): noisy(0.9962, 10)[::-1],
        ("0.1", "constant"): noisy(0.9795, 10),
        ("0", "constant"): noisy(0.9894, 10)[2:] + noisy(0.9894, 10)[:2],
    }
    found = effects(grid(cells), "a", ["b"])
    assert found[0].mean == pytest.approx(-0.00495, abs=1e-4)
    assert (found[0].complete, found[0].is_mixed) == (True, True)
    assert found[0].conclusion == Conclusion.MIXED
    assert not found[0].significant
    assert words(found) == {("0.1", "0", "constant"): Conclusion.SHOWN, ("0.1", "0", "linear"): Conclusion.EQUIVALENT}


def test_cells_that_differ_without_any_spread_are_listed_and_not_judged(tmp_path: Path) -> None:
    for (a, b), accuracy in {("0", "0"): 0.90, ("1", "0"): 0.92, ("0", "1"): 0.90, ("1", "1"): 0.98}.items():
        for seed in (1, 2):
            choices = {"schedule": a, "averaging": b}
            write_job(tmp_path / f"{a}{b}{seed}", (accuracy,), seed=seed, choices=choices)
    section = effects_section(jobs_frame(load_jobs([tmp_path])[0]), "test_accuracy")
    assert section is not None
    assert set(section.table[""]) == {"no interval: all seeds agree exactly"}
    assert sorted(section.table["where"])[0] == "averaging=0"
    cells = [line for line in section.lines if "combinations of the other factors" in line]
    assert len(cells) == 2
    assert all("no test, since all seeds show exactly the same differences between them" in line for line in cells)
    assert not any("< 0.001" in text for text in [*section.lines, *section.table.to_numpy().ravel()])


def test_cells_that_agree_are_averaged_in_a_complete_design() -> None:
    cells = {
        (a, b): noisy(base - 0.004 * int(a), 6)[:: 1 - 2 * int(a)]
        for a in "01"
        for b, base in (("0", 0.99), ("1", 0.97))
    }
    (found,) = spell_out(effects(grid(cells), "a", ["b"]))
    assert (found.cells, found.complete, found.conclusion) == (2, True, Conclusion.SHOWN)
    assert not found.is_mixed


def test_design_with_holes_has_no_average_even_if_its_cells_agree() -> None:
    cells = {(a, b): noisy(0.99 - 0.004 * int(a), 6)[:: 1 - 2 * int(a)] for a in "01" for b in "01"}
    jobs = grid({**cells, ("2", "2"): noisy(0.9, 6)})
    found = effects(jobs, "a", ["b"])[:1]
    assert (found[0].cells, found[0].complete) == (2, False)
    assert words(found) == {("0", "1", "0"): Conclusion.SHOWN, ("0", "1", "1"): Conclusion.SHOWN}


def test_effect_in_one_cell_of_several_names_it() -> None:
    jobs = grid({("0", "0"): [0.9, 0.91], ("1", "0"): [0.95, 0.94], ("1", "1"): [0.95, 0.96]})
    (found,) = spell_out(effects(jobs, "a", ["b"]))
    assert found.where == {"b": "0"}


def test_largest_balanced_part_is_used() -> None:
    # two seeds ran all four cells; ten ran three
    cells = {(a, b): noisy(0.99 - 0.004 * int(a), 10)[:: 1 - 2 * int(a)] for a in "01" for b in "0123"}
    jobs = grid(cells)
    jobs.loc[(jobs["b"] == "3") & (jobs["seed"] >= 2), "status"] = "failed"
    (found,) = effects(jobs, "a", ["b"])
    assert (found.seeds, found.cells, found.left_out) == (10, 3, 10)


@pytest.mark.parametrize(
    ("holes", "seeds", "cells"),
    [
        ([(seed, cell) for seed in range(4) for cell in (2, 3)], 10, 2),  # 20 of 10 x 2 against 24 of 6 x 4
        ([(0, 0), (1, 1), (2, 2), (3, 3)], 6, 4),
        ([(seed, seed % 4) for seed in range(10)], 3, 3),
        ([], 10, 4),
    ],
)
def test_balanced_part_is_the_largest_there_is(holes: list[tuple[int, int]], seeds: int, cells: int) -> None:
    jobs = grid({(a, str(b)): noisy(0.99 - 0.004 * int(a), 10)[:: 1 - 2 * int(a)] for a in "01" for b in range(4)})
    for seed, cell in holes:
        jobs.loc[(jobs["b"] == str(cell)) & (jobs["seed"] == seed), "status"] = "failed"
    (found,) = effects(jobs, "a", ["b"])
    complete = np.ones((10, 4), dtype=bool)
    for hole in holes:
        complete[hole] = False
    best = max(
        complete[:, chosen].all(axis=1).sum() * len(chosen)
        for size in range(1, 5)
        for chosen in map(list, combinations(range(4), size))
    )
    assert found.seeds * found.cells == best


def test_word_follows_from_the_corrected_p_value() -> None:
    # one change of seven has p = 0.02 or so; the others are noise
    changed = {("1", ""): [0.9890, 0.9900, 0.9892, 0.9889, 0.9895]}
    cells = {("0", ""): [0.99] * 5, **changed, **{(str(level), ""): noisy(0.99, 5) for level in range(2, 8)}}
    found = effects(grid(cells), "a", [])
    assert 0.01 < found[0].p < 0.05 < correct(found)[0].adjusted
    assert found[0].significant
    assert not correct(found)[0].significant
    assert correct(found)[0].p == found[0].p


@pytest.mark.parametrize(
    ("shift", "sd", "margin", "expected"),
    [
        (0.0, 0.0002, None, Conclusion.EQUIVALENT),  # a tenth of the first level's error rate is 0.1 points
        (0.0, 0.006, None, Conclusion.UNDECIDED),
        (0.004, 0.0002, None, Conclusion.SHOWN),
        (0.0005, 0.0002, None, Conclusion.SMALL),
        (0.0005, 0.0002, 0.0001, Conclusion.SHOWN),
        (0.0, 0.0002, 0.00001, Conclusion.UNDECIDED),
        (0.0, 0.002, 0.01, Conclusion.EQUIVALENT),
    ],
)
def test_no_difference_is_said_only_where_it_is_shown(
    shift: float, sd: float, margin: float | None, expected: Conclusion
) -> None:
    cells = {("0", ""): noisy(0.99, 10, sd), ("1", ""): noisy(0.99 + shift, 10, sd)[::-1]}
    (found,) = effects(grid(cells), "a", [], margin=margin)
    assert found.conclusion == expected


def test_section_names_the_size_excluded_and_the_seeds_it_takes(tmp_path: Path) -> None:
    values = {"a": noisy(0.99, 5, 0.002), "b": noisy(0.99, 5, 0.002)[::-1], "c": noisy(0.99, 5, 0.0001)}
    for schedule, accuracies in values.items():
        for seed, accuracy in enumerate(accuracies):
            write_job(tmp_path / f"{schedule}{seed}", (accuracy,), seed=seed, choices={"schedule": schedule})
    section = effects_section(jobs_frame(load_jobs([tmp_path])[0]), "test_accuracy")
    assert section is not None
    assert re.fullmatch(r"undecided \(\d+ seeds would tell 0\.1\)", section.table[""][0])
    wide = effects_section(jobs_frame(load_jobs([tmp_path])[0]), "test_accuracy", margin=0.01)
    assert wide is not None
    assert wide.table[""][0] == "no difference larger than 1"


def test_number_of_tests_counts_interactions(tmp_path: Path) -> None:
    for (a, b), accuracies in CROSSED.items():
        for seed, accuracy in enumerate(accuracies):
            choices = {"schedule": a, "averaging": b}
            write_job(tmp_path / f"{a}{b}{seed}", (accuracy,), seed=seed, choices=choices)
    section = effects_section(jobs_frame(load_jobs([tmp_path])[0]), "test_accuracy")
    assert section is not None
    assert "for the number of tests in this table (3)" in section.lines[1]


@pytest.mark.parametrize("accuracies", [{"adam": [0.99], "sgd": [0.98]}, {"adam": [0.99, 0.99], "sgd": [0.98, 0.98]}])
def test_changes_without_a_test_are_not_said_to_be_corrected_for_none(
    accuracies: dict[str, list[float]], tmp_path: Path
) -> None:
    for optim, values in accuracies.items():
        for seed, accuracy in enumerate(values):
            write_job(tmp_path / f"{optim}{seed}", (accuracy,), seed=seed, choices={"optim": optim})
    section = effects_section(jobs_frame(load_jobs([tmp_path])[0]), "test_accuracy")
    assert section is not None
    assert section.table["p"].tolist() == ["–"]
    assert any("None of these changes is tested" in line for line in section.lines)
    assert not any("Holm" in line for line in section.lines)


def test_pair_that_did_not_complete_is_not_called_unplanned(tmp_path: Path) -> None:
    for optim, status in (("adam", Status.COMPLETED), ("sgd", Status.DIVERGED)):
        for seed in (1, 2):
            write_job(tmp_path / f"{optim}{seed}", (0.9,), seed=seed, choices={"optim": optim}, status=status)
    section = effects_section(jobs_frame(load_jobs([tmp_path])[0]), "test_accuracy")
    assert section is not None
    assert "optim: adam → sgd: no pair completed (2 planned)." in section.lines
    assert not any("No two jobs differ" in line for line in section.lines)


def test_no_bound_of_a_difference_of_accuracies_is_impossible() -> None:
    (found,) = effects(grid({("0", ""): [0.1, 0.9], ("1", ""): [0.9, 0.2]}), "a", [])
    assert (found.low, found.high) == pytest.approx((-0.5, 0.5))
    # error rates of 6.8 % or so at ten epochs: no change takes them below zero
    (found,) = effects(grid({("10", ""): [0.9310, 0.9326], ("30", ""): [0.9592, 0.9680]}), "a", [])
    assert found.test.low < -found.start == pytest.approx(-0.0682)
    assert found.low == pytest.approx(-0.0682)
    assert found.is_cut
    (found,) = interactions(grid(CROSSED), ["a", "b"])
    # errors, as seen without the interaction: seed 0: 0.1 − 0.02; seed 1: 0.08 − 0.03
    assert found.start == pytest.approx(0.065)
    assert (found.low, found.high) == pytest.approx((-0.065, -0.04 + 0.25412), abs=1e-5)


@pytest.mark.parametrize(("metric", "low"), [("train_loss", -0.2), ("training_seconds", -0.2), ("gap", -1.0)])
def test_no_loss_or_time_falls_below_zero(metric: str, low: float) -> None:
    rows = [{"a": a, "seed": seed, metric: value} for a, values in TIMES.items() for seed, value in enumerate(values)]
    (found,) = effects(frame(rows), "a", [], metric)
    assert found.test.low < -1
    assert max(found.low, -1.0) == pytest.approx(low)


TIMES = {"0": [0.1, 0.3], "1": [0.15, 0.1]}


def test_seeds_needed_are_those_of_the_strictest_step_of_the_family() -> None:
    cells = {("0", ""): noisy(0.99, 5, 0.002), **{(str(level), ""): noisy(0.99, 5, 0.002)[::-1] for level in (1, 2, 3)}}
    found = effects(grid(cells), "a", [])
    (alone,), family = correct(found[:1]), correct(found)
    assert alone.seeds_needed == seeds_needed(alone.test.sd, alone.margin)
    assert {effect.seeds_needed for effect in family} == {seeds_needed(alone.test.sd, alone.margin, 0.05 / 3)}
    assert alone.seeds_needed is not None
    assert family[0].seeds_needed is not None
    assert family[0].seeds_needed > alone.seeds_needed


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ([0.990, 0.988, 0.992], [0.989, 0.990, 0.991], "seeds would tell 0.1"),
        ([1.0, 1.0, 1.0], [1.0, 0.999, 0.999], "no smallest difference to look for: set --smallest-effect"),
        (noisy(0.99, 8), noisy(0.9894, 8, 0.0008)[::-1], "neither zero nor 0.1 is excluded, though 6 seeds find 0.1"),
    ],
)
def test_undecided_never_stands_without_a_number_or_a_reason(
    first: list[float], second: list[float], text: str
) -> None:
    found = effects(grid({("0", ""): first, ("1", ""): second}), "a", [])[0]
    found = replace(found, adjusted=0.06, equivalence_adjusted=0.5)
    assert text in conclusion_text(found)


@pytest.mark.parametrize("common", [0, 2])
def test_cells_with_too_few_seeds_in_common_say_so(tmp_path: Path, common: int) -> None:
    random = np.random.default_rng(0)
    for b, seeds in (("0", range(1, 11)), ("1", range(11 - common, 21 - common))):
        for a, seed in product("01", seeds):
            choices = {"schedule": a, "averaging": b}
            write_job(tmp_path / f"{a}{b}{seed}", (0.9 + 0.01 * random.random(),), seed=seed, choices=choices)
    section = effects_section(jobs_frame(load_jobs([tmp_path])[0]), "test_accuracy")
    assert section is not None
    (cells,) = [line for line in section.lines if line.startswith("schedule") and "combinations of the other" in line]
    assert "no test, since they have too few seeds in common" in cells
