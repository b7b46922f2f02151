"""What Hydra calls around a run: the check before anything is created."""

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from mnist_resnet.errors import UsageError


class CheckedStart(Callback):
    """Refuses a bad config of a single run before Hydra has created its folder; sweeps check their own jobs."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Called by Hydra with the composed config.

        Hydra turns an exception of a callback into a warning, so that bad input leaves by `SystemExit`.
        """
        try:
            _check_run(config)
        except UsageError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None


def _check_run(config: DictConfig) -> None:
    from mnist_resnet.running.composition import frozen, refuse_repeats

    overrides = [str(override) for override in config.hydra.overrides.task]
    refuse_repeats(override.partition("=")[0] for override in overrides)
    job = frozen(config, overrides, swept=[])
    if job.config["sweep"]["name"] is not None:
        raise UsageError(f"sweep.name={job.config['sweep']['name']}: names a sweep; add -m, or leave it out")
    _check_folder(Path(config.hydra.run.dir), job.signature)


def _check_folder(folder: Path, signature: str) -> None:
    from mnist_resnet.running.record import read_result

    result = read_result(folder)
    if result is not None and result["signature"] != signature:
        raise UsageError(f"hydra.run.dir={folder}: holds another job, {result['name']}; choose a folder of its own")
