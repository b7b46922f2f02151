"""Copies a sweep's results to a small folder of text files and plots: `python -m mnist_resnet.publish SWEEP_DIR`."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mnist_resnet.comparing.figures import write_figures
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.table import write_table
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import (
    BATCH_LOSSES,
    ENVIRONMENT,
    FIGURES,
    METRICS,
    RESULT,
    SWEEP,
    UnreadableFolder,
    read_json,
    to_json,
    write_atomically,
)
from mnist_resnet.sweeps.folder import read_sweep

RECORDS = Path("multirun/records")
PRIVATE_KEYS = {"root", "host", "pid", "traceback"}
"""Keys that name the user's paths or machine and are irrelevant to the results."""
PATH_ARGUMENTS = ("data.root=", "hydra.run.dir=", "hydra.sweep.dir=", "--config-dir=", "--config-path=")
"""Prefixes of command-line arguments that contain a path."""


def publish(sweep: Path, record: Path) -> None:
    """Copy the results of the sweep in `sweep` to `record`, and write its table and plots there.

    `compare` reads the record like a sweep, except for what needs predictions. The record omits weights, predictions,
    logs, W&B's files, the dashboard (its plotting library alone has 5 MB; `compare --format html` writes it again), and
    everything that identifies the machine.

    Raises:
        UnreadableFolder: `sweep` holds no sweep, or has a job that can't be read.
        UsageError: the record already exists, or there is nothing to plot.
    """
    if record.exists():
        raise UsageError(f"{record}: the record already exists; move it away or choose another --output")
    jobs = read_sweep(sweep).jobs
    record.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=record.parent, prefix=f".{record.name}.") as name:
        unfinished = Path(name) / record.name
        unfinished.mkdir()
        for job in jobs:
            _copy_job(sweep / job.name, unfinished / job.name)
        content = read_json(sweep / SWEEP)
        content["command"] = [Path(content["command"][0]).name, *content["command"][1:]] if content["command"] else []
        _write(unfinished / SWEEP, _without_private(content))
        freezes = sorted(sweep.glob(f"*/{ENVIRONMENT}/freeze.txt"))
        if freezes:
            shutil.copyfile(freezes[0], unfinished / "freeze.txt")
        write_table(unfinished)
        for suffix in ("png", "svg"):
            write_figures(load_jobs([unfinished])[0], unfinished / FIGURES, suffix)
        unfinished.rename(record)


def _copy_job(job: Path, copy: Path) -> None:
    if not (job / RESULT).exists():
        return
    copy.mkdir()
    result = _without_private(read_json(job / RESULT))
    if isinstance(result.get("environment"), dict):
        result["environment"]["platform"] = str(result["environment"].get("platform")).partition("-")[0]
    _write(copy / RESULT, result)
    for name in (METRICS, BATCH_LOSSES):
        if (job / name).exists():
            shutil.copyfile(job / name, copy / name)


def _without_private(content: Any) -> Any:
    if isinstance(content, dict):
        kept = {key: value for key, value in content.items() if key != "data.root"}
        return {key: None if key in PRIVATE_KEYS else _without_private(value) for key, value in kept.items()}
    if isinstance(content, list):
        return [_without_private(value) for value in content if not str(value).startswith(PATH_ARGUMENTS)]
    return content


def _write(path: Path, content: Any) -> None:
    write_atomically(path, to_json(content, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None, program: str = "python -m mnist_resnet.publish") -> int:
    """Run the command and return its exit code."""
    options = _parser(program).parse_args(arguments)
    record = options.output or RECORDS / options.sweep.resolve().name
    try:
        publish(options.sweep, record)
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"written to {record}")
    return 0


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Copy a sweep's results to a small folder of text files and plots, to commit and share.",
    )
    parser.add_argument("sweep", type=Path, metavar="SWEEP_DIR")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: multirun/records/NAME")
    return parser


if __name__ == "__main__":
    sys.exit(main())
