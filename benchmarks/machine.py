"""The machine and the versions that a figure was measured with, and the files that figures are kept in."""

import json
import re
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "torchvision", "lightning", "hydra-core", "wandb", "numpy")


def described(device: str = "cpu") -> dict[str, Any]:
    """Names of CPU and GPU, PyTorch's threads, versions, commit and date, for the head of a result."""
    import torch

    from mnist_resnet.jobs.environment import environment

    here = environment(device)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": here["cpu"],
        "gpu": here["gpu"],
        "threads": torch.get_num_threads(),
        "platform": here["platform"],
        "python": here["python"],
        "versions": {package: found for package in PACKAGES if (found := _version(package))},
        "commit": here["commit"],
        "dirty": here["dirty"],
    }


def headline(machine: dict[str, Any]) -> str:
    """One line on the machine, for a table's head."""
    where = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} threads"
    versions = ", ".join(f"{package} {number}" for package, number in machine["versions"].items())
    commit = str(machine["commit"])[:10] + " with uncommitted changes" * bool(machine["dirty"])
    return f"{where}; Python {machine['python']}, {versions}; {machine['date']}; commit {commit}"


def write_results(name: str, machine: dict[str, Any], lines: list[str], figures: dict[str, Any]) -> Path:
    """Write `NAME_<device>.md` and `.json` into `results/`; gives the path without its ending."""
    RESULTS.mkdir(exist_ok=True)
    device = re.sub(r"[^a-z0-9]+", "_", (machine["gpu"] or machine["cpu"]).lower()).strip("_")
    path = RESULTS / f"{name}_{device}"
    head = [f"# {name}", "", headline(machine), f"Command: `python -m benchmarks.{' '.join(_command())}`", ""]
    path.with_suffix(".md").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    content = {"machine": machine, "command": _command(), **figures}
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def table(rows: list[dict[str, str]]) -> list[str]:
    """A Markdown table; the keys of the first row are its head."""
    head = list(rows[0])
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in head}
    cells = [[f"{row[key]:{widths[key]}}" for key in head] for row in rows]
    return [
        f"| {' | '.join(line)} |"
        for line in [[f"{key:{widths[key]}}" for key in head], ["-" * widths[key] for key in head], *cells]
    ]


def _command() -> list[str]:
    # A data folder's path is of this machine alone.
    return [Path(sys.argv[0]).stem, *(word for word in sys.argv[1:] if not word.startswith("--data-root"))]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
