"""Explains an error about a key that only some of the swept levels have."""

import re
from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf import OmegaConf

from mnist_resnet.config.combinations import Combination, override_key
from mnist_resnet.config.compose import Composer
from mnist_resnet.config.validation_errors import partial_key
from mnist_resnet.errors import UsageError

KEY_ERROR = re.compile(r"Could not override '([^']+)'|An item is already at '([^']+)'|^([\w.]+): no such key")
"""Hydra's words for a key that a job does not have, for one that it has already, and ours for one that was added."""


def refuse_partial_key(
    error: HydraException | UsageError, combined: Sequence[Combination], swept: Sequence[str], composer: Composer
) -> None:
    """Raise a clear error if `error` is about a key that some levels of a swept group have and others have not.

    Raises:
        UsageError: it is; Hydra's advice to add or leave out a `+` would be wrong for one half of the jobs.
    """
    found = KEY_ERROR.search(str(error))
    key = found and (found[1] or found[2] or found[3])
    for group in filter(composer.is_group, swept if key else ()):
        having: dict[bool, list[str]] = {True: [], False: []}
        for combination in combined:
            level = next(override for override in combination if override_key(override) == group)
            composed = composer.compose_without(combination, str(key), swept)
            has_key = OmegaConf.select(composed, str(key), default=error) is not error
            if level not in having[has_key]:
                having[has_key].append(level)
        if having[True] and having[False] and not set(having[True]) & set(having[False]):
            raise UsageError(partial_key(str(key), having[True], having[False])) from None
