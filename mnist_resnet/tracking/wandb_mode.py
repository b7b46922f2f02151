"""Whether W&B runs go to its server or to files: found out without a question, and once for all jobs of a process."""

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

Mode = Literal["online", "offline", "disabled"]

PATIENCE = 5.0
"""Seconds that a server gets to answer before it counts as out of reach."""

_unreachable: dict[str, str | None] = {}
_said: set[str] = set()


def warn_once(text: str) -> None:
    """Log `text` as a warning, the first time in this process that it is given."""
    if text not in _said:
        _said.add(text)
        logging.getLogger("mnist_resnet").warning(text)


def one_line(error: Exception) -> str:
    """What an error says, short enough for a line of a log."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def quieten() -> None:
    """Set what W&B reads from the environment as it is imported: no questions, no telemetry on its own behalf.

    A silent client never prompts; without error reporting, an offline run opens no connection (tried, wandb 0.31).
    A W&B process of whoever started this one is not used: it ends with its owner, and is not there on other machines.
    """
    if "wandb" not in sys.modules:
        os.environ.pop("WANDB_SERVICE", None)
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    os.environ.setdefault("WANDB_SILENT", "true")


def decide_mode(mode: str) -> Mode:
    """What `tracking.mode` comes to on this machine.

    `auto` is online where an API key is configured and the server answers, else offline, unless the user told W&B
    itself otherwise (`WANDB_MODE`, `wandb offline`). `online` that can't be is offline, with a warning that says why.

    Args:
        mode: `auto`, `online` or `offline`.

    Returns:
        `online`, `offline`, or `disabled`: the user turned W&B off, or it can't be imported.
    """
    try:
        return _decide(mode)
    except Exception as error:
        warn_once(f"W&B is left out: {one_line(error)}")
        return "disabled"


def give_up(reason: str) -> None:
    """Count the server as out of reach from here on, and say so: later runs of this process start offline."""
    base_url = _settings().base_url
    _unreachable[base_url] = reason
    _say_offline(base_url, reason)


def _say_offline(base_url: str, reason: str) -> None:
    warn_once(f"W&B runs are kept offline from here on: {base_url} {reason}")


def _decide(mode: str) -> Mode:
    if mode == "offline":
        return "offline"
    settings = _settings()
    if mode == "auto":
        if settings.mode == "disabled":
            return "disabled"
        if settings.mode in ("offline", "dryrun"):
            return "offline"
        mode = os.environ.get("WANDB_MODE", mode)
    if not _has_credentials(settings):
        if mode == "online":
            _say_offline(settings.base_url, "knows no API key of yours (`wandb login` stores one)")
        return "offline"
    reason = _why_unreachable(settings.base_url)
    if reason is not None:
        _say_offline(settings.base_url, reason)
        return "offline"
    return "online"


def _settings() -> Any:
    """W&B's own settings, from its environment variables and settings files."""
    quieten()
    import wandb

    return wandb.setup().settings


def _has_credentials(settings: Any) -> bool:
    """Look where W&B looks before it would ask: environment and settings files, then netrc."""
    return bool(settings.api_key or settings.identity_token_file or _netrc_password(settings.base_url))


def _netrc_password(base_url: str) -> str | None:
    places = [Path(os.environ["NETRC"])] if os.environ.get("NETRC") else [Path("~/.netrc"), Path("~/_netrc")]
    path = next((place.expanduser() for place in places if place.expanduser().exists()), None)
    if path is None:
        return None
    try:
        entry = netrc.netrc(path).authenticators(urlsplit(base_url).netloc)
    except (netrc.NetrcParseError, OSError):
        return None
    return entry[2] if entry else None


def _why_unreachable(base_url: str) -> str | None:
    """None if the server answers anything at all; asked once in a process, in a thread since DNS knows no timeout."""
    if base_url not in _unreachable:
        answers: list[str | None] = []
        asking = threading.Thread(target=lambda: answers.append(_ask(base_url)), daemon=True)
        asking.start()
        asking.join(PATIENCE)
        _unreachable[base_url] = answers[0] if answers else f"gives no answer in {PATIENCE:g} s"
    return _unreachable[base_url]


def _ask(base_url: str) -> str | None:
    try:
        urllib.request.urlopen(base_url, timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return None
    except urllib.error.URLError as error:
        # W&B brings certificates and proxies of its own: a server that only this check distrusts did answer.
        return None if isinstance(error.reason, ssl.SSLError) else f"can't be reached ({error.reason})"
    except Exception as error:
        return f"can't be reached ({one_line(error)})"
    return None
