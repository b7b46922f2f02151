"""Restores a sweep folder from its record, to go on with it: `python -m mnist_resnet.restore RECORD_DIR`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.allowed_targets import unlisted_targets
from mnist_resnet.config.combinations import override_key
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.names import sweep_folder
from mnist_resnet.config.printed_command import hydra_name, resume_command, train_command
from mnist_resnet.config.signature import NUMERICS
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
    have = "job has" if total == 1 else "jobs have"
    lines = [f"restored {sweep.folder}: {total - due} of {total} {have} a result, {due} to run"]
    if due:
        own = unlisted_targets([job.config for job in sweep.jobs])
        lines.append(f"to go on: {resume_command(sweep.folder, own)}")
    if command := _train_command(sweep):
        lines.append(f"{'or' if due else 'to add jobs, change'} the command that started it: {command}")
    if shared := _shared_numerics(sweep.jobs):
        lines.append(f"its jobs have {' '.join(shared)}: without that, a command adds jobs of its own")
    return "\n".join(lines)


def _train_command(sweep: Sweep) -> str:
    """Return the command that started the sweep, such that it goes on in the restored folder; empty if none does."""
    words, name = sweep.content.get("command", []), sweep.folder.name
    if not (words and sweep.jobs) or sweep.folder.resolve() != (MULTIRUN / name).resolve():
        return ""
    try:
        sweep_folder(MULTIRUN, name)
    except UsageError:
        return ""
    if (sweep.jobs[0].config.get("sweep") or {}).get("name") != name:
        words = [word for word in words if not word.startswith("sweep.name=")]
        # Hydra takes no option between two overrides.
        overrides = [number for number, word in enumerate(words, 1) if "=" in word and not word.startswith("-")]
        words.insert(overrides[-1] if overrides else len(words), f"sweep.name={hydra_name(name)}")
    return train_command(words[0], words[1:])


def _shared_numerics(jobs: Sequence[JobSpec]) -> list[str]:
    """Return the overrides of numerics that all jobs have: with others, the same experiments are other jobs."""
    numerics = [{word for word in job.overrides or [] if override_key(word) in NUMERICS} for job in jobs]
    return sorted(set.intersection(*numerics)) if numerics else []


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
