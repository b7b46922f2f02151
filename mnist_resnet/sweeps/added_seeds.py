"""Launches a sweep in rounds, each with more seeds for the configs whose interval is still too wide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_resnet.config.identity import identity
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.seed_sources import SEEDS
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import SWEEP
from mnist_resnet.sweeps.folder import read_sweep


@dataclass(frozen=True)
class Round:
    """What a round runs.

    Attributes:
        seeds: the largest number of seeds of any config, counted from seed 1.
        seeds_of: number of seeds of each config that the sweep has, by its identity without the seed.
        first: number of seeds of a config that the sweep does not have yet.
        is_open: whether seeds of it have not ended.
        line: what is to be said of the intervals so far; empty if all are narrow enough, and before the first round.
    """

    seeds: int
    seeds_of: Mapping[str, int]
    first: int
    is_open: bool
    line: str

    def has(self, job: JobSpec) -> bool:
        """Return whether a job belongs to the round."""
        return int(job.config["seed"]) <= self.seeds_of.get(without_seed(job.config), self.first)


def without_seed(config: Mapping[str, Any]) -> str:
    """Return what jobs that differ only in their seed have in common."""
    return identity({**config, "seed": 0})


def next_round(folder: Path | None, configs: Sequence[JobSpec], settings: Mapping[str, Any]) -> Round:
    """Return what is to be run next, from the results in the sweep's folder alone.

    Args:
        folder: the sweep's folder; None, or one without a sweep, before the first round.
        configs: a job of each config of this launch; others in the folder get no more seeds.
        settings: the config's `sweep`.

    Raises:
        UsageError: the settings do not say how narrow an interval is wanted.
    """
    # slow to import, and not needed by other launches
    from mnist_resnet.comparing.job_reader import load_jobs
    from mnist_resnet.comparing.sequential import progress_of_jobs, target_of

    target = target_of(settings)
    assert target is not None
    first = target.looks[0]
    if folder is None or not (folder / SWEEP).exists():
        return Round(first, {}, first, True, "")
    key_of = {job.name: without_seed(job.config) for job in read_sweep(folder).jobs}
    wanted = {without_seed(job.config) for job in configs}
    # Others may differ in numerics alone, by which jobs are not grouped unless a sweep varies them.
    jobs = [job for job in load_jobs([folder])[0] if key_of[job.folder.name] in wanted]
    found = progress_of_jobs(jobs, target) if jobs else []
    seeds_of = {key_of[job.folder.name]: entry.seeds for group, entry in found for job in group}
    growing = sum(entry.is_open for _, entry in found)
    given_up = sum(not entry.is_narrow and not entry.is_open for _, entry in found)
    parts = [f"{growing} of {len(found)} get more seeds"] if growing else []
    parts += [f"{given_up} of {len(found)} are wider with {target.maximum} seeds (sweep.max_seeds)"] if given_up else []
    line = f"configs with an interval wider than {target.width:g} (sweep.interval_width): {', '.join(parts)}"
    return Round(max(seeds_of.values(), default=first), seeds_of, first, growing > 0, line if parts else "")


def refuse_with_added_seeds(arguments: Sequence[str], detach: bool) -> None:
    """Reject what does not go with `sweep.seeds=auto`.

    Raises:
        UsageError: seeds are given, too, or nobody would wait for the results of a round.
    """
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        if key == "seed":
            raise UsageError(f"seed={value}: sweep.seeds=auto takes the seeds 1, 2, 3, …; leave one of the two out")
    if detach:
        raise UsageError("sweep.detach=true: sweep.seeds=auto waits for each round's results; leave one of the two out")


def refuse_sources_with_added_seeds(swept: Sequence[str]) -> None:
    """Reject a study of seeds of single sources, of which `sweep.seeds=auto` would add none.

    Raises:
        UsageError: it is one.
    """
    for key in swept:
        if key.startswith(f"{SEEDS}."):
            raise UsageError(f"sweep.seeds=auto: adds values of seed, but {key} is swept; give a number of seeds")


def refuse_without_added_seeds(arguments: Sequence[str], params: Mapping[str, Any] | None = None) -> None:
    """Reject settings of seeds that would have no effect: those of `sweep.seeds=auto`, and `sweep.seeds` itself.

    Args:
        arguments: task overrides as typed, without `sweep.seeds=auto`.
        params: the sweeper's own sweep, not resolved; a study's takes its seeds from `sweep.seeds`.

    Raises:
        UsageError: there is one.
    """
    typed = dict(argument.lstrip("+").partition("=")[::2] for argument in arguments)
    left = {key: value for key, value in (params or {}).items() if key not in typed}
    for key, value in typed.items():
        if key == "sweep.seeds" and not any("sweep.seeds" in str(levels) for levels in left.values()):
            if "seed" in typed:
                raise UsageError(f"{key}={value}: has no effect beside seed={typed['seed']}; leave one of the two out")
            raise UsageError(f"{key}={value}: is for a study (+sweep=NAME); elsewhere, sweep over -m seed=1,2,3")
        if key in ("sweep.interval_width", "sweep.max_seeds") and value != "null":
            raise UsageError(f"{key}={value}: is for sweep.seeds=auto; add it, or leave this out")
