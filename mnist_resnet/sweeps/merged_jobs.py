"""The jobs of a sweep and of its record as one list; machines that added jobs may have named them alike."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from mnist_resnet.config.combinations import override_key
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.signature import requested_numerics
from mnist_resnet.sweeps.folder import Sweep
from mnist_resnet.sweeps.job_matches import job_matches
from mnist_resnet.sweeps.job_names import new_job_names

DATA_FOLDER = re.compile(r"(^|,)(data\.)?roo")
"""What in a job's name precedes the path of its data; long names shorten the key."""
QUOTES = "'\""


def merged_jobs(before: Sweep | None, published: Sweep) -> list[tuple[JobSpec, Path | None]]:
    """Return all jobs as the record names them, those that it has first, each with its folder in the sweep, if any."""
    recorded = before.jobs if before else []
    matches = job_matches(published.jobs, recorded, _computed)
    new = [job for job, match in zip(published.jobs, matches, strict=True) if match is None]
    names = iter(_new_names(new, recorded, swept_keys(before, published)))
    own = {match.name if match else next(names): job for job, match in zip(published.jobs, matches, strict=True)}
    jobs = {job.name: job for job in recorded} | {name: replace(job, name=name) for name, job in own.items()}
    folders = {name: published.folder_of(job) for name, job in own.items()}
    return [(replace(job, index=index), folders.get(job.name)) for index, job in enumerate(jobs.values())]


def swept_keys(before: Sweep | None, published: Sweep) -> list[str]:
    """Return all keys that were swept in the sweep or in its record."""
    return list(dict.fromkeys(key for sweep in (before, published) if sweep for key in sweep.content.get("swept", [])))


def _computed(job: JobSpec) -> tuple[object, ...]:
    """Return what two jobs share if they are one: the experiment as it was signed, and the requested numerics."""
    return (job.signature, *map(str, requested_numerics(job.config).values()))


def _new_names(new: Sequence[JobSpec], recorded: Sequence[JobSpec], swept: Sequence[str]) -> list[str]:
    """Return the names of jobs that are new to the record: their own, unless the record has another job of that name.

    A name that tells the path of the data tells only the last folder of it instead.
    """
    namesakes = {job.name for job in recorded}
    renamed = [job for job in new if job.name in namesakes or DATA_FOLDER.search(job.name)]
    taken = {job.name for job in new}
    names = new_job_names([_without_path(job) for job in renamed], recorded, [*swept, "data.root"], taken)
    by_name = dict(zip((job.name for job in renamed), names, strict=True))
    return [by_name.get(job.name, job.name) for job in new]


def _without_path(job: JobSpec) -> JobSpec:
    overrides = []
    for override in job.overrides or []:
        key, _, value = override.partition("=")
        if override_key(override) != "data.root":
            overrides.append(override)
        elif DATA_FOLDER.search(job.name):
            overrides.append(f"{key}={PurePath(value.strip(QUOTES)).name}")
    return replace(job, overrides=overrides)
