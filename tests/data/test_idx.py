import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from torchvision import datasets

from mnist_resnet.data import idx, idx_dataset
from mnist_resnet.errors import UsageError
from tests.idx_files import idx_bytes, write_idx_files

IMAGES = idx_bytes(np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_decodes_the_same_arrays_as_torchvision(tmp_path: Path, part: str) -> None:
    write_idx_files(tmp_path, train=17, test=5)
    theirs = datasets.MNIST(tmp_path, train=part == "train")
    raw = tmp_path / "MNIST" / "raw"

    images = idx.decode((raw / f"{part}-images-idx3-ubyte").read_bytes(), 3)
    labels = idx.decode((raw / f"{part}-labels-idx1-ubyte").read_bytes(), 1)

    assert images.dtype == torch.uint8
    assert torch.equal(images, theirs.data)
    assert torch.equal(labels.long(), theirs.targets)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)])
def test_decode_inverts_encode(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    assert idx.encode(array) == idx_bytes(array)
    assert np.array_equal(idx.decode(idx.encode(array), array.ndim).numpy(), array)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "starts with nothing"),
        (b"\x1f\x8b\x08\x00" + IMAGES[4:], "not an idx file of bytes in 3 dimensions"),
        (idx_bytes(np.zeros(9, np.uint8)), "not an idx file of bytes in 3 dimensions"),
        (b"\x00\x00\x0d\x03" + IMAGES[4:], "not an idx file of bytes"),  # 0x0d: its elements are floats
        (IMAGES[:9], "truncated in its header (9 bytes of 16)"),
        (IMAGES[:-1], "truncated (39 bytes; its header says 40)"),
        (IMAGES + b"\x00", "too long (41 bytes; its header says 40)"),
        (idx_bytes(np.zeros((0, 28, 28), np.uint8)), "empty"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12, "truncated"),
    ],
)
def test_invalid_content_is_a_one_line_error(content: bytes, says: str) -> None:
    with pytest.raises(idx.NotIdx) as caught:
        idx.decode(content, 3)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@seed(20)
@settings(deadline=None, max_examples=300, database=None)
@given(data=st.data(), compressed=st.booleans(), file=st.sampled_from(sorted(idx_dataset.FILES)))
def test_damaged_file_is_read_or_refused_in_one_line(data: st.DataObject, compressed: bool, file: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        write_idx_files(Path(root), train=3, test=2, compressed=compressed)
        path = Path(root) / "MNIST" / "raw" / (f"{file}.gz" if compressed else file)
        content = path.read_bytes()
        # The headers are most of what is read.
        start = data.draw(st.integers(0, data.draw(st.sampled_from([8, len(content)]))))
        end = data.draw(st.integers(start, min(len(content), start + 40)))
        path.write_bytes(content[:start] + data.draw(st.binary(max_size=8)) + content[end:])
        said = ""
        try:
            idx_dataset.load(idx_dataset.IdxDataset("MNIST", {}, ()), Path(root), verify=False)
        except UsageError as error:
            said = str(error)
        assert "\n" not in said
