"""What the tests of the search share: a space, an objective, samplers."""

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from mnist_resnet.config.hydra_versions import VERSION_BASE
from mnist_resnet.config.metric import BUILT_IN
from mnist_resnet.config.objective import Objective
from mnist_resnet.search.space import Parameter, parse_space
from tests.small_sweeps import CHECKOUT

OBJECTIVE = Objective((BUILT_IN["val_accuracy"],), "last")

LR = "optim.lr=tag(log,interval(1e-4,1e-1))"

TPE = {"_target_": "optuna.samplers.TPESampler"}

RANDOM = {"_target_": "optuna.samplers.RandomSampler"}


def space_of(*overrides: str) -> list[Parameter]:
    with initialize_config_dir(str(CHECKOUT / "conf"), **VERSION_BASE):
        return parse_space(overrides, {}, GlobalHydra.instance().config_loader())[0]
