"""What each source of randomness contributes, checked by simulation and on written sweeps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_resnet.comparing.dashboard.page_data import page_data
from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.sources import contribution, judged_jobs, source_seeds, varied_sources
from mnist_resnet.comparing.statistics import spread
from mnist_resnet.comparing.table import sweep_report
from mnist_resnet.config.combinations import one_source
from mnist_resnet.config.seed_sources import seed_label
from tests.synthetic_sweep import SyntheticSweep


def one_source_rows(seeds: int, *sources: str) -> list[dict[str, Any]]:
    overrides = one_source([[f"seeds.{source}={seed}" for seed in range(1, seeds + 1)] for source in sources])
    return [
        {key: int(level) for key, _, level in (override.partition("=") for override in combination)}
        for combination in overrides
    ]


def test_intervals_of_sd_and_of_shares_cover_the_truth_in_95_of_100_studies() -> None:
    random = np.random.default_rng(5)
    truth, everything = 0.3, 0.5
    hits = np.zeros(2)
    studies = 2000
    for _ in range(studies):
        runs = spread(random.normal(0, truth, 5))
        found = contribution("init", runs, spread(random.normal(0, everything, 6)))
        hits += found.low <= truth <= found.high, found.share_low <= (truth / everything) ** 2 <= found.share_high
    assert hits / studies == pytest.approx([0.95, 0.95], abs=0.015)


def test_share_is_of_variances_on_the_scale_of_the_intervals() -> None:
    runs, together = spread([1.0, 2.0, 3.0]), spread([0.0, 2.0, 4.0])
    found = contribution("order", runs, together)
    assert found.share == pytest.approx(0.25)
    alone = contribution("order", spread([1.0]), together)
    assert all(value != value for value in (alone.low, alone.high, alone.share))


def test_no_printed_bound_of_a_spread_is_impossible(tmp_path: Path) -> None:
    folder = SyntheticSweep(rows=one_source_rows(2, "init", "order"), predictions=False).write(tmp_path / "sweep")
    jobs, _ = load_jobs([folder])
    for job, accuracy in zip(jobs, (0.5, 0.55, 0.56, 0.6), strict=False):
        job.result["last"]["test_accuracy"] = accuracy
    (section,) = (section for section in sweep_report(jobs).sections if section.title == "Variance by source")
    assert "cut at 50 points" in section.lines[0]
    assert all(row.endswith(" to 50.00") for row in section.table["95 % interval of sd"][:3])
    assert all(row == "0 to 100 %" for row in section.table["its 95 % interval"][:2])


def test_seed_label_names_what_is_set_apart() -> None:
    assert seed_label({"seed": 3}) == 3
    assert seed_label({"seed": 3, "seeds": dict.fromkeys(("init", "order"))}) == 3
    assert seed_label({"seed": 3, "seeds": {"init": 3, "order": 4}}) == "3, order=4"
    assert seed_label({"seed": 3, "seeds": {"augmentation": 3}}) == "3, augmentation=3"
    assert varied_sources([{"init": 1}, {"init": 2, "order": None}, {}]) == ["init"]


def test_table_has_each_source_and_judges_by_independent_runs(tmp_path: Path) -> None:
    rows = [row | {"model": model} for model in ("stem3x3", "stem7x7") for row in one_source_rows(4, "init", "order")]
    folder = SyntheticSweep(rows=rows, claims=[CLAIM]).write(tmp_path / "sweep")
    report = sweep_report(*load_jobs([folder]))
    tables = {section.title: section.table for section in report.sections}
    sources = tables["Variance by source"]
    assert sources["source"].tolist() == 2 * [
        *("initial weights", "order of the training images", "all together", "which 500 test images (binomial)")
    ]
    assert sources["config"].tolist() == 4 * ["model=stem3x3"] + 4 * ["model=stem7x7"]
    assert sources["runs"].tolist() == 2 * ["4", "4", "4", "–"]
    together, images = (float(sources["sd"][row]) for row in (2, 3))
    share = sources["share"][3]
    assert share.startswith("+")
    assert float(share[1:-2]) == pytest.approx(100 * (images / together) ** 2, rel=0.1)
    (lines,) = (section.lines for section in report.sections if section.title == "Variance by source")
    assert any("in per cent of it, which may be more than 100" in line for line in lines)
    assert set(tables["Over seeds"]["n"]) == {"4"}
    assert tables["Effects"]["seeds"].tolist() == ["4"]
    assert len(tables["Jobs"]) == len(rows) == 20
    assert tables["Claims"]["n"].tolist() == ["4", "4"]
    assert tables["Claims"]["config"].tolist() == ["model=stem3x3", "model=stem7x7"]
    assert "Bouthillier" in report.markdown()
    frame = load_sweep(folder)
    assert len(set(frame["seed"])) == 10
    alone = frame[(frame["model"] == "stem3x3") & (frame["seeds.order"] == 1)]["test_accuracy"]
    assert sources["sd"][0] == f"{100 * alone.std():.2f}"
    assert {"seeds.init", "seeds.order"} <= {*report.jobs}


CLAIM = {"metric": "test_accuracy", "epoch": "last", "value": 0.985, "approximate": False, "words": "98.5 %"}


def test_dashboard_judges_by_independent_runs_and_shows_all(tmp_path: Path) -> None:
    folder = SyntheticSweep(rows=one_source_rows(3, "init", "order", "dropout"), claims=[CLAIM]).write(tmp_path / "s")
    data = page_data([folder])
    assert len(data["jobs"]) == 9
    assert [group["n"] for group in data["groups"]] == [3]
    (claim,) = data["claims"]
    assert claim["members"] == [0, 7, 8]
    assert data["judged"] == [0, 7, 8]
    assert [factor["key"] for factor in data["factors"]] == ["seeds.init", "seeds.order", "seeds.dropout"]
    (table,) = data["spread"]
    assert (table["title"], table["heads"][0]) == ("Variance by source", "source")
    assert [row[:2] for row in table["rows"]][:2] == [["initial weights", "3"], ["order of the training images", "3"]]


def test_one_varied_source_replicates_runs_like_a_seed(tmp_path: Path) -> None:
    factors: dict[str, list[Any]] = {"model": ["stem3x3", "stem7x7"], "seeds.order": [1, 2, 3]}
    folder = SyntheticSweep(factors=factors).write(tmp_path / "sweep")
    jobs, _ = load_jobs([folder])
    assert judged_jobs(jobs) == jobs
    assert source_seeds(jobs[1]) == {"order": 2}
    tables = {section.title: section.table for section in sweep_report(jobs).sections}
    assert set(tables["Over seeds"]["n"]) == {"3"}
    assert tables["Effects"]["seeds"].tolist() == ["3"]
    assert tables["Variance by source"]["source"].tolist() == 2 * ["order of the training images"]
    assert tables["Variance by source"]["share"].tolist() == ["–", "–"]


def test_source_without_effect_is_said_to_have_none_only_if_no_figure_differs(tmp_path: Path) -> None:
    folder = SyntheticSweep(rows=one_source_rows(3, "init", "dropout"), predictions=False).write(tmp_path / "sweep")
    (jobs, alike), (equal_jobs, equal) = (_first_of_init(folder) for _ in range(2))
    for job in alike:
        job.result["last"]["test_accuracy"] = 0.99
    assert dropout_row(jobs) == ("0.00", "nothing to judge by: all runs agree exactly", "–")
    for job in equal:
        for name in ("last", "best"):
            job.result[name] = equal[0].result[name]
    assert dropout_row(equal_jobs) == ("0.00", "no effect: all runs are equal", "–")


def _first_of_init(folder: Path) -> tuple[list[Job], list[Job]]:
    """Return a sweep's jobs, and those of them that share the first seed of the initial weights."""
    jobs, _ = load_jobs([folder])
    return jobs, [job for job in jobs if job.config["seeds"]["init"] == 1]


def dropout_row(jobs: list[Job]) -> tuple[str, str, str]:
    (table,) = (section.table for section in sweep_report(jobs).sections if section.title == "Variance by source")
    row = table[table["source"] == "dropout"].iloc[0]
    return row["sd"], row["95 % interval of sd"], row["share"]
