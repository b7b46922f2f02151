"""Composes job specs from overrides: each job is composed and checked once, then frozen."""

import copy
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.config.combinations import Combination, override_key
from mnist_resnet.config.config_files import file_that_sets, own_file_that_sets
from mnist_resnet.config.defaults_lists import PLUGINS, refuse_ignored_choices
from mnist_resnet.config.hydra_keys import refuse_unread_hydra_keys
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.missing_values import asked_values, refuse_unanswered
from mnist_resnet.config.resolved_config import may_refer_to, resolved_container, with_plain_values
from mnist_resnet.config.signature import flatten, signature
from mnist_resnet.config.stored_form import checked, read_back, with_floats
from mnist_resnet.config.sweep_grammar import as_written, refuse_inner_sweep, typed_value
from mnist_resnet.config.typed_overrides import typed_overrides
from mnist_resnet.config.unread_keys import has_undeclared_keys, refuse_unread_keys
from mnist_resnet.config.validation_errors import as_typed
from mnist_resnet.config.yaml_values import refuse_ambiguous_values
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import with_moved_targets

SWEEP_SETTINGS = ("sweep", "hydra.launcher", "hydra.sweeper", "hydra.sweep", "hydra.callbacks")
"""Nodes that are read once for the whole sweep, from the config without the swept overrides."""

JOB_NODES = (
    *("hydra.job.env_copy", "hydra.job.env_set", "hydra.job.chdir"),
    *("hydra.job_logging", "hydra.output_subdir", "hydra.verbose"),
)
"""Nodes that Hydra's own way of running a job reads from each job's config; our launchers don't.

`env_copy` comes first: Hydra copies the variables' values, which may be secret, to `env_set`.
"""

OUR_LAUNCHERS = ("hydra_plugins.ablation.SequentialLauncher", "hydra_plugins.workers.WorkersLauncher")

SINGLE_RUN_SETTINGS = {
    "hydra.run.dir": "is for a single run; name a sweep's folder by sweep.name",
    "hydra.job.num": "has no effect, jobs are numbered in the order of the list; leave it out",
    "hydra.job.id": "has no effect, jobs are numbered in the order of the list; leave it out",
}
"""Keys that may be typed, but not for a sweep, and what is said of them."""

JOB_SETTINGS = ("sweep.keep", "sweep.suffix")
"""Keys of these nodes that each job has for itself, or that a file sets beside other keys (`scale=quick`)."""

KEY = re.compile(r"([\w.]+)[:=]")
"""With what an error about a value begins."""

UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")
"""Python's words for a key that a target doesn't take."""

SUBDIR = "${hydra.job.num}"
"""Value of `hydra.sweep.subdir` in `conf/config.yaml`, which leaves the names of folders to us."""


