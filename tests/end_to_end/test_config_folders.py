"""Faults in the files of a user's own config folder end with one line that names the file, and exit code 2."""

import shlex
from pathlib import Path

import pytest

from mnist_resnet.sweeps.folder import read_sweep
from tests.small_sweeps import CommandResult, Place, make_place, run_in_process

GLOBAL = "# @package _global_\n"

FILES = {
    "experiment/plain": f"{GLOBAL}optim:\n  lr: 0.02\n",
    "experiment/no_package": "optim:\n  lr: 0.002\n",
    "experiment/typo": f"{GLOBAL}optimizer:\n  lr: 0.5\n",
    "experiment/refers": f"{GLOBAL}optim:\n  lr: ${{pair.lr}}\nseed: ${{pair.seed}}\n",
    "sweep/no_package": "hydra:\n  sweeper:\n    params:\n      seed: 1,2\n",
}
"""Files of the user's config folder by group and choice."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = make_place(tmp_path_factory.mktemp("config_folders"))
    for name, text in FILES.items():
        file = place.folder / "conf" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode("latin-1"))
    return place


class Commands:
    """Runs `train.py` with the user's config folder, in an empty working directory."""

    def __init__(self, place: Place, here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
        self.place, self.here = place, Place(here, place.images)
        self.monkeypatch, self.capfd = monkeypatch, capfd

    def run(self, typed: str) -> CommandResult:
        words = shlex.split(typed)
        options = [word for word in words if word == "-m"]
        given = {word.lstrip("+").partition("=")[0] for word in words}
        common = [override for override in self.here.common if override.partition("=")[0] not in given]
        arguments = [*options, "--config-dir", str(self.place.folder / "conf"), *common, *words[len(options) :]]
        return run_in_process(arguments, self.here, self.monkeypatch, self.capfd)

    def jobs(self, typed: str) -> list[str]:
        """Return the names of the jobs that a dry run lists."""
        ended = self.run(f"{typed} sweep.dry_run=true")
        assert ended.code == 0, ended.err
        return [line.split()[1] for line in ended.out.splitlines()[1:]]


@pytest.fixture
def commands(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(place, tmp_path, monkeypatch, capfd)


PACKAGE_LINE = "nothing reads it; the first line of {}.yaml must be # @package _global_"
UNREAD = [
    ("experiment=no_package", f"experiment.optim.lr: {PACKAGE_LINE.format('experiment/no_package')}"),
    ("-m experiment=no_package,plain", f"experiment.optim.lr: {PACKAGE_LINE.format('experiment/no_package')}"),
    ("-m +sweep=no_package", f"sweep.hydra: {PACKAGE_LINE.format('sweep/no_package')}"),
    ("experiment=typo", "optimizer: nothing reads it (it is set in experiment/typo.yaml); did you mean optim?"),
    ("-m experiment=typo,plain", "optimizer: nothing reads it (it is set in experiment/typo.yaml); did you mean"),
    ("+model@teacher=lean", "teacher: nothing reads it; leave it out, or refer to it in another key, as in ${teacher}"),
    ("+optmi.lr=0.3", "optmi: nothing reads it; did you mean optim?"),
    ("+regularization.dropuot=0.3", "regularization.dropuot: nothing reads it; did you mean regularization.dropout?"),
    ("+one=3 '+other=${one}'", "one: nothing reads it"),
    ("-m seed=1,2 +tag=a,b", "tag: nothing reads it"),
    ("-m hydra/sweeper=search data.val_size=16 +tag=a,b", "tag: nothing reads it"),
]


@pytest.mark.parametrize(("typed", "message"), UNREAD)
def test_fault_is_one_line(typed: str, message: str, commands: Commands) -> None:
    ended = commands.run(typed)
    assert ended.err.startswith(f"error: {message}")
    assert ended.err.count("\n") == 1
    assert ended.code == 2
    assert list(commands.here.folder.iterdir()) == []


def test_new_key_that_another_key_refers_to_is_swept(commands: Commands) -> None:
    ended = commands.run("-m sweep.name=pairs experiment=refers '+pair={lr:0.01,seed:1},{lr:0.001,seed:2}'")
    assert ended.code == 0
    configs = [job.config for job in read_sweep(commands.here.folder / "multirun" / "pairs").jobs]
    assert [(config["optim"]["lr"], config["seed"]) for config in configs] == [(0.01, 1), (0.001, 2)]


def test_new_key_in_a_folders_name_is_read(commands: Commands) -> None:
    assert commands.run("+tag=first 'hydra.run.dir=outputs/${tag}'").code == 0
    assert (commands.here.folder / "outputs" / "first" / "result.json").exists()
