"""Names of the jobs that are new to a sweep or a record."""

from collections.abc import Iterable, Sequence

from mnist_resnet.config.combinations import override_key
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.levels import in_one_spelling
from mnist_resnet.config.names import distinct_names
from mnist_resnet.config.signature import distinguishes_jobs


def new_job_names(
    jobs: Sequence[JobSpec], known: Sequence[JobSpec], swept: Sequence[str], taken: Iterable[str] = ()
) -> list[str]:
    """Return folder names for new jobs.

    A name consists of the overrides of the keys that this launch or an earlier one has swept, and of those in which the
    job differs from a known one.

    Args:
        jobs: the new jobs.
        known: the other jobs of the sweep.
        swept: the keys that have been swept.
        taken: names, besides those of the known jobs, that no job can have.
    """
    beside = [[*map(_shown, job.overrides or [])] for job in known]
    shared = frozenset(beside[0]).intersection(*beside) if beside else None
    hashes = {job.data_sha256 for job in known} - {None}
    new = []
    for job in jobs:
        is_on_other_data = job.data_sha256 is not None and not hashes <= {job.data_sha256}
        named = {*swept, *(["data.root"] if is_on_other_data else [])}
        # A swept key shows even if it moves no number, such as the data's folder.
        parts = [
            shown
            for override in job.overrides or []
            for key, shown in [(override_key(override), _shown(override))]
            if key in named or (shared is not None and distinguishes_jobs(key) and shown not in shared)
        ]
        new.append(parts or _distinguishing(job))
    return distinct_names(new, {*taken, *(job.name for job in known)}, beside)


def _distinguishing(job: JobSpec) -> list[str]:
    return [_shown(override) for override in job.overrides or [] if distinguishes_jobs(override_key(override))]


def _shown(override: str) -> str:
    """Return how an override is named: each number in one spelling, a group in which nothing is chosen as `null`."""
    shown = override.lstrip("+")
    return f"{shown[1:]}=null" if shown.startswith("~") else in_one_spelling(shown)
