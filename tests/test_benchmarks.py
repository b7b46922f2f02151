import io
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torchvision.datasets import MNIST

from benchmarks import accuracy, claims, lean, many_jobs, overhead, packing, startup, throughput
from benchmarks.composed import merged
from benchmarks.contenders import CONTENDERS, Contender, Work, machine_limit
from benchmarks.images import write_for_torchvision
from benchmarks.machine import table
from benchmarks.pace import Finished, Pace
from benchmarks.rounds import Rounds
from mnist_resnet.data.sources import digits


@pytest.fixture
def work(tmp_path: Path) -> Work:
    write_for_torchvision(digits(), tmp_path)
    return Work("cpu", "3x3", 2, 2, 64, "digits", None, str(tmp_path), 128, [16])


def paced(rounds: int, images: int = 128) -> tuple[Pace, io.StringIO]:
    told = io.StringIO()
    return Pace(io.StringIO("round\n" * rounds), told, images, lambda: None), told


def events(told: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told.getvalue().splitlines()]


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_every_contender_for_a_cpu_trains_rounds_until_none_is_asked_for(contender: Contender, work: Work) -> None:
    if "cpu" not in contender.limit:
        pytest.skip("for other devices")
    if contender.compiles:
        pytest.skip("takes half a minute")
    if "lightning" in contender.name:
        pytest.importorskip("lightning")
    pace, told = paced(rounds=2)
    threads = torch.get_num_threads()
    try:
        with pytest.raises(SystemExit):
            contender.run(work, pace)
    finally:
        torch.set_num_threads(threads)
    seen = events(told)
    assert [event["event"] for event in seen] == ["first", "ready", "round", "round"]
    assert all(event["images"] == 128 and event["seconds"] > 0 for event in seen[2:])


def test_the_machines_limit_is_told_for_each_precision_a_cpu_has(work: Work) -> None:
    pace, told = paced(rounds=1)
    with pytest.raises(Finished):
        machine_limit(replace(work, matrices=[8, 64]), pace)
    last = events(told)[-1]
    assert last["event"] == "round"
    assert last["fp32"] > 0
    assert last["bf16"] > 0


def test_a_round_lasts_until_its_images_are_done_and_leaves_out_what_is_excluded() -> None:
    pace, told = paced(rounds=2, images=100)
    for _ in range(2):
        pace.step(64)
    pace.step(64)
    pace.exclude(1000.0)
    pace.step(36)
    pace.step(64)
    with pytest.raises(Finished):
        pace.step(64)
    first, ready, excluding, plain = events(told)
    assert (first["event"], ready["event"]) == ("first", "ready")
    assert excluding["images"] == 100
    assert excluding["seconds"] < 0 < plain["seconds"]
    assert plain["images"] == 128


def test_torchvision_reads_the_images_that_were_written_for_it(tmp_path: Path) -> None:
    whole = digits()
    write_for_torchvision(whole, tmp_path)
    for train, images in ((True, whole.train), (False, whole.test)):
        read = MNIST(str(tmp_path), train=train)
        assert torch.equal(read.data, images.pixels.squeeze(1))
        assert torch.equal(read.targets, images.labels)


@pytest.mark.parametrize(("stem", "forward"), [("3x3", 0.52e9), ("7x7", 0.139e9)])
def test_training_takes_three_times_the_operations_of_the_forward_pass(work: Work, stem: Any, forward: float) -> None:
    counted = throughput.flops_per_image(replace(work, stem=stem, width=64))
    # The stem's input needs no gradient, so that a little less than three times is done.
    assert 2.98 * forward < counted < 3 * forward * 1.001


