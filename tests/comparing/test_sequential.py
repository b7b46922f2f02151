"""Seeds added until an interval is narrow enough: coverage by simulation, and the table's section."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.sequential import Target, progress, target_of
from mnist_resnet.comparing.statistics import spread
from mnist_resnet.comparing.table import sweep_report
from mnist_resnet.config.metric import named
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import SWEEP, Status
from tests.synthetic_sweep import SyntheticSweep

STUDIES = 1200


def test_looks_end_at_the_most_seeds() -> None:
    assert Target(1, 30).looks == [5, 8, 12, 18, 27, 30]
    assert Target(1, 5).looks == [5]
    assert Target(1, 3).looks == [3]
    assert Target(1, 3).confidence == pytest.approx(0.95)
    assert Target(1, 30).confidence == pytest.approx(1 - 0.05 / 6)


@pytest.mark.parametrize("width", [0.8, 1.5])
def test_interval_at_which_one_stops_covers_the_mean_in_95_of_100_studies(width: float) -> None:
    """Stopping at the first narrow interval without a correction covers less: the test can fail."""
    random = np.random.default_rng(11)
    target = Target(width, 30)
    covered = naive = 0
    for _ in range(STUDIES):
        values = random.normal(0, 1, 30)
        found = progress({seed: values[seed - 1] for seed in range(1, 31)}, target)
        covered += found.interval[0] <= 0 <= found.interval[1]
        for count in target.looks:
            low, high = spread(values[:count]).interval
            if high - low <= width:
                break
        naive += low <= 0 <= high
    error = 2 * (0.95 * 0.05 / STUDIES) ** 0.5
    assert covered / STUDIES >= 0.95 - error
    assert naive / STUDIES < 0.95 - error


def test_accuracies_that_are_not_normal_are_covered_too() -> None:
    """On the log of right over wrong, with a spread that grows towards the ceiling."""
    random = np.random.default_rng(3)
    scores = 4.5 + 0.4 * random.standard_t(6, (STUDIES, 30))
    accuracies = 1 / (1 + np.exp(-scores))
    truth = float((1 / (1 + np.exp(-(4.5 + 0.4 * random.standard_t(6, 2_000_000))))).mean())
    covered = 0
    for values in accuracies:
        found = progress(dict(enumerate(values, 1)), Target(0.3, 30), named("test_accuracy"))
        covered += found.interval[0] <= truth <= found.interval[1]
    assert covered / STUDIES >= 0.95 - 2 * (0.95 * 0.05 / STUDIES) ** 0.5


def test_progress_depends_on_the_results_alone() -> None:
    target = Target(1.0, 12)
    narrow = {1: 0.0, 2: 0.1, 3: 0.0, 4: 0.1, 5: 0.05}
    found = progress(narrow, target)
    assert (found.seeds, found.is_narrow, found.is_open) == (5, True, False)
    assert progress({**narrow, 6: 50.0, 7: -50.0, 8: 0.0}, target) == found, "later seeds don't reopen a config"
    wide = {seed: float(seed % 2) * 9 for seed in range(1, 6)}
    assert (progress(wide, target).seeds, progress(wide, target).is_open) == (8, True)
    assert (progress({1: 0.0}, target).seeds, progress({1: 0.0}, target).is_open) == (5, True)
    most = progress({seed: float(seed % 2) * 9 for seed in range(1, 13)}, target)
    assert (most.seeds, most.is_narrow, most.is_open, most.runs.n) == (12, False, False, 12)
    diverged = progress({**narrow, 2: None, 4: None}, target)
    assert (diverged.runs.n, diverged.is_open) == (3, False)


def test_equal_runs_are_not_narrow() -> None:
    found = progress(dict.fromkeys(range(1, 9), 0.5), Target(1, 8))
    assert (found.is_narrow, found.is_open, found.seeds) == (False, False, 8)


def test_width_must_be_given() -> None:
    assert target_of({"seeds": 5}) is None
    assert target_of({"seeds": "auto", "interval_width": 2, "max_seeds": 9}) == Target(2.0, 9)
    with pytest.raises(UsageError, match=r"sweep.seeds=auto: .* say how narrow, as in sweep.interval_width=0.2"):
        target_of({"seeds": "auto", "interval_width": None})


def test_table_says_how_far_each_config_has_come(tmp_path: Path) -> None:
    auto = {"sweep.seeds": "auto", "sweep.interval_width": 3.0, "sweep.max_seeds": 8}
    factors: dict[str, list[Any]] = {
        "optim.lr": [0.001, 0.02],
        "model": ["stem3x3", "stem7x7"],
        "seed": [1, 2, 3, 4, 5],
    }
    folder = SyntheticSweep(factors=factors, base=auto, statuses={19: Status.RUNNING}).write(tmp_path / "sweep")
    jobs, _ = load_jobs([folder])
    report = sweep_report(jobs)
    (section,) = (section for section in report.sections if section.title == "Seeds until the interval is narrow")
    words = dict(zip(section.table["config"], section.table["state"], strict=True))
    assert words["optim.lr=0.001, model=stem3x3"] == "narrow enough"
    assert words["optim.lr=0.02, model=stem7x7"] == "1 of 5 seeds have not ended"
    assert "no wider than 3 points, up to 8 seeds" in section.lines[0]
    assert "each of the 2 looks has an interval of 97.5 %" in section.lines[1]
    assert "seeds were added until the interval of the mean was narrow enough" in report.methods[0]
    assert any("Lan" in reference for reference in report.methods[1:])
    # of one job asked for, the others are not missing: nothing is said of them
    assert not any("Seeds until" in section.title for section in sweep_report(jobs[:1]).sections)
    content = json.loads((folder / SWEEP).read_text())
    content["jobs"][0]["config"]["sweep"]["seeds"] = 5
    (folder / SWEEP).write_text(json.dumps(content))
    assert not any("Seeds until" in section.title for section in sweep_report(load_jobs([folder])[0]).sections)
