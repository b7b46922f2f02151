"""Settings for all tests: one thread per process, since threads that wait for each other on busy cores are slow."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
