"""Sweeps that an older version froze and left half done: this version finishes them, under their own names.

`tests/frozen_sweeps` was written by commit 0606811, when all of the package lay in `mnist_resnet.running`.
"""

import json
import shutil
from pathlib import Path

import pytest

from mnist_resnet import resume
from mnist_resnet.config.signature import signature
from mnist_resnet.job_folder import SWEEP, read_json, read_metrics
from tests.small_sweeps import result_of, statuses

FROZEN = Path(__file__).parents[1] / "frozen_sweeps"
EPOCHS = 6

pytest.importorskip("sklearn", reason="their images are scikit-learn's digits")


def finished(name: str, folder: Path) -> Path:
    sweep = folder / name
    # A sweep folder may be reached by a link, such as one to a larger disk.
    shutil.copytree(FROZEN / name, folder / "scratch" / name)
    sweep.symlink_to(folder / "scratch" / name)
    assert resume.main([str(sweep)]) == 0
    return sweep


def test_sweep_is_finished(tmp_path: Path) -> None:
    sweep = finished("half_done", tmp_path)
    names = [job["name"] for job in json.loads((FROZEN / "half_done" / SWEEP).read_text())["jobs"]]
    assert statuses(sweep) == dict.fromkeys(names, "completed")
    completed, interrupted = FROZEN / "half_done" / "model=lean,seed=1", FROZEN / "half_done" / "model=lean,seed=2"
    assert result_of(sweep / completed.name) == result_of(completed)
    before, after = read_metrics(interrupted), read_metrics(sweep / interrupted.name)
    assert (len(before), len(after)) == (2, EPOCHS)
    assert after[: len(before)] == before


@pytest.mark.slow
def test_search_is_finished(tmp_path: Path) -> None:
    sweep = finished("half_done_search", tmp_path)
    found = statuses(sweep)
    assert len(found) == 5
    assert set(found.values()) <= {"completed", "pruned"}
    assert {job["name"] for job in read_json(FROZEN / "half_done_search" / SWEEP)["jobs"]} <= set(found)


def test_jobs_keep_their_signatures() -> None:
    for sweep in FROZEN.iterdir():
        for job in read_json(sweep / SWEEP)["jobs"]:
            assert signature(job["config"]) == job["signature"]
