"""What W&B's own reader finds in an offline run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def inspect(run: Path, *options: str) -> str:
    """What `wandb leet inspect --json` prints of a run."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(run)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def summary(run: Path) -> Any:
    """What the run is called, its config, summary and end."""
    return json.loads(inspect(run, "--summary"))


def begun(run: Path) -> dict[str, Any]:
    """How the run was begun: its id, names, group and config."""
    (record,) = (record["run"] for record in _records(run) if record["type"] == "run")
    return dict(record)


def history(run: Path) -> list[dict[str, Any]]:
    """The rows that were logged, in order."""
    return [record["history"]["item"] for record in _records(run) if record["type"] == "history"]


def _records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in inspect(run).splitlines()]
