"""Restores a sweep folder from its record, to go on with it: `python -m mnist_resnet.restore RECORD_DIR`."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.names import sweep_folder
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import UnreadableFolder
from mnist_resnet.jobs.signals import interruptible
from mnist_resnet.sweeps.folder import Sweep, job_state, read_sweep
from mnist_resnet.sweeps.restore import restore

MULTIRUN = Path("multirun")


@interruptible
def main(arguments: Sequence[str] | None = None, program: str = "python -m mnist_resnet.restore") -> int:
    """Run the command and return its exit code."""
    options = _parser(program).parse_args(arguments)
    folder = options.output
    try:
        if folder is None:
            folder = sweep_folder(MULTIRUN, str(read_sweep(options.record).content.get("name")))
        print(_summary(restore(options.record, folder)))
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {folder}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


def _summary(sweep: Sweep) -> str:
    monitor = LeaseMonitor()
    due = sum(job_state(sweep, job, monitor).is_due for job in sweep.jobs)
    total = len(sweep.jobs)
    lines = [f"restored {sweep.folder}: {total - due} of {total} job{'s' * (total != 1)} have a result, {due} to run"]
    if due:
        lines.append(f"to go on: python -m mnist_resnet.resume {shlex.quote(str(sweep.folder))}")
        lines.append(f"or the command that started it: {shlex.join(['python', *sweep.content.get('command', [])])}")
    return "\n".join(lines)


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Restore a sweep folder from its record. Jobs with a result are not run again; the others start "
        "over, or continue from a checkpoint.pt that was put into their folder in the record.",
    )
    parser.add_argument("record", type=Path, metavar="RECORD_DIR")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: multirun/NAME")
    return parser


if __name__ == "__main__":
    sys.exit(main())
