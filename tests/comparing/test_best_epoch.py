"""How much picking the best epoch on the test set flatters, checked by simulation and by hand."""

from pathlib import Path

import numpy as np
import pytest

from mnist_resnet.comparing.best_epoch import gain_over_other_seeds, gain_text
from mnist_resnet.comparing.job_reader import load_jobs
from tests.made_up_jobs import write_job
from tests.synthetic_sweep import SyntheticSweep


def test_gain_agrees_with_manual_calculation(tmp_path: Path) -> None:
    # the others' means are best in epochs 2, 1 (0.935 against 0.93) and 2
    curves = [(0.90, 0.95, 0.93), (0.90, 0.92, 0.96), (0.91, 0.92, 0.93)]
    for seed, curve in enumerate(curves):
        write_job(tmp_path / str(seed), curve, seed=seed)
    found = gain_over_other_seeds(load_jobs([tmp_path])[0])
    assert found.values == pytest.approx((0.95 - 0.93, 0.96 - 0.92, 0.0))


def test_gain_of_pure_chance_agrees_with_the_expected_maximum(tmp_path: Path) -> None:
    # the expected maximum of four normal values is 1.0294 standard deviations (Harter, Biometrika 48 (1961) 151)
    noise = np.random.default_rng(1).normal(0.9, 0.01, (200, 4))
    for seed, curve in enumerate(noise):
        write_job(tmp_path / str(seed), curve.tolist(), seed=seed)
    assert gain_over_other_seeds(load_jobs([tmp_path])[0]).mean == pytest.approx(0.010294, abs=0.0015)


def test_curves_of_one_shape_gain_nothing(tmp_path: Path) -> None:
    for seed in range(3):
        write_job(tmp_path / str(seed), [0.8 + 0.01 * seed, 0.9 + 0.01 * seed, 0.85], seed=seed)
    assert gain_over_other_seeds(load_jobs([tmp_path])[0]).values == (0, 0, 0)


def test_single_seed_tells_nothing(tmp_path: Path) -> None:
    write_job(tmp_path / "a", (0.8, 0.9), seed=1)
    write_job(tmp_path / "b", (0.8, 0.9), seed=1, config={"optim.lr": 0.5})
    assert gain_text(load_jobs([tmp_path])[0]) == ""


def test_gain_is_named_in_the_line_on_the_best_epoch(tmp_path: Path) -> None:
    jobs, _ = load_jobs([SyntheticSweep(predictions=False).write(tmp_path / "test")])
    assert "the other seeds of its config would pick (mean of 12 jobs" in gain_text(jobs)
    held_out, _ = load_jobs([SyntheticSweep(val=True, predictions=False).write(tmp_path / "val")])
    assert gain_text(held_out).startswith("Picked on the test set itself, it would read ")
