"""From a command line to frozen jobs: every combination composed once, checked, and never composed again."""

import copy
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.schema import check
from mnist_resnet.config.signature import flatten, signature
from mnist_resnet.config.validation_errors import instead
from mnist_resnet.errors import UsageError

Combination = list[str]
"""One job's overrides, as Hydra takes them."""

PLUGINS = ("hydra/launcher", "hydra/sweeper")
"""What is chosen once for a sweep."""

OF_A_SEARCH = ("sweep.trials", "sweep.objective", "sweep.objective_epoch", "sweep.objective_on_test")
"""Settings that say nothing where there is no search."""


def combinations(
    arguments: Sequence[str], params: Mapping[str, Any], loader: ConfigLoader
) -> tuple[list[Combination], list[str]]:
    """The overrides of every job, and the keys that are swept.

    Args:
        arguments: the task overrides as typed.
        params: of the sweeper (`hydra.sweeper.params`), which typed ones override.
        loader: Hydra's.

    Raises:
        UsageError: a key stands twice, or is to be swept over no list.
    """
    parser = OverridesParser.create(config_loader=loader)
    typed = parser.parse_overrides(list(arguments))
    refuse_repeats(override.get_key_element() for override in typed)
    by_key: dict[str, Override] = {}
    for override in [*parser.parse_overrides([f"{key}={value}" for key, value in params.items()]), *typed]:
        by_key[override.get_key_element()] = override
    levels = [_levels(override) for override in by_key.values()]
    swept = [key.lstrip("+") for key, override in by_key.items() if override.is_sweep_override()]
    return [list(combination) for combination in itertools.product(*levels)], swept


def within_one_change(combined: Sequence[Combination], swept: Sequence[str]) -> list[Combination]:
    """Of all combinations those of a study of ingredients: each left out alone, and each added alone.

    That is, those that differ in one swept factor at most, the seed left out, from the first combination (of the first
    levels) or from the last one (of the last levels).
    """

    def factors(combination: Combination) -> list[str]:
        keys = [override.partition("=")[0].lstrip("+") for override in combination]
        return [override for key, override in zip(keys, combination, strict=True) if key in swept and key != "seed"]

    def changes(combination: Combination, whole: Combination) -> int:
        return sum(one != other for one, other in zip(factors(combination), factors(whole), strict=True))

    wholes = (combined[0], combined[-1])
    return [combination for combination in combined if min(changes(combination, whole) for whole in wholes) <= 1]


def refuse_repeats(keys: Iterable[str]) -> None:
    """Hydra takes the last of a repeated key without a word; here it is an error.

    Raises:
        UsageError: a key stands twice.
    """
    for key, count in Counter(key.lstrip("+") for key in keys).items():
        if count > 1:
            raise UsageError(f"{key}: given {count} times; give it once (a list of values is written {key}=a,b)")


def refuse_settings_of_a_search(arguments: Iterable[str]) -> None:
    """Let pass a command line that is no search's; what it says of objectives would be passed over without a word.

    Raises:
        UsageError: it holds a setting that only a search has.
    """
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        if key in OF_A_SEARCH:
            raise UsageError(f"{key}={value}: is for a search; add -m hydra/sweeper=search, or leave it out")


def _levels(override: Override) -> list[str]:
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [str(override.input_line) if override.is_delete() else f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise UsageError(f"{override.input_line}: an interval can't be swept job by job; give a list or a range")
    levels = [f"{key}={value}" for value in override.sweep_string_iterator()]
    if not levels:
        raise UsageError(f"{override.input_line}: gives no value to sweep over")
    return levels


class Composer:
    """Composes a sweep's jobs. What they have in common but for swept values is composed once.

    Hydra reads and merges every file again for each job; setting the values in a copy, as Hydra would as its last step,
    costs a tenth.
    """

    def __init__(self, config: DictConfig, loader: ConfigLoader) -> None:
        self._config, self._loader = config, loader
        self._parser = OverridesParser.create(config_loader=loader)
        self._common: dict[tuple[str, ...], DictConfig] = {}
        self._asks_hydra: dict[tuple[str, ...], bool] = {}
        self._groups: dict[str, bool] = {}
        for plugin in PLUGINS:
            key = plugin.replace("/", ".")
            node = OmegaConf.select(config, key)
            if not isinstance(node, DictConfig):
                raise UsageError(f"{key}={node}: must be a node with a _target_; choose one by {plugin}=…")

    def composed(self, combination: Combination, swept: Sequence[str]) -> DictConfig:
        """The config of one job, with Hydra's own node in it."""
        values = [override for override in combination if self._is_value(override.partition("=")[0], swept)]
        chosen = tuple(override for override in combination if override not in values)
        common = self._composed_in_common(chosen)
        if values and self._asks_hydra[chosen]:
            # Hydra's node knows the overrides in other forms, too, and the config may ask for them.
            return self._loader.load_sweep_config(self._config, list(combination))
        composed = copy.deepcopy(common)
        for override in map(self._parser.parse_override, values):
            try:
                OmegaConf.update(composed, override.key_or_group, override.value(), merge=True)
            except OmegaConfBaseException:
                # Hydra words its refusal so that it can be told; it will refuse this, too.
                return self._loader.load_sweep_config(self._config, list(combination))
        composed.hydra.overrides.task = list(combination)
        return composed

    def _composed_in_common(self, combination: tuple[str, ...]) -> DictConfig:
        if combination not in self._common:
            composed = self._loader.load_sweep_config(self._config, list(combination))
            self._refuse_other_plugins(composed.hydra.runtime.choices)
            self._common[combination] = composed
            self._asks_hydra[combination] = "${hydra:" in OmegaConf.to_yaml(_without_hydra(composed))
        return self._common[combination]

    def _refuse_other_plugins(self, choices: Mapping[str, str | None]) -> None:
        """Hydra says nothing of a launcher in an experiment's or study's file, and does not take it either."""
        typed = {override.partition("=")[0] for override in self._config.hydra.overrides.hydra}
        for group, choice in choices.items():
            for plugin, wanted in _overridden_in(self._loader, group, choice):
                if plugin in PLUGINS and plugin not in typed and wanted != choices[plugin]:
                    raise UsageError(
                        f"{plugin}={wanted}: set in {group}/{choice}.yaml, where it comes too late; give it on the "
                        f"command line"
                    )

    def _is_value(self, key: str, swept: Sequence[str]) -> bool:
        """Whether `key` is swept, and chooses nothing in a config group: those decide what is composed."""
        if key not in self._groups:
            self._groups[key] = bool(self._loader.get_group_options(key))
        return key in swept and not self._groups[key]


def _overridden_in(loader: ConfigLoader, group: str, choice: str | None) -> Iterator[tuple[str, str]]:
    """The groups that a config file overrides in its defaults list, and by what."""
    path = f"{group}/{choice}"
    source = next((source for source in loader.get_sources() if choice and source.is_config(path)), None)
    for entry in (source and OmegaConf.select(source.load_config(path).config, "defaults")) or []:
        if isinstance(entry, str) and entry != "_self_":
            yield from _overridden_in(loader, group, entry)
        elif isinstance(entry, DictConfig):
            for key, value in entry.items():
                yield str(key).removeprefix("override ").lstrip("/"), value


def compose(combination: Combination, swept: Sequence[str], index: int, composer: Composer) -> JobSpec:
    """Compose, resolve and check one job; its name is given when the sweep is frozen.

    Raises:
        UsageError: a value is wrong, or a file that the job chooses asks for a launcher or sweeper of its own.
    """
    composed = composer.composed(combination, swept)
    with open_dict(composed):
        composed.hydra.job.id = composed.hydra.job.num = index
    return resolve_job(composed, combination, swept)


def resolve_job(composed: DictConfig, combination: Combination, swept: Sequence[str]) -> JobSpec:
    """Resolve and check a composed config that still has Hydra's own node in it.

    Raises:
        UsageError: a value is missing or wrong.
    """
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(composed)
    try:
        container = OmegaConf.to_container(_without_hydra(composed), resolve=True, throw_on_missing=True)
    finally:
        HydraConfig.instance().cfg = before
    assert isinstance(container, dict)
    content: dict[str, Any] = {str(key): value for key, value in container.items()}
    choices = {
        str(group): choice for group, choice in composed.hydra.runtime.choices.items() if not group.startswith("hydra/")
    }
    return make_job_spec(content, choices, combination, swept)


def make_job_spec(
    content: dict[str, Any], choices: dict[str, str | None], combination: Combination, swept: Sequence[str]
) -> JobSpec:
    """Check a resolved config, and make a job of it; its name is given when the sweep is frozen.

    Raises:
        UsageError: a value is wrong.
    """
    check(content)
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


def without_excluded(jobs: Sequence[JobSpec], excluded: Sequence[str]) -> list[JobSpec]:
    """The jobs that no combination in `excluded` (`model=stem7x7,optim.lr=0.02`) fits in all of its parts.

    Raises:
        UsageError: a combination is no list of key=value, or names a key that no job has.
    """
    parsed = [_parsed(combination) for combination in excluded]
    return [job for job in jobs if not any(_fits(job, combination) for combination in parsed)]


def _parsed(combination: str) -> dict[str, Any]:
    parts = [part.partition("=") for part in combination.split(",")]
    if not all(key.strip() and equals for key, equals, _ in parts):
        raise UsageError(f"sweep.exclude={combination}: not key=value,key=value, such as model=stem7x7,optim.lr=0.02")
    return {key.strip(): yaml.safe_load(value) for key, _, value in parts}


def _fits(job: JobSpec, combination: dict[str, Any]) -> bool:
    values = flatten(job.config) | job.choices
    for key in combination:
        if key not in values:
            raise UsageError(f"sweep.exclude: {key}: no such key{instead(key, values)}")
    return all(_same(values[key], wanted) for key, wanted in combination.items())


def _same(value: Any, wanted: Any) -> bool:
    try:
        # YAML 1.1 reads 1e-3 as text, Hydra as a number.
        return float(value) == float(wanted)
    except (TypeError, ValueError):
        return bool(str(value) == str(wanted))
