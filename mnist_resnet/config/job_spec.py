"""Job specs: the frozen, fully resolved jobs that `sweep.json` stores."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from mnist_resnet.config.identity import identity, identity_without_epochs, is_same_experiment
from mnist_resnet.job_folder import HYDRA, write_atomically

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""PyYAML's C implementation if available: ten times as fast as the Python one."""


@dataclass(frozen=True)
class JobSpec:
    """A job as composed at launch; later edits to `conf/` do not change it.

    Attributes:
        name: human-readable name, and the job folder's name inside the sweep folder.
        config: the complete resolved config, without Hydra's own node.
        overrides: overrides as typed, including the swept ones.
        swept: this job's value of each swept key or config group.
        choices: the chosen option of each config group, including choices made by an experiment file.
        signature: hash of the config values that affect results; see `signature.py`.
        code: commit, dirty state and hash of the code at launch, and of the packages that the config names; None for a
            single run.
        index: position in the sweep, from 0.
        sweep: name of the sweep folder; None for a single run.
        data_sha256: hash of the data at launch; None if the config says all about them, or an older version froze the
            job.
        config_folders: by path, the config folders as they were when the job was composed (see
            `mnist_resnet.jobs.config_folders`); None if an older version froze the job, or in a record.
    """

    name: str
    config: dict[str, Any]
    overrides: list[str]
    swept: dict[str, Any]
    choices: dict[str, str | None]
    signature: str
    code: dict[str, Any] | None = None
    index: int = 0
    sweep: str | None = None
    data_sha256: str | None = None
    config_folders: dict[str, dict[str, Any]] | None = None

    @cached_property
    def identity(self) -> str:
        """What distinguishes it from the other jobs of its sweep: the experiment, and the requested numerics."""
        return identity(self.config)

    @cached_property
    def identity_without_epochs(self) -> str:
        """Identity with `trainer.epochs` left out: equal for jobs of a sweep that differ only in their epochs."""
        return f"{identity_without_epochs(self.config)} {self.data_sha256}"

    def is_on_data_of(self, other: "JobSpec") -> bool:
        """Return whether both have the same data, as far as is known."""
        return None in (self.data_sha256, other.data_sha256) or self.data_sha256 == other.data_sha256

    def as_recorded(self, result: Mapping[str, Any] | None) -> "JobSpec":
        """Return this job with the signature that its folder's `result.json` records of the same experiment.

        Versions that signed 0 and 0.0 differently may have started the job.
        """
        config = (result or {}).get("config")
        if result is None or not isinstance(config, dict) or not is_same_experiment(config, self.config):
            return self
        return replace(self, signature=result["signature"])

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON-serialisable form stored in `sweep.json`; its values are the job's own, and no copies."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def write_config(self, folder: Path) -> None:
        """Write the frozen config and overrides to `.hydra/`, where Hydra users expect them, replacing Hydra's own."""
        (folder / HYDRA).mkdir(exist_ok=True)
        for name, content in (("config", self.config), ("overrides", self.overrides)):
            text = yaml.dump(content, Dumper=DUMPER, sort_keys=False, allow_unicode=True)
            write_atomically(folder / HYDRA / f"{name}.yaml", text, sync=False)
