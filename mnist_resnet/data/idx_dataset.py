"""A data set of four idx files in torchvision's layout, `ROOT/NAME/raw/`.

What is there is read in place, and nothing that is there is ever changed; what is missing is fetched and kept there.
Either way a file is used only if its SHA-256 is the published one.
"""

import gzip
import hashlib
import logging
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from torch import Tensor

from mnist_resnet.data import download, idx
from mnist_resnet.data.dataset import DataSet, LabelledImages
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import write_atomically

logger = logging.getLogger(__name__)

FILES = {
    "train-images-idx3-ubyte": 3,
    "train-labels-idx1-ubyte": 1,
    "t10k-images-idx3-ubyte": 3,
    "t10k-labels-idx1-ubyte": 1,
}
"""The unpacked files, and the dimensions of the array in each."""


@dataclass(frozen=True)
class Archive:
    """A data set of four idx files.

    Attributes:
        name: its folder under the root, as torchvision names it.
        sha256: by file name, of the unpacked file (`train-images-idx3-ubyte`) or of the compressed one (`….gz`).
        fetchers: where missing files come from, tried in this order.
    """

    name: str
    sha256: Mapping[str, str]
    fetchers: tuple[download.Fetcher, ...]


class BadFile(ValueError):
    """A file that is missing, damaged or another one than it should be; its text says why in a line."""


def load(archive: Archive, root: Path, verify: bool = True) -> DataSet:
    """The data set of `archive`, from what is under `root`, or fetched and kept there.

    Args:
        archive: which one.
        root: the folder that holds data sets.
        verify: False takes any idx files that are there: no sum is checked and nothing is fetched.

    Raises:
        UsageError: the files are not there and could not be fetched; it names each way that was tried.
    """
    raw = root / archive.name / "raw"
    sha256 = archive.sha256 if verify else None
    arrays, problems = _read(raw, sha256)
    if len(arrays) < len(FILES):
        if not verify:
            tried = "; ".join([*problems, _lacking(raw, arrays)])
            raise UsageError(f"data.root={root}: data.verify=false takes what is there and fetches nothing; {tried}")
        with _one_at_a_time(raw.parent):
            # Another process may have fetched the files while this one waited.
            arrays, problems = _read(raw, sha256)
            if len(arrays) < len(FILES):
                missing = FILES.keys() - arrays.keys()
                arrays |= _fetch(archive, root, missing, tried=[*problems, _lacking(raw, arrays)])
    for problem in problems:
        logger.warning("%s; a good copy is used instead, and the file is left as it is", problem)
    return DataSet(
        train=LabelledImages(arrays["train-images-idx3-ubyte"].unsqueeze(1), arrays["train-labels-idx1-ubyte"].long()),
        test=LabelledImages(arrays["t10k-images-idx3-ubyte"].unsqueeze(1), arrays["t10k-labels-idx1-ubyte"].long()),
    )


def _read(raw: Path, sha256: Mapping[str, str] | None) -> tuple[dict[str, Tensor], list[str]]:
    """The arrays of the good files in `raw`, and what is wrong with the bad ones."""
    arrays: dict[str, Tensor] = {}
    problems: list[str] = []
    for file in FILES:
        # The form whose sum is known comes first; torchvision leaves both.
        compressed_first = sha256 is not None and file not in sha256
        forms = [f"{file}.gz", file] if compressed_first else [file, f"{file}.gz"]
        for path in (raw / form for form in forms if (raw / form).exists()):
            try:
                arrays[file] = _array(path.name, path.read_bytes(), sha256)
                break
            except BadFile as error:
                problems.append(f"{path} is {error}")
            except OSError as error:
                problems.append(f"{path} can't be read ({error.strerror})")
    return arrays, problems


def _lacking(raw: Path, arrays: Mapping[str, Tensor]) -> str:
    return f"{raw} has no good {', '.join(file for file in FILES if file not in arrays)}"


