"""Benchmarks: every statement on speed as a command that measures it again, such as `python -m benchmarks.startup`."""