def test_rates_are_compared_round_by_round_and_what_failed_has_no_row() -> None:
    ours, base, broken = (Contender(name, lambda *_: None, {"cpu": "fp32"}) for name in ("ours", "base", "broken"))
    rounds: Any = SimpleNamespace(
        rounds={
            "base": [{"images": 10, "seconds": seconds} for seconds in (1.0, 2.0, 1.0)],
            "ours": [{"images": 10, "seconds": seconds} for seconds in (0.5, 1.0, 0.25)],
            "broken": [],
        },
        firsts={"base": [{"start": 2.0, "building": 1.0}], "ours": [{"start": s, "building": 0.5} for s in (3, 9, 4)]},
    )
    rows = throughput.rows_of(rounds, [base, ours, broken], "cpu", flops=1e9, limits={"fp32": 100.0})
    assert [row["name"] for row in rows] == ["base", "ours"]
    assert (rows[1]["images_per_second"], rows[1]["slowest"], rows[1]["fastest"]) == (20, 10, 40)
    assert rows[1]["ratio"] == 2
    assert rows[1]["share_of_limit"] == pytest.approx(0.2)
    assert rows[1]["first_step_from_start"] == 4


def test_a_contender_that_cant_run_is_told_and_left_out(work: Work) -> None:
    unknown = Contender("nobody", lambda *_: None, {"cpu": "fp32"})
    said: list[str] = []
    with Rounds([unknown], work, starts=1, say=said.append) as rounds:
        rounds.go_round()
    assert rounds.rounds["nobody"] == []
    assert "nobody" in rounds.failed
    assert "not measured" in said[0]


def test_a_job_costs_what_lies_between_two_jobs_ends_and_is_no_training(tmp_path: Path) -> None:
    for index, (end, seconds) in enumerate([(110.0, 1.0), (112.0, 1.5), (115.0, 2.0)]):
        folder = tmp_path / f"seed={index}"
        (folder / "attempts").mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({"index": index, "name": folder.name, "seconds": seconds}))
        (folder / "attempts" / "0001.json").touch()
        os.utime(folder / "attempts" / "0001.json", (end, end))
        (folder / "first_step.txt").write_text(f"{end - 0.75}\n")
    course = many_jobs._course(tmp_path, started=100.0, ended=120.0, memory=[(110.0, 5.0), (114.0, 6.0)])
    assert course.each == [0.5, 1.0]
    assert course.to_first_step == [1.25, 2.25]
    assert (course.whole, course.after, course.training) == (20.0, 5.0, 4.5)
    assert course.before == 8.25
    assert course.memory == [5.0, 5.0, 6.0]


def test_forms_are_compared_seed_by_seed() -> None:
    def last(share: float) -> dict[str, float]:
        return {"test_accuracy": share, "train_accuracy": 1.0, "test_loss": 0.5, "images_per_second": 100.0}

    figures = {"one": {1: last(0.90), 2: last(0.80), 3: last(0.5)}, "other": {1: last(0.92), 2: last(0.83)}}
    one, other = accuracy.rows(figures)
    assert (one["test_accuracy: more"], other["n"]) == ("", "2")
    # mean 2.5 points; t = 12.706 with one degree of freedom, standard error 0.5
    assert other["test_accuracy: more"] == "+2.500 (-3.853 to +8.853)"


def test_packed_jobs_are_compared_with_the_same_jobs_alone() -> None:
    def outcome(rate: float, losses: list[float]) -> dict[str, Any]:
        of_seed = dict(enumerate(losses))
        return {"images_per_second": rate, "whole": 1.0, "losses": of_seed, "accuracies": of_seed, "shared_by": ""}

    alone, packed = packing.rows({"alone": [outcome(10, [1.0, 2.0])], "packed": [outcome(25, [1.0, 2.5])]})
    assert (alone["ratio"], packed["ratio"]) == ("1.00", "2.50")
    assert (alone["train loss differs by"], packed["train loss differs by"]) == ("0", "0.5")


def test_what_is_typed_replaces_what_a_benchmark_sets() -> None:
    assert merged("seed=1", "optim.lr=0.1", "seed=2") == ["seed=2", "optim.lr=0.1"]


