"""`python train.py --help`."""

import re
import subprocess
import sys

from tests.small_training import REPOSITORY

CONF = REPOSITORY / "conf"


def test_help_lists_the_config_groups_in_the_readmes_order() -> None:
    groups = {folder.name for folder in CONF.iterdir() if folder.is_dir()} - {"hydra"}
    command = [sys.executable, str(REPOSITORY / "train.py"), "--help"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    listed = [line.partition(":")[0] for line in lines if re.match(r"\w+: \w", line)]
    in_readme = re.findall(r"^\| `(\w+)`", (REPOSITORY / "README.md").read_text(), flags=re.MULTILINE)
    in_help = [group for group in listed if group in groups]
    assert set(in_help) == groups
    assert in_help == [group for group in in_readme if group in groups]
