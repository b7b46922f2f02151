"""Sweep folders: launch, queue, run, report status, finish."""
