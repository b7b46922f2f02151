"""A frozen job: one composed config, and what it is called, as `sweep.json` keeps it."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from mnist_resnet.config.signature import flatten, identity
from mnist_resnet.job_folder import HYDRA, write_atomically

DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""Written in C where PyYAML was built with it, and then ten times as fast."""


@dataclass(frozen=True)
class JobSpec:
    """A job as it was composed at launch; nothing that is edited later changes it.

    Attributes:
        name: for people; the job folder's name inside a sweep folder.
        config: the whole config, resolved, without Hydra's own node.
        overrides: as typed, those of the sweep among them.
        swept: what the sweep varies, by key, as this job has it.
        choices: the option chosen in every config group, also by an experiment file.
        signature: see `signature.py`.
        code: commit and dirtiness of the code at launch; None for a single run.
        index: in the sweep, from 0.
        sweep: the sweep folder's name; None for a single run.
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

    @cached_property
    def identity_but_for_epochs(self) -> str:
        """The same for jobs of a sweep that differ in nothing but how many epochs they train."""
        return identity({key: value for key, value in flatten(self.config).items() if key != "trainer.epochs"})

    def as_dict(self) -> dict[str, Any]:
        """For `sweep.json`."""
        return asdict(self)

    def write_config(self, folder: Path) -> None:
        """Leave the frozen config and the overrides where Hydra's users look for them, whatever Hydra put there."""
        (folder / HYDRA).mkdir(exist_ok=True)
        for name, content in (("config", self.config), ("overrides", self.overrides)):
            text = yaml.dump(content, Dumper=DUMPER, sort_keys=False, allow_unicode=True)
            write_atomically(folder / HYDRA / f"{name}.yaml", text, sync=False)
