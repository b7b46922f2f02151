"""One constructed case per verdict, and the rules for the claimed config and scale."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnist_resnet.comparing.claim import Claim
from mnist_resnet.comparing.factors import varying_factors
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.sections.claims import claims_sections
from mnist_resnet.comparing.verdicts import Judgement, Verdict, group_by_config, judge, judgements
from mnist_resnet.config.metric import BUILT_IN, named
from mnist_resnet.job_folder import Status
from tests.made_up_jobs import seeds, write_job

# error rates have mean 0.0064, s 0.000158, n 5: in their log, prediction interval ± 2.776 · 0.0247 · √1.2 = ± 0.0752
STEADY = (0.9936, 0.9938, 0.9934, 0.9937, 0.9935)


def claimed(value: float | None, words: str = "", epoch: str = "last") -> Claim:
    return Claim(BUILT_IN["test_accuracy"], epoch, value, words)


def verdict(tmp_path: Path, claim: Claim, lasts: tuple[float, ...] = STEADY, **more: Any) -> Judgement:
    return judge(claim, seeds(tmp_path / "runs", lasts, **more))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.9936, Verdict.STANDS),
        (0.9931, Verdict.STANDS),  # rounding: up to 0.99315
        (0.9929, Verdict.LOWER),
        (0.9941, Verdict.STANDS),
        (0.9942, Verdict.HIGHER),
        (None, Verdict.NOT_STATED),
    ],
)
def test_claim_is_compared_with_the_prediction_interval(tmp_path: Path, value: float | None, expected: Verdict) -> None:
    assert verdict(tmp_path, claimed(value)).verdict == expected


def test_prediction_interval_agrees_with_manual_calculation(tmp_path: Path) -> None:
    measured = verdict(tmp_path, claimed(0.99)).measured
    assert measured.prediction_low == pytest.approx(1 - 0.0064 * math.exp(0.0752), abs=0.00001)
    assert measured.prediction_high == pytest.approx(1 - 0.0064 * math.exp(-0.0752), abs=0.00001)


def test_two_runs_are_too_few(tmp_path: Path) -> None:
    found = verdict(tmp_path, claimed(0.5), (0.99, 0.98))
    assert found.verdict == Verdict.TOO_FEW


def test_diverged_job_is_listed_but_does_not_count_as_a_run(tmp_path: Path) -> None:
    jobs = seeds(tmp_path / "runs", (0.99, 0.98))
    jobs += seeds(tmp_path / "runs", (0.1,), prefix="diverged", status=Status.DIVERGED)
    found = judge(claimed(0.985), jobs)
    assert (found.verdict, found.measured.n, len(found.jobs)) == (Verdict.TOO_FEW, 2, 3)


def test_seed_that_was_run_three_times_counts_once(tmp_path: Path) -> None:
    jobs = [job for n in range(3) for job in seeds(tmp_path / f"again{n}", (0.99,))]
    assert judge(claimed(0.99), jobs).measured.n == 1


def test_collapsed_seed_is_too_variable_and_its_runs_are_listed(tmp_path: Path) -> None:
    found = verdict(tmp_path, claimed(0.95), (0.993, 0.992, 0.994, 0.993, 0.113))
    assert found.verdict == Verdict.TOO_VARIABLE
    assert "99.30, 99.20, 99.40, 99.30, 11.30" in found.reason


def test_claim_outside_a_wide_interval_is_still_rejected(tmp_path: Path) -> None:
    assert verdict(tmp_path, claimed(0.85), (0.9991, 0.9995, 0.9999)).verdict == Verdict.LOWER


@pytest.mark.parametrize(
    ("value", "words", "expected"),
    [
        (0.9899, "98.99 %", Verdict.STANDS),
        (0.99, "99 %", Verdict.STANDS),
        (0.99, "99.00 %", Verdict.NO_SPREAD),
        (0.95, "95 %", Verdict.NO_SPREAD),
    ],
)
def test_equal_runs_show_their_own_figure_and_contradict_none(
    tmp_path: Path, value: float, words: str, expected: Verdict
) -> None:
    found = verdict(tmp_path, claimed(value, words), (0.9899, 0.9899, 0.9899))
    assert found.verdict == expected
    assert "all runs show 98.99" in found.reason


def test_figure_finer_than_the_test_set_covers_one_image(tmp_path: Path) -> None:
    # a thousand test images: 99.36 % was measured on others, and 99.3 or 99.4 is as near as ours can come
    lasts = (0.993, 0.994, 0.994, 0.993)
    assert verdict(tmp_path, claimed(0.9936, "99.36 %"), lasts).verdict == Verdict.STANDS


def with_diverged(folder: Path, completed: int, diverged: int) -> list[Job]:
    lasts = [0.9936 + 0.0001 * (number % 3) for number in range(completed)]
    jobs = seeds(folder, lasts)
    for number in range(diverged):
        path = write_job(folder / f"diverged{number}", (0.1,), seed=100 + number, status=Status.DIVERGED)
        jobs += load(path)
    return jobs


def test_verdict_says_how_many_of_how_many_runs_it_rests_on(tmp_path: Path) -> None:
    found = judge(claimed(0.9936), with_diverged(tmp_path / "runs", 7, 3))
    assert found.verdict_text == "stands (7 of 10 runs; 3 diverged)"
    assert judge(claimed(0.9936), seeds(tmp_path / "all", STEADY)).verdict_text == "stands"


@pytest.mark.parametrize("status", [Status.FAILED, Status.INTERRUPTED, Status.RUNNING])
def test_missing_runs_are_counted_by_status(tmp_path: Path, status: Status) -> None:
    jobs = seeds(tmp_path / "runs", (0.9936, 0.9938, 0.9934))
    write_job(tmp_path / "missing", (0.9,), seed=9, status=status)
    found = judge(claimed(0.9936), jobs + load(tmp_path / "missing"))
    assert found.verdict_text.startswith("stands (3 of 4 runs; 1 ")


def test_config_that_diverges_more_often_than_not_is_judged_as_that(tmp_path: Path) -> None:
    found = judge(claimed(0.9936), with_diverged(tmp_path / "runs", 3, 7))
    assert found.verdict == Verdict.DIVERGES
    assert found.verdict_text == "diverges more often than not (3 of 10 runs; 7 diverged)"


def test_diverged_seed_that_completed_later_counts_as_completed(tmp_path: Path) -> None:
    jobs = seeds(tmp_path / "runs", (0.9936, 0.9938, 0.9934))
    again = load(write_job(tmp_path / "first_try", (0.1,), seed=1, status=Status.DIVERGED))
    assert judge(claimed(0.9936), again + jobs).verdict_text == "stands"


def test_repeated_seed_is_not_left_out_silently(tmp_path: Path) -> None:
    jobs = seeds(tmp_path / "runs", (0.9936, 0.9938, 0.9934)) + seeds(tmp_path / "again", (0.9,))
    found = judge(claimed(0.9936), jobs)
    assert found.measured.values == (0.9936, 0.9938, 0.9934)
    assert "repeats of a seed left out: 1, the first of each counts" in found.reason


# error rates of best epochs: 1.1 to 1.5 %
PEAKS = (0.985, 0.987, 0.986, 0.988, 0.989)


@pytest.mark.parametrize(
    ("words", "value", "expected"),
    [
        ("up to 98 %", 0.98, Verdict.STANDS),  # one-sided: ours reach more
        ("up to 98.9 %", 0.989, Verdict.STANDS),
        ("up to 99.1 %", 0.991, Verdict.STANDS),  # the best of five runs may well reach it
        ("up to 99.7 %", 0.997, Verdict.HIGHER),
        ("about 98 %", 0.98, Verdict.STANDS),
        ("about 98.0 %", 0.980, Verdict.LOWER),  # two-sided
    ],
)
def test_up_to_is_compared_with_the_best_of_as_many_runs(
    tmp_path: Path, words: str, value: float, expected: Verdict
) -> None:
    found = verdict(tmp_path, claimed(value, words), PEAKS)
    assert found.verdict == expected
    assert ("the best epoch of 5 runs, as many as ours (one-sided)" in found.reason) == words.startswith("up to")


def test_up_to_may_come_from_any_epoch(tmp_path: Path) -> None:
    job = load(write_job(tmp_path / "peak", (0.5, 0.97, 0.9)))[0]
    assert judge(claimed(0.97, "up to 97 %"), [job]).measured.mean == 0.97
    assert judge(claimed(0.97, "about 97 %"), [job]).measured.mean == 0.9


def test_claims_of_a_study_are_corrected_for_their_number(tmp_path: Path) -> None:
    # alone, this claim has p = 0.02; of five claims, one such is to be expected in ten studies
    claim = {"metric": "test_accuracy", "value": 0.9929, "words": "99.29 %"}
    others = [{"metric": "test_accuracy", "value": 0.9936, "words": f"99.36 % ({n})"} for n in range(4)]
    (alone,) = judgements(seeds(tmp_path / "alone", STEADY, config={"claims": [claim]}))
    assert (alone.verdict, alone.p == alone.adjusted) == (Verdict.LOWER, True)
    assert 0.01 < alone.p < 0.05
    family = judgements(seeds(tmp_path / "family", STEADY, config={"claims": [claim, *others]}))
    assert family[0].verdict == Verdict.UNDECIDED
    assert family[0].adjusted == pytest.approx(5 * alone.p)
    assert "after Holm's correction" in family[0].reason


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"choices": {"scale": "quick"}}, "scale=quick"),
        ({"config": {"data.train_size": 4000}}, "data.train_size=4000"),
        ({"config": {"data.test_size": 1000}}, "data.test_size=1000"),
        ({"config": {"scale.epochs": 0.2}}, "scale.epochs=0.2"),
        ({"choices": {"debug": "step"}}, "debug=step"),
        (
            {"choices": {"experiment": "d"}, "overrides": ["experiment=d", "trainer.epochs=2"]},
            "trainer.epochs=2",
        ),
        (
            {
                "choices": {"experiment": "d"},
                "config": {"data.train_size": 500},
                "overrides": ["experiment=d", "data.train_size=500"],
            },
            "data.train_size=500",
        ),
    ],
)
def test_smaller_study_is_not_at_scale(tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    found = verdict(tmp_path, claimed(0.9936), **options)
    assert found.verdict == Verdict.NOT_AT_SCALE
    assert reason in found.reason


def test_experiment_may_set_its_own_size(tmp_path: Path) -> None:
    own: dict[str, Any] = {"choices": {"experiment": "theirs"}, "config": {"data.train_size": 50_000}}
    overrides = ["experiment=theirs", "seed=1"]
    assert verdict(tmp_path, claimed(0.9936), overrides=overrides, **own).verdict == Verdict.STANDS


def test_overridden_experiment_is_another_config(tmp_path: Path) -> None:
    altered: dict[str, Any] = {
        "choices": {"experiment": "d"},
        "overrides": ["experiment=d", "optim.lr=0.1", "trainer.device=cpu"],
    }
    found = verdict(tmp_path, claimed(0.9936), **altered)
    assert (found.verdict, found.reason) == (Verdict.ANOTHER_CONFIG, "optim.lr=0.1")


@pytest.mark.parametrize(
    ("value", "words", "low", "high"),
    [
        (0.85, "about 85 %", 0.845, 0.855),
        (0.99, "up to 99 %", 0.985, 0.995),
        (0.85, "about 85.0 %", 0.8495, 0.8505),
        (0.995, "roughly 99.5 per cent", 0.9945, 0.9955),
        (0.85, "most of them", 0.845, 0.855),
        (0.99, "0.990", 0.9895, 0.9905),
        (0.99, "accuracy .9900", 0.98995, 0.99005),
        (0.99, "0,990 (three seeds)", 0.9895, 0.9905),
        (0.99, "99 % (0.990)", 0.9895, 0.9905),
        (0.99, "error 1.0 %", 0.9895, 0.9905),
        (0.99, "an error of 0.0100", 0.98995, 0.99005),
        (0.99, "error rate 1 %", 0.985, 0.995),
        (0.99, "0.990 after 1.000 epochs", 0.9895, 0.9905),
        (0.99, "99 % in 99.00 s", 0.985, 0.995),
        (1.0, "1.00 after 100 epochs", 0.995, 1.005),
        (0.9994, "as in the paper", 0.99935, 0.99945),
    ],
)
def test_claim_covers_values_that_round_to_it_as_written(value: float, words: str, low: float, high: float) -> None:
    assert claimed(value, words).bounds() == pytest.approx((low, high))


@pytest.mark.parametrize(
    ("value", "words", "half"),
    [(0.001, "1.0e-3", 5e-5), (1e-5, "tiny", 5e-6), (0.05, "0.050", 5e-4), (3.0, "a loss of 3", 0.5)],
)
def test_digits_of_a_loss_are_those_written(value: float, words: str, half: float) -> None:
    low, high = Claim(named("test_loss"), "last", value, words).bounds()
    assert (low, high) == pytest.approx((value - half, value + half))


@pytest.mark.parametrize(
    ("value", "words", "is_maximum"),
    [
        (0.99, "up to 99 %", True),
        (0.99, "Up to about 99.0 %", True),
        (0.99, "an accuracy of up to 0.990 after 30 epochs", True),
        (0.99, "accuracies as high as 99 % in at most 30 epochs", True),
        (0.99, "99 % at most", True),
        (0.95, "95 % after up to 30 epochs", False),
        (0.95, "at most 30 epochs give 95 %", False),
        (0.95, "95 % at most 30 epochs later", False),
        (0.95, "with up to thirty epochs 95 %", False),
        (0.30, "30 % after up to 30 epochs", False),
        (0.99, "errors of up to 1 %", False),
        (0.99, "about 99 %", False),
    ],
)
def test_words_make_a_maximum_only_of_the_claimed_figure(value: float, words: str, is_maximum: bool) -> None:
    assert claimed(value, words).is_maximum == is_maximum


def test_claim_covers_no_less_than_one_test_image() -> None:
    assert claimed(0.9936, "99.36 %").bounds() == pytest.approx((0.99355, 0.99365))
    assert claimed(0.9936, "99.36 %").bounds(grain=0.001) == pytest.approx((0.9931, 0.9941))


def test_best_is_the_picked_epoch_for_test_and_the_maximum_for_training(tmp_path: Path) -> None:
    job = seeds(tmp_path / "runs", (0.9,))[0]
    peak = write_job(tmp_path / "peak", (0.5, 0.97, 0.9))
    (job,) = [Job(peak, None, "completed", job.result | {"best": {"epoch": 1, "test_accuracy": 0.97}})]
    assert judge(claimed(0.97, epoch="best"), [job]).measured.mean == 0.97
    training = Claim(BUILT_IN["train_accuracy"], "best", 0.97, "97 %")
    assert judge(training, [job]).measured.mean == pytest.approx(0.971)


def test_epochs_at_or_beyond_a_claim_are_counted_on_its_side_of_the_mean(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    lines = [(0.99, 0.94, 0.99), (0.99, 0.99, 0.95), (0.99, 0.99, 0.99)]
    folders = [write_job(tmp_path / "runs" / str(n), line, seed=n) for n, line in enumerate(lines)]
    jobs = group_by_config([job for folder in folders for job in load(folder)])[0]
    swing = judge(claimed(0.95, "about 95 %"), jobs).epoch_counts
    assert swing is not None
    assert (swing.side, swing.hits, swing.epochs, swing.runs_hit, swing.runs) == ("at or below", 2, 9, 2, 3)
    assert (swing.lowest, swing.median, swing.highest) == (0.94, 0.99, 0.99)
    # of a hundred images, 99.6 % can only be 100 %
    above = judge(claimed(0.996), jobs).epoch_counts
    assert above is not None
    assert (above.side, above.hits) == ("at or above", 0)
    reached = judge(claimed(0.95, "up to 95 %"), jobs).epoch_counts
    assert reached is not None
    assert (reached.side, reached.hits) == ("at or above", 8)


def load(folder: Path) -> list[Job]:
    from mnist_resnet.comparing.job_reader import load_jobs

    return load_jobs([folder])[0]


def test_claims_are_read_from_the_config_of_each_group_of_seeds(tmp_path: Path) -> None:
    claims = [{"metric": "test_accuracy", "value": 0.9936, "words": "99.36 %"}, {"value": None, "words": "not stated"}]
    jobs = seeds(tmp_path / "runs", STEADY, config={"claims": claims}, choices={"experiment": "d"})
    jobs += seeds(tmp_path / "runs", (0.9,), prefix="other", config={"optim.lr": 0.1})
    found = judgements(jobs)
    assert [(judgement.group, judgement.verdict, len(judgement.jobs)) for judgement in found] == [
        ("d", Verdict.STANDS, 5),
        ("d", Verdict.NOT_STATED, 5),
    ]


def test_numerics_and_seeds_do_not_split_groups_unless_swept(tmp_path: Path) -> None:
    jobs = seeds(tmp_path / "runs", (0.9, 0.8))
    jobs += seeds(tmp_path / "runs", (0.9,), prefix="gpu", config={"trainer.device": "cuda", "data.root": "/else"})
    assert len(group_by_config(jobs)) == 1
    swept = seeds(
        tmp_path / "runs",
        (0.9,),
        prefix="swept",
        config={"trainer.precision": "bf16"},
        swept={"trainer.precision": "bf16"},
    )
    assert len(group_by_config(jobs + swept)) == 2


def in_precision(folder: Path, precision: str, told: str = "auto", **more: Any) -> list[Job]:
    numerics = {"device": "cpu", "precision": precision, "compiled": False}
    return seeds(folder, STEADY, config={"trainer.precision": told, **more}, numerics=numerics)


@pytest.mark.parametrize("told", ["auto", "as it was"])
def test_precisions_are_configs_of_their_own_in_verdicts_and_tables(tmp_path: Path, told: str) -> None:
    claims = [{"metric": "test_accuracy", "value": 0.9936, "words": "99.36 %"}]
    jobs = [
        job
        for precision in ("fp32", "bf16")
        for job in in_precision(tmp_path / precision, precision, precision if told != "auto" else told, claims=claims)
    ]
    found = judgements(jobs)
    assert [(judgement.group, judgement.measured.n) for judgement in found] == [("seed1, fp32", 5), ("seed1, bf16", 5)]
    assert varying_factors(jobs_frame(jobs)) == ["trainer.precision"]


def test_job_that_has_not_started_belongs_to_the_others_of_its_config(tmp_path: Path) -> None:
    jobs = in_precision(tmp_path / "runs", "bf16")
    queued = load(write_job(tmp_path / "q", (0.5, 0.9), seed=9, config={"trainer.precision": "auto"}, numerics=None))
    assert len(group_by_config([*jobs, *queued])) == 1
    assert varying_factors(jobs_frame([*jobs, *queued])) == []


def test_devices_are_one_config_in_tables_as_in_verdicts_unless_swept(tmp_path: Path) -> None:
    jobs = seeds(tmp_path / "cpu", (0.9, 0.8)) + seeds(tmp_path / "gpu", (0.9,), config={"trainer.device": "cuda"})
    assert varying_factors(jobs_frame(jobs)) == []
    swept = [replace(job, result=job.result | {"swept": {"trainer.device": "cuda"}}) for job in jobs]
    assert varying_factors(jobs_frame(swept)) == ["trainer.device"]


def test_groups_of_an_extended_sweep_are_named_by_the_added_factor(tmp_path: Path) -> None:
    claims = [{"metric": "test_accuracy", "value": 0.9936, "words": "99.36 %"}]
    for name, rate, swept in (("first", 0.001, {"seed": 1}), ("second", 0.02, {"optim.lr": 0.02})):
        config = {"claims": claims, "optim.lr": rate}
        write_job(tmp_path / name, (0.99,), sweep="s", config=config, swept=swept)
    found = judgements(load(tmp_path))
    assert [judgement.group for judgement in found] == ["optim.lr=0.001", "optim.lr=0.02"]


def test_reason_names_the_claim_that_it_is_of(tmp_path: Path) -> None:
    claims = [
        {"metric": "test_accuracy", "value": value, "words": words}
        for words, value in (("up to 97 %", 0.97), ("up to 98 %", 0.98))
    ]
    jobs = seeds(tmp_path, [0.985, 0.986, 0.984, 0.985, 0.987], config={"claims": claims})
    lines = claims_sections(judgements(jobs))[0].lines
    for words in ("up to 97 %", "up to 98 %"):
        assert any(line.startswith("Stands") and f"“{words}”" in line for line in lines), words


def test_seeds_of_a_launch_that_named_a_single_row_join_those_of_the_sweep(tmp_path: Path) -> None:
    for seed, swept in ((1, {"experiment": "a", "seed": 1}), (2, {"experiment": "a", "seed": 2}), (3, {"seed": 3})):
        write_job(tmp_path / f"{seed}", seed=seed, sweep="s", choices={"experiment": "a"}, swept=swept)
    (group,) = group_by_config([job for seed in (1, 2, 3) for job in load(tmp_path / f"{seed}")])
    assert len(group) == 3


def test_what_one_sweep_varies_splits_no_groups_of_another(tmp_path: Path) -> None:
    for name, device, swept in (
        ("one", "cpu", {"seed": 1}),
        ("two", "cuda", {"seed": 2}),
        ("three", "cpu", {"trainer.device": "cpu"}),
        ("four", "cuda", {"trainer.device": "cuda"}),
    ):
        sweep = "devices" if "trainer.device" in swept else "seeds"
        write_job(tmp_path / sweep / name, sweep=sweep, config={"trainer.device": device}, swept=swept)
    groups = group_by_config([job for sweep in ("seeds", "devices") for job in load(tmp_path / sweep)])
    assert [len(group) for group in groups] == [2, 1, 1]
