"""Invalid input ends with one line on stderr, exit code 2, and nothing written to disk."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.bad_overrides import CHOICES, KEYS, SYNTAX, VALUES
from tests.end_to_end.refusals import Refuses, arguments, assert_refused
from tests.small_sweeps import CHECKOUT, CommandResult, Place, run_in_process

pytestmark = pytest.mark.usefixtures("bad_input_settings", "minute_limit")

SINGLE_RUNS = [
    ("hydra.job.env_copy=[NOWHERE]", "hydra.job.env_copy: NOWHERE: no such environment variable; export it, or leave"),
    ("hydra.job.env_copy=[{a:1}]", "hydra.job.env_copy: {'a': 1}: no such environment variable"),
    (
        "-cn experiment/lean",
        "--config-name experiment/lean: is a choice of the group experiment; write experiment=lean",
    ),
    ("--config-name=sweep/seeds", "--config-name sweep/seeds: is a choice of the group sweep; write +sweep=seeds"),
    ("--cfg all -p nowhere", "--package nowhere: no such key; --cfg job shows all keys"),
    ("--cfg job -p optim.foo", "--package optim.foo: no such key; one of lr, betas, eps, weight_decay"),
    ("--cfg job -p hydra.run", "--package hydra.run: is null, or no part of what this --cfg shows; --cfg all shows"),
    ("model --help", "model: not key=value; write model=CHOICE; one of lean, lean_stem5x5, stem3x3, stem7x7"),
    ("foo -sc", "--shell-completion: must be followed by install=SHELL, uninstall=SHELL or query=SHELL"),
    ("query=bash -sc", "--shell-completion: query is for the shell, which sets COMP_LINE; write install=bash"),
    ("install=tcsh -sc", "--shell-completion: tcsh: no such shell; one of bash fish zsh"),
    ("experiment=nope --info searchpath", "experiment=nope: no such choice; one of lean"),
    ("'optim.betas=[0.9,glob(x)]'", "optim.betas=[0.9,glob(x)]: a list or dictionary can't hold a sweep; sweep over"),
    ("hydra/job_logging=none,default", "hydra/job_logging=none,default: takes one value, it can't be swept"),
    ("hydra.verbose=true,false", "hydra.verbose=true,false: takes one value, it can't be swept"),
    ("sweep.name=a,b", "sweep.name=a,b: takes one value, it can't be swept"),
    ("optim.lr=0.1,0.2", "optim.lr=0.1,0.2: several values make a sweep; add -m"),
    ("model=stem3x3,stem7x7", "model=stem3x3,stem7x7: several values make a sweep; add -m"),
    ("seed=range(1,3)", "seed=range(1,3): several values make a sweep; add -m"),
    ("sweep.name=abc", "sweep.name=abc: is for a sweep; add -m, or leave it out"),
    ("sweep.dry_run=true", "sweep.dry_run=true: is for a sweep; add -m, or leave it out"),
    ("sweep.rerun=[1]", "sweep.rerun=[1]: is for a sweep"),
    ("hydra.run.dir=FILE", "is no folder; choose another place"),
    ("hydra.run.dir=FILE/inside", "is no folder; choose another place"),
    ("hydra.run.dir=a hydra.run.dir=b", "hydra.run.dir: given 2 times"),
    ("hydra.run.dir=null", "hydra.run.dir=null: field 'hydra.run.dir' is not Optional"),
]

PROCESSES = [
    ("optim.lr=abc", "optim.lr=abc: must be a number"),
    ("optim.lrr=0.1", "optim.lrr: no such key; did you mean optim.lr?"),
    ("model=stem9x9", "model=stem9x9: no such choice; one of lean, lean_stem5x5, stem3x3, stem7x7"),
    ("optim.lr=${nowhere}", "optim.lr=${nowhere}: Interpolation key 'nowhere' not found"),
    ("optim=null", "optim=null: must be the name of a choice"),
    ("optim.lr==", "optim.lr==: can't be read"),
    ("--foo", "--foo: no such option; --help lists them"),
    ("trainer.device=cuda:99", "trainer.device=cuda:99: not on this machine"),
    ("-m optim.lr=0.1,abc", "optim.lr=abc: must be a number"),
]


@pytest.mark.parametrize(("typed", "message"), [*VALUES, *KEYS, *CHOICES, *SYNTAX, *SINGLE_RUNS])
def test_run_is_refused(typed: str, message: str, bad_input_place: Place, refuses: Refuses) -> None:
    refuses(arguments(typed, bad_input_place), message)


def start(words: list[str], folder: Path, **environment: str) -> CommandResult:
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "train.py"), *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return CommandResult(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(("typed", "message"), PROCESSES)
def test_separate_process_is_refused(typed: str, message: str, bad_input_place: Place, tmp_path: Path) -> None:
    assert_refused(start(arguments(typed, bad_input_place), tmp_path), message, tmp_path)


@pytest.mark.parametrize("typed", ["optim.lr=abc", "-m optim.lrr=1,2"])
def test_hydra_full_error_shows_the_traceback(typed: str, tmp_path: Path) -> None:
    ended = start(shlex.split(typed), tmp_path, HYDRA_FULL_ERROR="1")
    assert ended.code == 1
    assert "Traceback (most recent call last)" in ended.err
    assert "optim.lr" in ended.err.splitlines()[-1] + ended.err.splitlines()[-3]


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that no user can write to, not even root."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)
        return
    command = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("root can write everywhere here, and can't mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("typed", ["", "-m", "-m sweep.name=x", "hydra.run.dir=x/y", "-m hydra.sweep.dir=x/y"])
def test_unwritable_folder_is_refused(
    typed: str,
    read_only: Path,
    bad_input_place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = [*shlex.split(typed), "data.verify=false", "model.width=2", "model.blocks=[1]"]
    ended = run_in_process(words, Place(read_only, bad_input_place.images), monkeypatch, capfd)
    assert_refused(ended, "can't be written; choose another place", read_only)


@pytest.mark.parametrize("mode", ["", "-m"])
def test_missing_images_are_refused_before_anything_is_written(
    mode: str,
    bad_input_place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = [*mode.split(), f"data.root={tmp_path / 'nowhere'}", "data.verify=false"]
    (tmp_path / "here").mkdir()
    ended = run_in_process(words, Place(tmp_path / "here", bad_input_place.images), monkeypatch, capfd)
    assert_refused(ended, "nowhere", tmp_path / "here")
