"""What one launch tells its workers, whichever engine starts them: through files in the sweep folder.

A worker that dies leaves its attempt as it was. Where a process watches over the workers, it says why in the attempt's
file, and whether the job is tried again; until then the launch's other workers leave that job alone. Where none does,
whoever takes the job over counts its deaths. Either way none is tried too often.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_resnet.job_folder import FORMAT, LAUNCHES, Status, read_json, write_atomically
from mnist_resnet.jobs.lease import attempts
from mnist_resnet.jobs.stop_request import last_request

UNFINISHED = (Status.RUNNING, Status.INTERRUPTED)


@dataclass(frozen=True)
class WorkerOptions:
    """Of one launch.

    Attributes:
        folder: the sweep folder.
        launch: names the launch, and nothing else in the world.
        jobs: names of the jobs to run, each with the number of attempts that it had before.
        on_failure: `continue`, or `stop` to begin no further job after one that failed.
        request: the last stop request before the launch; a later one ends its workers.
        attended: whether the process that launched the workers watches over them.
    """

    folder: Path
    launch: str
    jobs: Mapping[str, int]
    on_failure: str
    request: str
    supervised: bool = True

    def write(self) -> None:
        """Lay them down for the workers."""
        content = {"format": FORMAT, "jobs": dict(self.jobs), "on_failure": self.on_failure}
        content |= {"request": self.request, "attended": self.supervised}
        self._file.parent.mkdir(exist_ok=True)
        write_atomically(self._file, json.dumps(content, ensure_ascii=False) + "\n")

    def remove(self) -> None:
        """The launch is over."""
        self._file.unlink(missing_ok=True)
        self._stop.unlink(missing_ok=True)

    def stop(self) -> None:
        """Let no further job be begun by any worker."""
        self._stop.touch()

    def is_stopped(self) -> bool:
        """Whether no further job may be begun."""
        return self.on_failure == "stop" and self._stop.exists()

    def stop_was_requested(self) -> bool:
        """Whether all workers of the sweep were asked to end since the launch."""
        return last_request(self.folder) != self.request

    def is_ours(self, folder: Path) -> bool:
        """Whether the last attempt at the job in `folder` is one of this launch."""
        return self._last(folder).get("launch") == self.launch

    def may_take_over(self, folder: Path) -> bool:
        """Whether the job in `folder` may be taken: it was not left by a watched worker whose end is unsaid."""
        if not self.supervised:
            return True
        last = self._last(folder)
        return last.get("launch") != self.launch or last["status"] not in UNFINISHED or "reason" in last

    def _last(self, folder: Path) -> dict[str, Any]:
        return (attempts(folder) or [{}])[-1]

    @property
    def _file(self) -> Path:
        return self.folder / LAUNCHES / f"{self.launch}.json"

    @property
    def _stop(self) -> Path:
        return self.folder / LAUNCHES / f"{self.launch}.stop"


def read_worker_options(folder: Path, launch: str) -> WorkerOptions:
    """The orders of `launch` in a sweep folder.

    Raises:
        UnreadableFolder: there are none: the launch is over.
    """
    content = read_json(folder / LAUNCHES / f"{launch}.json")
    of_launch = (content[key] for key in ("jobs", "on_failure", "request", "attended"))
    return WorkerOptions(folder, launch, *of_launch)


def launch_is_active(folder: Path, launch: str) -> bool:
    """Whether a launch has orders in a sweep folder."""
    return (folder / LAUNCHES / f"{launch}.json").exists()


def launches(folder: Path) -> list[str]:
    """The launches of the sweep in `folder` whose orders lie there: under way, unless their process died."""
    return sorted(file.stem for file in (folder / LAUNCHES).glob("*.json"))
