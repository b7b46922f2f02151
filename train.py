"""Train the report's network: one run, or with -m a sweep. `python train.py --help` lists what can be chosen."""

import argparse
import os
import sys
from typing import NoReturn

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig

from mnist_resnet.errors import Refused, UsageError

WANTS_TRACEBACK = "HYDRA_FULL_ERROR" in os.environ
# Hydra raises instead of printing five lines and ending with 1, and the error becomes one line below.
os.environ["HYDRA_FULL_ERROR"] = "1"

HYDRAS_OPTIONS_OF = ConfigLoaderImpl.get_group_options


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def train(config: DictConfig) -> None:
    """Run one job; Hydra composes it."""
    from mnist_resnet.sweeps.hydra_task import run_task

    try:
        code = run_task(config)
    except UsageError as error:
        raise Refused(error) from error
    if code:
        raise SystemExit(code)


def main() -> None:
    """Start Hydra, and turn what was typed wrong into one line and exit code 2."""
    argparse.ArgumentParser.error = _refuse  # type: ignore[method-assign,assignment]
    ConfigLoaderImpl.get_group_options = _options_of  # type: ignore[method-assign,assignment]
    try:
        train()
    except KeyboardInterrupt:
        # Before the first job or after the last one: there is nothing to save.
        sys.exit(130)
    except Refused as refused:
        _tell(refused.error)
    except Exception as error:
        _tell(error)


def _options_of(
    loader: ConfigLoaderImpl,
    group_name: str,
    results_filter: ObjectType | None = ObjectType.CONFIG,
    config_name: str | None = None,
    overrides: list[str] | None = None,
) -> list[str]:
    """Stands in for Hydra's own, which copies all config sources for each of the hundreds of look-ups of `--help`.

    The copy is for a search path that a config or override sets; where none is given, its sources are the loader's.
    """
    if config_name or overrides:
        return HYDRAS_OPTIONS_OF(loader, group_name, results_filter, config_name, overrides)
    return loader.repository.get_group_options(group_name, results_filter)


def _refuse(_: argparse.ArgumentParser, message: str) -> NoReturn:
    """Stands in for argparse's own, which prints its usage over several lines."""
    what, separator, arguments = message.partition("unrecognized arguments: ")
    if what or not separator:
        raise UsageError(f"{message}; --help lists the options")
    if arguments.startswith("-"):
        raise UsageError(f"{arguments}: no such option; --help lists them; knobs are written without dashes, key=value")
    raise UsageError(f"{arguments}: stands apart from the other knobs; put options before or after them all")


def _tell(error: Exception) -> NoReturn:
    from mnist_resnet.config.hydra_errors import one_line

    line = one_line(error)
    if line is None or WANTS_TRACEBACK:
        raise error
    print(f"error: {line}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
