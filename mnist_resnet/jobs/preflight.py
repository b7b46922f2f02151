"""Preflight checks for a job: every target exists and accepts its arguments, in our own functions by their types."""

import inspect
import json
import logging
import os
import pydoc
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mnist_resnet.config.allowed_targets import check_allowed
from mnist_resnet.config.schema import Config, JobConfig, check_job
from mnist_resnet.errors import UsageError
from mnist_resnet.jobs.arguments import check_types
from mnist_resnet.jobs.downloads import DownloadNeeded, downloads
from mnist_resnet.jobs.task import Task, load_task, task_arguments
from mnist_resnet.jobs.working_directory import keeping_working_directory
from mnist_resnet.tracking.console import plain_console, show_log

LOG = logging.getLogger("mnist_resnet")

SETTINGS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}
"""Keys that Hydra's `instantiate` consumes itself."""

CALLED = ("optim", "schedule", "augmentation", "averaging")
"""Nodes that the image classifier calls, if `_partial_`, with one argument in front and others by name."""

ADDED = {"params", "optimizer", "total_steps"}
"""Arguments that it may add by name."""


NamingErrors = Callable[[int], AbstractContextManager[None]]
"""Makes the context in which the config with an index is checked, which may add to its errors."""


def _as_they_are(_: int) -> AbstractContextManager[None]:
    return nullcontext()


def preflight(
    configs: Iterable[dict[str, Any]], may_download: bool = True, naming: NamingErrors = _as_they_are
) -> list[str | None]:
    """Check resolved configs against this machine, the code that they name, and the data; nothing is built.

    Args:
        configs: Resolved configs.
        may_download: Whether to download missing data; otherwise they are left unchecked, with a line that says so.
        naming: See `NamingErrors`.

    Returns:
        For each config a hash of its data; None if the config says all about them, or they were not checked.

    Raises:
        UsageError: A device is missing, a `_target_` can't be found or takes other arguments or, if it is ours, other
            types of them, or the data can't be loaded or don't fit.
    """
    show_log(plain_console())
    with keeping_working_directory(LOG.info):
        return _preflight(configs, may_download, naming)


def _preflight(configs: Iterable[dict[str, Any]], may_download: bool, naming: NamingErrors) -> list[str | None]:
    checked = [(checked, load_task(checked)) for checked in map(check_job, configs)]
    for index, (config, task) in enumerate(checked):
        with naming(index):
            task.check_machine(config)
            for key, node in _nodes(config):
                _check_call(key, json.dumps(node), isinstance(config, Config) and key in CALLED)
    try:
        with downloads(may_download):
            return [_check_data(config, task, naming(index)) for index, (config, task) in enumerate(checked)]
    except DownloadNeeded:
        LOG.info("the data are not checked: a launch downloads them first")
        return [None] * len(checked)


def _check_data(config: JobConfig, task: Task, named: AbstractContextManager[None]) -> str | None:
    with named:
        return task.check_data(config)


def check_writable(key: str, folder: Path) -> None:
    """Check that `folder` exists or can be made, without making it.

    Raises:
        UsageError: It can't.
    """
    there = next(parent for parent in [folder.absolute(), *folder.absolute().parents] if parent.exists())
    if not there.is_dir():
        raise UsageError(f"{key}={folder}: {there} is no folder; choose another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{key}={folder}: {there} can't be written; choose another place")


def _nodes(config: JobConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    content = config.model_dump(by_alias=True, exclude_unset=True)
    if not isinstance(config, Config):
        for key, node in content.items():
            called = task_arguments(node) | {"_args_": ["config", "run"]} if key == "task" else node
            for inner, found in _with_inner(key, called):
                # The function may add arguments of its own when it builds what its config describes.
                yield inner, found if key == "tracking" else found | {"_partial_": inner != "task"}
        return
    for key in ("model", "optim", "schedule", "augmentation", "loss", "averaging", "data", "tracking"):
        yield from _with_inner(key, getattr(config, key).node())
    yield from _with_inner("training", config.training.model_dump(by_alias=True, exclude_unset=True))


def _with_inner(key: str, node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, node
        for name, value in node.items():
            yield from _with_inner(f"{key}.{name}", value)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _with_inner(f"{key}.{index}", value)


@lru_cache(maxsize=1000)
def _check_call(key: str, node: str, is_called: bool) -> None:
    content = json.loads(node)
    check_allowed(content)
    arguments = {name: value for name, value in content.items() if name not in SETTINGS}
    shown = f"{key}._target_={content['_target_']}"
    found = _found(shown, content["_target_"])
    try:
        signature = inspect.signature(found)
    except ValueError:
        return  # some callables written in C have no signature
    if key == "task":
        _check_is_a_task(shown, found, signature, arguments)
    try:
        bind = signature.bind_partial if content.get("_partial_") else signature.bind
        bind(*content.get("_args_", []), **arguments)
        if is_called and "_args_" not in content:
            _check_later_call(signature, arguments)
    except TypeError as error:
        takes = ", ".join(name for name in signature.parameters if name not in ("args", "kwargs"))
        raise UsageError(f"{shown}: {error}; it takes {takes or 'nothing'}") from None
    check_types(key, content["_target_"], arguments, signature)


def _check_later_call(signature: inspect.Signature, arguments: Mapping[str, Any]) -> None:
    """Raise the TypeError that the call would raise of which the config gives only a part of the arguments."""
    for one in [*signature.parameters.values()][1:]:
        is_asked = one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        if is_asked and one.name not in ADDED.union(arguments):
            raise TypeError(f"missing a required argument: {one.name!r}")


def _check_is_a_task(shown: str, found: object, signature: inspect.Signature, arguments: Iterable[str]) -> None:
    """Check that what a task names takes the config and the run, before its own arguments."""
    takes = list(signature.parameters)
    try:
        signature.bind_partial("config", "run")
        is_a_task = not inspect.isclass(found) and not {*takes[:2]} & {*arguments}
    except TypeError:
        is_a_task = False
    if not is_a_task:
        what = "is a class" if inspect.isclass(found) else f"takes {', '.join(takes) or 'nothing'}"
        raise UsageError(f"{shown}: {what}; a task is a function that is called with (config, run) first of all")


def _found(shown: str, target: str) -> Callable[..., Any]:
    try:
        found = pydoc.locate(target)
    except pydoc.ErrorDuringImport as error:
        moved = "; its packages have moved, see docs/extending.md" if "mnist_resnet.running" in str(error.value) else ""
        raise UsageError(f"{shown}: can't be imported ({error.value}){moved}") from None
    module, dot, _ = target.partition(".")
    if found is None and dot and module.isidentifier() and module not in sys.modules and find_spec(module) is None:
        raise UsageError(
            f"{shown}: Python finds no module {module}; if it is yours, put its folder before the command, as in "
            f"PYTHONPATH=FOLDER python train.py …"
        )
    if found is None:
        raise UsageError(f"{shown}: can't be found; give its full name, as in package.module.name")
    if not callable(found):
        raise UsageError(f"{shown}: is a {type(found).__name__}; name what can be called")
    return found
