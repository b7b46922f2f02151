"""What a search is, frozen in its folder: any worker makes the next trial of that file alone, without a `conf/`."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mnist_resnet.config.allowed_targets import check_targets, targets
from mnist_resnet.config.compose import Composer, make_job_spec
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.signature import distinguishes_jobs, flatten
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import FORMAT, SEARCH, UnreadableFolder, read_json, write_atomically
from mnist_resnet.jobs.objective import objective_of
from mnist_resnet.search.space import Parameter, corners, read_parameter
from mnist_resnet.search.study import TRUSTED_COMPONENTS

OF_THIS_MACHINE = re.compile(r"\$\{(hydra|now|oc\.env):")
"""Interpolations that are looked up outside the config."""
REFERENCE = re.compile(r"\$\{[\w.]+\}")
"""An interpolation that takes another key's value."""

STUDIES = ("debug", "experiment", "sweep")
"""Groups that set values of others."""


@dataclass(frozen=True)
class SharedConfig:
    """What all trials have in common that choose the same in the config groups that are searched.

    Attributes:
        groups: those choices, as overrides.
        config: composed, interpolations unresolved.
        choices: made in every config group.
        plain: what the choices alone would compose to, resolved; empty where that can't be composed.
        added: groups in which nothing is chosen by default.
    """

    groups: list[str]
    config: dict[str, Any]
    choices: dict[str, str | None]
    plain: dict[str, Any]
    added: list[str]


