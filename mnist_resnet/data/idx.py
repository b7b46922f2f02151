"""The idx format of MNIST's files: a header of big-endian 32-bit numbers, then unsigned bytes.

Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits", the part on file formats: two zero bytes,
the element type (8 is unsigned byte), the number of dimensions, each one's size, then the elements in row-major order.
"""

import math
import struct

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_UNSIGNED_BYTE = 0x08


class NotIdx(ValueError):
    """Bytes that aren't the idx file they should be; its text says why in a line."""


def decode(content: bytes, dimensions: int) -> Tensor:
    """The array in an idx file of unsigned bytes: uint8, with as many dimensions as asked for.

    Raises:
        NotIdx: the header is another, or there are fewer or more bytes than it announces.
    """
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if content[:4] != magic:
        raise NotIdx(f"no idx file of bytes in {dimensions} dimensions (starts with {content[:4].hex() or 'nothing'})")
    if len(content) < header:
        raise NotIdx(f"truncated in its header ({len(content)} bytes of {header})")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        trouble = "truncated" if len(content) < expected else "too long"
        raise NotIdx(f"{trouble} ({len(content):,} bytes, and its header announces {expected:,})")
    if expected == header:
        raise NotIdx("empty (its header announces no element)")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header).reshape(shape)


def encode(array: NDArray[np.uint8]) -> bytes:
    """The idx file of an array of any shape."""
    return struct.pack(f">HBB{array.ndim}I", 0, _UNSIGNED_BYTE, array.ndim, *array.shape) + array.tobytes()
