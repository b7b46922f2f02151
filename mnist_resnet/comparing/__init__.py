"""Turns job folders into tables, statistics, verdicts and a dashboard."""