class Composer:
    """Composes a sweep's jobs, reusing what they share.

    Hydra would read and merge every file again for each job. The composer does that once for each choice of config
    groups, and sets the swept values in a copy, as Hydra does in its last step. This takes a tenth of the time.
    """

    def __init__(self, config: DictConfig, loader: ConfigLoader) -> None:
        self._config, self._loader = config, loader
        self._parser = OverridesParser.create(config_loader=loader)
        self._shared: dict[tuple[str, ...], DictConfig] = {}
        self._asked: dict[tuple[str, ...], dict[str, str]] = {}
        self._uses_hydra_node: dict[tuple[str, ...], bool] = {}
        self._alone: dict[tuple[str, ...], tuple[DictConfig, dict[str, str | None]] | None] = {}
        self._resolved: dict[tuple[tuple[str, ...], tuple[str, ...]], dict[str, Any] | None] = {}
        self._is_group: dict[str, bool] = {}
        refuse_ambiguous_values(config)
        refuse_ignored_choices(config)
        for plugin in PLUGINS:
            key = plugin.replace("/", ".")
            node = OmegaConf.select(config, key)
            if not isinstance(node, DictConfig):
                raise UsageError(f"{key}={as_typed(node)}: must be a node with a _target_; choose one with {plugin}=…")
        for override in typed_overrides(config, "hydra"):
            if override_key(override) in SINGLE_RUN_SETTINGS:
                raise UsageError(f"{override}: {SINGLE_RUN_SETTINGS[override_key(override)]}")
            refuse_inner_sweep(self._parser.parse_override(override))
        refuse_unread_hydra_keys(config)
        ours = OmegaConf.select(config, "hydra.launcher._target_") in OUR_LAUNCHERS
        self._nodes = (*SWEEP_SETTINGS, *(JOB_NODES if ours else ()))
        self._settings = _settings(config, self._nodes)
        subdir = self._settings["hydra.sweep.subdir"]
        if subdir != SUBDIR:
            raise UsageError(
                f"hydra.sweep.subdir={subdir}: has no effect, jobs are named by what is swept; leave it out"
            )

    def compose(self, combination: Combination, swept: Sequence[str]) -> DictConfig:
        """Return the config of one job, including Hydra's own node."""
        values, choices = self._parted(combination, swept)
        shared = self._compose_shared(choices)
        self._refuse_unanswered(combination, choices)
        if values and self._uses_hydra_node[choices]:
            # The config refers to Hydra's node, which stores the overrides in further forms; let Hydra compose it.
            return self._loader.load_sweep_config(self._config, list(combination))
        composed = self._with_values(shared, dict(typed_value(value, self._parser) for value in values))
        if composed is None:
            # Hydra rejects a value as well; its error is the one that `hydra_errors` can explain.
            return self._loader.load_sweep_config(self._config, list(combination))
        composed.hydra.overrides.task = list(combination)
        return composed

    def compose_alone(
        self, combination: Combination, swept: Sequence[str]
    ) -> tuple[dict[str, Any], dict[str, str | None]] | None:
        """Return the resolved config of one job without Hydra's node, and its choices; None if it needs that node.

        To copy and to resolve that node takes most of the time of `compose`, and hardly a config refers to it. To
        resolve the rest takes most of the remaining time, and is done once for jobs that differ in plain values alone.
        """
        values, choices = self._parted(combination, swept)
        self._compose_shared(choices)
        self._refuse_unanswered(combination, choices)
        alone = self._alone[choices]
        if alone is None or any("${" in value for value in values):
            return None
        config, recorded = alone
        given = dict(typed_value(value, self._parser) for value in values)
        similar = choices, tuple(given)
        before = self._resolved.get(similar)
        resolved = None if before is None else with_plain_values(before, given)
        if resolved is None:
            composed = self._with_values(config, given)
            if composed is None:
                return None
            resolved = resolved_container(composed)
        if similar not in self._resolved:
            is_moved = may_refer_to(OmegaConf.to_container(config, resolve=False), given)
            self._resolved[similar] = None if is_moved else resolved
        return resolved, dict(recorded)

    def _refuse_unanswered(self, combination: Combination, choices: tuple[str, ...]) -> None:
        if self._asked[choices]:
            refuse_unanswered(self._asked[choices], [*typed_overrides(self._config, "hydra"), *combination])

    def _parted(self, combination: Combination, swept: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
        """Return the overrides that set swept values, and all others."""
        values = [override for override in combination if self._is_swept_value(override.partition("=")[0], swept)]
        return values, tuple(override for override in combination if override not in values)

    def _with_values(self, shared: DictConfig, values: Mapping[str, Any]) -> DictConfig | None:
        """Return a copy of the config with these values; None if it does not take one of them."""
        composed = copy.deepcopy(shared)
        for key, value in values.items():
            try:
                OmegaConf.update(composed, key, value, merge=True)
            except OmegaConfBaseException:
                return None
        return composed

    def compose_without(self, combination: Combination, key: str, swept: Sequence[str]) -> DictConfig:
        """Return the config of one job without the override of `key`, and without swept values."""
        keys = {override: override_key(override) for override in combination}
        return self._compose_shared(
            tuple(
                override
                for override in combination
                if keys[override] != key and not self._is_swept_value(keys[override], swept)
            )
        )

    def compose_shared(self, combination: Combination, swept: Sequence[str]) -> DictConfig:
        """Return what the job shares with all that differ from it in swept values only."""
        return self._compose_shared(self._parted(combination, swept)[1])

    def is_group(self, key: str) -> bool:
        """Return whether `key` is a config group, whose option decides what is composed."""
        if key not in self._is_group:
            self._is_group[key] = bool(self._loader.get_group_options(key))
        return self._is_group[key]

    def _compose_shared(self, combination: tuple[str, ...]) -> DictConfig:
        if combination not in self._shared:
            composed = self._load(combination)
            refuse_ambiguous_values(composed)
            refuse_ignored_choices(composed)
            self._refuse_sweep_settings(composed)
            refuse_unread_hydra_keys(composed)
            self._shared[combination], self._asked[combination] = composed, asked_values(composed)
            alone = _without_hydra(composed)
            OmegaConf.set_struct(alone, OmegaConf.is_struct(composed))
            self._uses_hydra_node[combination] = "${hydra" in OmegaConf.to_yaml(alone)
            needs_hydra_node = self._uses_hydra_node[combination] or has_undeclared_keys(composed)
            if not needs_hydra_node:
                refuse_unread_keys(composed)
            self._alone[combination] = None if needs_hydra_node else (alone, recorded_choices(composed))
        return self._shared[combination]

    def _load(self, combination: tuple[str, ...]) -> DictConfig:
        try:
            return self._loader.load_sweep_config(self._config, list(combination))
        except ConfigCompositionException as error:
            if "before the sweep starts" in str(error):  # Hydra 1.4 refuses what ours would, without naming the file
                overrides = [*typed_overrides(self._config, "hydra"), *combination]
                composed = self._loader.load_configuration(self._config.hydra.job.config_name, overrides, RunMode.RUN)
                refuse_ignored_choices(composed)
                self._refuse_sweep_settings(composed)
            raise

    def _refuse_sweep_settings(self, composed: DictConfig) -> None:
        """Reject a setting of the whole sweep in a swept file, such as an experiment: it would come too late."""
        for key, value in _settings(composed, self._nodes).items():
            typed = self._settings.get(key)
            is_same = typed == value or (typed != typed and value != value)  # nan is the same nan
            if not (is_same and key in self._settings) and key not in JOB_SETTINGS:
                file = file_that_sets(composed, key) or "what is swept"
                raise UsageError(
                    f"{key}={as_typed(value)}: set in {file}, where it has no effect; give it on the command line"
                )

    def _is_swept_value(self, key: str, swept: Sequence[str]) -> bool:
        """Return whether `key` is a swept value rather than a config group."""
        return key in swept and not self.is_group(key)


def _settings(composed: DictConfig, keys: Sequence[str]) -> dict[str, Any]:
    """Return the unresolved values of these nodes by key."""
    nodes = {key: OmegaConf.select(composed, key) for key in keys}
    return flatten(
        {key: OmegaConf.to_container(node) if OmegaConf.is_config(node) else node for key, node in nodes.items()}
    )


def compose_job(combination: Combination, swept: Sequence[str], index: int, composer: Composer) -> JobSpec:
    """Compose, resolve and check one job. It gets its name when the sweep is frozen.

    Raises:
        UsageError: a value is invalid, or one of the job's config files sets a launcher or sweeper.
    """
    with naming_the_file(composer.compose_shared(combination, swept), combination):
        alone = composer.compose_alone(combination, swept)
        if alone:
            return _job_spec(*alone, combination, swept)
    composed = composer.compose(combination, swept)
    with open_dict(composed):
        composed.hydra.job.id, composed.hydra.job.num = str(index), index
    return resolve_job(composed, combination, swept)


def resolve_job(composed: DictConfig, combination: Combination, swept: Sequence[str]) -> JobSpec:
    """Resolve and check a composed config that still contains Hydra's own node.

    Raises:
        UsageError: a value is missing or invalid, or nothing reads a key.
    """
    refuse_unread_keys(composed)
    with as_hydras_config(composed), naming_the_file(composed, combination):
        resolved = resolved_container(_without_hydra(composed))
        return _job_spec(resolved, recorded_choices(composed), combination, swept)


@contextmanager
def naming_the_file(composed: DictConfig, typed: Sequence[str]) -> Iterator[None]:
    """Name the user's file in errors about a value that it sets; show a value that was typed as it was typed.

    Args:
        composed: the composed config, including Hydra's own node.
        typed: the task overrides.

    Raises:
        UsageError: the block raised it, or an error of OmegaConf's about a value in a file.
    """
    try:
        yield
    except UsageError as error:
        named = _with_file(composed, typed, as_written(str(error), [*sys.argv[1:], *typed]))
        if named == str(error):
            raise
        raise UsageError(named) from None
    except OmegaConfBaseException as error:
        missing = isinstance(error, MissingMandatoryValue)
        reason = f"has no value; add {error.full_key}=…" if missing else str(error.msg).splitlines()[0]
        text = f"{error.full_key}: {reason}"
        named = _with_file(composed, typed, text)
        if named == text:
            raise
        raise UsageError(named) from None


@contextmanager
def naming_the_jobs_file(
    jobs: Sequence[JobSpec], config: DictConfig, loader: ConfigLoader, index: int
) -> Iterator[None]:
    """Name the user's file, as `naming_the_file` does, in errors about a job of a sweep; it is composed again for that.

    Args:
        jobs: the sweep's jobs.
        config: the config composed without the swept overrides.
        loader: Hydra's config loader.
        index: which of the jobs the block checks.

    Raises:
        UsageError: the block raised it.
    """
    try:
        yield
    except UsageError:
        overrides, swept = jobs[index].overrides, [*jobs[index].swept]
        with naming_the_file(Composer(config, loader).compose_shared(overrides, swept), overrides):
            raise


def _with_file(composed: DictConfig, typed: Sequence[str], message: str) -> str:
    found = KEY.match(message)
    values = {override_key(override) for override in typed} - {*composed.hydra.runtime.choices}
    if found is None or any(f"{found[1]}.".startswith(f"{key}.") for key in values):
        return message
    key = found[1]
    if unexpected := UNEXPECTED.search(message):
        key = f"{key.removesuffix('._target_')}.{unexpected[1]}"
    file = own_file_that_sets(composed, key)
    if file is None and ": must be given" in message:  # then the rest of its node was given
        file = own_file_that_sets(composed, found[1].rpartition(".")[0])
    return f"{file}: {message}" if file else message


def _job_spec(
    resolved: dict[str, Any], choices: dict[str, str | None], combination: Combination, swept: Sequence[str]
) -> JobSpec:
    content: dict[str, Any] = with_moved_targets(resolved)
    allow(content)
    return make_job_spec(content, choices, combination, swept)


def recorded_choices(composed: DictConfig) -> dict[str, str | None]:
    """Return the option chosen in each config group; the task's only if it is not the image classifier, the default.

    Trackers inside of `tracking` are left out: like it, they are not part of the experiment.
    """
    choices = {
        str(group): choice
        for group, choice in composed.hydra.runtime.choices.items()
        if not group.startswith(("hydra/", "tracking@"))
    }
    if choices.get("task") == "image_classifier":
        del choices["task"]
    return choices


@contextmanager
def as_hydras_config(composed: DictConfig) -> Iterator[None]:
    """Let interpolations such as `${hydra:job.num}` refer to this config."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(composed)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def make_job_spec(
    content: dict[str, Any], choices: dict[str, str | None], combination: Combination, swept: Sequence[str]
) -> JobSpec:
    """Check a resolved config and return its job spec. It gets its name when the sweep is frozen.

    Raises:
        UsageError: a value is invalid.
    """
    content = with_floats(*checked(read_back(content)))
    flat = flatten(content)
    return JobSpec(
        name="",
        config=content,
        overrides=list(combination),
        swept={key: choices.get(key, flat.get(key)) for key in swept},
        choices=choices,
        signature=signature(content),
    )


def _without_hydra(composed: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
