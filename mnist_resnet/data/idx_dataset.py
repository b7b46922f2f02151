"""Loads data sets of four idx files in torchvision's layout, `ROOT/NAME/raw/`.

Existing files are read in place and never changed. Missing files are fetched and saved there. Either way, a file is
used only if its SHA-256 is the published one.
"""

import gzip
import hashlib
import io
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
from mnist_resnet.jobs.downloads import check_download_allowed
from mnist_resnet.stored_file import MAX_ARRAYS, read_stored

logger = logging.getLogger(__name__)

FILES = {
    "train-images-idx3-ubyte": 3,
    "train-labels-idx1-ubyte": 1,
    "t10k-images-idx3-ubyte": 3,
    "t10k-labels-idx1-ubyte": 1,
}
"""Names of the uncompressed files, and the number of dimensions of the array in each."""


@dataclass(frozen=True)
class IdxDataset:
    """A published data set of four idx files.

    Attributes:
        name: its folder under the root, as torchvision names it.
        sha256: checksum by file name, of the uncompressed file (`train-images-idx3-ubyte`) or the compressed (`….gz`).
        fetchers: sources of missing files, tried in this order.
    """

    name: str
    sha256: Mapping[str, str]
    fetchers: tuple[download.Fetcher, ...]


class BadFile(ValueError):
    """A file is damaged or not the published one; the message gives the reason in one line."""


def load(data_set: IdxDataset, root: Path, verify: bool = True) -> DataSet:
    """Load `data_set` from `root`, after fetching missing files into it.

    Args:
        data_set: the data set to load.
        root: folder with data sets.
        verify: False accepts any existing idx files, without checking checksums or fetching.

    Returns:
        Images, uint8 [n, 1, height, width], and labels, int64 [n].

    Raises:
        UsageError: The files are missing and could not be fetched; the message names each attempt.
    """
    raw = root / data_set.name / "raw"
    sha256 = data_set.sha256 if verify else None
    arrays, problems = _read(raw, sha256)
    if len(arrays) < len(FILES):
        if not verify:
            reasons = "; ".join([*problems, _missing_files(raw, arrays)])
            raise UsageError(f"data.root={root}: data.verify=false reads existing files and fetches none; {reasons}")
        check_download_allowed()
        with _fetch_lock(raw.parent):
            # Another process may have fetched the files while this one waited.
            arrays, problems = _read(raw, sha256)
            if len(arrays) < len(FILES):
                missing = FILES.keys() - arrays.keys()
                arrays |= _fetch(data_set, root, missing, attempts=[*problems, _missing_files(raw, arrays)])
    for problem in problems:
        logger.warning("%s; using a good copy instead and leaving the file as it is", problem)
    return DataSet(
        train=LabelledImages(arrays["train-images-idx3-ubyte"].unsqueeze(1), arrays["train-labels-idx1-ubyte"].long()),
        test=LabelledImages(arrays["t10k-images-idx3-ubyte"].unsqueeze(1), arrays["t10k-labels-idx1-ubyte"].long()),
        is_published=verify,
    )


def _read(raw: Path, sha256: Mapping[str, str] | None) -> tuple[dict[str, Tensor], list[str]]:
    """Return the arrays of the good files in `raw`, and one message for each bad file."""
    arrays: dict[str, Tensor] = {}
    problems: list[str] = []
    for file in FILES:
        # torchvision leaves both forms; prefer the one whose checksum is published.
        compressed_first = sha256 is not None and file not in sha256
        forms = [f"{file}.gz", file] if compressed_first else [file, f"{file}.gz"]
        for path in (raw / form for form in forms if (raw / form).exists()):
            try:
                arrays[file] = _array(path.name, read_stored(path, MAX_ARRAYS), sha256)
                break
            except BadFile as error:
                problems.append(f"{path} is {error}")
            except OSError as error:
                problems.append(f"{path} can't be read ({error.strerror})")
    return arrays, problems


def _missing_files(raw: Path, arrays: Mapping[str, Tensor]) -> str:
    return f"{raw} has no valid {', '.join(file for file in FILES if file not in arrays)}"


def _array(name: str, content: bytes, sha256: Mapping[str, str] | None) -> Tensor:
    """Decode the file `name`, plain or `.gz`, and check that its checksum is the published one.

    Raises:
        BadFile: The file is damaged or not the published one.
    """
    file = name.removesuffix(".gz")
    try:
        plain = _decompressed(content) if name.endswith(".gz") else content
        array = idx.decode(plain, FILES[file])
    except EOFError:
        raise BadFile("truncated (the compressed data end early)") from None
    except (idx.NotIdx, gzip.BadGzipFile, zlib.error) as error:
        raise BadFile(str(error)) from None
    if sha256 is None:
        return array
    expected = sha256.get(file, sha256.get(name))
    if expected is None:
        raise BadFile(f"uncompressed, but only the checksum of {name}.gz is published; put that file beside it")
    actual = hashlib.sha256(plain if file in sha256 else content).hexdigest()
    if actual != expected:
        raise BadFile(f"not the published file (SHA-256 {actual[:16]}…, expected {expected[:16]}…)")
    return array