@dataclass(frozen=True)
class SearchSpec:
    """A search.

    Attributes:
        space: what is searched.
        fixed: the overrides that all trials have.
        commons: one for each combination of the searched groups' choices.
        sampler: a node with a `_target_`: who proposes trials.
        pruner: a node with a `_target_`: who ends trials early.
        trials: how many the study is to have.
        command: the command line.
    """

    space: list[Parameter]
    fixed: list[str]
    commons: list[SharedConfig]
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    trials: int
    command: list[str]

    def job(self, values: Mapping[str, Any]) -> JobSpec:
        """The trial with these values, by parameter name: composed and checked; `freeze` gives it its name.

        Raises:
            UsageError: they don't go together.
        """
        common = self.common(values)
        config = OmegaConf.create(common.config)
        parser = OverridesParser.create()
        for one in self.space:
            if not one.is_group:
                override = parser.parse_override(one.override(values[one.name]))
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True, force_add=True)
        container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        assert isinstance(container, dict)
        content = {str(key): value for key, value in container.items()}
        overrides = [*self.fixed, *(one.override(values[one.name]) for one in self.space)]
        return make_job_spec(content, common.choices, overrides, [one.name for one in self.space])

    def common(self, values: Mapping[str, Any]) -> SharedConfig:
        """What the trial with these values has in common with others."""
        groups = [one.override(values[one.name]) for one in self.space if one.is_group]
        return next(common for common in self.commons if common.groups == groups)

    def check_stored(self, trusted: Sequence[str]) -> None:
        """Let pass a recipe that runs nothing but what is trusted, and looks up nothing but its own values.

        Raises:
            UsageError: it does.
        """
        check_targets({"sampler": self.sampler, "pruner": self.pruner}, [*trusted, *TRUSTED_COMPONENTS])
        for common in self.commons:
            check_targets(json.loads(REFERENCE.sub("", json.dumps(common.config))), trusted)

    def targets(self) -> set[str]:
        """What its trials run."""
        return {target for common in self.commons for target in targets(common.config)}

    def corners(self) -> list[JobSpec]:
        """Trials that show whether the whole space can be composed.

        Raises:
            UsageError: it can't.
        """
        return [self.job(values) for values in corners(self.space)]

    def write(self, folder: Path) -> None:
        """Freeze it in the sweep folder."""
        content = asdict(self) | {"format": FORMAT, "space": [one.as_dict() for one in self.space]}
        write_atomically(folder / SEARCH, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_spec(folder: Path) -> SearchSpec:
    """The search in a sweep folder.

    Raises:
        UnreadableFolder: it holds none.
    """
    content = {key: value for key, value in read_json(folder / SEARCH).items() if key != "format"}
    try:
        content["space"] = [read_parameter(one) for one in content["space"]]
        content["commons"] = [SharedConfig(**one) for one in content["commons"]]
        return SearchSpec(**content)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableFolder(f"{folder / SEARCH}: can't be read ({error})") from None


def compose_shared_configs(
    space: Sequence[Parameter], fixed: Sequence[str], config: DictConfig, loader: ConfigLoader
) -> list[SharedConfig]:
    """Compose what trials have in common, for each combination of the searched groups' choices.

    Raises:
        UsageError: a searched key is not there under one of them.
    """
    composer, names = Composer(config, loader), [one.name for one in space]
    by_default = _groups_by_default(config, loader)
    commons: dict[tuple[str, ...], SharedConfig] = {}
    for values in corners(space):
        groups = [one.override(values[one.name]) for one in space if one.is_group]
        if tuple(groups) in commons:
            continue
        composed = composer.composed([*fixed, *(one.override(values[one.name]) for one in space)], names)
        choices = {
            str(group): choice
            for group, choice in composed.hydra.runtime.choices.items()
            if not str(group).startswith("hydra/")
        }
        commons[tuple(groups)] = SharedConfig(
            groups, _unresolved(composed), choices, *_plain(choices, by_default, config, loader)
        )
    return list(commons.values())


def _unresolved(composed: DictConfig) -> dict[str, Any]:
    """The config without Hydra's own node; what refers to that, or to this machine, is resolved here and now."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(composed)
    try:
        task = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
        for key, raw in flatten(_container(task)).items():
            if isinstance(raw, str) and OF_THIS_MACHINE.search(raw):
                OmegaConf.update(task, key, OmegaConf.select(task, key))
    finally:
        HydraConfig.instance().cfg = before
    return _container(task)


def _plain(
    choices: Mapping[str, str | None], by_default: Collection[str], config: DictConfig, loader: ConfigLoader
) -> tuple[dict[str, Any], list[str]]:
    try:
        wanted = {group: choice for group, choice in choices.items() if choice and group not in STUDIES}
        added = [group for group in wanted if group not in by_default]
        chosen = [f"{'+' * (group in added)}{group}={choice}" for group, choice in wanted.items()]
        return _resolved(loader.load_sweep_config(config, chosen)), added
    except (HydraException, OmegaConfBaseException):
        return {}, []


def _groups_by_default(config: DictConfig, loader: ConfigLoader) -> list[str]:
    try:
        return [str(group) for group in loader.load_sweep_config(config, []).hydra.runtime.choices]
    except (HydraException, OmegaConfBaseException):
        return []


def _resolved(composed: DictConfig) -> dict[str, Any]:
    task = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    return _container(task, resolve=True)


def _container(config: DictConfig, resolve: bool = False) -> dict[str, Any]:
    container = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def reject_another_search(folder: Path, before: SearchSpec, now: SearchSpec) -> None:
    """Let pass a command that goes on with the search that `folder` holds; sampler, pruner and trials may change.

    Raises:
        UsageError: it searches something else, or by another measure.
    """
    spaces = [{one.name: one.as_dict() | {"typed": ""} for one in spec.space} for spec in (before, now)]
    elsewhere = "take another sweep.name, or give the same"
    for name in dict.fromkeys([*spaces[0], *spaces[1]]):
        if spaces[0].get(name) != spaces[1].get(name):
            was, asked = (_typed(spec, name) for spec in (before, now))
            raise UsageError(f"{name}: the study in {folder} searches {was}, not {asked}; {elsewhere}")
    jobs = [spec.corners()[0] for spec in (before, now)]
    if objective_of(jobs[0].config) != objective_of(jobs[1].config):
        was, asked = (" ".join(objective_of(job.config)) for job in jobs)
        raise UsageError(f"sweep.objective: the study in {folder} is about {was}, not {asked}; {elsewhere}")
    if [one.signature for one in before.corners()] != [one.signature for one in now.corners()]:
        key, was, asked = _first_difference(before.corners(), now.corners())
        raise UsageError(f"{key}={asked}: the study in {folder} has {was}; {elsewhere}")


def _typed(spec: SearchSpec, name: str) -> str:
    return next((one.typed for one in spec.space if one.name == name), "nothing")


def _first_difference(before: Sequence[JobSpec], now: Sequence[JobSpec]) -> tuple[str, Any, Any]:
    for one, other in zip(before, now, strict=True):
        was, asked = flatten(one.config), flatten(other.config)
        for key in dict.fromkeys([*was, *asked]):
            if distinguishes_jobs(key) and was.get(key) != asked.get(key) and one.signature != other.signature:
                return key, was.get(key), asked.get(key)
    raise AssertionError("their signatures differ")
