"""The account that W&B finds: read again after a change, or that of a local server."""

import sys

import pytest

from mnist_resnet.tracking import wandb_mode
from tests.wandb_server import WandbServer


def reset_wandb() -> None:
    """Reset W&B and the tracker, so that they read the environment again as a new process would."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()
    wandb_mode._unreachable.clear()
    wandb_mode._rejected.clear()
    wandb_mode._warned.clear()


def use_server(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    reset_wandb()
