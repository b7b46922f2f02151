"""What Hydra calls around a run: the check before anything is created."""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.errors import Refused, UsageError

OF_A_SWEEP: dict[str, Any] = {"name": None, "exclude": [], "rerun": [], "dry_run": False, "detach": False}
"""Settings that mean nothing for a single run, as they are when they are not set."""


class CheckBeforeRun(Callback):
    """Refuses a bad config of a single run before Hydra has created its folder; sweeps check their own jobs."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Called by Hydra with the composed config.

        Hydra turns an exception of a callback into a warning, so that bad input leaves as `Refused`.
        """
        from mnist_resnet.config.hydra_errors import one_line

        try:
            _check_run(config)
        except Exception as error:
            if one_line(error) is None:
                raise
            raise Refused(error) from error


def _check_run(config: DictConfig) -> None:
    """What was typed first, in no time; then what takes PyTorch."""
    job = _checked_job(config)
    _check_folder(Path(config.hydra.run.dir), job)


def _checked_job(config: DictConfig) -> JobSpec:
    from mnist_resnet.config.compose import refuse_repeats, refuse_settings_of_a_search, resolve_job

    overrides = [str(override) for override in config.hydra.overrides.task]
    typed = [*overrides, *(str(override) for override in config.hydra.overrides.hydra)]
    refuse_repeats(override.partition("=")[0] for override in typed)
    refuse_settings_of_a_search(overrides)
    job = resolve_job(config, overrides, swept=[])
    for key, unset in OF_A_SWEEP.items():
        if job.config["sweep"][key] != unset:
            raise UsageError(f"sweep.{key}={job.config['sweep'][key]}: is for a sweep; add -m, or leave it out")
    return job


def _check_folder(folder: Path, job: JobSpec) -> None:
    from mnist_resnet.jobs.disk_space import check_disk_space
    from mnist_resnet.jobs.preflight import check_writable, preflight

    check_writable("hydra.run.dir", folder)
    _check_vacant(folder, job.signature)
    preflight([job.config])
    check_disk_space(folder, [job])


def _check_vacant(folder: Path, signature: str) -> None:
    from mnist_resnet.jobs.result import read_result

    result = read_result(folder)
    if result is not None and result["signature"] != signature:
        raise UsageError(f"hydra.run.dir={folder}: holds another job, {result['name']}; choose a folder of its own")
