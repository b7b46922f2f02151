"""Hydra's option `--experimental-rerun`: what it names, and what it can't do."""

import sys
import warnings
from collections.abc import Sequence

from mnist_resnet.config.hydra_versions import SINCE_1_4
from mnist_resnet.errors import UsageError

OPTION = "--experimental-rerun"

RERUN = (
    "a single run's folder (a job of a sweep is run again by sweep.rerun)"
    if SINCE_1_4
    else "a config.pickle that Hydra's PickleJobInfoCallback has written"
)
"""What the option names."""

READERS = ("_get_rerun_overrides", "_get_rerun_conf")
"""Hydra's functions that read it, of 1.4 and of 1.3."""


def is_rerun() -> bool:
    """Return whether the command line asks for a rerun: with Hydra 1.4, a job's overrides come before those typed."""
    return any(word.partition("=")[0] == OPTION for word in sys.argv[1:])


def refuse_beside_rerun(arguments: Sequence[str]) -> None:
    """Reject what Hydra 1.3 ignores beside the option, of which it warns; with it alone, the warning is left out.

    Raises:
        UsageError: there is something.
    """
    for index, word in enumerate(arguments):
        option, equals, _ = word.partition("=")
        if option == OPTION and not SINCE_1_4:
            others = [*arguments[:index], *arguments[index + (1 if equals else 2) :]]
            if others:
                raise UsageError(f"{OPTION}: Hydra 1.3 takes nothing beside it; leave out {' '.join(others)}")
            warnings.filterwarnings("ignore", "Experimental rerun CLI option", UserWarning)


def rerun_fault(error: BaseException) -> str | None:
    """Return the message for a rerun of something that can't be read; None if the error is another one."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_name not in READERS:
        trace = trace.tb_next
    if trace is None:
        return None
    named = trace.tb_frame.f_locals.get("job_dir", trace.tb_frame.f_locals.get("file_path"))
    return f"{OPTION} {named}: can't be read; name {RERUN}"
