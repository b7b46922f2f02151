"""`python -m mnist_resnet.publish SWEEP_DIR`: keep a sweep's record as small text files, to be committed and shared."""

import argparse
import json
import shutil
import sys
import tempfile
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
    write_atomically,
)
from mnist_resnet.sweeps.folder import read_sweep

RECORDS = Path("multirun/records")
PRIVATE = {"root", "host", "pid", "traceback"}
"""Keys that say where somebody's files lie or what their machine is called, and nothing about a figure."""
PLACES = ("data.root=", "hydra.run.dir=", "hydra.sweep.dir=", "--config-dir=", "--config-path=")
"""Beginnings of what was typed and names a place."""


def publish(sweep: Path, record: Path) -> None:
    """Copy what a reader needs of the sweep in `sweep` to `record`, and write its table and plots there.

    `compare` reads the record as it reads a sweep, but for what needs predictions. Left out are weights, predictions,
    logs, W&B's files, the dashboard (its plotting library alone has 5 MB; `compare --format html` makes it again), and
    what says whose machine it was.

    Raises:
        UnreadableFolder: `sweep` holds no sweep, or a job that can't be read.
        UsageError: there is a record already, or nothing to draw.
    """
    if record.exists():
        raise UsageError(f"{record}: there is a record already; move it away or choose another --output")
    jobs = read_sweep(sweep).jobs
    record.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=record.parent, prefix=f".{record.name}.") as name:
        beside = Path(name) / record.name
        beside.mkdir()
        for job in jobs:
            _copy_job(sweep / job.name, beside / job.name)
        content = read_json(sweep / SWEEP)
        content["command"] = [Path(content["command"][0]).name, *content["command"][1:]] if content["command"] else []
        _write(beside / SWEEP, _without_private(content))
        freezes = sorted(sweep.glob(f"*/{ENVIRONMENT}/freeze.txt"))
        if freezes:
            shutil.copyfile(freezes[0], beside / "freeze.txt")
        write_table(beside)
        for suffix in ("png", "svg"):
            write_figures(load_jobs([beside])[0], beside / FIGURES, suffix)
        beside.rename(record)


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
        return {key: None if key in PRIVATE else _without_private(value) for key, value in kept.items()}
    if isinstance(content, list):
        return [_without_private(value) for value in content if not str(value).startswith(PLACES)]
    return content


def _write(path: Path, content: Any) -> None:
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m mnist_resnet.publish", description=__doc__)
    parser.add_argument("sweep", type=Path, metavar="SWEEP_DIR")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="instead of multirun/records/NAME")
    arguments = parser.parse_args()
    record = arguments.output or RECORDS / arguments.sweep.resolve().name
    try:
        publish(arguments.sweep, record)
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"written to {record}")


if __name__ == "__main__":
    main()
