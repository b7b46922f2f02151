"""`python -m mnist_resnet.work SWEEP_DIR`: one worker that runs what is missing of a sweep, beside others that do."""

import argparse
import sys
from pathlib import Path

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import UnreadableFolder
from mnist_resnet.jobs.worker_options import launch_is_active


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m mnist_resnet.work", description=__doc__)
    parser.add_argument("sweep", type=Path, metavar="SWEEP_DIR")
    parser.add_argument("--trust", action="append", default=[], metavar="TARGET", help="a _target_ of your own to run")
    # What follows is for launchers.
    parser.add_argument("--launch", help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.supervised:
        from mnist_resnet.launchers.parent_watch import end_with_parent

        end_with_parent()
    if arguments.launch and not launch_is_active(arguments.sweep, arguments.launch):
        # A cluster may start a worker long after the last job has ended.
        print("the launch is over")
        return
    try:
        from mnist_resnet.launchers.worker import work

        sys.exit(work(arguments.sweep, arguments.launch, arguments.worker, arguments.trust))
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
