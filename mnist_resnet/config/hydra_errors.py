"""Hydra's and OmegaConf's errors in one line that says what was typed, and what would be right."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from mnist_resnet.config.signature import flatten
from mnist_resnet.config.validation_errors import instead, one_of
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import UnreadableFolder

CONF = Path(__file__).parents[2] / "conf"
EXTRAS = {
    "joblib": ("hydra-joblib-launcher", "joblib"),
    "submitit_local": ("hydra-submitit-launcher", "slurm"),
    "submitit_slurm": ("hydra-submitit-launcher", "slurm"),
    "ray": ("hydra-ray-launcher", "ray"),
}
"""Public launchers that come with a package of their own, and our extra that has it."""


def one_line(error: BaseException) -> str | None:
    """What to tell the user of `error`; None if it is no bad input but a fault of the program."""
    if isinstance(error, UsageError | UnreadableFolder):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OverrideParseException):
        return _unparsed(error.override or "")
    if isinstance(error, HydraException | OmegaConfBaseException) or _is_hydras_own(error):
        return _sentence(" ".join(" ".join(str(part) for part in _chain(error)).split()), error)
    return None


def _sentence(text: str, error: BaseException) -> str:
    for pattern, sentence in _SENTENCES:
        found = re.search(pattern, text)
        if found:
            return sentence.format(*found.groups())
    found = re.search(r"Could not (override|delete from config\.) '([^']+)'", text)
    if found:
        return _no_such_key(found.group(2), "~" if "delete" in found.group(1) else "")
    found = re.search(r"In '([^']+)'.*?Could not find '([^']+?)/([^/']*)'", text) or re.search(
        r"(Could) not find '([^']+?)/([^/']*)'", text
    )
    if found:
        _, group, choice = found.groups()
        if group == "hydra/launcher" and choice in EXTRAS:
            package, extra = EXTRAS[choice]
            return f"{group}={choice}: needs {package}, which is not installed: pip install -e '.[{extra}]'"
        return f"{group}={choice}: no such choice{one_of(choice, _options(group))}"
    if "Config group override must be a string or a list" in text:
        return _no_name_of_a_choice()
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        missing = isinstance(error, MissingMandatoryValue)
        said = "has no value; give one" if missing else (error.msg or text).splitlines()[0]
        return f"{error.full_key}: {said}"
    return _referring() + text.removeprefix("In 'config': ")


_SENTENCES = [
    (r"Ambiguous value for argument '(.+?)' 1\.", "{0}: several values make a sweep; add -m (one list is [a,b])"),
    (r"Sweep parameters '(.+?)' requires --multirun", "{0}: several values make a sweep; add -m"),
    (r"Could not append to config\. An item is already at '([^']+)'", "+{0}: is there already; leave out the +"),
    (r"Could not override '(hydra/sweeper/[^']+)'", "{0}: belongs to a search; add hydra/sweeper=search"),
    (r"Multiple values for (\S+)\. To override", "+{0}: is chosen by default already; leave out the +"),
    (
        r"Cannot find primary config '([^']+)'",
        "--config-name {0}: no such config; leave it out, config.yaml is it",
    ),
    (r"Error merging override (\S+) (.*?) full_key", "{0}: {1}"),
    (r"Additional config directory '([^']+)' not found", "--config-dir {0}: no such folder; name one that is there"),
    (
        r"Primary config (?:directory|module).*'([^']+)'",
        "--config-path {0}: no such folder; to add one beside conf/ take --config-dir",
    ),
]


def _unparsed(override: str) -> str:
    key, equals, _ = override.partition("=")
    if not equals:
        return f"{override}: not key=value{instead(key, _known_keys()) if key.strip() else ''}"
    if override.endswith(","):
        return f"{override}: ends in a comma; write several values without a space, as in {key}=a,b"
    return (
        f"{override}: can't be read; close brackets and quotes, and quote a value that holds one of = , : [ ] {{ }}, "
        f"as in '{key}=\"…\"'"
    )


def _no_such_key(key: str, sign: str) -> str:
    if _options(key):
        return f"{sign}{key}: is not chosen by default; add it: +{key}=…{one_of('', _options(key))}"
    known = _known_keys()
    if key in known:
        return f"{sign}{key}: is null, and Hydra takes out no such key; leave it as it is"
    return f"{sign}{key}: no such key{instead(key, known)}"


def _no_name_of_a_choice() -> str:
    for override in _typed():
        key, value = override.get_key_element(), override.value()
        if not isinstance(value, str | list) and "." not in key:
            return f"{override.input_line}: must be the name of a choice{one_of('', _options(key)) if key else ''}"
    return "a group's choice must be a name"


def _referring() -> str:
    """The override that refers to another key, if one was typed."""
    return "".join(f"{override.input_line}: " for override in _typed() if "${" in str(override.input_line))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_hydras_own(error: BaseException) -> bool:
    """Hydra tells some bad input by a ValueError; ours, and those of code that a config names, are raised elsewhere."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    raised_in = last.tb_frame.f_globals.get("__name__", "") if last is not None else ""
    return isinstance(error, ValueError | AssertionError) and raised_in.partition(".")[0] == "hydra"


def _typed() -> list[Override]:
    """The overrides of the command line that can be read."""
    parser = OverridesParser.create()
    found: list[Override] = []
    for argument in sys.argv[1:]:
        try:
            found += parser.parse_overrides([argument])
        except HydraException:
            continue
    return found


def _known_keys() -> list[str]:
    """Every key and group, as what was chosen on the command line has them."""
    loader = _loader()
    chosen = [
        f"{override.key_or_group}={override.value()}"
        for override in _typed()
        if isinstance(override.value(), str) and override.value() in loader.get_group_options(override.key_or_group)
    ]
    container = OmegaConf.to_container(loader.load_configuration("config", chosen, RunMode.MULTIRUN), resolve=False)
    assert isinstance(container, dict)
    return [*flatten({str(key): value for key, value in container.items()}), *loader.list_groups("")]


def _options(group: str) -> list[str]:
    return _loader().get_group_options(group)


def _loader() -> ConfigLoader:
    """Of the configs as the command line sees them: Hydra's own is gone by the time that its error arrives here."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader: Any = GlobalHydra.instance().config_loader()
    GlobalHydra.instance().hydra = before
    search_path = loader.get_search_path()
    for path in _added_folders():
        search_path.prepend("command-line", path, SearchPathQuery(provider="schema"))
    found: ConfigLoader = type(loader)(config_search_path=search_path)
    return found


def _added_folders() -> Iterator[str]:
    for argument, value in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        name, _, joined = argument.partition("=")
        if name in ("--config-dir", "-cd"):
            yield f"file://{Path(joined or value).absolute()}"
    for override in _typed():
        paths = override.value()
        if override.key_or_group == "hydra.searchpath" and isinstance(paths, list):
            yield from map(str, paths)
