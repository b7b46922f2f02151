"""A sweep with invalid input ends before its first job, with one line on stderr and exit code 2."""

import pytest

from mnist_resnet.config.hydra_versions import SINCE_1_4
from tests.end_to_end.bad_overrides import CHOICES, KEYS, SYNTAX, VALUES
from tests.end_to_end.refusals import Refuses, arguments
from tests.small_sweeps import Place

pytestmark = pytest.mark.usefixtures("bad_input_settings", "minute_limit")

SWEEPS = [
    ("optim.lr=0.1,1e-400", "optim.lr=1e-400: is read as 0.0; must be more than 0"),
    ("optim.lr=0.1,0.2,abc,0.3", "optim.lr=abc: must be a number"),
    ("model=stem3x3,stem9x9 seed=1,2", "model=stem9x9: no such choice; one of lean, lean_stem5x5, stem3x3, stem7x7"),
    ("trainer.epochs=1,0 seed=1,2", "trainer.epochs=0: must be 1 or more"),
    ("data.train_size=32,48,70", "data.train_size=70, val_size=0: there are 64 images"),
    ("data.train_size=64,65", "data.train_size=65: leaves a last batch of one image"),
    ("trainer.device=cpu,cuda:99", "trainer.device=cuda:99: not on this machine"),
    ("experiment=report_a_stem7x7,nope", "experiment=nope: no such choice"),
    ("model._target_=nope.A,nope.B", "model._target_=nope.A: Python finds no module nope"),
    ("optim.lrr=0.1,0.2", "optim.lrr: no such key; did you mean optim.lr?"),
    ("seed=1,2 model.stem=5x5", "model.stem=5x5: must be '3x3' or '7x7'"),
    ("seed=1,2 seed=3", "seed: given 2 times"),
    ("'optim.betas=[0.9,glob(x)]'", "optim.betas=[0.9,glob(x)]: a list or dictionary can't hold a sweep; sweep over"),
    ("'optim={betas:[0.9,glob(x)]},{lr:1}'", "optim={betas:[0.9,glob(x)]},{lr:1}: a list or dictionary can't hold a"),
    (
        "hydra/launcher=workers 'hydra.launcher.slurm.setup=[glob(x)]'",
        "hydra.launcher.slurm.setup=[glob(x)]: a list or dictionary can't hold a sweep",
    ),
    ("seed=1,1 optim.lr=abc", "optim.lr=abc: must be a number"),
    ("seed=1,1 trainer.device=cuda:99", "trainer.device=cuda:99: not on this machine"),
    ("seed=1,1,01", "seed='01': must be a whole number"),
    ("optim.lr=interval(0.1,0.2)", "optim.lr=interval(0.1,0.2): only a search can sweep over an interval"),
    ("optim.lr=0.1, 0.2", "optim.lr=0.1,: ends in a comma; write several values without a space"),
    ("seed=range(3,1)", "seed=range(3,1): gives no value to sweep over"),
    ("seed=range(0,1000000000)", "range(0,1000000000,1): has 1,000,000,000 values; 1,000,000 is the most"),
    ("seed=range(20000) optim.lr=range(0.0,1.0,0.005)", "optim.lr=range(0.0,1.0,0.005): 4,000,000 combinations; 1,00"),
    ("seed=range(100001)", "seed: their values make 100,001 jobs; 100,000 is the most"),
    ("experiment=with_launcher,report_a_stem7x7", "hydra/launcher=basic: set in experiment/with_launcher.yaml, where"),
    ("seed=1,2 experiment=with_launcher", "hydra/launcher=basic: set in experiment/with_launcher.yaml, where"),
    ("--cfg job", "--run, -m, --cfg, --info and --shell-completion: give one of them"),
    ("'seed=int(1,2) '", "seed=int(1,2) : can't be read; leave out the spaces around it and its =: seed=int(1,2)"),
    ("hydra.launcher=null", "hydra.launcher=null: must be a node with a _target_"),
    ("hydra.launcher=3", "hydra.launcher=3: must be a node with a _target_"),
    ("sweep.name=../x", "sweep.name='../x' is not a valid folder name on every file system"),
    ("sweep.name=3", "sweep.name=3: must be text"),
    ("sweep.name=records", "sweep.name='records' is reserved for"),
    ("sweep.name=a,b", "sweep.name: can't be swept"),
    ("sweep.name=x hydra.sweep.dir=y", "sweep.name=x and hydra.sweep.dir: both name the folder"),
    ("sweep.exclude=[model]", "sweep.exclude=model: not key=value,key=value, such as"),
    ("sweep.exclude=[\"'modle=stem3x3'\"]", "sweep.exclude: modle: no such key; did you mean model?"),
    ("sweep.exclude=[\"'model=stem3x3'\"]", "sweep.exclude=['model=stem3x3']: leaves no job"),
    ("sweep.rerun=[nope]", "sweep.rerun=nope: no job of this sweep; sweep.dry_run=true lists them"),
    ("hydra.sweep.dir=FILE", "hydra.sweep.dir="),
    *(
        (f"optim=adam,sgd {override}", "optim.momentum: is a key of optim=sgd, not of optim=adam; sweep these apart")
        for override in ("optim.momentum=0.9", "+optim.momentum=0.9", "optim.momentum=0.9,0.8")
    ),
    ("model=stem3x3,lean +model.growth=2", "model.growth: is a key of model=lean, not of model=stem3x3; sweep these"),
    (
        "schedule=linear,onecycle schedule.warmup=0.1",
        "schedule.warmup: the swept choices have it, the default one has ",
    ),
    ("optim=adam,sgd ++optim.momentum=0.9", "optim._target_=torch.optim.Adam: got an unexpected keyword argument 'mom"),
    *(
        (f"sweep.dry_run=true {words}", message)
        for words, message in [
            ("optim=adam,sgd ++optim.momentum=0.9", "optim._target_=torch.optim.Adam: got an unexpected keyword"),
            ("trainer.device=cuda:99", "trainer.device=cuda:99: not on this machine"),
            ("hydra.sweep.dir=FILE/inside", "is no folder; choose another place"),
            ("sweep.detach=true", "sweep.detach=true: needs hydra/launcher=workers, not sequential"),
            ("data.root=FILE", "is no folder"),
            ("model.width=4096", "GB are free; make room, or keep none"),
            (
                "hydra/sweeper=search data.val_size=16 trainer.device=cuda:99 seed=1 optim.lr=0.1,0.2",
                "not on this machine",
            ),
        ]
    ),
    ("+hydra.job.env_set.A=3", "hydra.job.env_set={'A': '3'}: hydra/launcher=sequential doesn't act on it; export the"),
    (
        "hydra.job.chdir=true",
        "hydra.job.chdir=true: hydra/launcher=sequential doesn't act on it; jobs run in this folder",
    ),
    ("hydra.output_subdir=null", "hydra.output_subdir=null: hydra/launcher=sequential doesn't act on it"),
    (
        "hydra/launcher=workers hydra/job_logging=default",
        "hydra/job_logging=default: hydra/launcher=workers doesn't act on it; each job's log is its train.log, or take",
    ),
    ("hydra.verbose=true", "hydra.verbose=true: hydra/launcher=sequential doesn't act on it; each job's log is its"),
    ("hydra/launcher=workers hydra.job.chdir=true", "hydra.job.chdir=true: hydra/launcher=workers doesn't act on it"),
    pytest.param(
        "+hydra.callbacks.log._target_=hydra.experimental.callbacks.LogJobReturnCallback",
        "hydra.callbacks: LogJobReturnCallback.on_job_end is not called by hydra/launcher=sequential; leave it out",
        marks=pytest.mark.skipif(SINCE_1_4, reason="Hydra 1.4's does nothing"),
    ),
    ("hydra/sweeper=basic", "hydra/sweeper=basic: freezes no jobs to run; take ablation (the default) or search"),
    ("hydra/sweeper=basic hydra/launcher=workers", "hydra/sweeper=basic: freezes no jobs to run; take ablation"),
    ("hydra.searchpath=[file:///nowhere]", "hydra.searchpath: /nowhere: no such folder; give an existing one"),
    ("hydra.sweep.dir=FILE/inside", "is no folder; choose another place"),
]


@pytest.mark.parametrize(
    ("typed", "message"), [*SWEEPS, *VALUES[::9], *KEYS[::6], *CHOICES[::5], *SYNTAX[::4], VALUES[-1]]
)
def test_sweep_is_refused_before_its_first_job(
    typed: str, message: str, bad_input_place: Place, refuses: Refuses
) -> None:
    refuses([*arguments(typed, bad_input_place), "-m"], message)
