"""What the C library does with memory that a step frees: it keeps it, since the next step asks for as much again."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt` (its manual page; `malloc.h`): how many bytes may be free at the heap's end before
they go back to the system, and the size from which an allocation is a mapping of its own, given back when freed."""
MOST = 2**31 - 1
"""Of both: they are a C `int`. Older versions of glibc take `LARGEST_HEAP` at most for the second."""
LARGEST_HEAP = 32 * 2**20


def keep_freed_memory() -> None:
    """Have this process keep the memory it frees, as PyTorch does on a GPU by itself; elsewhere than on Linux, nothing.

    By default a step of the report's network gives some 70 MB back to the system and takes them anew, in 17,000 page
    faults: with two threads a seventh of its time (`benchmarks/NOTES.md`, "One run, CPU").
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # another C library has none
        mallopt(TRIM_THRESHOLD, MOST)
        if not mallopt(MMAP_THRESHOLD, MOST):
            mallopt(MMAP_THRESHOLD, LARGEST_HEAP)
