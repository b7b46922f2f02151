"""W&B's files in a job or sweep folder: which runs were sent, which were not, and the command that sends them.

W&B writes each offline run to `FOLDER/wandb/offline-run-TIME-ID/`. Of a job with several attempts only the newest run
must be sent, since each attempt logs again what the unsent attempts before it logged.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from mnist_resnet.stored_file import refuse_links

OFFLINE = "offline-run-*"
ONLINE = "run-*"
SUPERSEDED = "superseded"


def sync_command(folder: Path) -> str | None:
    """Return the shell command that uploads every unsent offline run below `folder`.

    Args:
        folder: a job folder, a sweep folder or a folder of sweeps.

    Returns:
        One line, or None if there is nothing to upload. Its patterns are left to the shell, since W&B expands none.
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
    """Return the offline runs of one job or sweep that were not uploaded at all, oldest first."""
    return sorted(run for run in (folder / "wandb").glob(OFFLINE) if run.is_dir() and not _was_sent(run))


def _was_sent(run: Path) -> bool:
    # `wandb sync` writes .syncstate when it starts and .synced when it is done; with the first alone, the upload may
    # continue.
    return any(run.glob("*.wandb.synced")) or any(run.glob("*.wandb.syncstate"))


def set_aside(runs: list[Path]) -> list[tuple[Path, Path]]:
    """Move superseded offline runs to where `sync_command` does not find them.

    Returns:
        An (old path, new path) pair for each run.

    Raises:
        OSError: A run can't be moved there.
    """
    moves = []
    for run in runs:
        superseded = run.parent / SUPERSEDED
        refuse_links(run.parent, [SUPERSEDED])
        superseded.mkdir(exist_ok=True)
        existing = sum(1 for _ in superseded.glob(f"{run.name}*"))
        target = superseded / (f"{run.name}.{existing}" if existing else run.name)
        run.rename(target)
        moves.append((run, target))
    return moves


def put_back(moves: list[tuple[Path, Path]]) -> None:
    """Undo `set_aside` for each run whose old path is free."""
    for old, new in moves:
        if not old.exists():
            new.rename(old)


def earlier_id(folder: Path) -> str | None:
    """Return the id of the latest earlier run in `folder`, or None if there is none."""
    wandb_folder = folder / "wandb"
    runs = [*wandb_folder.glob(OFFLINE), *wandb_folder.glob(ONLINE), *(wandb_folder / SUPERSEDED).glob(OFFLINE)]
    ids = [log.stem.removeprefix("run-") for run in sorted(runs) for log in run.glob("run-*.wandb")]
    return ids[-1] if ids else None


def last_sent_step(folder: Path) -> int:
    """Return the last `global_step` that any run of `folder` sent, by `wandb sync` or online; -1 if none did.

    Raises:
        RuntimeError: W&B's own reader can't read a run.
    """
    sent = [run for run in (folder / "wandb").glob(OFFLINE) if _was_sent(run)]
    return max((_last_step(run) for run in [*sent, *(folder / "wandb").glob(ONLINE)]), default=-1)


def _last_step(run: Path) -> int:
    if not any(run.glob("run-*.wandb")):
        return -1
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    try:
        return int(json.loads(done.stdout)["summary"].get("global_step", -1))
    except (ValueError, KeyError):
        raise RuntimeError(f"{run} can't be read: {done.stderr.strip()[-200:]}") from None
