"""The console command `mnist-resnet`; each sub-command is a module that also runs as `python -m mnist_resnet.NAME`."""

import sys
from collections.abc import Sequence
from importlib import import_module

from mnist_resnet.jobs.signals import interruptible

COMMANDS = {
    "compare": "print tables, statistics and verdicts on sweeps and single runs",
    "predict": "classify image files with a saved model",
    "evaluate": "score a saved job on its test images again",
    "resume": "run the unfinished jobs of a sweep or search",
    "sweep": "show, watch, stop or scale up a sweep",
    "publish": "keep a sweep, finished or not, as a small folder to commit and share",
    "restore": "go on with a published sweep on another machine",
    "work": "run one more worker for a sweep",
}
"""Name and summary of each sub-command."""


@interruptible
def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command.

    Args:
        arguments: the sub-command and its arguments; those of the process by default.

    Returns:
        The sub-command's exit code; 2 if there is none or it is unknown.
    """
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if command in ("-h", "--help"):
        print(_help())
        return 0
    if command not in COMMANDS:
        problem = f"{command}: unknown command" if command else "no command given"
        print(f"error: {problem}; choose from {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    exit_code: int = import_module(f"mnist_resnet.{command}").main(rest, program=f"mnist-resnet {command}")
    return exit_code


def _help() -> str:
    lines = ["usage: mnist-resnet COMMAND …", "", "commands:"]
    lines += [f"  {name:<10}{summary}" for name, summary in COMMANDS.items()]
    return "\n".join([*lines, "", "`mnist-resnet COMMAND --help` lists a command's options."])
