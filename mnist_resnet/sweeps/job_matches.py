"""Which jobs of one list are which of another: two that compute the same may differ in settings beside that."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from mnist_resnet.config.job_spec import JobSpec


def job_matches(
    jobs: Sequence[JobSpec], known: Sequence[JobSpec], computed: Callable[[JobSpec], Hashable]
) -> list[JobSpec | None]:
    """Return, for each job, the known job that is the same, each at most once; None if there is none.

    Jobs that compute the same can differ in other settings, such as the tracker or the processes that read data.
    Those whose overrides differ least are matched first; of several, those of one name.

    Args:
        jobs: the jobs.
        known: the jobs that are there.
        computed: returns what two jobs share if they compute the same.
    """
    candidates: dict[Hashable, list[int]] = defaultdict(list)
    for place, other in enumerate(known):
        candidates[computed(other)].append(place)
    pairs = [
        (_distance(job, known[place]), job.name != known[place].name, number, place)
        for number, job in enumerate(jobs)
        for place in candidates[computed(job)]
        if job.is_on_data_of(known[place])
    ]
    matches: list[JobSpec | None] = [None] * len(jobs)
    taken: set[int] = set()
    for *_, number, place in sorted(pairs):
        if matches[number] is None and place not in taken:
            matches[number] = known[place]
            taken.add(place)
    return matches


def _distance(job: JobSpec, other: JobSpec) -> int:
    return len({*(job.overrides or [])}.symmetric_difference(other.overrides or []))
