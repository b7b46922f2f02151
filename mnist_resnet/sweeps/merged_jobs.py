"""The jobs of a sweep and of its record as one list; machines that added jobs may have named them alike."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from mnist_resnet.config.combinations import override_key
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.levels import in_one_spelling
from mnist_resnet.config.names import distinct_names
from mnist_resnet.config.signature import NUMERICS, distinguishes_jobs, flatten
from mnist_resnet.sweeps.folder import Sweep
from mnist_resnet.sweeps.public_form import public

DATA_FOLDER = re.compile(r"(^|,)(data\.)?roo")
"""What in a job's name precedes the path of its data; long names shorten the key."""
QUOTES = "'\""


def merged_jobs(before: Sweep | None, published: Sweep) -> list[tuple[JobSpec, Path | None]]:
    """Return all jobs as the record names them, those that it has first, each with its folder in the sweep, if any."""
    recorded = before.jobs if before else []
    unmatched: dict[tuple[object, ...], list[JobSpec]] = defaultdict(list)
    for job in recorded:
        unmatched[_computed(job)].append(job)
    own: dict[str, JobSpec] = {}
    new: list[JobSpec] = []
    for job in published.jobs:
        if match := _match(job, candidates := unmatched[_computed(job)]):
            candidates.remove(match)
            own[match.name] = job
        else:
            new.append(job)
    own |= dict(zip(_new_names(new, recorded, swept_keys(before, published)), new, strict=True))
    jobs = {job.name: job for job in recorded} | {name: replace(job, name=name) for name, job in own.items()}
    folders = {name: published.folder_of(job) for name, job in own.items()}
    return [(replace(job, index=index), folders.get(job.name)) for index, job in enumerate(jobs.values())]


def swept_keys(before: Sweep | None, published: Sweep) -> list[str]:
    """Return all keys that were swept in the sweep or in its record."""
    return list(dict.fromkeys(key for sweep in (before, published) if sweep for key in sweep.content.get("swept", [])))


def _computed(job: JobSpec) -> tuple[object, ...]:
    """Return what two jobs share if they are one: the experiment as it was signed, and the requested numerics."""
    config = flatten(job.config)
    return (job.signature, *(str(config.get(key)) for key in NUMERICS))


def _match(job: JobSpec, candidates: Sequence[JobSpec]) -> JobSpec | None:
    """Return the job of the record that is the same; of several, one that was typed the same or is named the same."""
    same = [other for other in candidates if job.is_on_data_of(other)]
    overrides = public(job.overrides)
    return min(same, key=lambda other: (other.overrides != overrides, other.name != job.name), default=None)


def _new_names(new: Sequence[JobSpec], recorded: Sequence[JobSpec], swept: Sequence[str]) -> list[str]:
    """Return the names of jobs that are new to the record: their own, unless the record has another job of that name.

    Then the name says what is swept, and in what the job differs from the other one. A name that tells the path of the
    data tells only the last folder of it instead.
    """
    namesakes = {job.name: job.overrides or [] for job in recorded}
    renamed = {
        job.name: _name_parts(job, swept, namesakes.get(job.name, job.overrides or []))
        for job in new
        if job.name in namesakes or DATA_FOLDER.search(job.name)
    }
    names = distinct_names(list(renamed.values()), {*namesakes, *(job.name for job in new)})
    by_name = dict(zip(renamed, names, strict=True))
    return [by_name.get(job.name, job.name) for job in new]


def _name_parts(job: JobSpec, swept: Sequence[str], shared: Sequence[str]) -> list[str]:
    parts = []
    for override in job.overrides or []:
        key = override_key(override)
        if key == "data.root" and DATA_FOLDER.search(job.name):
            parts.append(f"{key}={PurePath(override.partition('=')[2].strip(QUOTES)).name}")
        elif distinguishes_jobs(key) and (key in swept or override not in shared):
            parts.append(in_one_spelling(override.lstrip("+")))
    return parts
