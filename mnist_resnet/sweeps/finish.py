"""Runs a sweep through a launcher and finishes it: prints the table and failures, writes the summary files."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.allowed_targets import unlisted_targets
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.printed_command import resume_command
from mnist_resnet.errors import EndedEarly, UsageError, wording
from mnist_resnet.job_folder import DASHBOARD, DONE, FIGURES, RESULTS, TABLE, Status, UnreadableFolder, room_hint
from mnist_resnet.jobs.signals import Interrupted
from mnist_resnet.jobs.weights import remove_unkept_weights
from mnist_resnet.sweeps.folder import JobState, Sweep, job_state
from mnist_resnet.sweeps.live_dashboard import write_sweep_dashboard, write_sweep_plots
from mnist_resnet.sweeps.summary import JobsStillRunning, summarize_once
from mnist_resnet.tracking.console import plain_console
from mnist_resnet.tracking.guarded import GuardedTracker


def run_sweep(sweep: Sweep, start: Callable[[Sequence[JobSpec]], Any], detach: bool = False) -> int:
    """Run the sweep's unfinished jobs, wait for them, and print and write the summary.

    Args:
        sweep: the frozen sweep.
        start: runs the given jobs; their results are read from their folders.
        detach: whether `start` returns before the jobs end.

    Returns:
        The exit code: 0; 1 if a job failed or is unfinished; 128 + the signal that ended the sweep.
    """
    console = plain_console()
    monitor = LeaseMonitor()
    states = [job_state(sweep, job, monitor) for job in sweep.jobs]
    due = [state.job for state in states if state.is_due]
    for state in states:
        if state.status in DONE:
            remove_unkept_weights(sweep.folder_of(state.job))
    console.print(f"{sweep.folder}: {_job_counts(len(due), len(sweep.jobs))}", markup=False)
    code = run_launcher(due, start, console) if due else 0
    if detach and due and not code:
        console.print(watch_hint(sweep.folder), markup=False)
        return 0
    try:
        undone = print_summary(sweep, console)
    except (OSError, UnreadableFolder) as error:
        console.print(no_summary(error), markup=False)
        return code or 1
    if undone:
        own = unlisted_targets([job.config for job in sweep.jobs])
        console.print(f"to resume: {resume_command(sweep.folder, own)}", markup=False)
    return code or (1 if undone else 0)


def no_summary(error: OSError | UnreadableFolder) -> str:
    """Return a line on a summary for which the folder can't be read, as when its disk has gone away."""
    return f"no table: {wording(error)}; once it can be read, the same command prints it"


def watch_hint(folder: Path) -> str:
    """Return a line with the command that follows a detached sweep."""
    return f"to follow it: python -m mnist_resnet.sweep {shlex.quote(str(folder))} --watch"


def run_launcher(due: Sequence[JobSpec], start: Callable[[Sequence[JobSpec]], Any], console: Console) -> int:
    """Call `start` and return the exit code.

    Whatever stops the launcher early is printed and not raised, so that the summary is still written. `UsageError` is
    the exception.
    """
    try:
        start(due)
    except Interrupted as interrupted:
        console.print(str(interrupted), markup=False)
        return interrupted.exit_code
    except KeyboardInterrupt:
        console.print("stopped at once; the last checkpoints are intact", markup=False)
        return 130
    except SystemExit as end:
        # Hydra's launchers re-raise a job's SystemExit.
        console.print("ended early")
        return end.code if isinstance(end.code, int) else 1
    except UsageError:
        raise
    except OSError as error:
        console.print(f"ended early: {wording(error)}{room_hint(error)}", markup=False)
        return 1
    except EndedEarly as error:
        console.print(f"ended early: {error}", markup=False)
        return 1
    except Exception as error:
        console.print(f"the launcher failed: {wording(error)}", markup=False)
        return 1
    return 0


