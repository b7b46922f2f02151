"""Several sweeps in one table: what is paired, and what differs."""

from pathlib import Path

import pytest

from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.side_by_side import side_by_side
from mnist_resnet.comparing.statistics import seeds_summary
from mnist_resnet.comparing.table import sweep_report
from tests.made_up_jobs import write_job
from tests.synthetic_sweep import SyntheticSweep

WIDE = {0.1: [0.90, 0.91, 0.92], 0.2: [0.80, 0.82, 0.81]}
NARROW = {0.1: [0.88, 0.90, 0.905], 0.2: [0.78, 0.80, 0.79]}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return SyntheticSweep(test_images=10_000, predictions=False).write(tmp_path / "sweep")


def write_sweep(folder: Path, sweep: str, accuracies: dict[float, list[float]], **config: object) -> None:
    """Write a sweep over learning rates; each has one job for each accuracy, with seeds 0, 1, …"""
    for rate, values in accuracies.items():
        for seed, value in enumerate(values):
            more = {"optim.lr": rate, **config}
            write_job(
                folder / f"{rate}-{seed}", (value,), seed=seed, sweep=sweep, config=more, swept={"optim.lr": rate}
            )


def test_equal_configs_of_two_sweeps_are_paired_and_changes_listed(tmp_path: Path) -> None:
    lasts = {"before": (0.90, 0.92, 0.91), "after": (0.91, 0.94, 0.92)}
    for sweep, commit in (("before", "aaa"), ("after", "bbb")):
        for seed, last in enumerate(lasts[sweep]):
            environment = {"commit": "same", "configs": {"conf": {"commit": commit}}}
            write_job(tmp_path / sweep / f"s{seed}", (last,), seed=seed, sweep=sweep, environment=environment)
    write_job(tmp_path / "after" / "s9", (0.5,), seed=9, sweep="after", environment=environment)
    jobs, _ = load_jobs([tmp_path / "before", tmp_path / "after"])
    (found,) = side_by_side(jobs)
    assert found.difference.values == pytest.approx((-0.01, -0.02, -0.01))  # of the error rate, as in all tables
    assert found.changes.to_numpy().tolist() == [["environment.configs.conf.commit", "aaa", "bbb"]]
    assert "Change of the error rate, percentage points, second less first: -1.33" in sweep_report(jobs).markdown()


def test_a_commit_that_code_and_config_folders_share_is_listed_once(tmp_path: Path) -> None:
    for sweep, commit in (("before", "aaa"), ("after", "bbb")):
        environment = {"commit": commit, "configs": {"conf": {"commit": commit}, "mine": {"commit": f"{commit}c"}}}
        write_job(tmp_path / sweep / "s1", seed=1, sweep=sweep, environment=environment)
    jobs, _ = load_jobs([tmp_path / "before", tmp_path / "after"])
    (found,) = side_by_side(jobs)
    assert found.changes["what"].tolist() == ["environment.commit", "environment.configs.mine.commit"]


def test_changed_config_is_listed(tmp_path: Path) -> None:
    folders = [
        SyntheticSweep(name=name, base=base, predictions=False).write(tmp_path / name)
        for name, base in (("before", {}), ("after", {"data.batch_size": 128}))
    ]
    jobs, _ = load_jobs(folders)
    (found,) = side_by_side(jobs)
    assert len(found.pairs) == 12
    assert ["data.batch_size", "64", "128"] in found.changes.to_numpy().tolist()


def test_single_sweep_has_no_side_by_side(sweep: Path) -> None:
    assert side_by_side(load_jobs([sweep])[0]) == []
    assert side_by_side([]) == []


def test_sweeps_that_differ_in_one_setting_are_paired_and_show_its_effect(tmp_path: Path) -> None:
    write_sweep(tmp_path / "wide", "wide", WIDE, **{"model.width": 64})
    write_sweep(tmp_path / "narrow", "narrow", NARROW, **{"model.width": 32})
    jobs, _ = load_jobs([tmp_path / "wide", tmp_path / "narrow"])
    (found,) = side_by_side(jobs)
    assert len(found.pairs) == 6
    # each seed's mean over the two rates
    assert found.difference.values == pytest.approx((0.02, 0.015, 0.0175))
    assert found.changes.to_numpy().tolist() == [["model.width", "64", "32"]]
    sections = {section.title: section for section in sweep_report(jobs).sections}
    changes = dict(sections["Effects"].table[["change", "effect"]].to_numpy().tolist())
    assert changes["model.width: 64 → 32"] == "+1.75"  # the sign of the line side by side
    # the sweeps' names are the width again, so that there are no holes: both rates are run at both widths
    assert list(changes) == ["optim.lr: 0.1 → 0.2", *list(changes)[1:2], "optim.lr: 0.1 → 0.2 × model.width: 64 → 32"]
    assert any("second less first: +1.75" in line for line in sections["wide and narrow, side by side"].lines)


