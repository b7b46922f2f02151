"""Encoder and decoder of the idx format of MNIST's files.

Layout: two zero bytes, the element type (8 is unsigned byte), the number of dimensions, the size of each dimension as a
big-endian 32-bit integer, then the elements in row-major order. Source: LeCun, Cortes, Burges, "The MNIST database of
handwritten digits", section on file formats.
"""

import math
import struct

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_UNSIGNED_BYTE = 0x08


class NotIdx(ValueError):
    """The bytes are not a valid idx file; the message gives the reason in one line."""


def decode(content: bytes, dimensions: int) -> Tensor:
    """Decode an idx file of unsigned bytes.

    Args:
        content: the whole file, uncompressed.
        dimensions: expected number of dimensions: 3 for images, 1 for labels.

    Returns:
        uint8, with `dimensions` dimensions of the sizes in the header.

    Raises:
        NotIdx: The header differs, or the file is shorter or longer than its header says.
    """
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if content[:4] != magic:
        start = content[:4].hex() or "nothing"
        raise NotIdx(f"not an idx file of bytes in {dimensions} dimensions (starts with {start})")
    if len(content) < header:
        raise NotIdx(f"truncated in its header ({len(content)} bytes of {header})")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        problem = "truncated" if len(content) < expected else "too long"
        raise NotIdx(f"{problem} ({len(content):,} bytes; its header says {expected:,})")
    if expected == header:
        raise NotIdx("empty (its header says 0 elements)")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header).reshape(shape)


def encode(array: NDArray[np.uint8]) -> bytes:
    """Encode a uint8 array of any shape as an idx file."""
    return struct.pack(f">HBB{array.ndim}I", 0, _UNSIGNED_BYTE, array.ndim, *array.shape) + array.tobytes()
