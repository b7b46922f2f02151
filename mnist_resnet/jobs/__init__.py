"""Run one job once, and record its result."""
