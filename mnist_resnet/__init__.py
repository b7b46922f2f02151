"""A Hydra-configured sweep framework; its first study reproduces a report on a ResNet for MNIST."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_resnet.comparing.frame import load_sweep as load_sweep


def __getattr__(name: str) -> Any:
    # Lazy: pandas takes half a second to import, and shell completion imports this package.
    if name == "load_sweep":
        from mnist_resnet.comparing.frame import load_sweep

        return load_sweep
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
