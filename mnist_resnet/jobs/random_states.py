"""The states of the random generators of Python, NumPy and PyTorch: seeded, saved and restored."""

import random
import sys
from typing import Any

import numpy

States = dict[str, Any]
"""The state of each generator, by its name; all of it can be part of a checkpoint."""


def random_states(device: str) -> States:
    """Return the states of Python's and NumPy's random generators and, once imported, PyTorch's."""
    legacy: Any = numpy.random.get_state(legacy=False)
    key, position = legacy["state"]["key"], legacy["state"]["pos"]
    gauss = [legacy["has_gauss"], legacy["gauss"]]
    if "torch" not in sys.modules:
        return {"python": random.getstate(), "numpy": [key, position, *gauss]}
    import torch

    states: States = {
        "python": random.getstate(),
        "numpy": [torch.from_numpy(key.astype("int64")), position, *gauss],
        "torch": torch.get_rng_state(),
    }
    if torch.device(device).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and, once imported, PyTorch's generators, on every device; the seed is below 2**32."""
    random.seed(seed)
    numpy.random.seed(seed)
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)


def set_random_states(states: States, device: str) -> None:
    """Restore what `random_states` returned; the generator of a device that is not in it keeps its state."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    key, position, has_gauss, cached = states["numpy"]
    numpy.random.set_state(("MT19937", numpy.asarray(key).astype("uint32"), position, has_gauss, cached))
    if "torch" not in states:
        return
    import torch

    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.device(device).type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
