"""`python -m mnist_resnet.resume SWEEP_DIR`: run what is missing of a sweep or search, from its folder alone."""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import SEARCH, UnreadableFolder


def resume(folder: Path, trusted: Sequence[str]) -> int:
    """Carry out what is missing in `folder`; gives the exit code.

    Raises:
        UsageError: a frozen config would run something that is not trusted, or there is no room for the jobs.
        UnreadableFolder: the folder holds no sweep, or one without a job.
    """
    if (folder / SEARCH).exists():
        if find_spec("optuna") is None:
            raise UsageError(f"{folder}: holds a search, which needs Optuna: pip install -e '.[search]'")
        from mnist_resnet.search.run import resume_search

        return resume_search(folder, trusted)
    from mnist_resnet.config.allowed_targets import check_targets
    from mnist_resnet.config.schema import check
    from mnist_resnet.jobs.disk_space import check_disk_space
    from mnist_resnet.jobs.lease import LeaseMonitor
    from mnist_resnet.sweeps.finish import run_sweep
    from mnist_resnet.sweeps.folder import job_state, read_sweep
    from mnist_resnet.sweeps.runner import run_jobs

    sweep = read_sweep(folder)
    if not sweep.jobs:
        raise UnreadableFolder(f"{folder}: its job list is empty; give the command that began it again")
    for job in sweep.jobs:
        check_targets(job.config, trusted)
        check(job.config)
    monitor = LeaseMonitor()
    check_disk_space(folder, [job for job in sweep.jobs if job_state(sweep, job, monitor).is_due])
    on_failure = check(sweep.jobs[-1].config).sweep.on_failure
    return run_sweep(sweep, lambda due: run_jobs(folder, [job.name for job in due], on_failure))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m mnist_resnet.resume", description=__doc__)
    parser.add_argument("sweep", type=Path, metavar="SWEEP_DIR")
    parser.add_argument("--trust", action="append", default=[], metavar="TARGET", help="a _target_ of your own to run")
    arguments = parser.parse_args()
    try:
        sys.exit(resume(arguments.sweep, arguments.trust))
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
