"""Train the report's network: one run, or with -m a sweep. `python train.py --help` lists what can be chosen."""

import os
import sys

import hydra
from omegaconf import DictConfig

WANTS_TRACEBACK = "HYDRA_FULL_ERROR" in os.environ
# Hydra raises instead of printing five lines and ending with 1, and the error becomes one line below.
os.environ["HYDRA_FULL_ERROR"] = "1"


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def train(config: DictConfig) -> None:
    """Run one job; Hydra composes it."""
    from mnist_resnet.running.single import run_task

    code = run_task(config)
    if code:
        raise SystemExit(code)


def main() -> None:
    """Start Hydra, and turn what was typed wrong into one line and exit code 2."""
    try:
        train()
    except Exception as error:
        from mnist_resnet.running.hydra_errors import one_line

        line = one_line(error)
        if line is None or WANTS_TRACEBACK:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
