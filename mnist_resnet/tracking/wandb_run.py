"""Begins W&B runs so that many of them share a process, and so that a run begun again stays one run."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mnist_resnet.tracking import wandb_files, wandb_mode

addresses: dict[Path, str] = {}
"""Where on W&B the runs are that this process began online, by the folder of the job or sweep."""


@dataclass(frozen=True)
class OpenRun:
    """A W&B run that was begun.

    Attributes:
        run: W&B's own object.
        first_step: global steps below it were sent by earlier attempts.
    """

    run: Any
    first_step: int

    def log(self, row: dict[str, Any], step: int, commit: bool = False) -> None:
        """Log `row` at `step`, unless that was sent before; it is complete at `commit`, or when the next step comes.

        W&B keeps the steps of a run that it gets at once, and counts on by one for what `wandb sync` adds to a run
        later (tried, wandb 0.31); so each row carries its `global_step` itself.
        """
        if step >= self.first_step:
            self.run.log({**row, "global_step": step}, step=step, commit=commit)


def open_run(folder: Path, mode: str, timeout: float, **wanted: Any) -> OpenRun | None:
    """Begin the W&B run of `folder` (its `wandb/` holds the files), in place of what it has not sent yet.

    A server that refuses, or says nothing for `timeout` seconds, makes the run offline.

    Args:
        folder: of a job or a sweep.
        mode: `auto`, `online` or `offline`.
        timeout: seconds that the server may take at the run's start, and again at its end.
        wanted: what else `wandb.init` takes, such as `id`, `project`, `config`.

    Returns:
        None where W&B is turned off.

    Raises:
        Exception: whatever W&B or the file system has against it.
    """
    decided = wandb_mode.decide_mode(mode)
    if decided == "disabled":
        return None
    # W&B itself would take to /tmp without a word.
    (folder / "wandb").mkdir(exist_ok=True)
    moves = wandb_files.set_aside(wandb_files.unsent_runs(folder))
    try:
        if decided == "online":
            try:
                return _begin_online(folder, timeout, wanted)
            except Exception as error:
                _free_ids()
                wandb_mode.give_up(f"refused a run ({wandb_mode.one_line(error)})")
        return _begin_offline(folder, timeout, wanted)
    except BaseException:
        wandb_files.put_back(moves)
        raise


def finish(opened: OpenRun, exit_code: int) -> None:
    """End a run; what the server does not take in time stays on the disk, and is said once.

    Args:
        opened: the run.
        exit_code: 0 for W&B's "finished", else "failed".
    """
    try:
        opened.run.finish(exit_code=exit_code)
    except TimeoutError:
        left = Path(opened.run.dir).parent
        wandb_mode.give_up(f"did not take all of a run in time; `wandb sync --include-online {left}` sends the rest")


def abandon(opened: OpenRun) -> None:
    """End a run that W&B failed in, so that its id is free for the next attempt; whatever it says to that."""
    with suppress(Exception):
        opened.run.finish(exit_code=1)


def _free_ids() -> None:
    """Start W&B's own process anew: after an `init` that failed, it holds the id to be in use (tried, wandb 0.31)."""
    import wandb

    with suppress(Exception):
        wandb.teardown()


def _begin_online(folder: Path, timeout: float, wanted: dict[str, Any]) -> OpenRun:
    run = _init(folder, "online", timeout, wanted)
    addresses[folder.resolve()] = str(run.url)
    sent = run.summary.get("global_step")
    return OpenRun(run, first_step=max(run.starting_step, 0 if sent is None else int(sent) + 1))


def _begin_offline(folder: Path, timeout: float, wanted: dict[str, Any]) -> OpenRun:
    sent = wandb_files.last_sent_step(folder)
    return OpenRun(_init(folder, "offline", timeout, wanted), first_step=sent + 1)


def _init(folder: Path, mode: Literal["online", "offline"], timeout: float, wanted: dict[str, Any]) -> Any:
    wandb_mode.quieten()
    import wandb

    settings = wandb.Settings(
        silent=True,
        console="off",
        # The default of 15 s leaves nothing on the disk of a run that is killed within its first seconds.
        x_transaction_log_flush_interval=1,
        init_timeout=timeout,
        finish_timeout=timeout,
        finish_timeout_raises=True,
    )
    # Without `resume`, what is sent under the same id a second time stands there twice; without `create_new`,
    # a run that was not finished would take in the next job's (both tried, wandb 0.31).
    return wandb.init(mode=mode, dir=folder, reinit="create_new", resume="allow", settings=settings, **wanted)
