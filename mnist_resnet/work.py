"""Runs one worker on a sweep's unfinished jobs: `python -m mnist_resnet.work SWEEP_DIR`."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from mnist_resnet.errors import UsageError, wording
from mnist_resnet.job_folder import UnreadableFolder, room_hint
from mnist_resnet.jobs.signals import interruptible
from mnist_resnet.jobs.worker_options import launch_is_active


@interruptible
def main(arguments: Sequence[str] | None = None, program: str = "python -m mnist_resnet.work") -> int:
    """Run the command and return its exit code."""
    options = _parser(program).parse_args(arguments)
    if options.launch:
        from mnist_resnet.launchers.memory_pressure import be_killed_first

        be_killed_first()
    if options.supervised:
        # The process that started this one has blocked it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        from mnist_resnet.launchers.parent_watch import end_with_parent

        end_with_parent()
    if options.launch and not launch_is_active(options.sweep, options.launch):
        # A cluster may start a worker long after the last job has ended.
        print("the launch is over")
        return 0
    try:
        from mnist_resnet.launchers.worker import work

        return work(options.sweep, options.launch, options.worker, options.trust)
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"ended early: {wording(error)}{room_hint(error)}", file=sys.stderr)
        return 1


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program, description="Run one worker on a sweep's unfinished jobs; other workers may run beside it."
    )
    parser.add_argument("sweep", type=Path, metavar="SWEEP_DIR")
    parser.add_argument(
        "--trust", action="append", default=[], metavar="TARGET", help="allow this _target_ of your own to run"
    )
    # The options below are set by launchers.
    parser.add_argument("--launch", help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
