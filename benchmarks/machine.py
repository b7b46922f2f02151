"""Describes the machine and the software versions of a measurement, and writes result files."""

import json
import re
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "torchvision", "lightning", "hydra-core", "wandb", "numpy")


def describe_machine(device: str = "cpu") -> dict[str, Any]:
    """Return the CPU, GPU, number of PyTorch's threads, versions, commit and date of a measurement on `device`."""
    import torch

    from mnist_resnet.jobs.environment import environment

    current = environment(device)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": current["cpu"],
        "gpu": current["gpu"],
        "threads": torch.get_num_threads(),
        "platform": current["platform"],
        "python": current["python"],
        "versions": {package: number for package in PACKAGES if (number := _version(package))},
        "commit": current["commit"],
        "dirty": current["dirty"],
    }


def headline(machine: dict[str, Any]) -> str:
    """Summarise the result of `describe_machine` in one line, to print above a table."""
    device = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} threads"
    versions = ", ".join(f"{package} {number}" for package, number in machine["versions"].items())
    commit = str(machine["commit"])[:10] + " with uncommitted changes" * bool(machine["dirty"])
    return f"{device}; Python {machine['python']}, {versions}; {machine['date']}; commit {commit}"


def write_results(name: str, machine: dict[str, Any], lines: list[str], figures: dict[str, Any]) -> Path:
    """Write `NAME_<device>.md` and `.json` into `results/`.

    Args:
        name: the benchmark's name.
        machine: result of `describe_machine`.
        lines: Markdown lines for the `.md` file.
        figures: measurements for the `.json` file.

    Returns:
        The path of both files, without the suffix.
    """
    RESULTS.mkdir(exist_ok=True)
    device = re.sub(r"[^a-z0-9]+", "_", (machine["gpu"] or machine["cpu"]).lower()).strip("_")
    path = RESULTS / f"{name}_{device}"
    head = [f"# {name}", "", headline(machine), f"Command: `python -m benchmarks.{' '.join(_command())}`", ""]
    path.with_suffix(".md").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    content = {"machine": machine, "command": _command(), **figures}
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def table(rows: list[dict[str, str]]) -> list[str]:
    """Return the lines of a Markdown table; the first row's keys are the column headings."""
    columns = list(rows[0])
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in columns}
    cells = [[f"{row[key]:{widths[key]}}" for key in columns] for row in rows]
    return [
        f"| {' | '.join(line)} |"
        for line in [[f"{key:{widths[key]}}" for key in columns], ["-" * widths[key] for key in columns], *cells]
    ]


def _command() -> list[str]:
    # Leave out the data folder, a path of this machine.
    return [Path(sys.argv[0]).stem, *(word for word in sys.argv[1:] if not word.startswith("--data-root"))]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
