"""One change at a time: each ingredient left out or added alone, paired by seed, with its cost in time."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_resnet.comparing.changes import changes, short_names
from mnist_resnet.comparing.dashboard.page_data import page_data
from mnist_resnet.comparing.dashboard.static_view import static_view
from mnist_resnet.comparing.figures import draw, write_figures
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.table import sweep_report
from mnist_resnet.config.combinations import within_one_change
from tests.made_up_jobs import write_job
from tests.synthetic_sweep import SyntheticSweep

GROUPS = {
    ("linear", "ema"): (0.99, 10.0),
    ("constant", "ema"): (0.97, 9.0),
    ("linear", "swa"): (0.985, 10.5),
    ("constant", "none"): (0.9, 5.0),
    ("linear", "none"): (0.95, 6.0),
}
"""Accuracy and seconds by levels of two factors; the design is incomplete: no `constant` with `swa`."""


def study(folder: Path, groups: dict[tuple[str, str], tuple[float, float]] = GROUPS) -> list[Job]:
    """Write and load three seeds per group; a seed changes the accuracy of all groups alike."""
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


def test_changes_start_at_the_group_with_most_neighbours(tmp_path: Path) -> None:
    found = changes(jobs_frame(study(tmp_path)), "test_accuracy")
    first = [change for change in found if change.base == 0]
    assert {tuple(change.levels.values()) for change in first} == {("linear", "ema")}
    by_levels = {change.metric.levels[0]: change for change in first}
    assert set(by_levels) == {("linear", "constant"), ("ema", "none"), ("ema", "swa")}

    without_ema = by_levels["ema", "none"]
    expected = [0.99 - 0.95 - 0.0001 * seed for seed in (1, 2, 3)]  # of error rates
    assert without_ema.metric.mean == pytest.approx(sum(expected) / 3)
    assert without_ema.metric.significant
    assert without_ema.metric.seeds == 3
    assert by_levels["linear", "constant"].seconds.mean == pytest.approx(
        -1 + 0.1 * 2 * 2
    )  # 10 s → 9 s, and seeds' 0.2 s


def test_groups_are_named_relative_to_a_base(tmp_path: Path) -> None:
    names = short_names(changes(jobs_frame(study(tmp_path)), "test_accuracy"))
    assert names["linear", "ema"] == "P"
    assert names["linear", "swa"] == "P but averaging=swa"


def test_single_factors_and_complete_designs_have_no_changes(tmp_path: Path) -> None:
    single = {key: value for key, value in GROUPS.items() if key[0] == "linear"}
    complete = {key: value for key, value in GROUPS.items() if key[1] != "swa"}
    assert changes(jobs_frame(study(tmp_path / "single", single)), "test_accuracy") == []
    assert changes(jobs_frame(study(tmp_path / "complete", complete)), "test_accuracy") == []


def test_table_names_the_bases_and_lists_effect_and_time_of_each_change(tmp_path: Path) -> None:
    report = sweep_report(study(tmp_path))
    sections = {section.title: section for section in report.sections}
    section = sections["One change at a time"]
    assert section.lines[0] == "P is schedule=linear, averaging=ema."
    row = next(row for row in section.table.to_dict("records") if row["change"] == "averaging: ema → none")
    assert (row["from"], row["effect"], row["seeds"], row["training, s"]) == ("P", "+3.98", "3", "-4")
    over_seeds = sections["Over seeds"].table.to_dict("records")
    group = next(row for row in over_seeds if (row["schedule"], row["averaging"]) == ("linear", "ema"))
    assert group["training, s"] == "11.2"  # 10 s, and 0.6 s more a seed


def test_change_whose_pairs_are_not_completed_is_said_to_be_that(tmp_path: Path) -> None:
    study(tmp_path)
    for result in tmp_path.glob("linear-swa-*/result.json"):
        result.write_text(result.read_text().replace('"completed"', '"running"'))
    sections = {section.title: section for section in sweep_report(load_jobs([tmp_path])[0]).sections}
    rows = [row for row in sections["One change at a time"].table.to_dict("records") if row["seeds"] == "0"]
    assert {(row["effect"], row[""]) for row in rows} == {("–", "no pair completed (3 planned)")}
    assert {(row["training, s"], row["its 95 % interval"]) for row in rows} == {("–", "–")}


def test_jobs_of_older_versions_lack_only_training_seconds(tmp_path: Path) -> None:
    study(tmp_path)
    for file in tmp_path.glob("*/result.json"):
        file.write_text(file.read_text().replace("training_seconds", "not_recorded"))
    sections = {section.title: section.table for section in sweep_report(load_jobs([tmp_path])[0]).sections}
    assert "training, s" not in sections["One change at a time"]
    assert "training, s" not in sections["Over seeds"]


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="the plots extra is not installed")
def test_accuracy_is_plotted_against_time(tmp_path: Path) -> None:
    jobs = study(tmp_path / "jobs")
    written = write_figures(jobs, tmp_path / "figures", "svg")
    assert "times.svg" in [path.name for path in written]
    one_group = [job for job in jobs if job.folder.name.startswith("linear-swa")]
    for job in one_group[1:]:
        job.result["status"] = "interrupted"
    assert {*draw(one_group)} == {"curves"}, "one point is no comparison"


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="the plots extra is not installed")
def test_titles_of_plots_say_what_one_seed_and_two_processors_do_not_tell(tmp_path: Path) -> None:
    jobs = study(tmp_path)
    one_seed = [job for job in jobs if job.config["seed"] == 1]
    for some, title in (jobs, "Mean of each group with 95 % intervals"), (one_seed, "Each run"):
        plots = {name: figure.axes[0].get_title() for name, figure in draw(some).items()}
        assert plots["times"] == title
        assert plots["curves"] == title.replace("Mean", "Mean and range").partition(" with")[0]
    jobs[0].result["environment"] = {"cpu": "Xeon"}
    jobs[1].result["environment"] = {"cpu": "EPYC"}
    assert draw(jobs)["times"].axes[0].get_title().endswith("\nTimes are on 2 processors and can't be compared")


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="the plots extra is not installed")
def test_plots_and_tables_show_the_effects_of_the_same_runs_and_tests(tmp_path: Path) -> None:
    alone = [
        {"seeds.init": 1, "seeds.order": 1},
        {"seeds.init": 2, "seeds.order": 1},
        {"seeds.init": 1, "seeds.order": 2},
    ]
    together = [{"seeds.init": seed, "seeds.order": seed} for seed in (2, 3)]
    rows: list[dict[str, Any]] = [
        {"model": model, **own} for model in ("stem3x3", "stem7x7") for own in [*alone, *together]
    ]
    folder = SyntheticSweep(rows=rows, predictions=False).write(tmp_path / "sweep")
    jobs, _ = load_jobs([folder])
    (effects,) = (section.table for section in sweep_report(jobs).sections if section.title == "Effects")
    (interval,) = effects["95 % interval"]
    ends = np.asarray(draw(jobs)["effects"].axes[0].lines[0].get_xdata(), dtype=float)
    assert interval == " to ".join(f"{end:+.2f}" for end in ends)
    assert effects["seeds"].tolist() == ["3"], "not the runs that differ in one source of randomness"


def test_interactions_that_are_too_many_to_list_have_no_part_in_the_correction(tmp_path: Path) -> None:
    levels = range(9)
    for rate, decay in ((rate, decay) for rate in levels for decay in levels):
        config = {"optim.lr": 0.1 + rate, "optim.weight_decay": 0.1 + decay}
        write_job(tmp_path / f"{rate}-{decay}", (0.9 + rate / 200 + decay / 300,), config=config)
    jobs, _ = load_jobs([tmp_path])
    (section,) = (section for section in sweep_report(jobs).sections if section.title == "Effects")
    assert "Interactions are left out, since there are more than 60 (64)." in section.lines
    data = page_data([tmp_path])["effects"]
    assert (len(section.table), len(data["alone"]), data["together"], data["crowded"]) == (16, 16, [], 64)


def test_design_keeps_combinations_one_change_from_all_first_or_all_last_levels() -> None:
    combined = [
        ["experiment=lean", f"a={a}", f"+b={b}", f"c={c}", f"seed={seed}"]
        for a in (1, 2)
        for b in ("x", "y")
        for c in (0, 3)
        for seed in (1, 2)
    ]
    more = [[*combination, f"d={d}"] for combination in combined for d in (1, 2, 3)]
    kept = within_one_change(more, ["a", "b", "c", "seed", "d"])
    levels = {
        tuple(override.partition("=")[2] for override in (*combination[1:4], combination[5])) for combination in kept
    }
    first, last = ("1", "x", "0", "1"), ("2", "y", "3", "3")
    changed = {(*ends[:at], level, *ends[at + 1 :]) for ends in (first, last) for at, level in (
        (0, "1"), (0, "2"), (1, "x"), (1, "y"), (2, "0"), (2, "3"), (3, "1"), (3, "2"), (3, "3"),
    )}  # fmt: skip
    assert levels == changed
    assert len(kept) == 2 * len(changed), "with every seed"


def test_change_is_listed_in_one_table_alone(tmp_path: Path) -> None:
    sections = {section.title: section for section in sweep_report(study(tmp_path)).sections}
    listed = sections["Effects"].table
    assert len(listed) == 0 or all("×" in change for change in listed["change"])
    assert "Each change that can be told is under “One change at a time”." in sections["Effects"].lines
    data = page_data([tmp_path])
    assert data["effects"]["alone"] == []
    assert len(data["changes"]) == len(sections["One change at a time"].table)
    assert "P: schedule: linear → constant" in static_view(data)
