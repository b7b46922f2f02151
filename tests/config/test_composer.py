"""Composing what a sweep's jobs have in common once gives what Hydra composes for each."""

from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode

from mnist_resnet.config.compose import Combination, Composer, resolve_job

CONF = Path(__file__).parents[2] / "conf"
SWEPT = ["optim.lr", "model", "seed", "experiment", "model.blocks", "data.mean", "trainer.device"]


@pytest.mark.parametrize(
    "combination",
    [
        ["optim.lr=0.02", "model=stem7x7", "seed=3"],
        ["seed=4", "experiment=report_e_30_epochs", "optim.lr=1e-3"],
        ["model.blocks=[2,2,2,2]", "data.mean=0", "seed=1", "trainer.epochs=3"],
        ["trainer.device='cpu'", "scale=quick", "sweep.name=a"],
        ["model.block_norm=none", "+sweep=report_claims", "optim=sgd"],
    ],
)
def test_a_job_is_what_hydra_composes(combination: Combination) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", ["hydra.mode=MULTIRUN"], run_mode=RunMode.MULTIRUN)
        composer = Composer(config, loader)
        before = HydraConfig.instance().cfg
        composer.composed([override for override in combination if not override.startswith("seed")], SWEPT)
        ours = resolve_job(composer.composed(combination, SWEPT), combination, SWEPT)
        hydras = resolve_job(loader.load_sweep_config(config, combination), combination, SWEPT)
        HydraConfig.instance().cfg = before
    assert ours == hydras


def test_what_hydra_refuses_is_refused_in_its_words() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", ["hydra.mode=MULTIRUN"], run_mode=RunMode.MULTIRUN)
        with pytest.raises(ConfigCompositionException, match=r"optim\.rate"):
            Composer(config, loader).composed(["optim.rate=0.02"], ["optim.rate"])
