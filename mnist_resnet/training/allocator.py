"""Has the C library's memory allocator keep the memory that each training step frees, and return it at the end."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt` (see its manual page; values from `malloc.h`).

`M_TRIM_THRESHOLD`: free bytes at the end of the heap above which they are returned to the system. `M_MMAP_THRESHOLD`:
bytes from which an allocation gets a mapping of its own, which is returned to the system when freed.
"""
LARGEST_THRESHOLD = 2**31 - 1
"""Largest value of both parameters, which are C `int`s."""
LARGEST_OLD_MMAP_THRESHOLD = 32 * 2**20
"""Largest `M_MMAP_THRESHOLD` in bytes that older versions of glibc accept."""

LARGE_BLOCK = 2**20
"""Bytes from which a block for which there is no free memory is a mapping of its own, returned when it is freed."""


def keep_freed_memory() -> None:
    """Make this process keep freed memory for reuse, as PyTorch's allocator does on a GPU. Linux with glibc only.

    By default, each step of the report's network returns some 70 MB to the system and allocates them again, which
    causes 17,000 page faults: one seventh of a step's time with two threads (`benchmarks/NOTES.md`, "One run, CPU").
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries have none
        mallopt(TRIM_THRESHOLD, LARGEST_THRESHOLD)
        if not mallopt(MMAP_THRESHOLD, LARGEST_THRESHOLD):
            mallopt(MMAP_THRESHOLD, LARGEST_OLD_MMAP_THRESHOLD)


def return_freed_memory() -> None:
    """Return free memory to the system, and keep no large blocks beyond it from now on. Linux with glibc only."""
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    mallopt, malloc_trim = (getattr(library, name, None) for name in ("mallopt", "malloc_trim"))
    if mallopt is not None and malloc_trim is not None:
        mallopt(TRIM_THRESHOLD, LARGE_BLOCK)
        mallopt(MMAP_THRESHOLD, LARGE_BLOCK)
        malloc_trim(0)