def _array(name: str, content: bytes, sha256: Mapping[str, str] | None) -> Tensor:
    """The array in the file `name`, plain or `.gz`, once its sum is found to be the published one.

    Raises:
        BadFile: the file is damaged or not the published one.
    """
    file = name.removesuffix(".gz")
    try:
        plain = gzip.decompress(content) if name.endswith(".gz") else content
        array = idx.decode(plain, FILES[file])
    except EOFError:
        raise BadFile("truncated (the compressed data end too early)") from None
    except (idx.NotIdx, gzip.BadGzipFile, zlib.error) as error:
        raise BadFile(str(error)) from None
    if sha256 is None:
        return array
    expected = sha256.get(file, sha256.get(name))
    if expected is None:
        raise BadFile(f"unpacked, and only the sum of {name}.gz is published; keep that one beside it")
    found = hashlib.sha256(plain if file in sha256 else content).hexdigest()
    if found != expected:
        raise BadFile(f"another file than the published one (SHA-256 {found[:16]}…, expected {expected[:16]}…)")
    return array


def _fetch(archive: Archive, root: Path, missing: set[str], tried: list[str]) -> dict[str, Tensor]:
    """The arrays of the `missing` files from the first fetcher that brings good ones; they are kept under `root`."""
    raw = root / archive.name / "raw"
    for fetcher in archive.fetchers:
        logger.info("%s: trying %s", archive.name, fetcher.label)
        try:
            files = _from(fetcher, missing)
            arrays = {
                name.removesuffix(".gz"): _array(name, content, archive.sha256) for name, content in files.items()
            }
        except (download.FetchFailed, BadFile, OSError) as error:
            logger.info("%s: %s failed: %s", archive.name, fetcher.label, error)
            tried.append(f"{fetcher.label}: {error}")
            continue
        logger.info(
            "%s: fetched by %s, and its SHA-256 sums are right; to be kept in %s", archive.name, fetcher.label, raw
        )
        _keep(raw, files, archive.sha256)
        return arrays
    raise UsageError(
        f"{archive.name} is not in data.root={root} and could not be fetched. Tried: {'; '.join(tried)}. "
        f"Ways on: data.root=FOLDER with the four idx files, plain or .gz, in FOLDER/{archive.name}/raw "
        "(files of your own: data.verify=false as well); or data=digits, which needs no network"
    )


def _from(fetcher: download.Fetcher, missing: set[str]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="mnist-resnet-", ignore_cleanup_errors=True) as folder:
        files = fetcher.fetch(Path(folder))
    wanted = {name: content for name, content in files.items() if name.removesuffix(".gz") in missing}
    if lacking := missing - {name.removesuffix(".gz") for name in wanted}:
        raise download.FetchFailed(f"brought no {', '.join(sorted(lacking))}")
    return wanted


def _keep(raw: Path, files: Mapping[str, bytes], sha256: Mapping[str, str]) -> None:
    """Write `files` into `raw`, each in the form, plain or compressed, whose name no file has yet.

    A file that is there is the user's and stays. What can't be kept is told and fetched again next time.
    """
    for name, content in files.items():
        file = name.removesuffix(".gz")
        forms = _forms(name, content, both=file in sha256)
        free = [form for form in forms if not (raw / form).exists()]
        try:
            if not free:
                raise FileExistsError(f"bad files have the names {' and '.join(forms)}; move them away")
            raw.mkdir(parents=True, exist_ok=True)
            write_atomically(raw / free[0], forms[free[0]]())
        except OSError as error:
            logger.warning("%s is used, but can't be kept in %s: %s", file, raw, error)


def _forms(name: str, content: bytes, both: bool) -> dict[str, Callable[[], bytes]]:
    """By file name, what gives the bytes to write: as they are and, if `both`, packed or unpacked."""
    forms: dict[str, Callable[[], bytes]] = {name: lambda: content}
    if both and name.endswith(".gz"):
        forms[name.removesuffix(".gz")] = lambda: gzip.decompress(content)
    elif both:
        forms[f"{name}.gz"] = lambda: gzip.compress(content)
    return forms


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process after another in, so that the second finds what the first fetched.

    Where the folder takes no lock file, or the lock is held for longer than any fetch takes, all go in: files are
    written atomically, so that costs a download and spoils nothing.
    """
    lock = FileLock(folder / ".fetching.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("another process is fetching into %s; waiting for it", folder)
            lock.acquire(timeout=3 * download.FETCH_SECONDS)
    except (OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        lock.release()
