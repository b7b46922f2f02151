"""What holds for every test: one thread a process, since threads that wait for each other on busy cores crawl."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
