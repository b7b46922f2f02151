"""Decides whether W&B runs are online or offline, without prompting and once for all jobs of a process."""

import configparser
import logging
import netrc
import os
import ssl
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from mnist_resnet.errors import problem_message, wording

Mode = Literal["online", "offline", "disabled"]

MAX_REASON = 200
"""Most characters of an error that are shown as a reason."""

SERVER_TIMEOUT = 5.0
"""Seconds without an answer after which a server counts as unreachable."""

_unreachable: dict[str, str | None] = {}
_warned: set[str] = set()
_rejected: set[str] = set()
"""What W&B rejected of the user's settings in this process."""


def warn_once(text: str) -> None:
    """Log `text` as a warning, once per process."""
    if text not in _warned:
        _warned.add(text)
        logging.getLogger("mnist_resnet").warning(text)


def quieten() -> None:
    """Set the environment variables that W&B reads on import: no prompts and no error reporting.

    A silent client never prompts. Without error reporting, an offline run opens no connection (observed, wandb 0.31).
    A W&B service inherited from the parent process is not used: it ends with that process, and a worker on another
    machine can't reach it.
    """
    if "wandb" not in sys.modules:
        os.environ.pop("WANDB_SERVICE", None)
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")


def decide_mode(mode: str) -> Mode:
    """Resolve `tracking.mode` on this machine.

    `auto` is online if an API key is configured and the server answers, and offline otherwise; W&B's own settings
    (`WANDB_MODE`, `wandb offline`) override it. `online` falls back to offline, with a warning that gives the reason.

    Args:
        mode: `auto`, `online` or `offline`.

    Returns:
        `online`, `offline`, or `disabled` if the user disabled W&B or it can't be imported.
    """
    try:
        return _decide(mode)
    except Exception as error:
        warn_once(f"W&B is disabled: {wording(error, MAX_REASON)}")
        return "disabled"


def give_up(reason: str) -> None:
    """Mark the server as unreachable and warn; later runs of this process start offline."""
    base_url = user_settings().base_url
    _unreachable[base_url] = reason
    _warn_offline(base_url, reason)


def _warn_offline(base_url: str, reason: str) -> None:
    warn_once(f"W&B runs are kept offline from here on: {base_url} {reason}")


def _decide(mode: str) -> Mode:
    if mode == "offline":
        return "offline"
    settings = user_settings()
    if mode == "auto" and settings.mode == "disabled":
        return "disabled"
    if _rejected:
        return "offline"
    if mode == "auto":
        if settings.mode in ("offline", "dryrun"):
            return "offline"
        mode = os.environ.get("WANDB_MODE", mode)
    if not _has_credentials(settings):
        if mode == "online":
            _warn_offline(settings.base_url, "has no API key configured (`wandb login` stores one)")
        return "offline"
    reason = _why_unreachable(settings.base_url)
    if reason is not None:
        _warn_offline(settings.base_url, reason)
        return "offline"
    return "online"


def user_settings() -> Any:
    """Return W&B's own settings, read from its environment variables and settings files in the order that it documents.

    What W&B rejects of them is named in a warning, and all runs of this process are kept offline: without its own
    settings, W&B might send them to another server.
    """
    quieten()
    import wandb

    try:
        settings = wandb.setup().settings
    except (ValueError, wandb.errors.UsageError):
        _set_bad_variables_aside()
        settings = wandb.setup().settings
    _check_files(settings)
    return settings


def _set_bad_variables_aside() -> None:
    """Remove the variables that W&B rejects from this process's environment."""
    import wandb

    for name, value in list(os.environ.items()):
        try:
            wandb.Settings().update_from_env_vars({name: value})
        except (ValueError, wandb.errors.UsageError) as error:
            del os.environ[name]
            _reject(f"{name}={_reason(error, value)}")


def _check_files(settings: Any) -> None:
    """Warn of what W&B rejects in its settings files; it passes over all of a file then, in silence."""
    import wandb

    for path in filter(None, (settings.settings_system, settings.settings_workspace)):
        try:
            configparser.ConfigParser(interpolation=None).read(path)
        except (configparser.Error, UnicodeDecodeError) as error:
            _reject(f"{path}: {wording(error, MAX_REASON)}")
    file = settings.read_system_settings()
    for key, value in file.all().items():
        try:
            wandb.Settings(**{key: value})
        except (ValueError, wandb.errors.UsageError) as error:
            _reject(f"{', '.join(map(str, file.sources))}: {key}={_reason(error, value)}")


def _reject(reason: str) -> None:
    _rejected.add(reason)
    warn_once(f"W&B runs are kept offline: {reason}")


def _reason(error: Exception, value: str) -> str:
    """Return the value and W&B's reason, without the names that pydantic and W&B give the setting itself."""
    messages = [problem_message(problem) for problem in getattr(error, "errors", list)()]
    return f"{value}: {'; '.join(messages) or wording(error, MAX_REASON)}"


def _has_credentials(settings: Any) -> bool:
    """Look where W&B looks before it would prompt: environment and settings files, then netrc."""
    return bool(settings.api_key or settings.identity_token_file or _netrc_password(settings.base_url))


def _netrc_password(base_url: str) -> str | None:
    candidates = [Path(os.environ["NETRC"])] if os.environ.get("NETRC") else [Path("~/.netrc"), Path("~/_netrc")]
    path = next((candidate.expanduser() for candidate in candidates if candidate.expanduser().exists()), None)
    if path is None:
        return None
    try:
        entry = netrc.netrc(path).authenticators(urlsplit(base_url).netloc)
    except (netrc.NetrcParseError, OSError):
        return None
    return entry[2] if entry else None


def _why_unreachable(base_url: str) -> str | None:
    """Return why the server does not answer, or None if it does; checked once per process.

    The check runs in a thread, because DNS lookups have no timeout.
    """
    if base_url not in _unreachable:
        answers: list[str | None] = []
        thread = threading.Thread(target=lambda: answers.append(_probe(base_url)), daemon=True)
        thread.start()
        thread.join(SERVER_TIMEOUT)
        _unreachable[base_url] = answers[0] if answers else f"does not answer within {SERVER_TIMEOUT:g} s"
    return _unreachable[base_url]


def _probe(base_url: str) -> str | None:
    try:
        urllib.request.urlopen(base_url, timeout=SERVER_TIMEOUT).close()
    except urllib.error.HTTPError:
        return None
    except urllib.error.URLError as error:
        # W&B has its own certificates and proxies, so a server that only this check distrusts counts as reachable.
        return None if isinstance(error.reason, ssl.SSLError) else f"can't be reached ({error.reason})"
    except Exception as error:
        return f"can't be reached ({wording(error, MAX_REASON)})"
    return None
