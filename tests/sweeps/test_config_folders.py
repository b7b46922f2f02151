"""The config folders that a job was composed from: a later edit is noted, and moves nothing that is frozen."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from mnist_resnet import resume
from mnist_resnet.job_folder import read_json
from mnist_resnet.jobs import config_folders
from mnist_resnet.sweeps.finish import run_sweep
from mnist_resnet.sweeps.folder import read_sweep
from mnist_resnet.sweeps.record import publish
from tests.small_sweeps import Place, make_place, result_of, run_in_process

RATE = "_target_: torch.optim.ASGD\n_partial_: true\nlr: {}\n"


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a place with a config folder of the user's in a repository, and files there that are no configs."""
    place = make_place(tmp_path)
    (tmp_path / "mine" / "conf" / "optim").mkdir(parents=True)
    (tmp_path / "mine" / "conf" / "optim" / "mine.yaml").write_text(RATE.format(0.01))
    (tmp_path / "mine" / "conf" / "notes").mkdir()
    (tmp_path / "mine" / "conf" / "notes" / "other.yaml").write_text("")
    git(tmp_path / "mine", "init")
    git(tmp_path / "mine", "add", ".")
    git(tmp_path / "mine", "commit", "-m", "first")
    return place


def edit(place: Place, file: str, text: str) -> None:
    """Change a config file; what follows is another process, which describes the folders anew."""
    (place.folder / "mine" / "conf" / file).write_text(text)
    config_folders._hash.cache_clear()
    config_folders._git_state.cache_clear()


def test_frozen_jobs_run_as_frozen_after_an_edit_which_is_noted(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--config-dir", "mine/conf", *place.sweep("rates", "optim=mine", "seed=1,2", "trainer.epochs=1")]
    assert run_in_process(words, place, monkeypatch, capfd).code == 0
    sweep = place.folder / "multirun" / "rates"
    first, second = (sweep / f"seed={seed}" for seed in (1, 2))
    assert result_of(first)["notes"] == []
    assert set(result_of(first)["environment"]["configs"]) == {"conf", "mine/conf"}
    for job, file, text in ((first, "notes/other.yaml", "lr: 1\n"), (second, "optim/mine.yaml", RATE.format(0.5))):
        shutil.rmtree(job)
        edit(place, file, text)
        assert run_sweep(read_sweep(sweep), lambda _: None) == 1
        (printed,) = re.findall("to resume: python -m mnist_resnet.resume (.*)", capfd.readouterr().out)
        assert resume.main(shlex.split(printed)) == 0
    assert result_of(first)["notes"] == []
    assert result_of(second)["config"]["optim"]["lr"] == 0.01
    (note,) = result_of(second)["notes"]
    assert note.startswith("config folder mine/conf changed since the sweep was frozen: ")
    assert "with uncommitted changes" in note
    assert note.endswith("; the job runs as frozen")
    assert "+lr: 0.5" in (second / "environment" / "mine_conf.diff").read_text()
    publish(sweep, place.folder / "record")
    assert str(place.folder) not in (place.folder / "record" / "sweep.json").read_text()


def test_edit_between_a_stop_and_a_resume_of_a_single_run_is_noted(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--config-dir", "mine/conf", *place.common, "optim=mine", "hydra.run.dir=run"]
    assert run_in_process(words, place, monkeypatch, capfd).code == 0
    result = place.folder / "run" / "result.json"
    result.write_text(result.read_text().replace('"status": "completed"', '"status": "interrupted"'))
    edit(place, "optim/mine.yaml", RATE.format(0.01) + "# a remark\n")
    assert run_in_process(words, place, monkeypatch, capfd).code == 0
    (note,) = read_json(result)["notes"]
    assert note.startswith("config folder mine/conf changed since the job was started: ")


def test_a_stored_list_of_folders_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.yaml").write_text("a: 1\n")
    (tmp_path / "conf").mkdir()
    os.mkfifo(tmp_path / "conf" / "pipe.yaml")
    hashes = {
        str(config_folders.as_they_are({str(tmp_path / "conf"): {"groups": groups}}))
        for groups in ([], ["../secret"], [".."])
    }
    assert len({text.partition("source")[2] for text in hashes}) == 1
