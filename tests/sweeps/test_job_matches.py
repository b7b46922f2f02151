"""Jobs that are there already are recognised, whatever else a launch or a record lists."""

from operator import attrgetter

import pytest

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.sweeps.job_matches import job_matches


def job(*overrides: str, name: str = "") -> JobSpec:
    return JobSpec(name, {}, list(overrides), {}, {}, signature="of one experiment")


@pytest.mark.parametrize(
    ("asked", "known", "expected"),
    [
        ([job("tracking=none"), job("tracking=wandb")], [job("tracking=wandb")], [None, 0]),
        ([job("seed=1", f"tracking={name}") for name in "ab"], [job("tracking=b"), job("tracking=a")], [1, 0]),
        ([job("tracking=none")], [job("tracking=wandb")], [0]),
        ([job("seed=1"), job("seed=1")], [job("seed=1")], [0, None]),
        ([job("data.root=/here", name="second")], [job(name="first"), job(name="second")], [1]),
    ],
)
def test_of_jobs_that_compute_the_same_those_that_differ_least_are_one(
    asked: list[JobSpec], known: list[JobSpec], expected: list[int | None]
) -> None:
    matches = job_matches(asked, known, attrgetter("signature"))
    assert matches == [None if place is None else known[place] for place in expected]
