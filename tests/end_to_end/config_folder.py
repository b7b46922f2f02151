"""A config folder of the user's own, full of faults, and commands that run with it."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra.experimental.callback import Callback

from tests.small_sweeps import CommandResult, Place, make_place, run_in_process

CALLBACKS = __name__
"""The module of the callbacks that the files and commands name."""

GLOBAL = "# @package _global_\n"

FILES = {
    "experiment/plain": f"{GLOBAL}optim:\n  lr: 0.02\n",
    "experiment/no_slash": f"{GLOBAL}defaults:\n  - override model: lean\n",
    "experiment/no_group": f"{GLOBAL}defaults:\n  - override /optimizer: sgd\n",
    "experiment/no_default": f"{GLOBAL}defaults:\n  - override /sweep: seeds\n",
    "experiment/overide": f"{GLOBAL}defaults:\n  - overide /model: lean\n",
    "experiment/second_model": f"{GLOBAL}defaults:\n  - /model: lean\n",
    "experiment/without_override": f"{GLOBAL}defaults:\n  - model: lean\n",
    "experiment/two_models": f"{GLOBAL}defaults:\n  - override /model: lean\n  - override /model: stem3x3\n",
    "experiment/launcher": f"{GLOBAL}defaults:\n  - override /hydra/launcher: workers\n",
    "experiment/no_space": f"{GLOBAL}defaults:\n  - override/model: lean\n",
    "experiment/no_file": f"{GLOBAL}defaults:\n  - nowhere\n",
    "experiment/no_dash": f"{GLOBAL}defaults:\n  override /model: lean\n",
    "experiment/one_dash": f"{GLOBAL}defaults:\n  - override /model: lean\n    override /optim: sgd\n",
    "experiment/tab": f"{GLOBAL}optim:\n\tlr: 0.05\n",
    "experiment/one_line": f"{GLOBAL}optim: lr: 0.05\n",
    "experiment/indent": f"{GLOBAL}optim:\n lr: 0.1\n  eps: 3\n",
    "experiment/twice": f"{GLOBAL}optim:\n  lr: 0.05\n  lr: 0.06\n",
    "experiment/at": f"{GLOBAL}optim:\n  lr: @3\n",
    "experiment/bracket": f"{GLOBAL}defaults:\n  - override /model: [lean\n",
    "experiment/interpolation": f"{GLOBAL}optim:\n  lr: ${{seed\n",
    "experiment/latin": f"{GLOBAL}optim:\n  lr: 0.05 # caf\xe9\n",
    "experiment/a_list": f"{GLOBAL}- optim\n- sgd\n",
    "experiment/text": "some text\n",
    "experiment/no_node": f"{GLOBAL}optim:\n  lr 0.1\n",
    "experiment/octal": f"{GLOBAL}seed: 017\n",
    "experiment/underscore": f"{GLOBAL}seed: 1_000\n",
    "experiment/base_60": f"{GLOBAL}optim:\n  lr: 1:30.5\n",
    "experiment/off": f"{GLOBAL}trainer:\n  profile: off\n",
    "experiment/hexadecimal": f"{GLOBAL}seed: 0x10\n",
    "experiment/quoted": f"{GLOBAL}data:\n  root: 'no'\n",
    "experiment/circle": f"{GLOBAL}defaults:\n  - other_half\n",
    "experiment/other_half": f"{GLOBAL}defaults:\n  - circle\n",
    "experiment/null_byte": f"{GLOBAL}optim:\n  lr: 0.1\0\n",
    "experiment/byte_order_mark": f"\xef\xbb\xbf{GLOBAL}optim:\n  lr: 0.1\n",
    "experiment/two_documents": f"{GLOBAL}seed: 1\n---\nseed: 2\n",
    "experiment/open_quote": f"{GLOBAL}data:\n  root: '/a\n",
    "experiment/alias": f"{GLOBAL}optim:\n  lr: *base\n",
    "experiment/tag": f"{GLOBAL}optim:\n  lr: !!python/object/apply:os.system ['true']\n",
    "experiment/number_in_defaults": f"{GLOBAL}defaults:\n  - 3\n",
    "experiment/choice_is_number": f"{GLOBAL}defaults:\n  - override /model: 3\n",
    "experiment/small": f"{GLOBAL}defaults:\n  - override /model: lean\n",
    "debug/wide": f"{GLOBAL}defaults:\n  - override /model: stem7x7\n",
    "experiment/optional": f"{GLOBAL}defaults:\n  - optional override /model: lean\n",
    "experiment/parent": f"{GLOBAL}defaults:\n  - ../model/lean\n",
    "experiment/backslash": f"{GLOBAL}defaults:\n  - override \\model: lean\n",
    "experiment/group_as_key": f"{GLOBAL}model: lean\n",
    "experiment/wrong_package": "# @package global\noptim:\n  lr: 0.1\n",
    "experiment/comment_after_package": "# @package _global_ # all\noptim:\n  lr: 0.1\n",
    "experiment/dotted_key": f"{GLOBAL}optim.lr: 0.1\n",
    "experiment/no_number": f"{GLOBAL}optim:\n  lr: fast\n",
    "experiment/no_such_reference": f"{GLOBAL}optim:\n  lr: ${{optim.lrr}}\n",
    "experiment/asks": f"{GLOBAL}optim:\n  lr: ???\n",
    "experiment/no_choice": f"{GLOBAL}defaults:\n  - override /model:\n",
    "experiment/two_choices": f"{GLOBAL}defaults:\n  - override /model: [lean, stem3x3]\n",
    "experiment/no_text": f"{GLOBAL}tracking:\n  project: 3\n",
    "experiment/no_device": f"{GLOBAL}trainer:\n  device: cuda:99\n",
    "experiment/number": f"{GLOBAL}3\n",
    "experiment/a_set": f"{GLOBAL}optim: !!set {{lr, eps}}\n",
    "experiment/unhashable": f"{GLOBAL}optim: {{[1]: 2}}\n",
    "experiment/no_such_model": f"{GLOBAL}defaults:\n  - override /model: leen\n",
    "experiment/other_package": f"{GLOBAL}defaults:\n  - override /model@net: lean\n",
    "experiment/refers_in_defaults": f"{GLOBAL}defaults:\n  - override /model: ${{size}}\n",
    "experiment/replaces_itself": f"{GLOBAL}defaults:\n  - override /experiment: plain\n",
    "experiment/second_optim": f"{GLOBAL}defaults:\n  - /optim/sgd\n",
    "experiment/unknown_argument": f"{GLOBAL}optim:\n  foo: 3\n",
    "experiment/empty_package": "# @package\nseed: 3\n",
    "experiment/2024": f"{GLOBAL}seed: 3\n",
    "optim/deeper": "defaults:\n  - /optim/adam\n",
    "optim/deeper_by_key": "defaults:\n  - /optim: adam\n",
    "optim/here_by_key": "defaults:\n  - /optim@_here_: adam\n",
    "optim/here": "defaults:\n  - /optim/adam@_here_\n  - _self_\nlr: 0.03\n",
    "model/mine/net": "defaults:\n  - /model/lean\n",
    "optim/asking": "defaults:\n  - adam\nlr: ???\n",
    "optim/mine": "defaults:\n  - adam\neps: tiny\n",
    "hydra/launcher/cluster": "defaults:\n  - workers\nslurm:\n  time: 2:30:00\n",
    "hydra/launcher/own_node": "defaults:\n  - workers\nenv:\n  FOO: bar\n",
    "sweep/levels": f"{GLOBAL}hydra:\n  sweeper:\n    params:\n      model.block_norm: [no, none]\n",
    "experiment/no_package": "optim:\n  lr: 0.002\n",
    "experiment/typo": f"{GLOBAL}optimizer:\n  lr: 0.5\n",
    "experiment/refers": f"{GLOBAL}optim:\n  lr: ${{pair.lr}}\nseed: ${{pair.seed}}\n",
    "experiment/reads_each_other": f"{GLOBAL}first: 1\nsecond: ${{first}}\n",
    "experiment/unread_circle": f"{GLOBAL}first: ${{second}}\nsecond: ${{first}}\n",
    "experiment/teacher": f"{GLOBAL}defaults:\n  - /model@teacher: lean\n",
    "experiment/claim": f"{GLOBAL}claims:\n  - {{metric: test_accuracy, valu: 3, words: x}}\n",
    "experiment/claim_without_words": f"{GLOBAL}claims:\n  - {{metric: test_accuracy, value: 3}}\n",
    "experiment/two_packages": f"{GLOBAL}# @package optim\nlr: 0.3\n",
    "experiment/late_package": f"# My own rates.\n{GLOBAL}optim:\n  lr: 0.3\n",
    "experiment/searchpath": f"{GLOBAL}hydra:\n  searchpath: [file:///tmp]\n",
    "experiment/self_twice": f"{GLOBAL}defaults:\n  - _self_\n  - _self_\n",
    "experiment/no_space_after_colon": f"{GLOBAL}defaults:\n  - override /model:lean\n",
    "experiment/mine/one": f"{GLOBAL}defaults:\n  - override /optim: sgd\noptim:\n  lr: 0.01\n",
    "experiment/mine/two": f"{GLOBAL}optim:\n  lr: 0.03\n",
    "experiment/with_params": f"{GLOBAL}hydra:\n  sweeper:\n    params:\n      seed: 1,2\n",
    "experiment/with_engine": f"{GLOBAL}hydra:\n  launcher:\n    engine: slurm\n",
    "experiment/with_dir": f"{GLOBAL}hydra:\n  sweep:\n    dir: elsewhere\n",
    "experiment/with_subdir": f"{GLOBAL}hydra:\n  sweep:\n    subdir: x\n",
    "experiment/with_name": f"{GLOBAL}sweep:\n  name: other\n",
    "experiment/with_stop": f"{GLOBAL}sweep:\n  on_failure: stop\n",
    "experiment/null_key": f"{GLOBAL}null: 3\n",
    "experiment/list_for_node": f"{GLOBAL}seeds:\n  - 1\n",
    "experiment/with_variable": f"{GLOBAL}hydra:\n  job:\n    env_copy: [HOME]\n",
    "experiment/own_check": f"{GLOBAL}hydra:\n  callbacks:\n    check:\n      _target_: {CALLBACKS}.OfNoClass\n",
    "experiment/without_check": f"{GLOBAL}hydra:\n  callbacks:\n    check: null\n",
    "experiment/with_callback": (
        f"{GLOBAL}hydra:\n  callbacks:\n    log:\n      _target_: hydra.experimental.callbacks.LogJobReturnCallback\n"
    ),
    "experiment/with_environment": f"{GLOBAL}hydra:\n  job:\n    env_set:\n      FOO: bar\n",
    "experiment/with_chdir": f"{GLOBAL}hydra:\n  job:\n    chdir: true\n",
    "experiment/with_log": f"{GLOBAL}defaults:\n  - override /hydra/job_logging: default\n",
    "experiment/with_job_name": f"{GLOBAL}hydra:\n  job:\n    name: x\n",
    "experiment/with_hydra_key": f"{GLOBAL}hydra:\n  job:\n    foo: 1\n",
    "experiment/inherits_stop": f"{GLOBAL}defaults:\n  - with_stop\n",
    "sweep/search": (
        f"{GLOBAL}defaults:\n  - override /hydra/sweeper: search\n"
        "hydra:\n  sweeper:\n    params:\n      optim.lr: interval(0.1,0.2)\n"
    ),
    "sweep/lists": f"{GLOBAL}hydra:\n  sweeper:\n    params:\n      seed: [1, 2]\n      optim:\n        lr: 0.1,0.2\n",
    "sweep/no_package": "hydra:\n  sweeper:\n    params:\n      seed: 1,2\n",
}
"""Files of the user's config folder by group and choice."""


def make_config_folder(folder: Path) -> Place:
    """Return a place for runs with the config folder `conf`."""
    place = make_place(folder)
    for name, text in FILES.items():
        file = place.folder / "conf" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode("latin-1"))
    (place.folder / "conf" / "experiment" / "misnamed.yml").write_text(GLOBAL)
    (place.folder / "conf" / "experiment" / "dangling.yaml").symlink_to("nowhere")
    return place


class SetsItself(Callback):
    """Callback whose method is set when it is used, and so is no method of its class."""

    def __getattribute__(self, name: str) -> Any:
        return print if name == "on_job_end" else super().__getattribute__(name)


class OfNoClass:
    """Callback that doesn't inherit from Hydra's, which Hydra calls all the same."""

    def on_job_start(self, **_: Any) -> None:
        print("started")

    on_multirun_start = on_multirun_end = on_run_end = on_job_start


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

    def assert_one_line(self, typed: str, *messages: str) -> None:
        """Run a command that must end with one line that has one of the messages, and write nothing."""
        ended = self.run(typed)
        assert ended.err.startswith("error: ")
        assert any(message in ended.err for message in messages)
        assert ended.err.count("\n") == 1
        assert ended.code == 2
        assert list(self.here.folder.iterdir()) == []
