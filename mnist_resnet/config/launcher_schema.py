"""Config schema of `hydra/launcher=workers`: engine, number of workers, and resources of each."""

import re
from typing import Annotated, Any, Literal

from omegaconf import DictConfig
from pydantic import Field, ValidationError, field_validator

from mnist_resnet.config.hydra_keys import typed_values
from mnist_resnet.config.section import Section
from mnist_resnet.config.validation_errors import as_typed, first_problem
from mnist_resnet.errors import UsageError

ENGINES = ("slurm", "ray")
"""Engines with a node of settings."""


class Slurm(Section):
    """Resources of each worker in a Slurm job array; null means the cluster's default."""

    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    time: int | str | None
    gpus_per_worker: int = Field(ge=0)
    cpus_per_worker: int = Field(ge=1)
    memory: int | str | None
    grace: int = Field(ge=1, le=65535)
    setup: list[str]
    parameters: dict[str, str | int | float | bool] | None

    @field_validator("time")
    @classmethod
    def time_has_slurm_format(cls, time: int | str | None) -> int | str | None:
        """Reject other formats, which Slurm itself may accept: it takes `soon` as no limit."""
        if time is not None and not re.fullmatch(r"[1-9]\d*|(\d+-)?\d+(:\d\d){1,2}|\d+-\d+", str(time)):
            raise ValueError(f"hydra.launcher.slurm.time={time}: must be minutes, or as in 2:30:00 or 1-12:00:00")
        return time

    @field_validator("memory")
    @classmethod
    def memory_has_slurm_unit(cls, memory: int | str | None) -> int | str | None:
        """Check the unit; a plain number means megabytes, 0 all of the node's memory."""
        if memory is not None and not re.fullmatch(r"\d+[KMGT]?", str(memory)):
            raise ValueError(f"hydra.launcher.slurm.memory={memory}: must be a number and K, M, G or T, as in 8G")
        return memory


class Ray(Section):
    """Ray cluster, and resources of each worker, by Ray's own names."""

    address: Annotated[str, Field(min_length=1)] | None
    num_cpus: float = Field(ge=0)
    num_gpus: float = Field(ge=0)
    resources: dict[str, Annotated[float, Field(gt=0)]] | None


class Workers(Section):
    """Settings of `hydra/launcher=workers`: engine, number of workers, and resources of each."""

    engine: Literal["local", "slurm", "ray"]
    workers: int | None = Field(ge=1)
    jobs_per_device: int = Field(ge=1)
    slurm: Slurm
    ray: Ray


class _Hydra(Section):
    launcher: Workers


class _WithLauncher(Section):
    hydra: _Hydra


def check_launcher(node: dict[str, Any]) -> Workers:
    """Validate the settings of `hydra/launcher=workers` and return them in typed form.

    Raises:
        UsageError: as for `check`.
    """
    container = {"hydra": {"launcher": node}}
    try:
        return _WithLauncher.model_validate(container).hydra.launcher
    except ValidationError as error:
        raise UsageError(first_problem(error, container)) from None


def refuse_other_engines(composed: DictConfig, engine: str) -> None:
    """Reject typed settings of an engine that isn't chosen. A file may have them for the commands that choose it.

    Raises:
        UsageError: there is one.
    """
    for key, value in typed_values(composed):
        other = key.removeprefix("hydra.launcher.").partition(".")[0]
        if other in ENGINES and other != engine and key.startswith("hydra.launcher."):
            raise UsageError(
                f"{key}={as_typed(value)}: has no effect with hydra.launcher.engine={engine}; add "
                f"hydra.launcher.engine={other}, or leave it out"
            )
