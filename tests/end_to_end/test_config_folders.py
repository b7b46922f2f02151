"""Faults in the files of a user's own config folder end with one line that names the file, and exit code 2."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra.experimental.callback import Callback

from mnist_resnet.sweeps.folder import read_sweep
from tests.small_sweeps import CommandResult, Place, make_place, run_in_process

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
    "experiment/own_check": f"{GLOBAL}hydra:\n  callbacks:\n    check:\n      _target_: {__name__}.OfNoClass\n",
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


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = make_place(tmp_path_factory.mktemp("config_folders"))
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
    ("+one=3 '+other=${one}'", "other: nothing reads it"),
    ("experiment=reads_each_other", "second: nothing reads it (it is set in experiment/reads_each_other.yaml); leave"),
    ("-m experiment=unread_circle,plain", "first and second: are read by each other only; leave them out"),
    ("experiment=teacher", "teacher: nothing reads it (it is set in experiment/teacher.yaml); leave it out, or refer"),
    ("-m experiment=teacher,plain", "teacher: nothing reads it (it is set in experiment/teacher.yaml); leave it out"),
    ("-m seed=1,2 +tag=a,b", "tag: nothing reads it"),
    ("-m hydra/sweeper=search data.val_size=16 +tag=a,b", "tag: nothing reads it"),
]
SWEPT_FILES = [
    ("-m experiment=asks,plain", "experiment/asks.yaml: optim.lr=???: asks for a value, and none is given"),
    ("-m experiment=plain,2024", "experiment=plain,2024: 2024 is no text; in quotes it is: 'experiment=\"2024\"'"),
    ("-m experiment=plain,empty_package", "experiment/empty_package.yaml: '# @package': must be # @package and one"),
    ("-m experiment=no_choice,plain", "experiment/no_choice.yaml: 'override /model:' in defaults: model needs one"),
    (
        "-m 'model=[lean,stem3x3]'",
        "model=[lean,stem3x3]: model needs one choice; a sweep over several is -m model=lean,",
    ),
    ("-m seed=1,2 hydra=null", "hydra=null: must hold keys with values; set single ones"),
    ("-m optim=adam,sgd ~optim.betas", "~optim.betas: is null, which Hydra can't delete, or one of the swept choices"),
    ("~loss", "~loss: loss needs one choice; write loss=CHOICE"),
    (
        "-m seed=1,2 sweep.name=2024_01_01",
        "sweep.name=2024_01_01: must be text; in quotes it is text: 'sweep.name=\"2024",
    ),
    ("-m experiment=plain,no_text", "experiment/no_text.yaml: tracking.project=3: must be text"),
    ("-m experiment=plain,no_text sweep.dry_run=true", "experiment/no_text.yaml: tracking.project=3: must be text"),
    (
        "-m hydra/sweeper=search data.val_size=16 experiment=no_text,plain",
        "experiment/no_text.yaml: tracking.project=3",
    ),
    ("-m experiment=plain,no_device", "experiment/no_device.yaml: trainer.device=cuda:99: "),
    (
        "-m hydra/sweeper=search data.val_size=16 experiment=no_number,plain",
        "experiment/no_number.yaml: optim.lr=fast:",
    ),
    (
        "-m hydra/sweeper=search data.val_size=16 experiment=no_such_reference,plain",
        "experiment/no_such_reference.yaml: optim.lr: Interpolation key 'optim.lrr' not found",
    ),
]


REFER = "nothing reads it; leave it out, or refer to it in another key, as in ${{{}}}"
UNREAD_BY_HYDRA = [
    ("+hydra.foo=1", f"hydra.foo: {REFER.format('hydra.foo')}"),
    ("++hydra.job.foo=3", f"hydra.job.foo: {REFER.format('hydra.job.foo')}"),
    ("-m seed=1,2 ++hydra.sweep.foo=3", f"hydra.sweep.foo: {REFER.format('hydra.sweep.foo')}"),
    ("+hydra.serachpath=[x]", "hydra.serachpath: nothing reads it; did you mean hydra.searchpath?"),
    ("hydra.job.name=x", f"hydra.job.name=x: {REFER.format('hydra.job.name')}"),
    ("'hydra.job={name:x}'", f"hydra.job.name=x: {REFER.format('hydra.job.name')}"),
    ("hydra.job.num=3", f"hydra.job.num=3: {REFER.format('hydra.job.num')}"),
    ("-m seed=1,2 hydra.job.name=x hydra/launcher=basic", "hydra.job.name=x: nothing reads it"),
    ("experiment=with_job_name", "experiment/with_job_name.yaml: hydra.job.name=x: nothing reads it"),
    ("-m experiment=with_job_name,plain", "experiment/with_job_name.yaml: hydra.job.name=x: nothing reads it"),
    ("experiment=with_hydra_key", "experiment/with_hydra_key.yaml: hydra.job.foo: no such key"),
    ("hydra.job.env_set={A:1}", "hydra.job.env_set.A: is a new key; add it: ++hydra.job.env_set.A=…"),
    ("hydra.callbacks={x:1}", "hydra.callbacks.x: is a new key; add it: ++hydra.callbacks.x=…"),
    ("~hydra", "~hydra: Hydra's own keys can't be deleted; leave it out"),
    ("~hydra.callbacks.foo", "~hydra.callbacks.foo: no such key"),
    ("experiment=own_check +tag=x", "tag: nothing reads it"),
    (f"'+hydra.callbacks={{check:{{_target_:{__name__}.OfNoClass}}}}' +tag=x", "tag: nothing reads it"),
    ("~hydra.run.dir", "~hydra.run.dir: Hydra's own keys can't be deleted; leave it out"),
    ("~hydra/job_logging", "~hydra/job_logging: hydra/job_logging needs one choice; write hydra/job_logging=CHOICE"),
    ("~hydra/hydra_logging", "~hydra/hydra_logging: hydra/hydra_logging needs one choice; write hydra/hydra_logging="),
    ("~hydra/launcher", "~hydra/launcher: is for a sweep; add -m, or leave it out"),
    ("-m seed=1,2 ~hydra/launcher", "~hydra/launcher: hydra/launcher needs one choice; write hydra/launcher=CHOICE"),
    ("-m seed=1,2 hydra/launcher=[basic,workers]", "hydra/launcher=[basic,workers]: hydra/launcher needs one choice"),
    ("-m seed=1,2 hydra.sweep=3", "hydra.sweep=3: must be a node with keys and values"),
    ("hydra.launcher={foo:1}", "hydra.launcher.foo: no such key; --cfg hydra shows all keys, --help the groups"),
    ("hydra.runtime.cwd=x", "hydra.runtime.cwd=x: Hydra sets it itself; leave it out"),
    ("hydra.help.app_name=x", "hydra.help.app_name=x: only --help shows it; add that, or leave it out"),
    (
        "hydra.job.config.override_dirname.kv_sep=x",
        "hydra.job.config.override_dirname.kv_sep=x: no folder is named by",
    ),
    ("-m seed=1,2 hydra.job.env_copy=[PATH]", "hydra.job.env_copy=['PATH']: hydra/launcher=sequential doesn't act on"),
]


NO_EFFECT = "set in experiment/{}.yaml, where it has no effect; give it on the command line"
TWO_MODELS = "experiment/two_models.yaml: 'override /model' is given twice, with lean and stem3x3; keep one"
WHOLE_SWEEP = [
    ("-m experiment=plain,with_params", f"hydra.sweeper.params.seed=1,2: {NO_EFFECT.format('with_params')}"),
    ("-m experiment=with_dir,plain", f"hydra.sweep.dir=elsewhere: {NO_EFFECT.format('with_dir')}"),
    ("-m experiment=plain,with_subdir", f"hydra.sweep.subdir=x: {NO_EFFECT.format('with_subdir')}"),
    ("-m experiment=with_name,plain", f"sweep.name=other: {NO_EFFECT.format('with_name')}"),
    ("-m experiment=plain,with_stop", f"sweep.on_failure=stop: {NO_EFFECT.format('with_stop')}"),
    ("-m experiment=plain,inherits_stop", f"sweep.on_failure=stop: {NO_EFFECT.format('with_stop')}"),
    (
        "-m hydra/launcher=workers experiment=with_engine,plain",
        f"hydra.launcher.engine=slurm: {NO_EFFECT.format('with_engine')}",
    ),
    (
        "-m hydra/sweeper=search data.val_size=16 experiment=with_name,plain",
        f"sweep.name=other: {NO_EFFECT.format('with_name')}",
    ),
    ("-m experiment=plain,with_callback", "hydra.callbacks.log._target_=hydra.experimental.callbacks.LogJobReturnCall"),
    ("-m experiment=plain,with_environment", f"hydra.job.env_set.FOO=bar: {NO_EFFECT.format('with_environment')}"),
    ("-m experiment=plain,with_variable", f"hydra.job.env_copy=['HOME']: {NO_EFFECT.format('with_variable')}"),
    ("experiment=without_check", "experiment/without_check.yaml: hydra.callbacks.check=null: must be a node with a"),
    ("-m seed=1,2 +hydra.callbacks.a=null", "hydra.callbacks.a=null: must be a node with a _target_; leave it out"),
    ("+hydra.callbacks.a={foo:1}", "hydra.callbacks.a={'foo': 1}: must be a node with a _target_"),
    ("+hydra.callbacks.a={_target_:nope.Nope}", "hydra.callbacks.a._target_=nope.Nope: can't be imported (No module"),
    ("-m experiment=plain,without_check", f"hydra.callbacks.check=null: {NO_EFFECT.format('without_check')}"),
    ("-m experiment=with_chdir,plain", f"hydra.job.chdir=true: {NO_EFFECT.format('with_chdir')}"),
    ("experiment=with_log", f"hydra/job_logging=default: {NO_EFFECT.format('with_log')}"),
    ("-m experiment=with_log,plain", f"hydra/job_logging=default: {NO_EFFECT.format('with_log')}"),
    ("-m seed=1,2 hydra.run.dir=x", "hydra.run.dir=x: is for a single run; name a sweep's folder by sweep.name"),
    ("hydra.sweep.dir=x", "hydra.sweep.dir=x: is for a sweep; add -m, or leave it out"),
    ("-m hydra.sweeper.params.seed=1,2", "hydra.sweeper.params.seed=1,2: is itself a sweep; write seed=1,2"),
    ("-m ++hydra.sweeper.foo=3 seed=1,2", "hydra.sweeper.foo: no such key; one of params"),
    ("-m ++hydra.launcher.engine=slurm seed=1,2", "hydra.launcher.engine: is a key of hydra/launcher=cluster or own_n"),
    ("-m hydra.sweeper.sampler.seed=1 seed=1,2", "hydra.sweeper.sampler.seed: is a key of hydra/sweeper=search; add"),
    ("-m hydra/launcher=workers ++hydra.launcher.foo=3 seed=1,2", "hydra.launcher.foo: no such key; one of engine, wo"),
    (
        "-m hydra/launcher=workers 'hydra.launcher.slurm.parameters={a:1}' seed=1,2",
        "hydra.launcher.slurm.parameters.a=1: has no effect with hydra.launcher.engine=local; add hydra.launcher.en",
    ),
    ("-m hydra/launcher=workers 'hydra.launcher={ray:{num_cpus:2}}'", "hydra.launcher.ray.num_cpus=2: has no effect"),
    ("-m hydra/launcher=own_node seed=1,2", "hydra.launcher.env: no such key; one of engine, workers"),
    (f"-m seed=1,2 +hydra.callbacks.a={{_target_:{__name__}.SetsItself}}", "hydra.callbacks: SetsItself.on_job_end is"),
    (f"-m seed=1,2 +hydra.callbacks.a={{_target_:{__name__}.OfNoClass}}", "hydra.callbacks: OfNoClass.on_job_start is"),
    (
        f"seed=1 '+hydra.callbacks.a={{_target_:{__name__}.SetsItself,foo:3}}'",
        "hydra.callbacks.a: SetsItself() takes no arg",
    ),
    ("-m hydra.verbose=true,false", "hydra.verbose: can't be swept, it is a setting of the whole sweep"),
    ("-m hydra.mode=RUN seed=1,2", "hydra.mode=RUN: contradicts -m; leave one of them out"),
    ("-m seed=1,2 hydra.sweep.subdir=x", "hydra.sweep.subdir=x: has no effect, jobs are named by what is swept"),
    ("-m 'hydra.sweep.subdir=${hydra.job.override_dirname}'", "hydra.sweep.subdir=${hydra.job.override_dirname}: has"),
    ("-m 'hydra.sweep.subdir=x_${hydra.job.num}'", "hydra.sweep.subdir=x_${hydra.job.num}: has no effect"),
    ("-m seed=1,2 'hydra.sweep.dir=multirun/${seed}'", "hydra.sweep.dir=multirun/${seed}: a sweep has one folder, and"),
    (
        "-m hydra/sweeper=search data.val_size=16 optim.lr=0.1,0.2 'hydra.sweep.dir=${optim.lr}'",
        "hydra.sweep.dir=${optim.lr}: a sweep has one folder, and optim.lr is swept; take another name",
    ),
    (
        "+hydra.searchpath=[file:///tmp]",
        "+hydra.searchpath=[file:///tmp]: Hydra reads it without a + only; write hydra.s",
    ),
    ("hydra.searchpath=/tmp", "hydra.searchpath=/tmp: must be a list of folders, as in [file:///home/me/conf]"),
    ("hydra.searchpath=[foo://x]", "hydra.searchpath: foo://: no such kind of path; one of file, pkg, structured"),
    (
        "model.blocks=extend_list(1)",
        "model.blocks=extend_list(1): Hydra 1.3 can't extend a list, and 1.5 no longer will",
    ),
    ("-m seed=1,2 model.blocks=extend_list(1)", "model.blocks=extend_list(1): Hydra 1.3 can't extend a list, and 1.5"),
    ("hydra/launcher=workers", "hydra/launcher=workers: is for a sweep; add -m, or leave it out"),
    ("experiment=launcher", "hydra/launcher=workers: set in experiment/launcher.yaml, where it has no effect; give it"),
    ("-m experiment=launcher,plain", "hydra/launcher=workers: set in experiment/launcher.yaml, where it has no effect"),
    ("experiment=two_models", TWO_MODELS),
    ("-m experiment=plain,two_models", TWO_MODELS),
    ("-m +sweep=search", "hydra/sweeper=search: set in sweep/search.yaml, where it has no effect; give it on the"),
]


WRITE = "write 'override /model: lean'"
BROKEN_FILES = [
    ("no_slash", "experiment/no_slash.yaml: 'override model' lacks a slash; write 'override /model: …'"),
    ("no_group", "experiment/no_group.yaml: 'override /optimizer': no such group; one of augmentation, averaging,"),
    ("no_default", "experiment/no_default.yaml: 'override /sweep': it has no default to replace; write '/sweep: …'"),
    (
        "overide",
        f"experiment/overide.yaml: 'overide /model: lean' would be a second model; to replace the first {WRITE}",
    ),
    (
        "second_model",
        f"experiment/second_model.yaml: '/model: lean' would be a second model; to replace the first {WRITE}",
    ),
    (
        "without_override",
        "experiment/without_override.yaml: 'model: lean': no such file experiment/model/lean.yaml; to ",
    ),
    (
        "no_space",
        "experiment/no_space.yaml: 'override/model: lean': no such file experiment/override/model/lean.yaml; ",
    ),
    ("no_file", "experiment/no_file.yaml: experiment/nowhere.yaml: no such file; defaults names files of the same"),
    ("no_dash", "experiment/no_dash.yaml: defaults must be a list; write '- ' before each of its entries"),
    ("one_dash", "experiment/one_dash.yaml: an entry of defaults has several keys; write '- ' before each of them"),
    ("tab", "/experiment/tab.yaml, line 3: holds a tab; indent with spaces"),
    (
        "one_line",
        "/experiment/one_line.yaml, line 2: a second ':' in one line, or a wrong indent; give each key its own",
    ),
    ("indent", "/experiment/indent.yaml, line 4: a second ':' in one line, or a wrong indent"),
    ("twice", "/experiment/twice.yaml, line 4: lr is given twice; keep one"),
    ("at", "/experiment/at.yaml, line 3: a value can't start with @; quote it"),
    ("bracket", "/experiment/bracket.yaml, line 4: expected ',' or ']'"),
    ("interpolation", "optim.lr: can't be read at ${seed; close its brackets"),
    ("latin", "/experiment/latin.yaml, line 3: is not UTF-8; save it in that encoding"),
    ("a_list", "experiment/a_list.yaml: is a list, or gives one to a node; must hold keys with values"),
    ("list_for_node", "experiment/list_for_node.yaml: is a list, or gives one to a node; must hold keys with values"),
    ("null_key", "experiment/null_key.yaml: null: is no key; in quotes it is text: 'null'"),
    ("text", "experiment.some text: nothing reads it (it is set in experiment/text.yaml)"),
    ("no_node", "optim=lr 0.1: must be a node with keys and values"),
    ("with_engine", "experiment/with_engine.yaml: hydra.launcher.engine: no such key with the choices of this command"),
]


LISTED = "in defaults: must be 'override /GROUP: CHOICE', or name a file of the same folder"
NO_PATH = "in defaults: a path has neither .. nor \\; write it from the config folder, as in /model/lean"
FURTHER_BROKEN_FILES = [
    ("circle", "experiment/circle.yaml: its defaults lead back to it, through experiment/other_half.yaml; take one of"),
    ("null_byte", "/experiment/null_byte.yaml, line 3: holds the character '\\x00'; take it out"),
    ("byte_order_mark", "/experiment/byte_order_mark.yaml, line 1: begins with a byte order mark; save it as UTF-8"),
    ("two_documents", "/experiment/two_documents.yaml, line 3: a second document begins; keep one, without ---"),
    ("open_quote", "/experiment/open_quote.yaml, line 4: a quote or a bracket is not closed"),
    ("alias", "/experiment/alias.yaml, line 3: *base refers to no &base above; quote a value that starts with *"),
    ("tag", "/experiment/tag.yaml, line 3: !python/object/apply:os.system is a tag, which builds nothing here"),
    ("number_in_defaults", f"experiment/number_in_defaults.yaml: '3' {LISTED}"),
    ("choice_is_number", f"experiment/choice_is_number.yaml: 'override /model: 3' {LISTED}"),
    ("optional", "experiment/optional.yaml: 'optional override /model: lean' in defaults: leave out optional"),
    ("parent", f"experiment/parent.yaml: '../model/lean' {NO_PATH}"),
    ("backslash", f"experiment/backslash.yaml: 'override \\model: lean' {NO_PATH}"),
    (
        "group_as_key",
        "experiment/group_as_key.yaml: 'model: lean' would replace all keys of model; write 'override /mo",
    ),
    (
        "wrong_package",
        "global: nothing reads it; the first line of experiment/wrong_package.yaml must be # @package _gl",
    ),
    ("comment_after_package", "experiment/comment_after_package.yaml: '# @package _global_ # all': must be # @package"),
    ("dotted_key", "optim.lr: nothing reads it (it is set in experiment/dotted_key.yaml); write optim: {lr: …}"),
    ("claim", "experiment/claim.yaml: claims.0.valu: no such key; did you mean claims.0.value?"),
    ("claim_without_words", "experiment/claim_without_words.yaml: claims.0.words: must be given"),
    ("two_packages", "experiment/two_packages.yaml: '# @package _global_' and '# @package optim': Hydra takes one"),
    ("late_package", "experiment/late_package.yaml: '# @package _global_': Hydra doesn't read it there; make it the"),
    ("searchpath", "experiment/searchpath.yaml: hydra.searchpath: has no effect in a chosen file; give it on the com"),
    ("self_twice", "experiment/self_twice.yaml: _self_ is twice in defaults; keep one"),
    ("no_space_after_colon", "experiment/no_space_after_colon.yaml: 'override /model:lean' in defaults: write 'over"),
    ("no_number", "experiment/no_number.yaml: optim.lr=fast: must be a number"),
    ("no_such_reference", "experiment/no_such_reference.yaml: optim.lr: Interpolation key 'optim.lrr' not found"),
    ("no_text", "experiment/no_text.yaml: tracking.project=3: must be text"),
    ("plain optim=mine", "optim/mine.yaml: optim.eps=tiny: must be a number"),
    ("asks", "experiment/asks.yaml: optim.lr=???: asks for a value, and none is given; add optim.lr=…"),
    ("null optim=asking", "optim/asking.yaml: optim.lr=???: asks for a value, and none is given; add optim.lr=…"),
    ("no_choice", "experiment/no_choice.yaml: 'override /model:' in defaults: model needs one choice; write 'override"),
    (
        "two_choices",
        "experiment/two_choices.yaml: 'override /model: [lean, stem3x3]' in defaults: model needs one choice",
    ),
    ("number", "experiment/number.yaml: holds 3 alone; must hold keys with values"),
    ("a_set", "experiment/a_set.yaml: optim: a set is no value of a config; write a list"),
    ("unhashable", "/experiment/unhashable.yaml, line 2: a key can't be a list or a dictionary; quote it"),
    ("no_such_model", "experiment/no_such_model.yaml: 'model: leen' in defaults: no such choice; did you mean lean?"),
    (
        "other_package",
        "experiment/other_package.yaml: 'override /model@net': it has no default to replace; write 'over",
    ),
    ("refers_in_defaults", "experiment/refers_in_defaults.yaml: '${size}' in defaults: names no group that is chosen"),
    (
        "replaces_itself",
        "experiment/replaces_itself.yaml: 'override /experiment: plain' would replace this file itself",
    ),
    ("second_optim", "experiment/second_optim.yaml: '/optim/sgd' in defaults would be mixed with the optim that is ch"),
    (
        "unknown_argument",
        "experiment/unknown_argument.yaml: optim._target_=torch.optim.Adam: got an unexpected keyword",
    ),
    ("2024", "experiment=2024: 2024 is no text; in quotes it is: 'experiment=\"2024\"'"),
    (
        "null optim=deeper",
        "optim/deeper.yaml: '/optim/adam' in defaults would be put into optim.optim; write '/optim/ad",
    ),
    ("null optim=deeper_by_key", "optim/deeper_by_key.yaml: '/optim: adam' in defaults would be put into optim.optim"),
    (
        "null optim=here_by_key",
        "optim/here_by_key.yaml: 'optim@_here_: adam' in defaults chooses this file again; write",
    ),
    (
        "null model=mine/net",
        "model/mine/net.yaml: '/model/lean' in defaults would be put into model.model; write '/mod",
    ),
    ("misnamed", "/experiment/misnamed.yml: must end in .yaml; rename it"),
]


@pytest.mark.parametrize(
    "mode", ["experiment={}", "lrr=0.1 experiment={}", "-m experiment={},plain"], ids=["run", "with_typo", "swept"]
)
@pytest.mark.parametrize(("file", "message"), BROKEN_FILES)
def test_broken_file_is_named(file: str, message: str, mode: str, commands: Commands) -> None:
    ended = commands.run(mode.format(file))
    assert ended.err.startswith("error: ")
    assert message in ended.err or ("lrr" in mode and "lrr: no such key" in ended.err)
    assert ended.err.count("\n") == 1
    assert ended.code == 2
    assert list(commands.here.folder.iterdir()) == []


@pytest.mark.parametrize(("file", "message"), FURTHER_BROKEN_FILES)
def test_further_broken_file_is_named(file: str, message: str, commands: Commands) -> None:
    test_broken_file_is_named(file, message, "experiment={}", commands)


YAML_VALUES = [
    ("experiment=octal", "experiment/octal.yaml, line 2: YAML reads 017 as 15; write '017' in quotes, or 15"),
    ("-m experiment=plain,octal", "experiment/octal.yaml, line 2: YAML reads 017 as 15; write '017' in quotes, or 15"),
    (
        "experiment=underscore",
        "experiment/underscore.yaml, line 2: YAML reads 1_000 as 1000; write '1_000' in quotes, or",
    ),
    (
        "experiment=base_60",
        "experiment/base_60.yaml, line 3: YAML reads 1:30.5 as 90.5; write '1:30.5' in quotes, or 90",
    ),
    ("experiment=off", "experiment/off.yaml, line 3: YAML reads off as false; write 'off' in quotes, or false"),
    (
        "-m hydra/launcher=cluster",
        "hydra/launcher/cluster.yaml, line 4: YAML reads 2:30:00 as 9000; write '2:30:00' in",
    ),
    ("-m +sweep=levels", "sweep/levels.yaml, line 5: YAML reads no as false; write 'no' in quotes, or false"),
    ("-m hydra/sweeper=search experiment=octal,plain", "experiment/octal.yaml, line 2: YAML reads 017 as 15"),
]


@pytest.mark.parametrize(("typed", "message"), [*UNREAD, *UNREAD_BY_HYDRA, *SWEPT_FILES, *WHOLE_SWEEP, *YAML_VALUES])
def test_fault_is_one_line(typed: str, message: str, commands: Commands) -> None:
    ended = commands.run(typed)
    assert ended.err.startswith("error: ")
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert ended.code == 2
    assert list(commands.here.folder.iterdir()) == []


def test_new_key_that_another_key_refers_to_is_swept(commands: Commands) -> None:
    ended = commands.run("-m sweep.name=pairs experiment=refers '+pair={lr:0.01,seed:1},{lr:0.001,seed:2}'")
    assert ended.code == 0
    configs = [job.config for job in read_sweep(commands.here.folder / "multirun" / "pairs").jobs]
    assert [(config["optim"]["lr"], config["seed"]) for config in configs] == [(0.01, 1), (0.001, 2)]


@pytest.mark.parametrize(
    ("typed", "model"),
    [
        ("debug=wide experiment=small", "stem7x7"),
        ("experiment=small debug=wide", "stem7x7"),
        ("experiment=small debug=wide model=lean_stem5x5", "lean_stem5x5"),
    ],
)
def test_later_file_of_two_counts(typed: str, model: str, commands: Commands) -> None:
    query = ["--cfg", "hydra", "--package", "hydra.runtime.choices.model"]
    arguments = [*query, "--config-dir", str(commands.place.folder / "conf"), *typed.split()]
    ended = run_in_process(arguments, commands.here, commands.monkeypatch, commands.capfd)
    assert (ended.out.strip(), ended.err, ended.code) == (model, "", 0)


def test_file_of_the_same_group_is_inherited_by_its_path(commands: Commands) -> None:
    assert commands.jobs("-m optim=here,adam") == ["optim=here", "optim=adam"]


def test_value_that_a_file_asks_for_is_swept(commands: Commands) -> None:
    assert commands.jobs("-m experiment=asks optim=asking optim.lr=0.1,0.2") == ["optim.lr=0.1", "optim.lr=0.2"]


def test_new_key_in_a_folders_name_is_read(commands: Commands) -> None:
    assert commands.run("+tag=first 'hydra.run.dir=outputs/${tag}'").code == 0
    assert (commands.here.folder / "outputs" / "first" / "result.json").exists()


@pytest.mark.parametrize(
    "typed",
    [
        "+hydra.foo=x '+hydra.bar=${hydra.foo}' 'hydra.run.dir=outputs/${hydra.bar}'",
        "hydra.job.name=x 'hydra.run.dir=outputs/${hydra:job.name}'",
    ],
)
def test_key_of_hydras_that_another_key_refers_to_is_read(typed: str, commands: Commands) -> None:
    assert commands.run(typed).code == 0
    assert (commands.here.folder / "outputs" / "x" / "result.json").exists()


def test_glob_selects_the_files_of_a_subfolder(commands: Commands) -> None:
    jobs = commands.jobs("-m 'experiment=glob(mine/*)'")
    assert [name.rpartition("-")[0] for name in jobs] == ["experiment=mine_one", "experiment=mine_two"]


def test_params_of_a_study_may_be_lists_and_nested(commands: Commands) -> None:
    jobs = commands.jobs("-m +sweep=lists")
    assert jobs == [f"optim.lr={lr},seed={seed}" for seed in (1, 2) for lr in (0.1, 0.2)]


def test_null_level_runs_without_the_group(commands: Commands) -> None:
    ended = commands.run("-m sweep.name=with_and_without experiment=plain,null")
    assert ended.code == 0
    jobs = read_sweep(commands.here.folder / "multirun" / "with_and_without").jobs
    assert [(job.name, job.config["optim"]["lr"]) for job in jobs] == [
        ("experiment=plain", 0.02),
        ("experiment=null", 0.001),
    ]


def test_search_takes_globs_and_null(commands: Commands) -> None:
    ended = commands.run(
        "-m hydra/sweeper=search sweep.name=globs sweep.trials=2 hydra/sweeper/sampler=grid data.val_size=16 "
        "'experiment=glob(report_d_s*)' debug=step,null trainer.epochs=1"
    )
    assert ended.code == 0, ended.err
    names = {job.name for job in read_sweep(commands.here.folder / "multirun" / "globs").jobs}
    assert names == {f"debug={debug},experiment=report_d_sgd" for debug in ("step", "null")}


def test_plain_numbers_and_quoted_words_in_files_are_read_as_written(commands: Commands) -> None:
    assert commands.jobs("-m experiment=hexadecimal,plain") == ["experiment=hexadecimal", "experiment=plain"]
    assert commands.run("experiment=quoted data.verify=false").err.count("YAML") == 0


def test_hydras_launcher_sets_the_environment_of_jobs(commands: Commands) -> None:
    ended = commands.run("-m hydra/launcher=basic +hydra.job.env_set.MNIST_RESNET_TRUST=a.b seed=1 sweep.name=s")
    assert ended.code == 0


def test_dry_run_downloads_nothing(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = commands.run(f"-m seed=1,2 data.root={tmp_path / 'empty'} data.verify=true sweep.dry_run=true")
    assert ended.out.splitlines()[0] == "the data are not checked: a launch downloads them first"
    assert ended.code == 0
    assert list((tmp_path / "empty").iterdir()) == []


def test_swept_folders_of_data_show_in_the_names(commands: Commands) -> None:
    images = commands.place.images
    names = commands.jobs(f"-m data.root={images},{images}/../images")
    assert [name.partition("=")[0] for name in names] == ["data.root", "data.root"]
    assert len(set(names)) == 2


def test_single_run_is_named_in_one_short_line(commands: Commands) -> None:
    ended = commands.run("optim.lr=0.01 hydra.run.dir=here")
    name = json.loads((commands.here.folder / "here" / "result.json").read_text())["name"]
    assert len(name) <= 100
    assert "lr=0.01" in name
    assert "tracking" not in name
    assert ended.out.splitlines()[0].startswith(f"{name}: ")
