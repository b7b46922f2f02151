"""`sweep.seeds=auto`: the real program adds seeds in rounds until intervals are narrow enough."""

import json
import re
import shutil
from pathlib import Path

import pytest

from mnist_resnet.comparing import sequential
from mnist_resnet.resume import resume
from tests.small_sweeps import CommandResult, Place, Run, attempts, run_in_process, statuses

AUTO = ("sweep.seeds=auto", "sweep.interval_width=99.9")
NEVER_NARROW = ("sweep.seeds=auto", "sweep.interval_width=0.000001", "sweep.max_seeds=3")


@pytest.fixture
def sweep(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*overrides: str) -> CommandResult:
        return run_in_process(place.sweep("auto", *overrides), place, monkeypatch, capfd)

    return run


def seeds(folder: Path) -> list[int]:
    return [job["config"]["seed"] for job in json.loads((folder / "sweep.json").read_text())["jobs"]]


def test_seeds_are_added_in_rounds_and_the_same_command_goes_on(
    sweep: Run, place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With looks at two and at three seeds: each seed takes its time."""
    monkeypatch.setattr(sequential, "FIRST_LOOK", 2)
    folder = place.folder / "multirun" / "auto"
    planned = sweep(*NEVER_NARROW, "sweep.dry_run=true")
    assert (planned.code, planned.out.count("queued")) == (0, 2)
    assert "then more seeds, up to 3" in planned.out
    wide = sweep(*NEVER_NARROW)
    assert wide.code == 0, wide.out + wide.err
    assert seeds(folder) == [1, 2, 3]
    assert set(statuses(folder).values()) == {"completed"}
    assert "wider than 1e-06 (sweep.interval_width): 1 of 1 get more seeds" in wide.out
    assert "1 of 3 jobs to run, 2 ended already" in wide.out
    assert wide.out.splitlines()[-1].endswith("1 of 1 are wider with 3 seeds (sweep.max_seeds)")
    assert "Seeds until the interval is narrow" in (folder / "table.md").read_text()

    other = sweep(*NEVER_NARROW, "trainer.convolutions=pytorch")
    assert seeds(folder) == [1, 2, 3, 1, 2, 3], "of jobs with other numerics as many"
    assert other.out.splitlines()[-1].endswith("1 of 1 are wider with 3 seeds (sweep.max_seeds)")

    content = json.loads((folder / "sweep.json").read_text())
    content["jobs"] = content["jobs"][:2]
    (folder / "sweep.json").write_text(json.dumps(content))
    shutil.rmtree(folder / "seed=3")
    capfd.readouterr()
    assert resume(folder, []) == 0
    shown = capfd.readouterr().out
    assert "1 of 1 get more seeds" in shown
    assert re.search(r"to add them: python \S*train\.py -m ", shown)
    assert "sweep.seeds=auto" in shown


@pytest.mark.slow
def test_narrow_configs_get_no_more_seeds_and_another_width_goes_on(sweep: Run, place: Place) -> None:
    folder, learning = place.folder / "multirun" / "auto", ("trainer.epochs=8", "model.width=8", "optim.lr=0.01,0.02")
    narrow = sweep(*AUTO, *learning)
    assert narrow.code == 0, narrow.out + narrow.err
    assert sorted(seeds(folder)) == sorted(2 * [1, 2, 3, 4, 5])
    assert narrow.out.count("narrow enough") == 2
    shutil.rmtree(folder / "optim.lr=0.01,seed=2")
    wide = sweep("sweep.seeds=auto", "sweep.interval_width=0.000001", "sweep.max_seeds=8", *learning)
    assert wide.code == 0, wide.out + wide.err
    assert sorted(seeds(folder)) == sorted(2 * [*range(1, 9)])
    assert set(attempts(folder).values()) == {1}, "no seed is trained twice"
    assert "4 of 13 jobs to run, 9 ended already" in wide.out, "the lost seed, and three more of the other config"
    assert "3 of 16 jobs to run, 13 ended already" in wide.out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("sweep.seeds=auto",), "say how narrow, as in sweep.interval_width=0.2"),
        ((*AUTO, "seed=1,2"), "seed=1,2: sweep.seeds=auto takes the seeds 1, 2, 3"),
        ((*AUTO, "sweep.detach=true", "hydra/launcher=workers"), "sweep.detach=true: sweep.seeds=auto waits"),
        ((*AUTO, "seeds.init=1,2"), "sweep.seeds=auto: adds values of seed, but seeds.init is swept"),
        (("sweep.interval_width=1", "seed=1,2"), "sweep.interval_width=1: is for sweep.seeds=auto"),
        (("sweep.max_seeds=9", "seed=1,2"), "sweep.max_seeds=9: is for sweep.seeds=auto"),
        ((*AUTO, "sweep.max_seeds=1"), "sweep.max_seeds=1: must be 2 or more"),
        (("sweep.seeds=auto", "sweep.interval_width=0"), "sweep.interval_width=0: must be more than 0"),
        (("sweep.seeds=auto", "sweep.interval_width=nan"), "sweep.interval_width=nan: must be a finite number"),
        (("sweep.seeds=auto", "+sweep=variance"), "sweep.seeds=auto: adds values of seed, but seeds.init is swept"),
        (("sweep.seeds=1", "+sweep=variance"), "is swept, with one seed of seeds.init, seeds.order, seeds.dropout"),
        (("sweep.seeds=3", "optim.lr=0.1,0.2"), "sweep.seeds=3: is for a study (+sweep=NAME); elsewhere, sweep over"),
        (("sweep.seeds=3", "+sweep=epochs", "seed=1,2"), "sweep.seeds=3: has no effect beside seed=1,2; leave one"),
        (("sweep.seeds=3", "hydra/sweeper=search", "optim.lr=interval(0.1,0.2)"), "sweep.seeds=3: is for a study"),
        (("sweep.seeds=many",), "sweep.seeds=many"),
    ],
)
def test_what_does_not_go_with_it_is_refused_before_anything_starts(
    overrides: tuple[str, ...], message: str, sweep: Run, place: Place
) -> None:
    refused = sweep(*overrides)
    assert refused.code == 2
    assert message in refused.err
    assert len(refused.err.splitlines()) == 1
    assert not (place.folder / "multirun").exists()


def test_single_run_and_search_refuse_it(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    single = run_in_process([*place.common, *AUTO], place, monkeypatch, capfd)
    assert (single.code, single.err.count("\n")) == (2, 1)
    for typed in ("sweep.seeds=3", "sweep.max_seeds=9"):
        numbered = run_in_process([*place.common, typed], place, monkeypatch, capfd)
        assert (numbered.code, numbered.err.count("\n")) == (2, 1)
        assert f"{typed}: is for" in numbered.err
    assert "sweep.seeds=auto: adds seeds to a sweep, and this is a single run; add -m" in single.err
    searched = sweep(*AUTO, "hydra/sweeper=search", "optim.lr=interval(0.1,0.2)", "data.val_size=8")
    assert (searched.code, searched.err.count("\n")) == (2, 1)
    assert "sweep.seeds=auto: is not for a search" in searched.err