def test_interval_of_two_sweeps_is_cut_at_what_is_possible(tmp_path: Path) -> None:
    write_sweep(tmp_path / "wide", "wide", {0.1: [0.9, 0.5]}, **{"model.width": 64})
    write_sweep(tmp_path / "narrow", "narrow", {0.1: [0.1, 0.45]}, **{"model.width": 32})
    jobs = load_jobs([tmp_path / "wide", tmp_path / "narrow"])[0]
    assert side_by_side(jobs)[0].interval == pytest.approx((-0.3, 0.7))  # from an error rate of 0.3
    lines = [line for section in sweep_report(jobs).sections for line in section.lines]
    assert any("+42.50, 95 % interval -30.00 to +70.00" in line and "cut" in line for line in lines)


def test_seeds_that_lack_a_config_do_not_mix_configs_into_the_spread(tmp_path: Path) -> None:
    write_sweep(tmp_path / "wide", "wide", WIDE, **{"model.width": 64})
    write_sweep(tmp_path / "narrow", "narrow", {**NARROW, 0.2: NARROW[0.2][:1]}, **{"model.width": 32})
    (found,) = side_by_side(load_jobs([tmp_path / "wide", tmp_path / "narrow"])[0])
    assert len(found.pairs) == 4
    assert found.difference.values == pytest.approx((0.02, 0.01, 0.015))  # three seeds of one rate


def test_sweeps_that_differ_in_two_settings_show_neither_alone(tmp_path: Path) -> None:
    write_sweep(tmp_path / "wide", "wide", WIDE, **{"model.width": 64, "data.batch_size": 64})
    write_sweep(tmp_path / "narrow", "narrow", NARROW, **{"model.width": 32, "data.batch_size": 128})
    jobs, _ = load_jobs([tmp_path / "wide", tmp_path / "narrow"])
    assert len(side_by_side(jobs)[0].pairs) == 6
    lines = next(section.lines for section in sweep_report(jobs).sections if section.title == "Effects")
    assert "No two jobs differ in model.width alone: its effect can't be determined." in lines


def test_two_sweeps_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    write_sweep(tmp_path / "monday", "lr", WIDE)
    write_sweep(tmp_path / "tuesday", "lr", NARROW)
    jobs, _ = load_jobs([tmp_path / "monday", tmp_path / "tuesday"])
    report = sweep_report(jobs)
    assert report.title == "lr (monday), lr (tuesday)"
    over_seeds = next(section.table for section in report.sections if section.title == "Over seeds")
    assert set(over_seeds["n"]) == {"3"}
    assert over_seeds["sweep"].tolist()[:4] == ["lr (monday)"] * 2 + ["lr (tuesday)"] * 2
    assert side_by_side(jobs)[0].first == "lr (monday)"
    pooled = sweep_report(jobs, by=["optim.lr"])
    assert next(section.table for section in pooled.sections if section.title == "Over seeds")["n"].tolist()[0] == "3"


def test_grouping_averages_within_each_seed(tmp_path: Path) -> None:
    write_sweep(tmp_path / "wide", "wide", WIDE)
    frame = jobs_frame(load_jobs([tmp_path / "wide"])[0])
    summary = seeds_summary(frame, [], ["test_accuracy"])
    # 0.85, 0.865 and 0.865: the ten points between the rates are no spread between seeds
    assert summary[["n", "jobs", "averaged"]].to_numpy().tolist() == [[3, 3, 2]]
    assert summary["test_accuracy_sd"][0] == pytest.approx(0.015 / 3**0.5)
    frame.loc[0, "status"] = "diverged"
    assert seeds_summary(frame, [], ["test_accuracy"])["n"][0] == 2
