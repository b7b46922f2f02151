"""Holders of leases: this process, and one on another machine that has fallen silent."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.jobs.lease import Lease, acquire_lease


def acquired(folder: Path, monitor: LeaseMonitor | None = None, **options: Any) -> Lease:
    held = acquire_lease(folder, monitor or LeaseMonitor(), **options)
    assert held is not None
    return held


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    """Look every 10 ms whether it is so; False if it never was."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def written_elsewhere(folder: Path, number: int = 1, **changes: object) -> Path:
    """An attempt as another machine would have written it; its heartbeat has stopped."""
    process = {"host": "elsewhere", "boot": "another", "namespace": "pid:[1]", "pid": 1, "process_started": 1}
    record = {"format": 1, "number": number, "owner": "x", "started": "2026-11-24T20:00:00+00:00", "ended": None}
    file = folder / "attempts" / f"{number:04d}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record | process | {"status": None} | changes))
    return file
