"""Opens and finishes W&B runs: many in one process, and one for all attempts of a job."""

import hashlib
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mnist_resnet.errors import wording
from mnist_resnet.tracking import wandb_files, wandb_mode

DEFAULT_PROJECT = "mnist-resnet"
"""W&B's project where the user names none."""
MAX_NAME_LENGTH = 128
"""Characters; W&B's service rejects a run with a longer name or group."""

addresses: dict[Path, str] = {}
"""W&B addresses of the runs that this process opened online, by the resolved folder of the job or sweep."""


@dataclass(frozen=True)
class OpenRun:
    """An open W&B run.

    Attributes:
        run: W&B's own run object.
        first_step: the first global step that earlier attempts have not sent yet.
    """

    run: Any
    first_step: int

    def log(self, row: dict[str, Any], step: int, commit: bool = False) -> None:
        """Log `row` at `step`, unless an earlier attempt sent that step.

        W&B keeps the step numbers of rows sent live, but renumbers rows that `wandb sync` appends to an existing run
        (observed with wandb 0.31). Each row therefore also holds its `global_step`.

        Args:
            row: values by name.
            step: the optimiser step since the job's start, from 0.
            commit: complete the row now; otherwise it is completed when the next step is logged.
        """
        if step >= self.first_step:
            self.run.log({**row, "global_step": step}, step=step, commit=commit)


def project_and_group(project: str | None, group: str | None) -> tuple[str, str | None]:
    """Return the W&B project and group of a run.

    The user's own W&B settings come after what is typed, and before our defaults.

    Args:
        project: W&B's project; None if none is typed.
        group: our default for the group.
    """
    settings = wandb_mode.user_settings()
    return project or settings.project or DEFAULT_PROJECT, short_name(settings.run_group or group)


def open_run(
    folder: Path, mode: str, timeout: float, *, name: str, project: str | None, group: str | None, **options: Any
) -> OpenRun | None:
    """Open a W&B run for `folder`, replacing the folder's unsent offline runs.

    The run's files are written to the folder's `wandb/`. If the server refuses the run, or does not answer within
    `timeout` seconds, the run is opened offline. Later runs of the process are tried online only after a refusal.

    Args:
        folder: the job or sweep folder.
        mode: `auto`, `online` or `offline`.
        timeout: seconds that the server may take at the run's start, and again at its end.
        name: the run's name, which is cut if it is too long for W&B.
        project: W&B's project; None if none is typed.
        group: group of the run; the user's `WANDB_RUN_GROUP` comes before it.
        options: further arguments of `wandb.init`, such as `id` and `config`.

    Returns:
        The open run, or None if W&B is disabled.

    Raises:
        Exception: any error of W&B or the file system.
    """
    decided = wandb_mode.decide_mode(mode)
    if decided == "disabled":
        return None
    project, group = project_and_group(project, group)
    options |= {"name": short_name(name), "project": project, "group": group}
    # Without this folder, W&B silently writes to /tmp.
    (folder / "wandb").mkdir(exist_ok=True)
    moves = wandb_files.set_aside(wandb_files.unsent_runs(folder))
    try:
        if decided == "online":
            started = time.monotonic()
            try:
                return _open_online(folder, timeout, options)
            except Exception as error:
                _restart_service()
                reason = wording(error, wandb_mode.MAX_REASON)
                if time.monotonic() - started < timeout:
                    # The server answered: it dislikes this run, and may take the next one.
                    wandb_mode.warn_once(f"W&B refused a run, which is kept offline ({reason})")
                else:
                    wandb_mode.give_up(f"did not take a run in time ({reason})")
        try:
            return _open_offline(folder, timeout, options)
        except Exception:
            # W&B's own process may have died since the last run.
            _restart_service()
            return _open_offline(folder, timeout, options)
    except BaseException:
        wandb_files.put_back(moves)
        raise


def short_name(name: str | None) -> str | None:
    """Cut a name to what W&B accepts, in the middle and with a hash, so that two names stay different."""
    if name is None or len(name) <= MAX_NAME_LENGTH:
        return name
    mark = f"…{hashlib.sha256(name.encode()).hexdigest()[:8]}…"
    kept = MAX_NAME_LENGTH - len(mark)
    return f"{name[: kept - kept // 2]}{mark}{name[-(kept // 2) :]}"


def finish(opened: OpenRun, exit_code: int) -> None:
    """Finish a run. If the server does not take everything in time, the rest stays on disk with one warning.

    Args:
        opened: the run.
        exit_code: 0 for W&B's "finished", any other number for "failed".
    """
    try:
        opened.run.finish(exit_code=exit_code)
    except TimeoutError:
        run_folder = Path(opened.run.dir).parent
        wandb_mode.give_up(
            f"did not accept a whole run in time; `wandb sync --include-online {run_folder}` uploads the rest"
        )


def abandon(opened: OpenRun) -> None:
    """Finish a run after an error in W&B, so that the next attempt can use its id; ignore further errors."""
    with suppress(Exception):
        opened.run.finish(exit_code=1)
    _restart_service()


def leave(opened: OpenRun) -> None:
    """End this process's part in a run that another process continues under the same id; ignore errors.

    An online run is left as preempted, which the other process's part supersedes; an offline one is moved out of the
    way of `wandb sync`, because the other process logs everything again.
    """
    with suppress(Exception):
        folder, is_offline = Path(opened.run.dir).parent, opened.run.offline
        if not is_offline:
            opened.run.mark_preempting()
        opened.run.finish(exit_code=1)
        if is_offline:
            wandb_files.set_aside([folder])


def _restart_service() -> None:
    """Restart W&B's own process, if it has died, or holds a run's id after a failed `init` (wandb 0.31)."""
    import wandb

    with suppress(Exception):
        wandb.teardown()


def _open_online(folder: Path, timeout: float, options: dict[str, Any]) -> OpenRun:
    run = _init(folder, "online", timeout, options)
    addresses[folder.resolve()] = str(run.url)
    sent = run.summary.get("global_step")
    return OpenRun(run, first_step=max(run.starting_step, 0 if sent is None else int(sent) + 1))


def _open_offline(folder: Path, timeout: float, options: dict[str, Any]) -> OpenRun:
    sent = wandb_files.last_sent_step(folder)
    return OpenRun(_init(folder, "offline", timeout, options), first_step=sent + 1)


def _init(folder: Path, mode: Literal["online", "offline"], timeout: float, options: dict[str, Any]) -> Any:
    wandb_mode.quieten()
    import wandb

    # W&B logs into the job's folder: where the disk is full, Python would show a traceback of each line.
    logging.raiseExceptions = False
    settings = wandb.Settings(
        silent=True,
        console="off",
        # With the default of 15 s, a run that is killed in its first seconds leaves nothing on disk.
        x_transaction_log_flush_interval=1,
        init_timeout=timeout,
        finish_timeout=timeout,
        finish_timeout_raises=True,
    )
    # Without `resume`, rows sent twice under one id appear twice. Without `create_new`, an unfinished run would absorb
    # the next job's run. A relative folder is one of W&B's own process, wherever that was started (all observed with
    # wandb 0.31).
    place = folder.absolute()
    return wandb.init(mode=mode, dir=place, reinit="create_new", resume="allow", settings=settings, **options)
