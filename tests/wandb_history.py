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


def history(run: Path) -> list[dict[str, Any]]:
    """The rows that were logged, in order."""
    records = [json.loads(line) for line in inspect(run).splitlines()]
    return [record["history"]["item"] for record in records if record["type"] == "history"]
