"""Refuses choices in config files that Hydra would silently ignore."""

from omegaconf import DictConfig

from mnist_resnet.config.config_files import config_files
from mnist_resnet.config.typed_overrides import typed_overrides
from mnist_resnet.errors import UsageError

PLUGINS = ("hydra/launcher", "hydra/sweeper")
"""Config groups that are chosen once for the whole sweep."""


def refuse_ignored_choices(composed: DictConfig) -> None:
    """Check the defaults lists of the files that a config was composed from.

    Args:
        composed: composed config, including Hydra's own node.

    Raises:
        UsageError: a file chooses twice in one group, of which Hydra 1.3 takes the first and Hydra 1.4 the last; or it
            chooses a launcher or sweeper, which is chosen before the file is read.
    """
    choices = composed.hydra.runtime.choices
    typed = {override.partition("=")[0] for override in typed_overrides(composed, "hydra")}
    for file in config_files(composed):
        seen: dict[str, str] = {}
        for key, choice in file.defaults:
            group = key.removeprefix("override ").lstrip(" /")
            if key and group in seen:
                raise UsageError(f"{file.name}: '{key}' is given twice, with {seen[group]} and {choice}; keep one")
            seen[group] = choice
            if "/" in file.name and group in PLUGINS and group not in typed and choice != choices[group]:
                raise UsageError(
                    f"{group}={choice}: set in {file.name}, where it has no effect; give it on the command line of a "
                    f"sweep (-m)"
                )