def _decompressed(content: bytes) -> bytes:
    with gzip.open(io.BytesIO(content)) as file:
        plain = file.read(MAX_ARRAYS + 1)
    if len(plain) > MAX_ARRAYS:
        raise BadFile(f"larger than {MAX_ARRAYS:,} bytes when uncompressed")
    return plain


def _fetch(data_set: IdxDataset, root: Path, missing: set[str], attempts: list[str]) -> dict[str, Tensor]:
    """Fetch the `missing` files with the first fetcher that succeeds, save them under `root`, return their arrays.

    Args:
        data_set: the data set that the files belong to.
        root: folder with data sets.
        missing: names of the uncompressed files to fetch.
        attempts: messages on what was tried before; the errors of failed fetchers are appended.

    Raises:
        UsageError: All fetchers failed; the message lists `attempts`.
    """
    raw = root / data_set.name / "raw"
    for fetcher in data_set.fetchers:
        logger.info("%s: trying %s", data_set.name, fetcher.label)
        try:
            files = _fetch_files(fetcher, missing)
            arrays = {
                name.removesuffix(".gz"): _array(name, content, data_set.sha256) for name, content in files.items()
            }
        except (download.FetchFailed, BadFile, OSError) as error:
            logger.info("%s: %s failed: %s", data_set.name, fetcher.label, error)
            attempts.append(f"{fetcher.label}: {error}")
            continue
        logger.info("%s: fetched by %s, SHA-256 verified; saving to %s", data_set.name, fetcher.label, raw)
        _save(raw, files, data_set.sha256)
        return arrays
    raise UsageError(
        f"{data_set.name} is not in data.root={root} and could not be fetched. Tried: {'; '.join(attempts)}. "
        f"Alternatives: data.root=FOLDER with the four idx files, plain or .gz, in FOLDER/{data_set.name}/raw "
        "(for files of your own, add data.verify=false); or data=digits, which works offline"
    )


def _fetch_files(fetcher: download.Fetcher, missing: set[str]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="mnist-resnet-", ignore_cleanup_errors=True) as folder:
        files = fetcher.fetch(Path(folder))
    selected = {name: content for name, content in files.items() if name.removesuffix(".gz") in missing}
    if still_missing := missing - {name.removesuffix(".gz") for name in selected}:
        raise download.FetchFailed(f"did not return {', '.join(sorted(still_missing))}")
    return selected


def _save(raw: Path, files: Mapping[str, bytes], sha256: Mapping[str, str]) -> None:
    """Write `files` into `raw`, each plain or compressed, under a name that is still free.

    Existing files are the user's and stay. A file that can't be saved is logged, and fetched again next time.
    """
    for name, content in files.items():
        file = name.removesuffix(".gz")
        forms = _forms(name, content, both=file in sha256)
        free = [form for form in forms if not (raw / form).exists()]
        try:
            if not free:
                raise FileExistsError(f"invalid files are in the way: {' and '.join(forms)}; move them away")
            raw.mkdir(parents=True, exist_ok=True)
            write_atomically(raw / free[0], forms[free[0]]())
        except OSError as error:
            logger.warning("%s is used, but can't be saved in %s: %s", file, raw, error)


def _forms(name: str, content: bytes, both: bool) -> dict[str, Callable[[], bytes]]:
    """Map each possible file name to a function that returns its bytes.

    These are the name and bytes as fetched and, if `both`, the compressed or uncompressed counterpart.
    """
    forms: dict[str, Callable[[], bytes]] = {name: lambda: content}
    if both and name.endswith(".gz"):
        forms[name.removesuffix(".gz")] = lambda: gzip.decompress(content)
    elif both:
        forms[f"{name}.gz"] = lambda: gzip.compress(content)
    return forms


@contextmanager
def _fetch_lock(folder: Path) -> Iterator[None]:
    """Lock `folder` so that only one process fetches at a time and the next one finds its files.

    If no lock file can be created, or another process holds the lock for longer than any fetch takes, continue without
    the lock. That costs an extra download at most, because files are written atomically.
    """
    lock = FileLock(folder / ".fetching.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("another process is fetching into %s; waiting for it", folder)
            lock.acquire(timeout=3 * download.FETCH_TIMEOUT_SECONDS)
    except (OSError, NotImplementedError):
        pass
    try:
        yield
    finally:
        lock.release()
