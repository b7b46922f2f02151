"""Runs the unfinished jobs of a sweep or search: `python -m mnist_resnet.resume SWEEP_DIR`."""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import SEARCH, UnreadableFolder
from mnist_resnet.jobs.signals import interruptible

if TYPE_CHECKING:
    from mnist_resnet.sweeps.folder import Sweep


def resume(folder: Path, trusted: Sequence[str]) -> int:
    """Run the unfinished jobs of the sweep in `folder` and return the exit code.

    Args:
        folder: the sweep folder; nothing else is read.
        trusted: names of `_target_`s that may run besides the shipped ones.

    Raises:
        UsageError: a frozen config names a `_target_` that is not trusted, the disk lacks space for the jobs, the
            folder is a record, or a link in it would be written through.
        UnreadableFolder: the folder holds no sweep, or a sweep without jobs.
    """
    from mnist_resnet.sweeps.folder import refuse_sweep_links

    refuse_sweep_links(folder)
    if (folder / SEARCH).exists():
        if find_spec("optuna") is None:
            raise UsageError(f"{folder}: holds a search, which needs Optuna: pip install -e '.[search]'")
        from mnist_resnet.search.run import resume_search

        return resume_search(folder, trusted)
    from mnist_resnet.attempts import LeaseMonitor
    from mnist_resnet.config.allowed_targets import check_targets, trust
    from mnist_resnet.config.schema import check_job
    from mnist_resnet.jobs.disk_space import check_disk_space
    from mnist_resnet.sweeps.finish import run_sweep
    from mnist_resnet.sweeps.folder import job_state, read_sweep
    from mnist_resnet.sweeps.restore import refuse_record
    from mnist_resnet.sweeps.runner import run_jobs

    refuse_record(folder)
    trust(trusted)
    sweep = read_sweep(folder)
    if not sweep.jobs:
        raise UnreadableFolder(f"{folder}: its job list is empty; run the command that started it again")
    for job in sweep.jobs:
        check_targets(job.config, trusted)
        check_job(job.config)
    refuse_sweep_links(folder, sweep.jobs)
    monitor = LeaseMonitor()
    check_disk_space(folder, [job for job in sweep.jobs if job_state(sweep, job, monitor).is_due])
    settings = check_job(sweep.jobs[-1].config).sweep
    code = run_sweep(sweep, lambda due: run_jobs(folder, [job.name for job in due], settings.on_failure))
    if settings.seeds == "auto" and not code:
        _say_what_is_wide(sweep)
    return code


def _say_what_is_wide(sweep: "Sweep") -> None:
    """Say whether seeds are to be added, for which the whole config has to be composed again, and by which command."""
    from mnist_resnet.config.printed_command import train_command
    from mnist_resnet.sweeps.added_seeds import next_round

    following = next_round(sweep.folder, sweep.jobs, sweep.jobs[0].config["sweep"])
    if following.line:
        print(following.line)
    if following.is_open:
        program, *arguments = sweep.content["command"]
        print(f"to add them: {train_command(program, arguments)}")


@interruptible
def main(arguments: Sequence[str] | None = None, program: str = "python -m mnist_resnet.resume") -> int:
    """Run the command and return its exit code."""
    options = _parser(program).parse_args(arguments)
    try:
        return resume(options.sweep, options.trust)
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="Run the unfinished jobs of a sweep or search.")
    parser.add_argument("sweep", type=Path, metavar="SWEEP_DIR")
    parser.add_argument(
        "--trust", action="append", default=[], metavar="TARGET", help="allow this _target_ of your own to run"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
