"""Rehearses a sampler before the first trial, so that what it lacks is found out before anything was trained."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import CmaEsSampler, RandomSampler
from optuna.study import Study

from mnist_resnet.errors import UsageError, wording
from mnist_resnet.search.components import build_sampler
from mnist_resnet.search.space import Parameter
from mnist_resnet.search.study import propose, quiet_optuna

MAX_RANDOM = 100
"""Maximum number of made-up trials before the sampler's own."""


def rehearse(node: Mapping[str, Any], space: Sequence[Parameter], objectives: int = 1) -> list[str]:
    """Let the sampler propose values after some made-up trials.

    Args:
        node: Config node with the sampler's `_target_`.
        space: Searched parameters.
        objectives: Number of objectives.

    Returns:
        The keys that the sampler can't model together with the others; see `drawn_alone`.

    Raises:
        UsageError: The sampler needs a package that is missing, or can't sample this space.
    """
    quiet_optuna()
    startup = node.get("n_startup_trials")
    study = made_up_study(space, min(MAX_RANDOM, startup if isinstance(startup, int) else 10) + 1, objectives)
    study.sampler = build_sampler(node, space, len(study.trials))
    shown = f"hydra.sweeper.sampler._target_={node['_target_']}"
    try:
        propose(study, space, None)
        return drawn_alone(study, space)
    except ModuleNotFoundError as error:
        raise UsageError(f"{shown}: needs {error.name}, which is not installed: pip install {error.name}") from None
    except Exception as error:
        raise UsageError(f"{shown}: can't search this space: {wording(error)}") from None


def made_up_study(space: Sequence[Parameter], trials: int, objectives: int = 1) -> Study:
    """Return a study in memory, with completed trials of random values."""
    study = optuna.create_study(sampler=RandomSampler(seed=1), directions=["minimize"] * objectives)
    for number in range(trials):
        propose(study, space, None)
        study.tell(number, [float(number)] * objectives)
    return study


def drawn_alone(study: Study, space: Sequence[Parameter]) -> list[str]:
    """Return the keys that a sampler draws at random because its model of the space can't hold them.

    Samplers without a model of several parameters, such as the default TPE, have none.
    """
    modelled = study.sampler.infer_relative_search_space(study, study.trials[-1])
    if not modelled and not isinstance(study.sampler, CmaEsSampler):
        return []
    return [
        parameter.name for parameter in space if parameter.name not in modelled and not parameter.distribution.single()
    ]


def describe(node: Mapping[str, Any], alone: Sequence[str]) -> str:
    """Return a line on the keys that the sampler draws alone."""
    return f"{node['_target_'].rpartition('.')[2]} can't model {', '.join(alone)}: drawn without regard to other trials"
