"""Callbacks of a run: console, log file, Weights & Biases."""
