"""The one place where a config's `_target_`s are called."""

from collections.abc import Mapping
from typing import Any

from mnist_resnet.config.allowed_targets import check_allowed
from mnist_resnet.config.hydra_versions import instantiate


def build(node: Mapping[str, Any], convert: str = "all") -> Any:
    """Build what a resolved config node describes, with Hydra's `instantiate`.

    Args:
        node: Resolved config node with a `_target_`.
        convert: What nested arguments become; see Hydra's `_convert_`.

    Raises:
        UsageError: The node names a target that this process may not call; nothing has been called or imported.
        InstantiationException: The target can't be found, or raised.
    """
    check_allowed(node)
    return instantiate(node, convert)
