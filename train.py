"""Trains one network, or with -m a whole sweep. `python train.py --help` lists the options."""

import os
import sys
import warnings
from typing import NoReturn

from omegaconf import DictConfig

from mnist_resnet.config import hydra_internals, hydra_versions
from mnist_resnet.config.config_name import refuse_choice_as_config
from mnist_resnet.config.hydra_options import check_options
from mnist_resnet.config.python_values import from_python
from mnist_resnet.config.rerun import refuse_beside_rerun, rerun_fault
from mnist_resnet.config.search_path import refuse_added_search_path
from mnist_resnet.errors import Refused, UsageError
from mnist_resnet.jobs.signals import interrupts_delivered
from mnist_resnet.sweeps.run_check import check_run

SHOW_TRACEBACK = "HYDRA_FULL_ERROR" in os.environ
# Make Hydra raise its errors instead of printing five lines and exiting with 1; `_exit_with` prints them in one line.
os.environ["HYDRA_FULL_ERROR"] = "1"


@hydra_versions.main(config_path="conf", config_name="config")
def train(config: DictConfig) -> None:
    """Run one job, with the config that Hydra composed."""
    from mnist_resnet.sweeps.hydra_task import run_task

    try:
        code = run_task(config)
    except UsageError as error:
        raise Refused(error) from error
    if code:
        raise SystemExit(code)


def main() -> None:
    """Run Hydra; print a one-line message and exit with code 2 if the user's input is invalid."""
    hydra_internals.replace(check_run)
    sys.argv[1:] = from_python(sys.argv[1:])
    warnings.filterwarnings("error", r"provider=hydra\.searchpath", UserWarning)  # a folder that isn't there
    warnings.filterwarnings("error", r"\s*Running Hydra app with --multirun", UserWarning)
    warnings.filterwarnings("error", r"extend_list", UserWarning)  # of Hydra 1.4
    try:
        refuse_beside_rerun(sys.argv[1:])
        check_options(sys.argv[1:])
        refuse_choice_as_config(sys.argv[1:])
        refuse_added_search_path(sys.argv[1:])
        with interrupts_delivered():
            train()
        sys.stdout.flush()
    except BrokenPipeError:
        # As in `--help | head`. What is still buffered must not be flushed again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        # Raised only before the first job or after the last one, when there is nothing to save.
        sys.exit(130)
    except Refused as refused:
        _exit_with(refused.error)
    except Exception as error:
        _exit_with(error)


def _exit_with(error: Exception) -> NoReturn:
    from mnist_resnet.config.hydra_errors import user_message

    message = rerun_fault(error) or user_message(error)
    if message is None or SHOW_TRACEBACK:
        raise error
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
