"""McNemar's test on the predictions of two jobs or two groups of jobs."""

from pathlib import Path

import pytest

from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.mcnemar import compare_predictions, select_jobs
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


def test_mcnemar_test_agrees_with_manual_calculation(pair: tuple[Job, Job]) -> None:
    found = compare_predictions([pair[0]], [pair[1]])
    assert (found.images, found.only_first, found.only_second) == (100, 1, 6)
    assert (found.both_right, found.both_wrong) == (90, 3)
    # twice the chance of at most 1 in 7 fair coins: 2 · (1 + 7) / 128
    assert found.p == pytest.approx(0.125)


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


def test_group_is_right_if_more_than_half_of_its_jobs_are(tmp_path: Path) -> None:
    answers = [[True, True, False], [True, False, False], [True, True, True]]
    for number, right in enumerate(answers):
        write_predictions(write_job(tmp_path / f"a{number}", seed=number), right)
    write_predictions(write_job(tmp_path / "b"), [False, False, True])
    jobs = load_jobs(sorted(tmp_path.iterdir()))[0]
    found = compare_predictions(jobs[:3], jobs[3:])
    assert (found.only_first, found.only_second) == (2, 1)


def test_jobs_are_selected_by_name_or_by_levels(pair: tuple[Job, Job]) -> None:
    assert select_jobs(pair, "a") == [pair[0]]
    assert select_jobs(pair, "seed=2") == [pair[1]]
    assert select_jobs(pair, "model=stem3x3,optim.lr=1e-3") == list(pair)
    for words in ("c", "seed=3", "nothing=1"):
        with pytest.raises(UsageError):
            select_jobs(pair, words)
