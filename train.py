"""Trains one network, or with -m a whole sweep. `python train.py --help` lists the options."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra.core.object_type import ObjectType
from hydra.plugins.completion_plugin import CompletionPlugin
from omegaconf import DictConfig

from mnist_resnet.config.python_values import from_python
from mnist_resnet.errors import Refused, UsageError

SHOW_TRACEBACK = "HYDRA_FULL_ERROR" in os.environ
# Make Hydra raise its errors instead of printing five lines and exiting with 1; `_exit_with` prints them in one line.
os.environ["HYDRA_FULL_ERROR"] = "1"

GROUP_ORDER = (
    *("model", "regularization", "optim", "schedule", "augmentation", "loss", "averaging"),
    *("data", "trainer", "scale", "tracking", "experiment", "debug", "sweep"),
)
"""Order of the config groups in `--help`, as in the README; a user's own groups follow in alphabetical order."""

NOT_OFFERED = {("hydra/sweeper", "basic")}
"""Choices of Hydra's own that can't work here: jobs that no sweep has frozen."""

HYDRA_GET_GROUP_OPTIONS = ConfigLoaderImpl.get_group_options
HYDRA_FORMAT_CONFIG_GROUPS = Hydra.format_config_groups
HYDRA_COMPLETE = CompletionPlugin._query


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def train(config: DictConfig) -> None:
    """Run one job, with the config that Hydra composed."""
    from mnist_resnet.sweeps.hydra_task import run_task

    try:
        code = run_task(config)
    except UsageError as error:
        raise Refused(error) from error
    if code:
        raise SystemExit(code)


def main() -> None:
    """Run Hydra; print a one-line message and exit with code 2 if the user's input is invalid."""
    argparse.ArgumentParser.error = _raise_argument_error  # type: ignore[method-assign,assignment]
    ConfigLoaderImpl.get_group_options = _get_group_options  # type: ignore[method-assign,assignment]
    Hydra.format_config_groups = _format_config_groups  # type: ignore[method-assign,assignment]
    CompletionPlugin._query = _complete  # type: ignore[method-assign,assignment]
    sys.argv[1:] = from_python(sys.argv[1:])
    warnings.filterwarnings("error", r"provider=hydra\.searchpath", UserWarning)  # a folder that isn't there
    try:
        train()
    except KeyboardInterrupt:
        # Raised only before the first job or after the last one, when there is nothing to save.
        sys.exit(130)
    except Refused as refused:
        _exit_with(refused.error)
    except Exception as error:
        _exit_with(error)


def _get_group_options(
    loader: ConfigLoaderImpl,
    group_name: str,
    results_filter: ObjectType | None = ObjectType.CONFIG,
    config_name: str | None = None,
    overrides: list[str] | None = None,
) -> list[str]:
    """Replace Hydra's method, which copies all config sources for each of the hundreds of look-ups of `--help`.

    The copy is only needed if a config or override sets a search path; otherwise the loader's own sources are the same.
    Choices that can't work are left out.
    """
    if config_name or overrides:
        options = HYDRA_GET_GROUP_OPTIONS(loader, group_name, results_filter, config_name, overrides)
    else:
        options = loader.repository.get_group_options(group_name, results_filter)
    return [option for option in options if (group_name, option) not in NOT_OFFERED]


def _format_config_groups(hydra_app: Hydra, predicate: Callable[[str], bool]) -> str:
    """Replace Hydra's method, which lists the groups in alphabetical order, one line each."""
    lines = HYDRA_FORMAT_CONFIG_GROUPS(hydra_app, predicate).splitlines(keepends=True)
    position = {group: index for index, group in enumerate(GROUP_ORDER)}
    return "".join(sorted(lines, key=lambda line: position.get(line.partition(":")[0], len(position))))


def _complete(plugin: CompletionPlugin, config_name: str | None, line: str) -> list[str]:
    """Replace Hydra's method, which completes no level after the first one of a sweep: `model=lean,st`."""
    earlier, space, word = line.rpartition(" ")
    key, equals, levels = word.partition("=")
    chosen, comma, last = levels.rpartition(",")
    if not comma:
        return HYDRA_COMPLETE(plugin, config_name, line)
    found = HYDRA_COMPLETE(plugin, config_name, f"{earlier}{space}{key}{equals}{last}")
    others = [choice.removeprefix(f"{key}{equals}") for choice in found]
    return [f"{key}{equals}{chosen},{choice}" for choice in others if choice not in chosen.split(",")]


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


def _exit_with(error: Exception) -> NoReturn:
    from mnist_resnet.config.hydra_errors import user_message

    message = user_message(error)
    if message is None or SHOW_TRACEBACK:
        raise error
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
