"""Reads an offline W&B run with W&B's own reader."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def inspect(run: Path, *options: str) -> str:
    """Return what `wandb leet inspect --json` prints for a run."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *options, str(run)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def summary(run: Path) -> Any:
    """Return the run's name, config, summary and exit code."""
    return json.loads(inspect(run, "--summary"))


def begun(run: Path) -> dict[str, Any]:
    """Return the record that started the run: its id, names, group and config."""
    (record,) = (record["run"] for record in _records(run) if record["type"] == "run")
    return dict(record)


def history(run: Path) -> list[dict[str, Any]]:
    """Return the logged rows, in order."""
    return [record["history"]["item"] for record in _records(run) if record["type"] == "history"]


def _records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in inspect(run).splitlines()]
