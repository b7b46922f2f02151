"""One change at a time: each ingredient left out and added alone, paired by seed, with what it costs."""

import importlib.util
from pathlib import Path

import pytest

from mnist_resnet.comparing.changes import changes, short_names
from mnist_resnet.comparing.figures import write_figures
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.table import sweep_report
from mnist_resnet.config.combinations import within_one_change
from tests.made_up_jobs import write_job

GROUPS = {
    ("linear", "ema"): (0.99, 10.0),
    ("constant", "ema"): (0.97, 9.0),
    ("linear", "swa"): (0.985, 10.5),
    ("constant", "none"): (0.9, 5.0),
    ("linear", "none"): (0.95, 6.0),
}
"""Accuracy and seconds of two factors' levels; the design has a hole: no `constant` with `swa`."""


def study(folder: Path, groups: dict[tuple[str, str], tuple[float, float]] = GROUPS) -> list[Job]:
    """Three seeds of each group; a seed's luck moves all groups' accuracies alike."""
    for (schedule, averaging), (accuracy, seconds) in groups.items():
        for seed in (1, 2, 3):
            write_job(
                folder / f"{schedule}-{averaging}-{seed}",
                (accuracy + 0.001 * seed + 0.0001 * seed * len(averaging),),
                seed=seed,
                choices={"schedule": schedule, "averaging": averaging},
                training_seconds=seconds + 0.1 * seed * len(schedule),
                signature=f"{schedule}{averaging}{seed}",
            )
    return load_jobs([folder])[0]


def test_each_group_one_factor_away_is_a_change_from_where_most_changes_begin(tmp_path: Path) -> None:
    found = changes(jobs_frame(study(tmp_path)), "test_accuracy")
    first = [change for change in found if change.base == 0]
    assert {tuple(change.levels.values()) for change in first} == {("linear", "ema")}
    told = {change.metric.levels[0]: change for change in first}
    assert set(told) == {("linear", "constant"), ("ema", "none"), ("ema", "swa")}

    without_ema = told["ema", "none"]
    by_hand = [0.99 - 0.95 - 0.0001 * seed for seed in (1, 2, 3)]  # of error rates
    assert without_ema.metric.mean == pytest.approx(sum(by_hand) / 3)
    assert without_ema.metric.significant
    assert without_ema.metric.seeds == 3
    assert told["linear", "constant"].seconds.mean == pytest.approx(-1 + 0.1 * 2 * 2)  # 10 s → 9 s, and seeds' 0.2 s


def test_groups_are_named_by_their_distance_from_a_base(tmp_path: Path) -> None:
    names = short_names(changes(jobs_frame(study(tmp_path)), "test_accuracy"))
    assert names["linear", "ema"] == "A"
    assert names["linear", "swa"] == "A but averaging=swa"


def test_levels_of_one_factor_are_no_design_and_a_whole_one_has_no_holes(tmp_path: Path) -> None:
    one = {key: value for key, value in GROUPS.items() if key[0] == "linear"}
    whole = {key: value for key, value in GROUPS.items() if key[1] != "swa"}
    assert changes(jobs_frame(study(tmp_path / "one", one)), "test_accuracy") == []
    assert changes(jobs_frame(study(tmp_path / "whole", whole)), "test_accuracy") == []


def test_table_names_the_bases_and_tells_effect_and_cost_of_each_change(tmp_path: Path) -> None:
    report = sweep_report(study(tmp_path))
    sections = {section.title: section for section in report.sections}
    section = sections["One change at a time"]
    assert section.lines[0] == "A is schedule=linear, averaging=ema."
    row = next(row for row in section.table.to_dict("records") if row["change"] == "averaging: ema → none")
    assert (row["from"], row["effect"], row["seeds"], row["training, s"]) == ("A", "+3.98", "3", "-4")
    over_seeds = sections["Over seeds"].table.to_dict("records")
    whole = next(row for row in over_seeds if (row["schedule"], row["averaging"]) == ("linear", "ema"))
    assert whole["training, s"] == "11.2"  # 10 s, and 0.6 s more a seed


def test_jobs_of_older_versions_have_no_training_seconds_and_all_else(tmp_path: Path) -> None:
    study(tmp_path)
    for file in tmp_path.glob("*/result.json"):
        file.write_text(file.read_text().replace("training_seconds", "once_unknown"))
    sections = {section.title: section.table for section in sweep_report(load_jobs([tmp_path])[0]).sections}
    assert "training, s" not in sections["One change at a time"]
    assert "training, s" not in sections["Over seeds"]


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="the plots extra is not installed")
def test_accuracy_is_drawn_against_time(tmp_path: Path) -> None:
    written = write_figures(study(tmp_path / "jobs"), tmp_path / "figures", "svg")
    assert "times.svg" in [path.name for path in written]


def test_design_keeps_what_is_one_change_from_all_first_or_all_last_levels() -> None:
    combined = [
        ["experiment=lean", f"a={a}", f"+b={b}", f"c={c}", f"seed={seed}"]
        for a in (1, 2)
        for b in ("x", "y")
        for c in (0, 3)
        for seed in (1, 2)
    ]
    more = [[*combination, f"d={d}"] for combination in combined for d in (1, 2, 3)]
    kept = within_one_change(more, ["a", "b", "c", "seed", "d"])
    levels = {tuple(override.partition("=")[2] for override in (*one[1:4], one[5])) for one in kept}
    first, last = ("1", "x", "0", "1"), ("2", "y", "3", "3")
    changed = {(*whole[:at], level, *whole[at + 1 :]) for whole in (first, last) for at, level in (
        (0, "1"), (0, "2"), (1, "x"), (1, "y"), (2, "0"), (2, "3"), (3, "1"), (3, "2"), (3, "3"),
    )}  # fmt: skip
    assert levels == changed
    assert len(kept) == 2 * len(changed), "with every seed"
