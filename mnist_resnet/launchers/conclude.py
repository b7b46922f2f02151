"""Writes the summary of a sweep or search whose workers no launch waits for."""

from pathlib import Path

from mnist_resnet.job_folder import SEARCH, SWEEP
from mnist_resnet.sweeps.folder import read_sweep
from mnist_resnet.tracking.console import plain_console
from mnist_resnet.tracking.guarded import GuardedTracker


def conclude(folder: Path) -> None:
    """Write the summary of the sweep in `folder` if all its jobs have ended; called by each worker when it ends."""
    if not (folder / SWEEP).exists():
        return
    # Imported here because it loads pandas, which workers that a launch waits for never need.
    from mnist_resnet.sweeps.finish import write_summary_once

    console, sweep = plain_console(), read_sweep(folder)
    tracker = GuardedTracker(sweep.jobs[-1].config["tracking"])
    if (folder / SEARCH).exists():
        from mnist_resnet.search.run import conclude_search
        from mnist_resnet.search.spec import read_spec

        conclude_search(folder, read_spec(folder), tracker, console)
    else:
        write_summary_once(folder, tracker, console)
