"""A search's spec, frozen in its folder: a worker composes each trial from this file alone, without a `conf/`."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mnist_resnet.config.allowed_targets import check_plain_values, check_targets, targets
from mnist_resnet.config.compose import make_job_spec
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.errors import wording
from mnist_resnet.job_folder import FORMAT, SEARCH, UnreadableFolder, read_json, to_json, write_atomically
from mnist_resnet.search.space import Parameter, corners, read_parameter
from mnist_resnet.sweeps.folder import find_sweep

REFERENCE = re.compile(r"\$\{[\w.]+\}")
"""An interpolation that takes the value of another key."""

META_GROUPS = ("debug", "experiment", "sweep")
"""Config groups that set values of other groups."""


@dataclass(frozen=True)
class SharedConfig:
    """The config that trials with the same choices in the searched config groups share.

    Attributes:
        groups: The choices in the searched config groups, as overrides.
        config: Composed config with unresolved interpolations.
        choices: Choices in all config groups.
        plain: Config that the choices alone compose to, with unresolved interpolations (resolved in older folders);
            empty where they can't be composed alone.
        added: Config groups in which nothing is chosen by default.
    """

    groups: list[str]
    config: dict[str, Any]
    choices: dict[str, str | None]
    plain: dict[str, Any]
    added: list[str]


@dataclass(frozen=True)
class SearchSpec:
    """The spec of a search.

    Attributes:
        space: Searched parameters.
        fixed: Overrides that all trials share.
        commons: One shared config for each combination of choices in the searched config groups.
        sampler: Config node with the `_target_` of an Optuna sampler.
        pruner: Config node with the `_target_` of an Optuna pruner.
        trials: Number of trials that the study is to have.
        command: The command line.
        config_folders: As in `JobSpec`.
    """

    space: list[Parameter]
    fixed: list[str]
    commons: list[SharedConfig]
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    trials: int
    command: list[str]
    config_folders: dict[str, dict[str, Any]] | None = None

    def make_job(self, values: Mapping[str, Any]) -> JobSpec:
        """Compose and check the job of a trial; it has no name yet.

        Args:
            values: The trial's values by parameter name.

        Raises:
            UsageError: The values don't make a valid config together.
        """
        shared = self.shared_config(values)
        config = OmegaConf.create(shared.config)
        parser = OverridesParser.create()
        for parameter in self.space:
            if not parameter.is_group:
                override = parser.parse_override(parameter.override(values[parameter.name]))
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True, force_add=True)
        container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        assert isinstance(container, dict)
        content = {str(key): value for key, value in container.items()}
        overrides = [*self.fixed, *(parameter.override(values[parameter.name]) for parameter in self.space)]
        job = make_job_spec(content, shared.choices, overrides, [parameter.name for parameter in self.space])
        return replace(job, config_folders=self.config_folders)

    def shared_config(self, values: Mapping[str, Any]) -> SharedConfig:
        """Return the shared config of the trial with these values.

        Raises:
            ValueError: There is none.
        """
        groups = [parameter.override(values[parameter.name]) for parameter in self.space if parameter.is_group]
        for shared in self.commons:
            if shared.groups == groups:
                return shared
        raise ValueError(f"no config for {', '.join(groups) or 'the trials'}")

    def check_trusted(self, trusted: Sequence[str]) -> None:
        """Check that a stored spec runs trusted targets only, and interpolates nothing but its own values.

        Raises:
            UsageError: It does not.
        """
        check_targets({"sampler": self.sampler, "pruner": self.pruner}, trusted)
        for parameter in self.space:
            parameter.check_stored()
        for shared in self.commons:
            check_targets(_without_references(shared.config), trusted)
            check_plain_values(_without_references(shared.plain))
        # A reference may lead to a target: what is built is the resolved config.
        for job in self.corner_jobs():
            check_targets(job.config, trusted)

    def targets(self) -> set[str]:
        """Return the targets that the trials run."""
        return {target for shared in self.commons for target in targets(shared.config)}

    def corner_jobs(self) -> list[JobSpec]:
        """Compose jobs at the corners of the space. If these are valid, so is nearly every trial.

        Raises:
            UsageError: One of them is not valid.
        """
        return [self.make_job(values) for values in corners(self.space)]

    def write(self, folder: Path) -> None:
        """Freeze the spec in the sweep folder."""
        content = asdict(self) | {"format": FORMAT, "space": [parameter.as_dict() for parameter in self.space]}
        write_atomically(folder / SEARCH, to_json(content, indent=1) + "\n")


def read_trusted_spec(folder: Path, trusted: Sequence[str]) -> SearchSpec:
    """Read the spec of a search whose folder may come from anywhere, and check all that is stored of its trials.

    Args:
        folder: The sweep folder.
        trusted: Targets that may be run, beside those that are always trusted.

    Raises:
        UsageError: The spec, or a trial in `sweep.json`, would run a target that is not trusted.
        UnreadableFolder: The folder holds no search, or its `sweep.json` can't be read.
    """
    spec = read_spec(folder)
    spec.check_trusted(trusted)
    sweep = find_sweep(folder)
    for job in sweep.jobs if sweep else ():
        check_targets(job.config, trusted)
    return spec


def _without_references(config: dict[str, Any]) -> dict[str, Any]:
    without: dict[str, Any] = json.loads(REFERENCE.sub("", json.dumps(config)))
    return without


def read_spec(folder: Path) -> SearchSpec:
    """Read the spec of the search in a sweep folder.

    Raises:
        UnreadableFolder: The folder holds no search.
    """
    content = {key: value for key, value in read_json(folder / SEARCH).items() if key != "format"}
    try:
        content["space"] = [read_parameter(parameter) for parameter in content["space"]]
        content["commons"] = [SharedConfig(**shared) for shared in content["commons"]]
        spec = SearchSpec(**content)
        for values in corners(spec.space):
            spec.shared_config(values)
        return spec
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableFolder(f"{folder / SEARCH}: can't be read ({wording(error)})") from None
