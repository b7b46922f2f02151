"""Data whose content nobody has published are part of a job's identity, by their hash and not by their place."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mnist_resnet import resume
from mnist_resnet.data import batches, fingerprint
from tests.idx_files import write_idx_files
from tests.small_sweeps import CommandResult, Place, Run, make_place, result_of, run_in_process, statuses


@pytest.fixture
def place(tmp_path: Path) -> Place:
    write_idx_files(tmp_path / "other", seed=1)
    return make_place(tmp_path)


@pytest.fixture
def sweep(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a small sweep in this process: `sweep(override, …)`."""

    def run(*overrides: str) -> CommandResult:
        forget_images()
        return run_in_process(place.sweep("mine", *overrides), place, monkeypatch, capfd)

    return run


def forget_images() -> None:
    """Forget the images that this process has read, as a new one has."""
    for cache in (batches._decoded, batches._on_device, fingerprint._sha256):
        cache.cache_clear()


def jobs(place: Place) -> list[Path]:
    return sorted(file.parent for file in place.folder.glob("multirun/mine/*/result.json"))


def test_what_lies_in_two_folders_is_two_experiments(sweep: Run, place: Place) -> None:
    done = sweep(f"data.root={place.images},{place.folder / 'other'}", "seed=1,2")
    assert done.code == 0, done.out + done.err
    folder = place.folder / "multirun" / "mine"
    assert sum("images" in name for name in statuses(folder)) == 2
    assert sum("other" in name for name in statuses(folder)) == 2
    results = [result_of(folder / name) for name in statuses(folder)]
    assert len({result["data_sha256"] for result in results}) == 2
    assert len({result["signature"] for result in results}) == 2
    table = pd.read_csv(folder / "results.csv")
    assert len(table) == 4
    assert table["data.root"].nunique() == 2
    assert "data.root" in done.out
    assert "n = 4" not in done.out


@pytest.mark.slow
def test_the_same_images_elsewhere_are_the_same_job_and_others_at_the_same_place_are_another(
    sweep: Run, place: Place
) -> None:
    assert sweep("seed=1").code == 0
    (job,) = jobs(place)
    before = (job / "result.json").read_bytes()
    moved = shutil.copytree(place.images, place.folder / "moved")
    assert "0 of 1 jobs to run" in sweep("seed=1", f"data.root={moved}").out

    shutil.rmtree(place.images)
    write_idx_files(place.images, seed=1)
    assert sweep("seed=1").code == 0
    assert (job / "result.json").read_bytes() == before
    assert len(jobs(place)) == 2
    assert "0 of 1 jobs to run" in sweep("seed=1").out
    assert "0 of 1 jobs to run" in sweep("seed=1", f"data.root={place.folder / 'other'}").out


def test_a_job_is_not_continued_on_other_images(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sweep("seed=1").code == 0
    (job,) = jobs(place)
    result = result_of(job) | {"status": "interrupted"}
    (job / "result.json").write_text(json.dumps(result))
    place.images.rename(place.folder / "away")
    (place.folder / "other").rename(place.images)
    forget_images()
    assert resume.main([str(job.parent)]) == 1
    assert "the data are not those that the job was started with" in capfd.readouterr().out
    assert result_of(job)["status"] == "failed"
    assert result_of(job)["data_sha256"] == result["data_sha256"]


def test_jobs_of_older_versions_which_recorded_no_hash_stay_the_same_jobs(sweep: Run, place: Place) -> None:
    assert sweep("seed=1").code == 0
    (job,) = jobs(place)
    for file in (job.parent / "sweep.json", job / "result.json"):
        content = json.loads(file.read_text())
        for entry in [content, *content.get("jobs", [])]:
            entry.pop("data_sha256", None)
        file.write_text(json.dumps(content))
    assert "0 of 1 jobs to run, 1 ended already" in sweep("seed=1").out


def test_published_images_need_no_hash(sweep: Run, place: Place) -> None:
    assert sweep("seed=1", "data=digits", "data.train_size=64", "data.test_size=32", "data.root=null").code == 0
    (job,) = jobs(place)
    assert result_of(job)["data_sha256"] is None
