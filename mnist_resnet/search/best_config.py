"""The best config of a search as an experiment file, which is tried before it is offered."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mnist_resnet.config.identity import is_same_experiment
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.signature import distinguishes_jobs
from mnist_resnet.search.spec import META_GROUPS, SharedConfig

OMITTED_GROUPS = (*META_GROUPS, "scale", "tracking")
"""Config groups that a best config does not set, so that its user can choose them."""

MAX_ROUNDS = 10
"""Setting a key may move others that refer to it; these are set in the next round."""


@dataclass(frozen=True)
class BestConfig:
    """An experiment file that composes to a job's config, except for settings that change no metric.

    Attributes:
        text: The file's text.
        deletions: Overrides to be given beside it, such as `~optim.betas`: no file can delete a key.
    """

    text: str
    deletions: list[str]


def best_config(job: JobSpec, shared: SharedConfig, heading: str) -> BestConfig | None:
    """Return an experiment file for `job`; None if what it composes to would be another experiment.

    Args:
        job: The job.
        shared: The job's shared config. Only values that differ from its `plain` config are written.
        heading: One-line description of the experiment.
    """
    wanted = _shown(job.config)
    values: dict[Any, Any] = {}
    deletions: list[str] = []
    for _ in range(MAX_ROUNDS):
        composed = _compose(shared.plain, values, deletions)
        if composed is None:
            return None
        shown = _shown(composed)
        missing, deleted = _difference(wanted, shown), list(_deleted(wanted, shown))
        if not missing and not deleted:
            omitted = {group: job.config[group] for group in OMITTED_GROUPS if group in job.config}
            is_same = is_same_experiment(composed | omitted, job.config)
            return BestConfig(_text(job, shared, values, deletions, heading), deletions) if is_same else None
        values = _merged(values, missing)
        deletions += deleted
    return None


def _text(job: JobSpec, shared: SharedConfig, values: Mapping[Any, Any], deletions: list[str], heading: str) -> str:
    defaults = [
        {f"{'' if group in shared.added else 'override '}/{group}": choice}
        for group, choice in job.choices.items()
        if choice and group not in OMITTED_GROUPS and distinguishes_jobs(group)
    ]
    lines = ["# @package _global_", f"# {heading}"]
    if deletions:
        lines.append(f"# It needs {' '.join(deletions)} on the command line: no file can delete a key.")
    return "\n".join([*lines, OmegaConf.to_yaml(OmegaConf.create({"defaults": defaults, **values}))])


def _compose(plain: Mapping[str, Any], values: Mapping[Any, Any], deletions: list[str]) -> dict[str, Any] | None:
    """Do what Hydra does with the file and the deletions; None if it would fail."""
    try:
        merged = OmegaConf.to_container(OmegaConf.merge(plain, values))
        for deletion in deletions:
            *path, last = deletion.removeprefix("~").split(".")
            node: Any = merged
            for key in path:
                node = node[key]
            del node[last]
        composed = OmegaConf.to_container(OmegaConf.create(merged), resolve=True)
    except (OmegaConfBaseException, KeyError, TypeError):
        return None
    assert isinstance(composed, dict)
    return {str(key): value for key, value in composed.items()}


def _shown(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a config that the file has to settle."""
    return _distinguishing({key: value for key, value in config.items() if key not in OMITTED_GROUPS})


def _distinguishing(node: Mapping[Any, Any], path: str = "") -> dict[Any, Any]:
    kept = {key: value for key, value in node.items() if distinguishes_jobs(f"{path}{key}")}
    return {
        key: _distinguishing(value, f"{path}{key}.") if isinstance(value, dict) else value
        for key, value in kept.items()
    }


def _difference(wanted: Mapping[Any, Any], composed: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return what must be set so that `composed` has the values of `wanted`."""
    missing: dict[Any, Any] = {}
    for key, value in wanted.items():
        present = composed.get(key)
        if isinstance(value, dict) and isinstance(present, dict):
            inner = _difference(value, present)
            missing |= {key: inner} if inner else {}
        elif key not in composed or repr(value) != repr(present):
            missing[key] = value
    return missing


def _deleted(wanted: Mapping[Any, Any], composed: Mapping[Any, Any], path: str = "~") -> Iterator[str]:
    """Yield overrides that delete what `wanted` lacks."""
    for key, value in composed.items():
        if key not in wanted:
            yield f"{path}{key}"
        elif isinstance(value, dict) and isinstance(wanted[key], dict):
            yield from _deleted(wanted[key], value, f"{path}{key}.")


def _merged(values: Mapping[Any, Any], more: Mapping[Any, Any]) -> dict[Any, Any]:
    merged = copy.deepcopy(dict(values))
    for key, value in more.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged
