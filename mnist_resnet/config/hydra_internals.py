"""The private parts of Hydra that this program leans on, and why; all of them are here.

`replace` puts functions of this file in the place of Hydra's:

- `Callbacks.__init__`: takes what is no callback, and then warns of each method that it lacks, or says nothing (1.4);
- `Callbacks.on_run_start`: a single run is checked between composing it and creating its folder, where Hydra's one hook
  is a callback: a file that sets `hydra.callbacks` may replace that, and what it raises is turned into a warning;
- `ConfigLoaderImpl.get_group_options`: `--help` takes seconds otherwise, and lists choices that can't work;
- `ConfigLoaderImpl._load_configuration` (Hydra 1.4): what Hydra itself builds, callbacks and log handlers, must be on
  its execution whitelist between composing and building, where it has no hook;
- `ConfigLoaderImpl.get_mode` (Hydra 1.4): reads `hydra.mode` of the main config alone, and a study's file that sets it
  is an error without `-m`;
- `CachingConfigRepository.load_config`: takes the first of several files of one name, without a word about the others;
- `FileConfigSource.is_config` (Hydra 1.4): raises an error for any file that ends in `.yml`, so that one of another
  tool ends every listing of its folder;
- `Hydra.format_config_groups`: has no option for the order of the groups;
- `Hydra.show_cfg` and `Hydra.show_info`: print half an answer before an error, or end the program with a line and an
  exit code of their own;
- `CompletionPlugin._query`: completes no level after the first one of a sweep, and no file of a `--config-dir`, and
  raises an error about a faulty word that stands before the last one;
- `ArgumentParser.error` (argparse's, as Hydra builds its parser itself): prints its usage over several lines;
- `grammar_functions.choice`: refuses null, which a list of levels may contain.

Read elsewhere: `Callbacks.callbacks`, by `callbacks`.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.grammar.grammar_functions import choice
from hydra._internal.hydra import Hydra
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from hydra.plugins.completion_plugin import CompletionPlugin
from hydra.plugins.config_source import ConfigResult
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from mnist_resnet.config.allowed_targets import targets
from mnist_resnet.config.config_files import own_file_that_sets
from mnist_resnet.config.hydra_versions import SINCE_1_4, allow_in_hydra
from mnist_resnet.config.signature import flatten
from mnist_resnet.config.validation_errors import as_typed
from mnist_resnet.errors import UsageError

GROUP_ORDER = (
    *("task", "model", "regularization", "optim", "schedule", "augmentation", "loss", "averaging"),
    *("data", "training", "trainer", "scale", "tracking", "experiment", "debug", "sweep"),
)
"""Order of the config groups in `--help`, as in the README; a user's own groups follow in alphabetical order."""

NOT_OFFERED = {("hydra/sweeper", "basic")}
"""Choices of Hydra's own that can't work here: jobs that no sweep has frozen."""

BUILD_CALLBACKS, ON_RUN_START = Callbacks.__init__, Callbacks.on_run_start
GET_GROUP_OPTIONS = ConfigLoaderImpl.get_group_options
FORMAT_CONFIG_GROUPS = Hydra.format_config_groups
SHOW_CFG, SHOW_INFO = Hydra.show_cfg, Hydra.show_info
COMPLETE = CompletionPlugin._query
IS_CONFIG = FileConfigSource.is_config
LOAD_CONFIG = CachingConfigRepository.load_config
LOAD_CONFIGURATION = getattr(ConfigLoaderImpl, "_load_configuration", None)
GET_MODE = getattr(ConfigLoaderImpl, "get_mode", None)


def replace(check_run: Callable[[DictConfig], None]) -> None:
    """Put the functions below in the place of Hydra's.

    Args:
        check_run: checks a single run's config.
    """
    Callbacks.__init__ = _build_callbacks  # type: ignore[method-assign,assignment]
    Callbacks.on_run_start = _after(check_run)  # type: ignore[method-assign]
    argparse.ArgumentParser.error = _raise_argument_error  # type: ignore[method-assign,assignment]
    ConfigLoaderImpl.get_group_options = _get_group_options  # type: ignore[method-assign,assignment]
    Hydra.format_config_groups = _format_config_groups  # type: ignore[method-assign,assignment]
    Hydra.show_cfg = _whole(SHOW_CFG)  # type: ignore[method-assign]
    Hydra.show_info = _whole(SHOW_INFO)  # type: ignore[method-assign]
    CompletionPlugin._query = _complete  # type: ignore[method-assign,assignment]
    CachingConfigRepository.load_config = _load_config  # type: ignore[method-assign,assignment]
    if SINCE_1_4:
        ConfigLoaderImpl._load_configuration = _load_configuration  # type: ignore[attr-defined]
        ConfigLoaderImpl.get_mode = _get_mode  # type: ignore[attr-defined]
        FileConfigSource.is_config = _is_config  # type: ignore[method-assign,assignment]


def allow_null_as_choice() -> None:
    """Let `choice(null,3)` contain null, as Hydra does for `key=null,3`."""
    choice.__annotations__["args"] = choice.__annotations__["args"] | None


def callbacks(context: HydraContext) -> list[Any]:
    """Return the callbacks that Hydra built from `hydra.callbacks`."""
    found: list[Any] = context.callbacks.callbacks
    return found


def _build_callbacks(built: Callbacks, config: DictConfig) -> None:
    """Replace Hydra's method, which takes anything for a callback."""
    for name, node in config.hydra.callbacks.items():
        if not isinstance(node, DictConfig) or node.get("_target_") is None:
            key = f"hydra.callbacks.{name}"
            file = own_file_that_sets(config, key)
            raise UsageError(
                f"{f'{file}: ' if file else ''}{key}={as_typed(node)}: must be a node with a _target_; leave it out, "
                f"or take a callback away with ~{key}"
            )
    BUILD_CALLBACKS(built, config)


def _after(check_run: Callable[[DictConfig], None]) -> Callable[..., None]:
    """Return Hydra's method that calls the callbacks before a single run, with a check before that."""

    def on_run_start(called: Callbacks, config: DictConfig, **arguments: Any) -> None:
        check_run(config)
        ON_RUN_START(called, config, **arguments)

    return on_run_start


def _load_configuration(*arguments: Any, **options: Any) -> DictConfig:
    """Replace Hydra 1.4's method: what the user's own files choose for Hydra to build is allowed, no more."""
    assert LOAD_CONFIGURATION is not None
    config: DictConfig = LOAD_CONFIGURATION(*arguments, **options)
    if options.get("activate_config_repository"):  # not for --cfg or a completion, where nothing is built
        allow_in_hydra(_hydra_targets(config))
    return config


def _get_mode(loader: ConfigLoaderImpl, config_name: str | None, overrides: list[str], *parsed: Any) -> Any:
    """Replace Hydra 1.4's method: a chosen file may set `hydra.mode`, as in Hydra 1.3, unless the command line does."""
    assert GET_MODE is not None
    mode = GET_MODE(loader, config_name, overrides, *parsed)
    if mode is None:
        # What can't be composed is reported when it is composed to be used.
        with suppress(Exception):
            composed = loader.load_configuration(
                config_name, overrides, RunMode.MULTIRUN, validate_sweep_overrides=False
            )
            return composed.hydra.mode
    return mode


def _load_config(repository: CachingConfigRepository, config_path: str) -> ConfigResult | None:
    """Replace Hydra's method: a file that another one of its name hides is no choice of the user's.

    The last source holds the plugins' own choices, which a file may replace: then it is the file that is read.
    """
    loaded: ConfigResult | None = LOAD_CONFIG(repository, config_path)
    if loaded is None or loaded.is_schema_source:
        return loaded
    name = config_path.removesuffix(".yaml")
    first = f"{loaded.path.partition('://')[2]}/{name}.yaml"
    for source in repository.get_sources()[:-1]:
        second = f"{source.path}/{name}.yaml"
        hides = first != second and source.provider != "hydra" and source.is_config(config_path)
        if hides and os.path.realpath(first) != os.path.realpath(second):
            group, _, choice = name.rpartition("/")
            shown = f"{group}={choice}" if group else f"{name}.yaml"
            raise UsageError(f"{shown}: both {first} and {second} have this name; rename yours")
    return loaded


def _is_config(source: FileConfigSource, config_path: str) -> bool:
    """Replace Hydra 1.4's method: a file that ends in `.yml` is no config file, as with Hydra 1.3."""
    return not config_path.endswith(".yml") and IS_CONFIG(source, config_path)


def _hydra_targets(config: DictConfig) -> Iterator[str]:
    """Yield the targets of callbacks and of log handlers, which Python's logging calls `class` or `()`."""
    hydra: Any = OmegaConf.to_container(config.hydra, resolve=False)
    yield from targets(hydra["callbacks"])
    for name in ("hydra_logging", "job_logging"):
        for key, value in flatten({name: hydra[name]}).items():
            if key.rpartition(".")[2] in ("class", "()"):
                yield str(value)
            elif str(value).startswith("ext://"):
                yield str(value).removeprefix("ext://")


def _get_group_options(
    loader: ConfigLoaderImpl,
    group_name: str,
    results_filter: ObjectType | None = ObjectType.CONFIG,
    config_name: str | None = None,
    overrides: list[str] | None = None,
) -> list[str]:
    """Replace Hydra's method, which copies all config sources for each of the hundreds of look-ups of `--help`.

    The copy is only needed if a config or override sets a search path; otherwise the loader's own sources are the same.
    (Hydra 1.4 keeps the sources of the command's own search path as `_active_repository`.) Choices that can't work are
    left out.
    """
    if config_name or overrides or getattr(loader, "_active_repository", None):
        options = GET_GROUP_OPTIONS(loader, group_name, results_filter, config_name, overrides)
    else:
        options = loader.repository.get_group_options(group_name, results_filter)
    return [option for option in options if (group_name, option) not in NOT_OFFERED]


def _format_config_groups(hydra_app: Hydra, predicate: Callable[[str], bool]) -> str:
    """Replace Hydra's method, which lists the groups in alphabetical order, one line each."""
    lines = FORMAT_CONFIG_GROUPS(hydra_app, predicate).splitlines(keepends=True)
    position = {group: index for index, group in enumerate(GROUP_ORDER)}
    return "".join(sorted(lines, key=lambda line: position.get(line.partition(":")[0], len(position))))


def _whole(show: Callable[..., None]) -> Callable[..., None]:
    """Let a method of Hydra's print its answer once that is complete, and raise an error instead of ending."""

    def shown(*arguments: Any, **options: Any) -> None:
        answer, error = StringIO(), StringIO()
        with redirect_stdout(answer), redirect_stderr(error):
            try:
                show(*arguments, **options)
            except SystemExit:
                raise HydraException(error.getvalue()) from None
        print(answer.getvalue(), end="")
        print(error.getvalue(), end="", file=sys.stderr)

    return shown


def _complete(plugin: CompletionPlugin, config_name: str | None, line: str) -> list[str]:
    """Replace Hydra's method, which completes no level after the first one of a sweep: `model=lean,st`.

    It doesn't look into a `--config-dir` of the line either, and raises an error where another word is faulty: then the
    last word is completed as if it were alone.
    """
    for words in dict.fromkeys([line, line[line.rfind(" ") + 1 :]]):
        with suppress(Exception):  # the shell would show the error in the middle of the line that is being typed
            _look_into_typed_folder(plugin, line.split())
            return _completed(plugin, config_name, words)
    return []


def _completed(plugin: CompletionPlugin, config_name: str | None, line: str) -> list[str]:
    earlier, space, word = line.rpartition(" ")
    key, equals, levels = word.partition("=")
    chosen, comma, last = levels.rpartition(",")
    if not comma:
        return COMPLETE(plugin, config_name, line)
    found = COMPLETE(plugin, config_name, f"{earlier}{space}{key}{equals}{last}")
    others = [choice.removeprefix(f"{key}{equals}") for choice in found]
    return [f"{key}{equals}{chosen},{choice}" for choice in others if choice not in chosen.split(",")]


def _look_into_typed_folder(plugin: CompletionPlugin, words: list[str]) -> None:
    for word, following in pairwise([*words, ""]):
        option, equals, joined = word.partition("=")
        folder = Path(joined if equals else following).expanduser()
        if option in ("--config-dir", "-cd") and folder.is_dir():
            loader: Any = plugin.config_loader
            search_path = loader.get_search_path()
            search_path.prepend("command-line", f"file://{folder.absolute()}", SearchPathQuery(provider="schema"))
            plugin.config_loader = type(loader)(config_search_path=search_path)


def _raise_argument_error(_: argparse.ArgumentParser, message: str) -> NoReturn:
    """Replace argparse's method, which prints its usage over several lines."""
    before, separator, arguments = message.partition("unrecognized arguments: ")
    if before or not separator:
        raise UsageError(f"{message}; --help lists the options")
    if arguments.startswith("-"):
        raise UsageError(
            f"{arguments}: no such option; --help lists them; overrides are written without dashes, key=value"
        )
    raise UsageError(f"{arguments}: is separated from the other overrides; put options before or after all of them")
