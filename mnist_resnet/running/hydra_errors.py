"""Hydra's and OmegaConf's errors in one line that says what was typed, and what would be right."""

import re
from collections.abc import Iterator

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import UnreadableFolder
from mnist_resnet.running.composition import nearest
from mnist_resnet.running.signature import flatten


def one_line(error: BaseException) -> str | None:
    """What to tell the user of `error`; None if it is no bad input but a fault of the program."""
    if isinstance(error, UsageError | UnreadableFolder):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    text = " ".join(" ".join(str(part) for part in _chain(error)).split())
    for pattern, sentence in _SENTENCES:
        found = re.search(pattern, text)
        if found:
            return sentence.format(*found.groups()) + _hint(found.group(1), pattern)
    return text.removeprefix("In 'config': ")


_NO_KEY = r"Could not (?:override|delete) '([^']+)'\.? ?.*?(?:not in struct|No match|does not exist)"
_SENTENCES = [
    (
        r"Could not find '([^']+?)/([^/']+)' Available options in '[^']+': (.*?)(?: Config search path|$)",
        "{0}={1}: no such choice; one of {2}",
    ),
    (_NO_KEY, "{0}: no such key"),
    (r"Could not append to config\. An item is already at '([^']+)'", "+{0}: exists already; leave out the +"),
    (r"Missing mandatory value: (\S+)", "{0}: has no value; give one"),
    (r"Interpolation key '([^']+)' not found", "{0}: a config refers to it, and it is not there"),
]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _hint(key: str, pattern: str) -> str:
    return nearest(key, _known_keys()) if pattern == _NO_KEY else ""


def _known_keys() -> list[str]:
    """Every key and group of the default config."""
    if not GlobalHydra.instance().is_initialized():
        return []
    container = OmegaConf.to_container(compose("config"), resolve=False)
    assert isinstance(container, dict)
    loader = GlobalHydra.instance().config_loader()
    return [*flatten({str(key): value for key, value in container.items()}), *loader.list_groups("")]
