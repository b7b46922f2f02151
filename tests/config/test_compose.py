"""The composer, which reuses what a sweep's jobs share, gives the same configs as Hydra."""

from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import OmegaConf
from yaml import MarkedYAMLError

from mnist_resnet.config.combinations import Combination
from mnist_resnet.config.compose import Composer, compose_job, resolve_job
from mnist_resnet.config.config_files import ConfigFile
from mnist_resnet.config.file_errors import yaml_fault
from mnist_resnet.config.hydra_versions import VERSION_BASE

CONF = Path(__file__).parents[2] / "conf"
SWEPT = ["optim.lr", "model", "seed", "experiment", "model.blocks", "data.mean", "trainer.device"]


@pytest.mark.parametrize(
    "combination",
    [
        ["optim.lr=0.02", "model=stem7x7", "seed=3"],
        ["seed=4", "experiment=report_e_30_epochs", "optim.lr=1e-3"],
        ["model.blocks=[2,2,2,2]", "data.mean=0", "seed=1", "trainer.epochs=3"],
        ["trainer.device='cpu'", "scale=quick", "sweep.keep=none"],
        ["model.block_norm=none", "debug=step", "optim=sgd"],
    ],
)
def test_composer_agrees_with_hydra(combination: Combination) -> None:
    with initialize_config_dir(str(CONF), **VERSION_BASE):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", ["hydra.mode=MULTIRUN"], run_mode=RunMode.MULTIRUN)
        composer = Composer(config, loader)
        before = HydraConfig.instance().cfg
        composer.compose([override for override in combination if not override.startswith("seed")], SWEPT)
        by_composer = resolve_job(composer.compose(combination, SWEPT), combination, SWEPT)
        by_itself = compose_job(combination, SWEPT, 0, composer)
        by_hydra = resolve_job(loader.load_sweep_config(config, combination), combination, SWEPT)
        HydraConfig.instance().cfg = before
    assert by_composer == by_hydra == by_itself
    assert list(by_itself.config) == list(by_hydra.config)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["seed=1", "optim.lr=0.1"], ["seed=2", "optim.lr=2"]),
        (["regularization.dropout=0.3"], ["regularization.dropout=0.1"]),
        (["data.channels=1", "seed=1"], ["data.channels=3", "seed=2"]),
        (["model.dropout=0.2"], ["model.dropout=null"]),
        (["model.blocks=[1]"], ["model.blocks=[2,2]"]),
        (["tracking.project=a"], ["tracking.project='b,c'"]),
        (["tracking.project=a"], ["tracking.project=${seed}"]),
    ],
)
def test_job_that_differs_in_values_alone_is_composed_as_by_hydra(first: Combination, second: Combination) -> None:
    swept = [override.partition("=")[0] for override in first]
    with initialize_config_dir(str(CONF), **VERSION_BASE):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", ["hydra.mode=MULTIRUN"], run_mode=RunMode.MULTIRUN)
        composer = Composer(config, loader)
        for combination in (first, second, first):
            composed = composer.compose_alone(combination, swept)
            by_hydra = loader.load_sweep_config(config, combination)
            if composed is not None:
                by_hydra = OmegaConf.masked_copy(by_hydra, [str(key) for key in by_hydra if key != "hydra"])
                assert composed[0] == OmegaConf.to_container(by_hydra, resolve=True)


def test_file_that_is_broken_since_hydra_read_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("lr: 0.003\n_target_: [")
    with pytest.raises(MarkedYAMLError) as caught:
        ConfigFile("own.yaml", tmp_path / "own.yaml").sets("optim.lr")
    assert yaml_fault(caught.value).startswith(f"{tmp_path / 'own.yaml'}, line 2: expected the node content")


def test_composer_raises_hydras_own_error() -> None:
    with initialize_config_dir(str(CONF), **VERSION_BASE):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", ["hydra.mode=MULTIRUN"], run_mode=RunMode.MULTIRUN)
        with pytest.raises(ConfigCompositionException, match=r"optim\.rate"):
            Composer(config, loader).compose(["optim.rate=0.02"], ["optim.rate"])
