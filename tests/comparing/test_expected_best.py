"""The expected best value of fewer trials, checked against all subsets of a small search."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from mnist_resnet.comparing.expected_best import expected_best
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.table import sweep_report
from mnist_resnet.job_folder import FORMAT, SEARCH
from tests.synthetic_sweep import SyntheticSweep

VALUES = [0.5, 0.7, 0.6, 0.9, 0.8, 0.6]


@pytest.mark.parametrize("minimize", [False, True])
def test_mean_and_range_are_those_over_all_subsets(minimize: bool) -> None:
    pick = min if minimize else max
    found = expected_best(VALUES, minimize)
    assert [entry.trials for entry in found] == [1, 2, 3, 4, 5, 6]
    for entry in found:
        best = [pick(subset) for subset in combinations(VALUES, entry.trials)]
        assert entry.mean == pytest.approx(np.mean(best))
        ends = np.quantile(np.negative(best) if minimize else best, [0.025, 0.975], method="inverted_cdf")
        assert sorted([entry.low, entry.high]) == pytest.approx(sorted(-ends if minimize else ends))
    assert found[-1].mean == pick(VALUES)


def test_a_thousand_trials_do_not_overflow() -> None:
    found = expected_best(np.linspace(0, 1, 1000).tolist())
    # the expected largest of n uniform numbers is n / (n + 1)
    assert found[8].mean == pytest.approx(0.9, abs=1e-3)


def test_all_trials_are_one_search_which_has_no_range(tmp_path: Path) -> None:
    rows = [{"optim.lr": lr} for lr in (0.001, 0.02, 0.003)]
    base = {"sweep.objective": "val_accuracy", "sweep.objective_epoch": "last"}
    folder = SyntheticSweep(rows=rows, base=base, val=True, predictions=False).write(tmp_path / "found")
    space = [{"key": "optim.lr", "typed": "tag(log, interval(1e-3, 1e-1))"}]
    (folder / SEARCH).write_text(json.dumps({"format": FORMAT, "space": space}))
    sections = {section.title: section.table for section in sweep_report(*load_jobs([folder])).sections}
    ranges = sections["Expected best value by number of trials"]["95 % range"].tolist()
    assert [" to " in text for text in ranges] == [True, True, False]
    assert ranges[-1] == "–"
    assert "Effects" not in sections, "numbers of an interval are no levels"
    (folder / SEARCH).unlink()
    assert "Effects" in [section.title for section in sweep_report(*load_jobs([folder])).sections]
