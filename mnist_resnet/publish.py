"""Keeps a sweep, finished or not, as a small record: `python -m mnist_resnet.publish SWEEP_DIR`.

The sweep goes on from it on another machine: `python -m mnist_resnet.restore RECORD_DIR`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.jobs_table import unfinished_text
from mnist_resnet.config.names import RECORDS
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import UnreadableFolder
from mnist_resnet.jobs.signals import interruptible
from mnist_resnet.sweeps.folder import read_sweep
from mnist_resnet.sweeps.record import publish
from mnist_resnet.sweeps.restore import restore_command

MULTIRUN = Path("multirun")


@interruptible
def main(arguments: Sequence[str] | None = None, program: str = "python -m mnist_resnet.publish") -> int:
    """Run the command and return its exit code."""
    options = _parser(program).parse_args(arguments)
    record = options.output or MULTIRUN / RECORDS / options.sweep.resolve().name
    try:
        read_sweep(options.sweep)
        if unfinished := unfinished_text(load_jobs([options.sweep])[0]):
            print(f"{options.sweep}: {unfinished}", flush=True)
        publish(options.sweep, record)
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {record}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"written to {record}{_remainder(record)}")
    return 0


def _remainder(record: Path) -> str:
    """Return what the record lacks, and the command that goes on with it elsewhere; empty if it is finished."""
    unfinished = unfinished_text(load_jobs([record])[0])
    if not unfinished:
        return ""
    is_search = read_sweep(record).content.get("search")
    way = "copy the sweep folder, a record has no study" if is_search else restore_command(record)
    return f" ({unfinished}); to go on elsewhere: {way}"


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Keep a sweep, finished or not, as a small folder of text files and plots, to commit and share. "
        "Publishing it again adds the jobs that have ended since; `restore` goes on with it on another machine.",
    )
    parser.add_argument("sweep", type=Path, metavar="SWEEP_DIR")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: multirun/records/NAME")
    return parser


if __name__ == "__main__":
    sys.exit(main())
