"""`python -m mnist_resnet.publish SWEEP_DIR`: keep a sweep's record as small text files, to be committed and shared."""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from mnist_resnet.comparing.figures import write_figures
from mnist_resnet.comparing.frame import load_jobs
from mnist_resnet.comparing.table import write_table
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import (
    ENVIRONMENT,
    FIGURES,
    METRICS,
    RESULT,
    SWEEP,
    UnreadableFolder,
    read_json,
    write_atomically,
)

RECORDS = Path("multirun/records")
PRIVATE = (("config", "data", "root"), ("environment", "host"))
"""What says where somebody's files lie or what their machine is called, and nothing about a figure."""


def publish(sweep: Path, record: Path) -> None:
    """Copy what a reader needs of the sweep in `sweep` to `record`, and write its table and plots there.

    Left out are weights, predictions, logs, W&B's files, and what `PRIVATE` names; `compare` reads the record as it
    reads a sweep.

    Raises:
        UnreadableFolder: `sweep` holds no sweep, or a job that can't be read.
        UsageError: there is a record already, or nothing to draw.
    """
    if record.exists():
        raise UsageError(f"{record}: there is a record already; move it away or choose another --output")
    content = read_json(sweep / SWEEP)
    record.mkdir(parents=True)
    for job in content["jobs"]:
        _copy_job(sweep / job["name"], record / job["name"])
    content["jobs"] = [_without_private(job) for job in content["jobs"]]
    _write(record / SWEEP, content)
    freezes = sorted(sweep.glob(f"*/{ENVIRONMENT}/freeze.txt"))
    if freezes:
        shutil.copyfile(freezes[0], record / "freeze.txt")
    write_table(record)
    for suffix in ("png", "svg"):
        write_figures(load_jobs([record])[0], record / FIGURES, suffix)


def _copy_job(job: Path, copy: Path) -> None:
    if not (job / RESULT).exists():
        return
    copy.mkdir()
    result = _without_private(read_json(job / RESULT))
    for attempt in result.get("attempts", []):
        attempt.pop("host", None)
    _write(copy / RESULT, result)
    if (job / METRICS).exists():
        shutil.copyfile(job / METRICS, copy / METRICS)


def _without_private(content: dict[str, Any]) -> dict[str, Any]:
    for *path, key in PRIVATE:
        node: Any = content
        for part in path:
            node = node.get(part, {}) if isinstance(node, dict) else {}
        if isinstance(node, dict) and key in node:
            node[key] = None
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
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