def print_summary(sweep: Sweep, console: Console, more: Callable[[], list[str]] = list) -> list[JobState]:
    """Print the sweep's table, its unfinished jobs and where its files are; write the summary files once.

    Args:
        sweep: the sweep, with the jobs of this launch.
        console: where to print.
        more: writes the summary files that only this kind of sweep has, and returns their names.

    Returns:
        The states of the jobs without a result.
    """
    # Imported late: a dry run shows no table, and needs no pandas.
    from mnist_resnet.comparing.job_reader import load_jobs
    from mnist_resnet.comparing.table import sweep_report

    console.print(sweep_report(*load_jobs([sweep.folder])))
    monitor = LeaseMonitor()
    undone = [state for job in sweep.jobs if (state := job_state(sweep, job, monitor)).status not in DONE]
    for state in undone:
        # The report already has a line for each failed job.
        if state.status != Status.FAILED:
            remark = f": {state.remark}" if state.remark else ""
            console.print(f"{state.job.name}: {state.status}{remark}", markup=False)
    # Tracker settings are not part of a job's identity, so each launch may change them. The last job has the latest.
    tracker = GuardedTracker(sweep.jobs[-1].config["tracking"])
    write_summary_once(sweep.folder, tracker, console, more)
    hint = tracker.hint(sweep.folder)
    if hint:
        console.print(hint, markup=False)
    return undone


def write_summary_once(
    folder: Path, tracker: GuardedTracker, console: Console, more: Callable[[], list[str]] = list
) -> None:
    """Write the summary files and notify the tracker, unless another process has; print who wrote them.

    Args:
        folder: the sweep folder.
        tracker: the sweep's tracker.
        console: where to print.
        more: see `print_summary`.
    """
    from mnist_resnet.comparing.job_reader import load_jobs
    from mnist_resnet.comparing.table import sweep_report

    written: list[str] = []

    def write() -> bool:
        standard = _write_summary_files(folder, console)
        written.extend([*standard, *more()])
        tracker.sweep_ended(folder, sweep_report(*load_jobs([folder])).jobs)
        return {TABLE, RESULTS, DASHBOARD} <= set(standard)

    try:
        writer = summarize_once(folder, write)
    except JobsStillRunning as running:
        console.print(f"{running}; the process that ends last writes {TABLE}, {RESULTS}, {DASHBOARD}", markup=False)
        return
    except UsageError as error:
        # What ended the jobs, such as a full disk, may leave no room for the summary either.
        console.print(f"{TABLE}, {RESULTS}, {DASHBOARD} are not written: {error}", markup=False)
        return
    if writer is not None:
        process = f"process {writer.get('pid')} on {writer.get('host')}"
        console.print(f"written to {folder} by {process}: {TABLE}, {RESULTS}, {DASHBOARD}", markup=False)
    elif written:
        console.print(f"written to {folder}: {', '.join(written)}", markup=False)


def _write_summary_files(folder: Path, console: Console) -> list[str]:
    """Write the summary files, print those that the disk refuses, and return the names of those written."""
    from mnist_resnet.comparing.table import write_table

    written: list[str] = []
    for names, write in (
        ((TABLE, RESULTS), write_table),
        ((DASHBOARD,), write_sweep_dashboard),
        ((FIGURES,), write_sweep_plots),
    ):
        try:
            write(folder)
            written += [name for name in names if (folder / name).exists()]
        except OSError as error:
            console.print(f"{folder}: {' and '.join(names)} can't be written ({error.strerror})", markup=False)
        except UsageError:
            raise
        except Exception as error:  # a fault of ours in one file must not take the others along
            console.print(
                f"{folder}: {' and '.join(names)} not written by a fault of this program "
                f"({type(error).__name__}: {wording(error)})",
                markup=False,
            )
    return written


def _job_counts(due: int, total: int) -> str:
    if due == total:
        return f"{due} job{'s' * (due != 1)}"
    return f"{due} of {total} jobs to run, {total - due} ended already"
