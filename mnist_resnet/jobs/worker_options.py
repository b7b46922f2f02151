"""The options that a launch gives its workers, through files in the sweep folder, whichever engine starts them.

A worker that dies leaves its attempt unfinished. A supervising process records why in the attempt's file and decides
whether to retry; until then the launch's other workers leave that job alone. Without a supervisor, the process that
takes the job over counts the crashes. Either way the number of retries is limited.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_resnet.attempts import attempts
from mnist_resnet.job_folder import FORMAT, LAUNCHES, Status, UnreadableFolder, read_json, write_atomically
from mnist_resnet.jobs.stop_request import last_request

UNFINISHED = (Status.RUNNING, Status.INTERRUPTED)


@dataclass(frozen=True)
class WorkerOptions:
    """Options of one launch.

    Attributes:
        folder: The sweep folder.
        launch: The launch's unique id.
        jobs: Names of the jobs to run, each with the number of attempts that it had before.
        on_failure: `continue`, or `stop` to begin no further job after one that failed.
        request: The last stop request before the launch; a later one ends its workers.
        workers: Number of workers that the launch asks for.
        supervised: Whether the process that launched the workers supervises them.
    """

    folder: Path
    launch: str
    jobs: Mapping[str, int]
    on_failure: str
    request: str
    workers: int = 1
    supervised: bool = True

    def write(self) -> None:
        """Write the options where the workers read them."""
        content = {"format": FORMAT, "jobs": dict(self.jobs), "on_failure": self.on_failure}
        content |= {"request": self.request, "workers": self.workers, "attended": self.supervised}
        self._file.parent.mkdir(exist_ok=True)
        write_atomically(self._file, json.dumps(content, ensure_ascii=False) + "\n")

    def remove(self) -> None:
        """Remove the options: the launch is over."""
        self._file.unlink(missing_ok=True)
        self._stop.unlink(missing_ok=True)

    def stop(self) -> None:
        """Tell all workers to begin no further job."""
        self._stop.touch()

    def is_stopped(self) -> bool:
        """Return whether no further job may be begun."""
        return self.on_failure == "stop" and self._stop.exists()

    def stop_was_requested(self) -> bool:
        """Return whether a stop of all the sweep's workers was requested since the launch."""
        return last_request(self.folder) != self.request

    def is_ours(self, folder: Path) -> bool:
        """Return whether the last attempt at the job in `folder` belongs to this launch."""
        return self._last(folder).get("launch") == self.launch

    def may_take_over(self, folder: Path) -> bool:
        """Return whether the job in `folder` may be taken over: no supervised worker's crash in it is unhandled."""
        if not self.supervised:
            return True
        last = self._last(folder)
        return last.get("launch") != self.launch or last["status"] not in UNFINISHED or "reason" in last

    def _last(self, folder: Path) -> dict[str, Any]:
        try:
            return (attempts(folder) or [{}])[-1]
        except OSError:
            # Unknown at present: then the job is not taken over.
            return {"launch": self.launch, "status": Status.RUNNING}

    @property
    def _file(self) -> Path:
        return self.folder / LAUNCHES / f"{self.launch}.json"

    @property
    def _stop(self) -> Path:
        return self.folder / LAUNCHES / f"{self.launch}.stop"


def read_worker_options(folder: Path, launch: str) -> WorkerOptions:
    """Return the options of a launch from its sweep folder.

    Raises:
        UnreadableFolder: There are none: the launch is over. Or they lack an entry.
    """
    file = folder / LAUNCHES / f"{launch}.json"
    content = {"workers": 1} | read_json(file)  # older versions wrote no number of workers
    try:
        of_launch = [content[key] for key in ("jobs", "on_failure", "request", "workers", "attended")]
    except KeyError as missing:
        raise UnreadableFolder(f"{file}: can't be read (it has no {missing})") from None
    return WorkerOptions(folder, launch, *of_launch)


def launch_is_active(folder: Path, launch: str) -> bool:
    """Return whether a launch is active: its options exist."""
    return (folder / LAUNCHES / f"{launch}.json").exists()


def launches(folder: Path) -> list[str]:
    """Return the active launches of the sweep in `folder`, also those whose process died."""
    return sorted(file.stem for file in (folder / LAUNCHES).glob("*.json"))
