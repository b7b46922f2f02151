"""Invalid input ends with one line on stderr, exit code 2, and nothing written to disk."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mnist_resnet.config.hydra_versions import SINCE_1_4
from tests.small_sweeps import CHECKOUT, CommandResult, Place, make_place, run_in_process

VALUES = [
    ("optim.lr=abc", "optim.lr=abc: must be a number"),
    ("optim.lr=null", "optim.lr=null: must be a number"),
    ("optim.lr=", "optim.lr=: must be a number"),
    ("optim.lr=[0.1]", "optim.lr=[0.1]: must be a number"),
    ("optim.lr='${oc.env:NONE,0.1}'", "optim.lr='0.1': must be a number, not text: leave out its quotes; for a"),
    ("optim.lr=1e-400", "optim.lr=1e-400: is read as 0.0; must be more than 0"),
    ("optim.lr=0", "optim.lr=0: must be more than 0"),
    ("optim.lr=nan", "optim.lr=nan: must be a finite number"),
    ("optim.lr=true", "optim.lr=true: must be a number"),
    ("optim.betas=[0.9]", "optim.betas=[0.9]: must have 2 or more items"),
    ("optim.betas=0.9", "optim.betas=0.9: must be a list"),
    ("optim=sgd optim.nesterov=maybe", "optim.nesterov=maybe: must be true or false"),
    ("optim=sgd optim.nesterov=true optim.momentum=0.0", "optim.nesterov=true: needs a momentum above 0"),
    ("seed=-1", "seed=-1: must be 0 or more"),
    ("seed=1.5", "seed=1.5: must be a whole number"),
    ("seed=4294967296", "seed=4294967296: must be less than 4294967296"),
    ("trainer.epochs=0", "trainer.epochs=0: must be 1 or more"),
    ("trainer.epochs=ten", "trainer.epochs=ten: must be a whole number"),
    ("trainer.epochs=1e-3", "trainer.epochs=1e-3: must be a whole number"),
    ("trainer.epochs=\\'3\\'", "trainer.epochs='3': must be a whole number"),
    ("trainer.threads=0", "trainer.threads=0: must be 1 or more"),
    ("trainer.log_interval=0", "trainer.log_interval=0: must be 1 or more"),
    ("trainer.detect_anomaly=maybe", "trainer.detect_anomaly=maybe: must be true or false"),
    ("trainer.device=gpu", "trainer.device=gpu: must be auto, cpu, mps, cuda or cuda:N"),
    ("trainer.device=cuda:99", "trainer.device=cuda:99: not on this machine"),
    ("trainer.device=cpu trainer.precision=tf32", "trainer.precision=tf32: only CUDA devices since Ampere have it"),
    ("trainer.precision=fp16", "trainer.precision=fp16: must be 'auto', 'fp32', 'tf32' or 'bf16'"),
    ("model.stem=5x5", "model.stem=5x5: must be '3x3' or '7x7'"),
    ("model.blocks=[]", "model.blocks=[]: must have 1 or more items"),
    ("model.blocks=[3,0]", "model.blocks.1=0: must be 1 or more"),
    ("model.blocks=3", "model.blocks=3: must be a list"),
    ("model.width=64.5", "model.width=64.5: must be a whole number"),
    ("model.block_norm=often", "model.block_norm=often: must be 'none', 'after_repeats' or 'after_every'"),
    ("model.classes=3", "model.classes=3: must be data.classes=10 or more"),
    ("model.channels=3", "model.channels=3: the images have data.channels=1"),
    ("regularization.dropout=1.5", "regularization.dropout=1.5: must be less than 1"),
    ("schedule=onecycle schedule.warmup=1", "schedule.warmup=1: must be less than 1"),
    ("augmentation=translate augmentation.pixels=1.5", "augmentation.pixels=1.5: must be a whole number"),
    ("augmentation=elastic augmentation.scale=1", "augmentation.scale=1: must be less than 1"),
    ("augmentation=affine +augmentation.flip=true", "augmentation._target_=mnist_resnet.data.augmentation.Affine: "),
    ("augmentation=flips", "augmentation=flips: no such choice; one of affine, elastic, none, translate"),
    ("loss.label_smoothing=1", "loss.label_smoothing=1: must be less than 1"),
    ("averaging=ema averaging.decay=1", "averaging.decay=1: must be less than 1"),
    ("averaging=swa averaging.share=0", "averaging.share=0: must be more than 0"),
    ("averaging=precise_batch_norm averaging.batches=0", "averaging.batches=0: must be 1 or more"),
    ("data.shuffle=false +data.balanced=true", "data.shuffle=false: has no effect with data.balanced=true"),
    ("data.shuffle=2", "data.shuffle=2: must be true or false"),
    ("data.verify=x data.root=/nowhere", "data.verify=x: must be true or false"),
    ("data.verify=null data.root=/nowhere", "data.verify=null: must be true or false"),
    ("augmentation=affine augmentation.scale=[0.1,0.2]", "augmentation.scale=[0.1, 0.2]: must be a number"),
    ("training=composed training.step.micro_batches=2.5", "training.step.micro_batches=2.5: must be a whole number"),
    ("tracking=none tracking.timeout=soon", "tracking.timeout=soon: must be a number"),
    ("tracking=none tracking.project=3", "tracking.project=3: must be text"),
    (
        "training=composed training.step.closure=twice",
        "training.step.closure=twice: must be 'optimizer' or 'again'",
    ),
    ("scale.epochs=2", "scale.epochs=2: must be 1 or less"),
    (
        "tracking.project=team/mnist",
        "tracking.project=team/mnist: W&B takes no / \\ # ? % : in it; "
        "take tracking.entity=team tracking.project=mnist",
    ),
    ("tracking.mode=on", "tracking.mode=on: must be 'auto', 'online' or 'offline'"),
    ("data.train_size=65", "data.train_size=65: leaves a last batch of one image at data.batch_size=64"),
    ("data.batch_size=1", "data.batch_size=1: must be 2 or more"),
    ("data.mean=x", "data.mean=x: must be a number or a list"),
    ("data.std=0", "data.std=0: must be more than 0 or a list"),
    ("data.root=3", "data.root=3: must be a folder's path, or null"),
    ("data.root=FILE", "is no folder"),
    ("data.train_size=70", "data.train_size=70, val_size=0: there are 64 images"),
    ("data.val_size=64", "data.val_size=64: there are 64 images"),
    ("data.test_size=33", "data.test_size=33: there are 32 test images"),
    ("data.classes=5 model.classes=5", "data.classes=5: there is a label 9"),
    ("data.channels=3", "data.channels=3: the images have 1"),
    ("sweep.keep=everything", "sweep.keep=everything: must be 'checkpoint', 'model' or 'none'"),
    ("sweep.rerun=nope", "sweep.rerun=nope: must be a list, as in [1,2] or 'failed' or 'all'"),
    ("sweep.seeds=0", "sweep.seeds=0: is for a study (+sweep=NAME); elsewhere, sweep over -m seed=1,2,3"),
    ("+sweep=report_ablation sweep.seeds=0", "sweep.seeds=0: must be 1 or more or a list"),
    ("+sweep=report_ablation sweep.seeds=1.5", "sweep.seeds=1.5: must be"),
    ("+sweep=report_ablation sweep.seeds=all", "sweep.seeds=all: must be"),
    ("+sweep=report_ablation sweep.seeds=[]", "sweep.seeds=[]: must be"),
    ("+sweep=report_ablation sweep.seeds=[1,x]", "sweep.seeds=[1, 'x']: must be"),
    ("+sweep=report_ablation sweep.seeds=null", "sweep.seeds=null: must be"),
    ("claims=[{metric:x,valu:3,words:x}]", "claims.0.valu: no such key; did you mean claims.0.value?"),
    ("claims=[1]", "claims.0=1: must be a node with keys and values"),
    ("model.width=4096", "GB are free; make room, or keep none"),
]

KEYS = [
    ("optm.lr=0.1", "optm.lr: no such key; did you mean optim.lr?"),
    ("optim.lrr=0.1", "optim.lrr: no such key; did you mean optim.lr?"),
    ("optim.learning_rate=0.1", "optim.learning_rate: no such key; one of lr, betas, eps, weight_decay"),
    ("optim=sgd optim.momentom=0.3", "optim.momentom: no such key; did you mean optim.momentum?"),
    ("epochs=3", "epochs: no such key; did you mean trainer.epochs or scale.epochs?"),
    ("lr=0.1", "lr: no such key; did you mean optim.lr?"),
    ("modle=stem3x3", "modle: no such key; did you mean model?"),
    ("schedule.warmup=0.3", "schedule.warmup: no such key"),
    ("hydra.run.dri=x", "hydra.run.dri: no such key; did you mean hydra.run.dir?"),
    ("optim@here=adam", "optim@here: no such key"),
    ("+trainer.zzz=1", "trainer.zzz: no such key; one of epochs, device"),
    ("+sweep.foo=1", "sweep.foo: no such key; one of name, design, exclude"),
    ("+model.widht=3", "model.widht: no such key; did you mean model.width?"),
    ("+optim.foo=3", "optim._target_=torch.optim.Adam: got an unexpected keyword argument 'foo'; it takes params, lr"),
    ("+data.foo=3", "data._target_=mnist_resnet.data.sources.mnist: got an unexpected keyword argument 'foo'"),
    ("+tracking.foo=3", "got an unexpected keyword argument 'foo'; it takes mode, project"),
    ("+optim.lr=0.1", "+optim.lr: already exists; leave out the +"),
    ("trainer={epochz:3}", "trainer.epochz: no such key; did you mean trainer.epochs?"),
    ("optim={foo:1}", "optim.foo: no such key; one of lr, betas, eps, weight_decay"),
    ("~foo", "~foo: no such key"),
    ("~optim.lr", "optim.lr: must be given"),
    ("~seed=3", "~seed=3: the value is 1; write ~seed"),
    ("~sweep", "~sweep: nothing is chosen there; leave it out"),
    ("~model", "~model: model needs one choice; write model=CHOICE"),
    ("optim.lr=0.1 optim.lr=0.2", "optim.lr: given 2 times; give it once"),
    ("model=stem3x3 model=stem7x7", "model: given 2 times"),
    ("optim.lr=${nowhere}", "optim.lr=${nowhere}: Interpolation key 'nowhere' not found"),
    ("sweep.constraints={training_seconds:60}", "sweep.constraints={training_seconds:60}: must be a list, as in [1,2]"),
    ("optim.lr=???", "optim.lr: has no value; give one"),
]

CHOICES = [
    ("model=stem9x9", "model=stem9x9: no such choice; one of lean, lean_stem5x5, stem3x3, stem7x7"),
    ("model=", "model=: no such choice; one of lean, lean_stem5x5, stem3x3, stem7x7"),
    ("model=null", "model=null: must be the name of a choice; one of lean, lean_stem5x5, stem3x3, stem7x7"),
    ("optim=adm", "optim=adm: no such choice; did you mean adam? one of adam, adamw, sgd"),
    ("optim=[adam,sgd]", "optim=[adam,sgd]: optim needs one choice; a sweep over several is -m optim=adam,sgd"),
    ("experiment=nope", "experiment=nope: no such choice; one of lean, lean99, report_a_stem7x7"),
    ("+experiment=report_a_stem7x7", "+experiment: already has a default; leave out the +"),
    ("+sweep=nope", "sweep=nope: no such choice; one of "),
    ("sweep=report_ablation", "sweep: has no default; add it: +sweep=…; one of "),
    ("debug=x", "debug=x: no such choice; one of anomaly, overfit, profile, step"),
    ("hydra/launcher=nope", "hydra/launcher=nope: no such choice; one of basic"),
    (
        "model._target_=nope.Network",
        "model._target_=nope.Network: Python finds no module nope; if it is yours, put",
    ),
    ("model._target_=torch.nn.Network", "torch.nn.Network: can't be found; give its full name, as in"),
    ("model._target_=math.pi", "model._target_=math.pi: is a float; name what can be called"),
    ("data._target_=os.getcwd", "data._target_=os.getcwd: got an unexpected keyword argument"),
    ("~optim._partial_", "optim._partial_: must be given"),
]

SYNTAX = [
    ("optim.lr==", "optim.lr==: can't be read; quote a value that holds"),
    ("optim.lr=[1", "optim.lr=[1: can't be read; close brackets and quotes"),
    ('''"optim.lr='abc"''', "optim.lr='abc: can't be read; close brackets and quotes"),
    ("'optim.lr =0.1'", "optim.lr =0.1: can't be read; leave out the spaces around it and its =: optim.lr=0.1"),
    ("' seed=1'", " seed=1: can't be read; leave out the spaces around it and its =: seed=1"),
    ("seed=1,,2", "seed=1,,2: lacks a value between two commas; write several values as in seed=a,b"),
    ("'optim={lr:choice(0.1,0.2)}'", "optim={lr:choice(0.1,0.2)}: a list or dictionary can't hold a sweep; sweep over"),
    (
        "'optim.betas=[range(1,3), 0.9]'",
        "optim.betas=[range(1,3), 0.9]: a list or dictionary can't hold a sweep; sweep",
    ),
    ("optim.lr", "optim.lr: not key=value; write optim.lr=…"),
    ("seed", "seed: not key=value; write seed=…"),
    ("=3", "=3: lacks a key; write key=value"),
    ("sweep.exclude=model=stem7x7", "sweep.exclude=model=stem7x7: can't be read"),
    ("--optim.lr=3", "--optim.lr=3: no such option; --help lists them; overrides are written without dashes"),
    ("--config-dir", "expected one argument; --help lists the options"),
    ("--config-dir conf -cd=conf", "--config-dir: given more than once; give one, and hydra.searchpath=[…] for others"),
    ("-cn config --config-name config", "--config-name: given more than once; give one"),
    ("--config-d conf", "--config-d: no such option; --help lists them"),
    ("-cjob --cfg hydra", "--cfg: given more than once; give one"),
    ("--info config -i plugins", "--info: given more than once; give one"),
    ("--config-dir /nowhere/at/all", "--config-dir /nowhere/at/all: no such folder"),
    ('--config-name ""', "--config-name : no such config; leave it out"),
    ("--config-path /tmp", "--config-path /tmp: holds no such config; to add a folder beside conf/, use --config-dir"),
    ("--config-name nope", "--config-name nope: no such config"),
    ("--config-path /nowhere", "--config-path /nowhere: no such folder"),
    ("--cfg nope", "invalid choice: 'nope'"),
    ("--resolve", "--resolve flag can only be used"),
]
if not SINCE_1_4:  # which deletes a null key, and takes overrides on both sides of an option
    SYNTAX += [
        ("~tracking.entity", "~tracking.entity: is null, which Hydra can't delete"),
        (
            "seed=1 -m optim.lr=0.1",
            "optim.lr=0.1: is separated from the other overrides; put options before or after all of them",
        ),
    ]

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

WITH_LAUNCHER = """# @package _global_
defaults:
  - override /hydra/launcher: basic
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = make_place(tmp_path_factory.mktemp("bad_input"))
    (place.folder / "file").write_text("no folder")
    (place.folder / "conf" / "experiment").mkdir(parents=True)
    (place.folder / "conf" / "experiment" / "with_launcher.yaml").write_text(WITH_LAUNCHER)
    return place


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    monkeypatch.setenv("MNIST_RESNET_DATA", str(place.images))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    """Interrupt a test after a minute: input that is not refused would train for hours.

    KeyboardInterrupt is raised because other exceptions only fail a job, and do not end a sweep.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt("not refused within a minute")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 60, 1)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def arguments(typed: str, place: Place) -> list[str]:
    """Return the arguments of a command line that uses existing images, so that it has only the tested error."""
    words = shlex.split(typed.replace("FILE", str(place.folder / "file")))
    if "data.verify=" not in typed:
        words.insert(1 if "-m" in words[:1] else 0, "data.verify=false")
    if any("with_launcher" in word for word in words):
        words += ["--config-dir", str(place.folder / "conf")]
    return words


def assert_refused(ended: CommandResult, message: str, folder: Path) -> None:
    assert ended.err.startswith("error: ")
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert ended.err.endswith("\n")
    assert ended.out == ""
    assert ended.code == 2
    assert list(folder.iterdir()) == []


Refuses = Callable[[list[str], str], None]


@pytest.fixture
def refuses(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Refuses:
    """Runs a command line in an empty folder and checks that it is refused."""
    here = Place(tmp_path, place.images)
    return lambda words, message: assert_refused(run_in_process(words, here, monkeypatch, capfd), message, here.folder)


@pytest.mark.parametrize(("typed", "message"), [*VALUES, *KEYS, *CHOICES, *SYNTAX, *SINGLE_RUNS])
def test_run_is_refused(typed: str, message: str, place: Place, refuses: Refuses) -> None:
    refuses(arguments(typed, place), message)


@pytest.mark.parametrize(
    ("typed", "message"), [*SWEEPS, *VALUES[::9], *KEYS[::6], *CHOICES[::5], *SYNTAX[::4], VALUES[-1]]
)
def test_sweep_is_refused_before_its_first_job(typed: str, message: str, place: Place, refuses: Refuses) -> None:
    refuses([*arguments(typed, place), "-m"], message)


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
def test_separate_process_is_refused(typed: str, message: str, place: Place, tmp_path: Path) -> None:
    assert_refused(start(arguments(typed, place), tmp_path), message, tmp_path)


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
    typed: str, read_only: Path, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*shlex.split(typed), "data.verify=false", "model.width=2", "model.blocks=[1]"]
    ended = run_in_process(words, Place(read_only, place.images), monkeypatch, capfd)
    assert_refused(ended, "can't be written; choose another place", read_only)


@pytest.mark.parametrize("mode", ["", "-m"])
def test_missing_images_are_refused_before_anything_is_written(
    mode: str, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*mode.split(), f"data.root={tmp_path / 'nowhere'}", "data.verify=false"]
    (tmp_path / "here").mkdir()
    ended = run_in_process(words, Place(tmp_path / "here", place.images), monkeypatch, capfd)
    assert_refused(ended, "nowhere", tmp_path / "here")
