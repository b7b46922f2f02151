"""Finds keys that nothing reads: a typo or a missing package line would otherwise train with the default values."""

import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mnist_resnet.config.classifier_schema import Regularization, Scale
from mnist_resnet.config.config_files import config_files, file_that_sets
from mnist_resnet.config.metric import is_image_classifier
from mnist_resnet.config.schema import Config, Sweep
from mnist_resnet.config.section import Section
from mnist_resnet.config.signature import flatten
from mnist_resnet.config.validation_errors import near_key
from mnist_resnet.errors import UsageError

REFERENCE = re.compile(r"\.*[\w@/-]+(?:\.[\w@/-]+)*")
"""What may be a key in a value with an interpolation; a leading dot makes it relative."""

STUDY_SECTIONS: dict[str, type[Section]] = {"sweep": Sweep, "scale": Scale}
"""Sections whose keys are settings, and whose group's files set keys of the whole config."""


def refuse_unread_keys(composed: DictConfig) -> None:
    """Reject a key that is neither declared in the schema nor referred to by another key's interpolation.

    Args:
        composed: composed config, including Hydra's own node, which may refer to keys, too.

    Raises:
        UsageError: there is one.
    """
    _refuse_missing_package_lines(composed)
    if not is_image_classifier(composed):
        return  # what a training function reads shows once it has run: a note then names the rest
    undeclared = list(_undeclared_keys(composed))
    if not undeclared:
        return
    content: Any = OmegaConf.to_container(composed, resolve=False)
    # These repeat what was typed, which reads nothing by itself.
    del content["hydra"]["overrides"], content["hydra"]["job"]["override_dirname"]
    unread = unread_keys(undeclared, content)
    if unread and is_read(unread[0], content, [unread[0]]):
        raise UsageError(f"{' and '.join(unread)}: are read by each other only; leave them out")
    if unread:
        raise UsageError(_unread(unread[0], composed))


def has_undeclared_keys(composed: DictConfig) -> bool:
    """Return whether there are keys that other keys' interpolations, Hydra's node among them, must refer to."""
    return next(_undeclared_keys(composed), None) is not None


def _undeclared_keys(composed: DictConfig) -> Iterator[str]:
    for key, value in composed.items_ex(resolve=False):
        if key not in Config.model_fields and key != "hydra" and value != {}:  # an empty file sets nothing
            yield str(key)
    regularization = composed.get("regularization")
    if isinstance(regularization, DictConfig):
        yield from (f"regularization.{key!s}" for key in regularization if key not in Regularization.model_fields)


def unread_keys(keys: list[str], content: dict[str, Any]) -> list[str]:
    """Return those of these keys that nothing reads; first those to which the others of them don't refer either.

    Args:
        keys: keys of the whole config.
        content: the config, unresolved.
    """
    unread = keys
    while read := [key for key in unread if is_read(key, content, unread)]:
        unread = [key for key in unread if key not in read]
    return sorted(unread, key=lambda key: is_read(key, content, [key]))


def is_read(key: str, content: dict[str, Any], unread: list[str]) -> bool:
    """Return whether a key outside of `unread` refers to `key`, to a part of it, or to the node that it is in.

    Args:
        key: key of the whole config.
        content: the config, unresolved.
        unread: keys whose own references don't count.
    """
    for holder, value in flatten(content).items():
        is_unread = any(f"{holder}.".startswith(f"{other}.") for other in unread)
        text = str(value).replace("${hydra:", "${hydra.")
        references = REFERENCE.findall(text) if "${" in text and not is_unread else []
        if any(_refers_to(reference, key) for reference in references):
            return True
    return False


def _refers_to(reference: str, key: str) -> bool:
    if reference.startswith("."):
        return reference.lstrip(".").partition(".")[0] == key.rpartition(".")[2]
    return f"{reference}.".startswith(f"{key}.") or key.startswith(f"{reference}.")


def _unread(key: str, composed: DictConfig) -> str:
    choice = composed.hydra.runtime.choices.get(key)
    inner: Any = OmegaConf.to_container(composed, resolve=False)
    if choice is not None and isinstance(inner[key], dict):
        first = next(iter(flatten(inner[key])), "")
        if inner[key].keys() & {*Config.model_fields, "hydra"}:
            return _missing_package_line(key, choice, first)
        return f"{key}.{first}: nothing reads it (it is set in {key}/{choice}.yaml); refer to it in another key"
    file = file_that_sets(composed, key)
    header = next((file.name for file in config_files(composed) if file.package == key), None)
    if header:
        return f"{key}: nothing reads it; the first line of {header} must be # @package _global_, not # @package {key}"
    node, dot, last = key.partition(".")
    if file and dot and node in composed:
        return f"{key}: nothing reads it (it is set in {file}); write {node}: {{{last}: …}}"
    near = near_key(key, [*map(str, composed), *flatten({"regularization": dict(composed.regularization)})])
    cure = f"did you mean {near}?" if near else f"leave it out, or refer to it in another key, as in ${{{key}}}"
    return f"{key}: nothing reads it{f' (it is set in {file})' if file else ''}; {cure}"


def _refuse_missing_package_lines(composed: DictConfig) -> None:
    for group, section in STUDY_SECTIONS.items():
        node, choice = composed.get(group), composed.hydra.runtime.choices.get(group)
        if choice is not None and isinstance(node, DictConfig):
            for key in node:
                if key not in section.model_fields and key in {*Config.model_fields, "hydra"}:
                    raise UsageError(_missing_package_line(group, choice, str(key)))


def _missing_package_line(group: str, choice: str, key: str) -> str:
    return f"{group}.{key}: nothing reads it; the first line of {group}/{choice}.yaml must be # @package _global_"
