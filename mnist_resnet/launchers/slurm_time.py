"""Slurm's formats of a time limit."""

from datetime import timedelta


def duration_of(time: int | str) -> timedelta:
    """Return how long a time limit is, in one of Slurm's formats.

    They are `minutes`, `minutes:seconds`, `hours:minutes:seconds`, `days-hours`, `days-hours:minutes` and
    `days-hours:minutes:seconds`.
    """
    days, dash, rest = str(time).rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = [*parts, 0, 0][:3]
        return timedelta(days=int(days), hours=hours, minutes=minutes, seconds=seconds)
    if len(parts) == 3:
        return timedelta(hours=parts[0], minutes=parts[1], seconds=parts[2])
    minutes, seconds = [*parts, 0][:2]
    return timedelta(minutes=minutes, seconds=seconds)
