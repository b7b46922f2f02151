"""A folder's W&B files: which of its runs were sent, which wait, and the line that sends those.

W&B writes each offline run to `FOLDER/wandb/offline-run-TIME-ID/`. Of a job that was begun several times, one such run
must be sent, not all: what earlier attempts logged is logged again from the job's own record.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

OFFLINE = "offline-run-*"
ONLINE = "run-*"
SUPERSEDED = "superseded"


def sync_command(folder: Path) -> str | None:
    """The shell line that sends every offline run beneath `folder`, a job's, a sweep's or a folder of sweeps.

    The shell expands its patterns, since W&B does not. None if nothing waits to be sent.
    """
    depths = set()
    for base, folders, _ in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if "wandb" in folders:
            folders.remove("wandb")
            if unsent_runs(Path(base)):
                depths.add(len(Path(base).relative_to(folder).parts))
    if not depths:
        return None
    start = shlex.quote(f"./{folder}" if str(folder).startswith("-") else str(folder))
    return " ".join(["wandb sync --yes", *(f"{start}/{'*/' * depth}wandb/{OFFLINE}" for depth in sorted(depths))])


def unsent_runs(folder: Path) -> list[Path]:
    """The offline runs of one job or sweep of which W&B's server has nothing yet, oldest first."""
    return sorted(run for run in (folder / "wandb").glob(OFFLINE) if run.is_dir() and not _was_sent(run))


def _was_sent(run: Path) -> bool:
    # `wandb sync` leaves .syncstate when it starts and .synced when it is done; the first alone may be sent on.
    return any(run.glob("*.wandb.synced")) or any(run.glob("*.wandb.syncstate"))


def set_aside(runs: list[Path]) -> list[tuple[Path, Path]]:
    """Move offline runs that a new one replaces out of the sync line's way; returns (old place, new place) each."""
    moves = []
    for run in runs:
        superseded = run.parent / SUPERSEDED
        superseded.mkdir(exist_ok=True)
        taken = sum(1 for _ in superseded.glob(f"{run.name}*"))
        place = superseded / (f"{run.name}.{taken}" if taken else run.name)
        run.rename(place)
        moves.append((run, place))
    return moves


def put_back(moves: list[tuple[Path, Path]]) -> None:
    """Undo `set_aside`, as far as the old places are free."""
    for old, place in moves:
        if not old.exists():
            place.rename(old)


def earlier_id(folder: Path) -> str | None:
    """The id of the run that was begun in `folder` before, if there is one."""
    kept = folder / "wandb"
    runs = [*kept.glob(OFFLINE), *kept.glob(ONLINE), *(kept / SUPERSEDED).glob(OFFLINE)]
    ids = [log.stem.removeprefix("run-") for run in sorted(runs) for log in run.glob("run-*.wandb")]
    return ids[-1] if ids else None


def last_sent_step(folder: Path) -> int:
    """The last `global_step` of any run of `folder` that was sent, by `wandb sync` or online; -1 if none was.

    Raises:
        RuntimeError: W&B's own reader can't read them.
    """
    sent = [run for run in (folder / "wandb").glob(OFFLINE) if _was_sent(run)]
    return max((_last_step(run) for run in [*sent, *(folder / "wandb").glob(ONLINE)]), default=-1)


def _last_step(run: Path) -> int:
    if not any(run.glob("run-*.wandb")):
        return -1
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(run)]
    read = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    try:
        return int(json.loads(read.stdout)["summary"].get("global_step", -1))
    except (ValueError, KeyError):
        raise RuntimeError(f"{run} can't be read: {read.stderr.strip()[-200:]}") from None
