"""What the files of a user's own config folder set is read, or one line names the file and the key; exit code 2."""

import json
from pathlib import Path

import pytest

from mnist_resnet.config.config_files import CONF
from mnist_resnet.sweeps.folder import read_sweep
from tests.end_to_end.config_folder import CALLBACKS, Commands
from tests.small_sweeps import run_in_process

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
    (f"'+hydra.callbacks={{check:{{_target_:{CALLBACKS}.OfNoClass}}}}' +tag=x", "tag: nothing reads it"),
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
    (
        f"-m seed=1,2 +hydra.callbacks.a={{_target_:{CALLBACKS}.SetsItself}}",
        "hydra.callbacks: SetsItself.on_job_end is",
    ),
    (
        f"-m seed=1,2 +hydra.callbacks.a={{_target_:{CALLBACKS}.OfNoClass}}",
        "hydra.callbacks: OfNoClass.on_job_start is",
    ),
    (
        f"seed=1 '+hydra.callbacks.a={{_target_:{CALLBACKS}.SetsItself,foo:3}}'",
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


@pytest.mark.parametrize(("typed", "message"), [*UNREAD, *UNREAD_BY_HYDRA, *SWEPT_FILES, *WHOLE_SWEEP])
def test_fault_is_one_line(typed: str, message: str, commands: Commands) -> None:
    commands.assert_one_line(typed, message)


@pytest.mark.parametrize(
    ("file", "typed", "shown"),
    [
        ("model/lean", "{} model=lean", "model=lean"),
        ("model/lean", "-m {} model=stem3x3,lean sweep.dry_run=true", "model=lean"),
        ("model/lean", "{} experiment=small", "model=lean"),
        ("experiment/plain", "{} experiment=plain --cfg job", "experiment=plain"),
        ("sweep/seeds", "-m {} +sweep=seeds", "sweep=seeds"),
        ("hydra/launcher/workers", "-m {} seed=1,2 hydra/launcher=workers", "hydra/launcher=workers"),
        ("config", "{} seed=1", "config.yaml"),
    ],
)
def test_second_file_of_one_name_is_refused(
    file: str, typed: str, shown: str, commands: Commands, tmp_path_factory: pytest.TempPathFactory
) -> None:
    second = tmp_path_factory.mktemp("second")
    (second / f"{file}.yaml").parent.mkdir(parents=True, exist_ok=True)
    (second / f"{file}.yaml").write_text("seed: 3\n")
    first = next(folder for folder in (CONF, commands.place.folder / "conf") if (folder / f"{file}.yaml").exists())
    commands.assert_one_line(
        typed.format(f"hydra.searchpath=[file://{second}]"),
        f"error: {shown}: both {first}/{file}.yaml and {second}/{file}.yaml have this name; rename yours\n",
    )


def test_file_of_a_name_that_is_not_chosen_or_the_same_file_is_fine(
    commands: Commands, tmp_path_factory: pytest.TempPathFactory
) -> None:
    second = tmp_path_factory.mktemp("second")
    (second / "model").mkdir()
    (second / "model" / "stem3x3.yaml").write_text("nothing: 3\n")
    (second / "model" / "lean.yaml").symlink_to(CONF / "model" / "lean.yaml")
    assert commands.jobs(f"-m model=lean seed=1,2 hydra.searchpath=[file://{second}]") == ["seed=1", "seed=2"]


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