def test_checkpoints_are_shares_of_a_minute() -> None:
    seconds = {"none of them": [2.0, 2.0], "checkpoints": [2.6, 2.6], "W&B offline": [2.02, 2.02]}
    shown = {row["with"]: row["share"] for row in overhead.rows(seconds, steps=100)}
    assert shown == {"none of them": "", "checkpoints": "1.00 %", "W&B offline": "1.00 %"}


def test_the_first_turn_does_not_count() -> None:
    seconds = iter([9.0, 8.0, 1.0, 2.0, 3.0, 4.0])
    times = startup.measured({"one": lambda _: next(seconds), "other": lambda _: next(seconds)}, repeats=2)
    assert times == {"one": [1.0, 3.0], "other": [2.0, 4.0]}


def test_a_table_has_its_columns_under_each_other() -> None:
    lines = table([{"a": "1", "long head": "2"}, {"a": "wide cell", "long head": ""}])
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split("|")[2].strip() == "long head"


@pytest.mark.slow
def test_a_sweep_of_tiny_jobs_is_measured_from_the_shell() -> None:
    course = many_jobs.run_sweep(3, many_jobs.VARIANTS["nothing else"])
    assert course.jobs == 3
    assert len(course.each) == len(course.to_first_step) == 2
    assert course.whole > course.training > 0


@pytest.mark.slow
def test_the_commands_run_from_the_shell(capsys: pytest.CaptureFixture[str]) -> None:
    tiny = ["--width=2", "--steps=2", "--repeats=1", "--starts=1", "--matrices", "16", "--data=digits", "--no-write"]
    throughput.main([*tiny, "--only=report", "--only=ours, fp32, eager"])
    overhead.main(["--width=2", "--steps=2", "--repeats=1", "--data=digits", "--no-write"])
    startup.main(["--repeats=1", "--no-write", "data=digits", "model.width=2"])
    said = capsys.readouterr().out
    assert "| ours, fp32, eager" in said
    assert "| train.py --help" in said
    assert "| W&B offline" in said


def made_up_run(experiment: str, accuracies: list[float], seconds: float, seed: int = 1) -> lean.Trained:
    epochs = [{"test_accuracy": accuracy, "training_seconds": seconds} for accuracy in accuracies]
    return lean.Trained(experiment, seed, start=1.0, epochs=epochs, ended=False)


def test_report_s_network_counts_to_the_first_epoch_that_reaches_a_target_and_what_it_missed_is_said() -> None:
    recipes = [made_up_run(name, [0.5, 0.995], seconds) for name, seconds in (("lean99", 1.0), ("lean", 5.0))]
    report = made_up_run(lean.REPORT, [0.98, 0.991, 0.989], 100.0)
    lines = lean.report_lines(report, recipes)
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:4]] == [
        ["99.00 %", "200", "2 (lean99)", "100"],
        ["99.44 %", "not in 300", "10 (lean)", "more than 30"],
    ]
    assert "stopped, at the limit" in lines[-1]


def test_recipe_whose_mean_misses_its_target_is_named() -> None:
    runs = [
        *(made_up_run("lean99", [accuracy], 2.0, seed) for seed, accuracy in enumerate((0.989, 0.992))),
        *(made_up_run("lean", [accuracy], 2.0, seed) for seed, accuracy in enumerate((0.994, 0.9945))),
    ]
    said = "\n".join(lean.recipe_lines(runs))
    assert "99.050" in said
    assert "lean does not reach 99.44 % in the mean of these seeds." in said
    assert "lean99 does not" not in said


def test_jobs_are_handed_out_once_each_and_timed(capsys: pytest.CaptureFixture[str]) -> None:
    claims.main(["--jobs", "30", "--workers", "3"])
    said = capsys.readouterr().out
    assert "| 1 to 30 |" in said
    assert "30 empty jobs in" in said
