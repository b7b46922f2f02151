"""Jobs that are there already are recognised, whatever else a launch or a record lists."""

from operator import attrgetter

import pytest

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.sweeps.job_matches import job_matches

FORM = "trainer.convolutions"


def job(*overrides: str, name: str = "") -> JobSpec:
    return JobSpec(name, {}, list(overrides), {}, {}, signature="of one experiment")


@pytest.mark.parametrize(
    ("asked", "known", "expected"),
    [
        ([job(f"{FORM}=pytorch"), job(f"{FORM}=winograd")], [job(f"{FORM}=winograd")], [None, 0]),
        ([job("sweep.keep=none", f"{FORM}={form}") for form in "ab"], [job(f"{FORM}=b"), job(f"{FORM}=a")], [1, 0]),
        ([job(f"{FORM}=pytorch")], [job(f"{FORM}=winograd")], [0]),
        ([job("seed=1"), job("seed=1")], [job("seed=1")], [0, None]),
        ([job("data.root=/here", name="second")], [job(name="first"), job(name="second")], [1]),
    ],
)
def test_of_jobs_that_compute_the_same_those_that_differ_least_are_one(
    asked: list[JobSpec], known: list[JobSpec], expected: list[int | None]
) -> None:
    matches = job_matches(asked, known, attrgetter("signature"))
    assert matches == [None if place is None else known[place] for place in expected]
