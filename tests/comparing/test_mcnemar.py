"""McNemar's test on the predictions of two jobs or two groups of jobs."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.weightstats import ttest_ind

from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.mcnemar import (
    GroupsResult,
    McNemarResult,
    compare_predictions,
    mcnemar_mid_p,
    select_jobs,
)
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import PREDICTIONS, UnreadableFolder
from tests.made_up_jobs import write_job, write_predictions


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Job, Job]:
    for name, seed in (("a", 1), ("b", 2)):
        write_job(tmp_path / name, seed=seed)
    # 1 image only a reads right, 6 only b, 90 both, 3 neither
    write_predictions(tmp_path / "a", [True] * 91 + [False] * 9)
    write_predictions(tmp_path / "b", [False] + [True] * 96 + [False] * 3)
    first, second = load_jobs([tmp_path / "a", tmp_path / "b"])[0]
    return first, second


def test_images_are_counted(pair: tuple[Job, Job]) -> None:
    found = compare_predictions([pair[0]], [pair[1]])
    assert isinstance(found, McNemarResult)
    assert (found.images, found.only_first, found.only_second) == (100, 1, 6)
    assert (found.both_right, found.both_wrong) == (90, 3)
    # twice the chance of no coin of 7, and half that of one: 2 · (1 + 7 / 2) / 128
    assert found.p == pytest.approx(0.0703125)


def test_mid_p_agrees_with_a_published_example() -> None:
    # Fagerland et al. 2013, airway hyper-responsiveness before and after transplantation: 1 and 7 discordant pairs
    assert mcnemar_mid_p(1, 7) == pytest.approx(0.039, abs=0.0005)
    exact = mcnemar([[1, 1], [7, 12]], exact=True).pvalue
    assert exact == pytest.approx(0.070, abs=0.0005)
    assert mcnemar_mid_p(1, 7) == pytest.approx(exact - stats.binom.pmf(1, 8, 0.5))


def test_mid_p_of_equal_counts_is_one() -> None:
    assert (mcnemar_mid_p(0, 0), mcnemar_mid_p(5, 5)) == (1.0, 1.0)


def test_different_test_sets_are_rejected(pair: tuple[Job, Job]) -> None:
    write_predictions(pair[1].folder, [True] * 100, test_set="other")
    with pytest.raises(UsageError, match="different images"):
        compare_predictions([pair[0]], [pair[1]])


def test_broken_and_missing_predictions_are_reported_in_one_line(pair: tuple[Job, Job]) -> None:
    (pair[1].folder / PREDICTIONS).write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(UnreadableFolder, match="can't be read"):
        compare_predictions([pair[0]], [pair[1]])
    (pair[1].folder / PREDICTIONS).unlink()
    with pytest.raises(UnreadableFolder, match=f"no {PREDICTIONS}"):
        compare_predictions([pair[0]], [pair[1]])


def group(folder: Path, right: NDArray[np.bool_]) -> list[Job]:
    for number, run in enumerate(right):
        write_predictions(write_job(folder / f"run{number}", seed=number), run.tolist())
    return load_jobs([folder])[0]


def mistakes(runs: int, share: float, seed: int) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((runs, 10_000)) >= share


@pytest.mark.parametrize("runs", [(3, 2), (2, 4), (4, 4)])
def test_groups_of_equal_networks_do_not_differ(tmp_path: Path, runs: tuple[int, int]) -> None:
    # a majority that counts ties as wrong would call an even group much worse than an odd one
    sides = [
        group(tmp_path / name, mistakes(n, 0.02, n + 7 * i)) for i, (name, n) in enumerate(zip("ab", runs, strict=True))
    ]
    found = compare_predictions(*sides)
    assert isinstance(found, GroupsResult)
    assert found.runs == runs
    assert found.p > 0.05


def test_groups_are_tested_with_their_runs_as_clusters(tmp_path: Path) -> None:
    right = mistakes(3, 0.02, 1), mistakes(4, 0.03, 2)
    found = compare_predictions(*(group(tmp_path / name, side) for name, side in zip("ab", right, strict=True)))
    assert isinstance(found, GroupsResult)
    accuracies = [side.mean(axis=1) for side in right]
    assert found.p == pytest.approx(ttest_ind(*accuracies, usevar="unequal")[1])
    assert (found.first_share, found.second_share) == pytest.approx([side.mean() for side in accuracies])
    shares = [side.mean(axis=0) for side in right]
    assert (found.first_more, found.second_more) == ((shares[0] > shares[1]).sum(), (shares[0] < shares[1]).sum())


def test_single_run_is_tested_as_one_more_of_the_group(tmp_path: Path) -> None:
    right = mistakes(4, 0.02, 1), mistakes(1, 0.04, 2)
    found = compare_predictions(*(group(tmp_path / name, side) for name, side in zip("ab", right, strict=True)))
    many, one = (side.mean(axis=1) for side in right)
    # the two-sample t test with pooled variance, to which one run adds no degree of freedom
    t = (one[0] - many.mean()) / (many.std(ddof=1) * np.sqrt(1 + 1 / 4))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 3))


def test_runs_of_equal_accuracy_leave_nothing_to_judge_by(tmp_path: Path) -> None:
    right = np.eye(4, dtype=bool)
    found = compare_predictions(group(tmp_path / "a", right[:2]), group(tmp_path / "b", ~right[2:]))
    assert np.isnan(found.p)


def test_jobs_are_selected_by_name_or_by_levels(pair: tuple[Job, Job]) -> None:
    assert select_jobs(pair, "a") == [pair[0]]
    assert select_jobs(pair, "seed=2") == [pair[1]]
    assert select_jobs(pair, "model=stem3x3,optim.lr=1e-3") == list(pair)
    for words in ("c", "seed=3", "nothing=1"):
        with pytest.raises(UsageError):
            select_jobs(pair, words)
