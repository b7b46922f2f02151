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

from benchmarks import accuracy, lean, leases, many_jobs, memory, overhead, packing, startup, throughput
from benchmarks.config import merge_overrides
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.machine import table
from benchmarks.machine_limit import machine_limit
from benchmarks.round_timer import NoMoreRounds, RoundTimer
from benchmarks.rounds import Rounds
from benchmarks.torchvision_files import write_for_torchvision
from benchmarks.workload import Workload
from mnist_resnet.data.sources import digits


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    write_for_torchvision(digits(), tmp_path)
    return Workload("cpu", "3x3", 2, 2, 64, "digits", None, str(tmp_path), 128, [16])


def timer_with_requests(rounds: int, images: int = 128) -> tuple[RoundTimer, io.StringIO]:
    output = io.StringIO()
    return RoundTimer(io.StringIO("round\n" * rounds), output, images, lambda: None), output


def events(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_cpu_contenders_train_all_requested_rounds(contender: Contender, workload: Workload) -> None:
    if "cpu" not in contender.limit:
        pytest.skip("for other devices")
    if contender.compiles:
        pytest.skip("takes half a minute")
    if "lightning" in contender.name:
        pytest.importorskip("lightning")
    timer, output = timer_with_requests(rounds=2)
    threads = torch.get_num_threads()
    try:
        with pytest.raises(SystemExit):
            contender.run(workload, timer)
    finally:
        torch.set_num_threads(threads)
    reported = events(output)
    assert [event["event"] for event in reported] == ["first", "ready", "round", "round"]
    assert all(event["images"] == 128 and event["seconds"] > 0 for event in reported[2:])


def test_machine_limit_is_reported_for_each_precision_of_a_cpu(workload: Workload) -> None:
    timer, output = timer_with_requests(rounds=1)
    with pytest.raises(NoMoreRounds):
        machine_limit(replace(workload, matrices=[8, 64]), timer)
    last = events(output)[-1]
    assert last["event"] == "round"
    assert last["fp32"] > 0
    assert last["bf16"] > 0


def test_a_round_ends_after_its_images_and_leaves_out_excluded_time() -> None:
    timer, output = timer_with_requests(rounds=2, images=100)
    for _ in range(2):
        timer.step(64)
    timer.step(64)
    timer.exclude(1000.0)
    timer.step(36)
    timer.step(64)
    with pytest.raises(NoMoreRounds):
        timer.step(64)
    first, ready, excluding, plain = events(output)
    assert (first["event"], ready["event"]) == ("first", "ready")
    assert excluding["images"] == 100
    assert excluding["seconds"] < 0 < plain["seconds"]
    assert plain["images"] == 128


def test_torchvision_reads_the_written_files(tmp_path: Path) -> None:
    data_set = digits()
    write_for_torchvision(data_set, tmp_path)
    for train, images in ((True, data_set.train), (False, data_set.test)):
        read = MNIST(str(tmp_path), train=train)
        assert torch.equal(read.data, images.pixels.squeeze(1))
        assert torch.equal(read.targets, images.labels)


@pytest.mark.parametrize(("stem", "forward"), [("3x3", 0.52e9), ("7x7", 0.139e9)])
def test_training_takes_three_times_the_operations_of_a_forward_pass(
    workload: Workload, stem: Any, forward: float
) -> None:
    flops = throughput.flops_per_image(replace(workload, stem=stem, width=64))
    # Slightly less than three times, because the stem's input needs no gradient.
    assert 2.98 * forward < flops < 3 * forward * 1.001


def test_rates_are_compared_within_rounds_and_failed_contenders_have_no_row() -> None:
    ours, base, broken = (Contender(name, lambda *_: None, {"cpu": "fp32"}) for name in ("ours", "base", "broken"))
    rounds: Any = SimpleNamespace(
        rounds={
            "base": [{"images": 10, "seconds": seconds} for seconds in (1.0, 2.0, 1.0)],
            "ours": [{"images": 10, "seconds": seconds} for seconds in (0.5, 1.0, 0.25)],
            "broken": [],
        },
        firsts={"base": [{"start": 2.0, "building": 1.0}], "ours": [{"start": s, "building": 0.5} for s in (3, 9, 4)]},
    )
    rows = throughput.result_rows(rounds, [base, ours, broken], "cpu", flops=1e9, limits={"fp32": 100.0})
    assert [row["name"] for row in rows] == ["base", "ours"]
    assert (rows[1]["images_per_second"], rows[1]["slowest"], rows[1]["fastest"]) == (20, 10, 40)
    assert rows[1]["ratio"] == 2
    assert rows[1]["share_of_limit"] == pytest.approx(0.2)
    assert rows[1]["first_step_from_start"] == 4


def test_a_contender_that_fails_is_reported_and_left_out(workload: Workload) -> None:
    unknown = Contender("nobody", lambda *_: None, {"cpu": "fp32"})
    log: list[str] = []
    with Rounds([unknown], workload, starts=1, log=log.append) as rounds:
        rounds.run_round()
    assert rounds.rounds["nobody"] == []
    assert "nobody" in rounds.failed
    assert "not measured" in log[0]


def test_a_jobs_overhead_is_the_time_between_two_ends_without_training(tmp_path: Path) -> None:
    for index, (end, seconds) in enumerate([(110.0, 1.0), (112.0, 1.5), (115.0, 2.0)]):
        folder = tmp_path / f"seed={index}"
        (folder / "attempts").mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({"index": index, "name": folder.name, "seconds": seconds}))
        (folder / "attempts" / "0001.json").touch()
        os.utime(folder / "attempts" / "0001.json", (end, end))
        (folder / "first_step.txt").write_text(f"{end - 0.75}\n")
    timing = many_jobs._sweep_timing(tmp_path, started=100.0, ended=120.0, memory=[(110.0, 5.0), (114.0, 6.0)])
    assert timing.each == [0.5, 1.0]
    assert timing.to_first_step == [1.25, 2.25]
    assert (timing.whole, timing.after, timing.training) == (20.0, 5.0, 4.5)
    assert timing.before == 8.25
    assert timing.memory == [5.0, 5.0, 6.0]


def test_forms_are_compared_in_pairs_of_equal_seeds() -> None:
    def last(share: float) -> dict[str, float]:
        return {"test_accuracy": share, "train_accuracy": 1.0, "test_loss": 0.5, "images_per_second": 100.0}

    figures = {"one": {1: last(0.90), 2: last(0.80), 3: last(0.5)}, "other": {1: last(0.92), 2: last(0.83)}}
    one, other = accuracy.rows(figures)
    assert (one["test_accuracy: difference"], other["n"]) == ("", "2")
    # mean 2.5 points; t = 12.706 with one degree of freedom, standard error 0.5
    assert other["test_accuracy: difference"] == "+2.500 (-3.853 to +8.853)"


def test_packed_jobs_are_compared_with_the_same_jobs_alone() -> None:
    def outcome(rate: float, losses: list[float]) -> dict[str, Any]:
        of_seed = dict(enumerate(losses))
        return {"images_per_second": rate, "whole": 1.0, "losses": of_seed, "accuracies": of_seed, "shared_by": ""}

    alone, packed = packing.rows({"alone": [outcome(10, [1.0, 2.0])], "packed": [outcome(25, [1.0, 2.5])]})
    assert (alone["ratio"], packed["ratio"]) == ("1.00", "2.50")
    assert (alone["train loss differs by"], packed["train loss differs by"]) == ("0", "0.5")


def test_the_users_overrides_replace_those_of_a_benchmark() -> None:
    assert merge_overrides("seed=1", "optim.lr=0.1", "seed=2") == ["seed=2", "optim.lr=0.1"]


def test_overhead_of_checkpoints_is_a_share_of_a_minute() -> None:
    seconds = {"none of them": [2.0, 2.0], "checkpoints": [2.6, 2.6], "W&B offline": [2.02, 2.02]}
    shown = {row["with"]: row["share"] for row in overhead.rows(seconds)}
    assert shown == {"none of them": "", "checkpoints": "1.00 %", "W&B offline": "1.00 %"}


def test_startup_ignores_the_first_turn() -> None:
    seconds = iter([9.0, 8.0, 1.0, 2.0, 3.0, 4.0])
    times = startup.measure({"one": lambda _: next(seconds), "other": lambda _: next(seconds)}, repeats=2)
    assert times == {"one": [1.0, 3.0], "other": [2.0, 4.0]}


def test_peaks_of_memory_are_compared_with_the_other_checkout() -> None:
    uses = {"a job": {"beside": [memory.Use(2000, 8), memory.Use(2100, 9)], "this commit": [memory.Use(1025, 17)]}}
    before, now = memory.rows(uses)
    assert (before["peak, MB"], before["ratio"]) == ("2,050", "")
    assert (now["peak, MB"], now["ratio"], now["their ratio"]) == ("1,025", "0.50", "2.00")


def test_table_columns_are_aligned() -> None:
    lines = table([{"a": "1", "long head": "2"}, {"a": "wide cell", "long head": ""}])
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split("|")[2].strip() == "long head"


@pytest.mark.slow
def test_a_sweep_of_tiny_jobs_is_measured_from_the_shell() -> None:
    timing = many_jobs.run_sweep(3, many_jobs.VARIANTS["nothing else"])
    assert timing.jobs == 3
    assert len(timing.each) == len(timing.to_first_step) == 2
    assert timing.whole > timing.training > 0


@pytest.mark.slow
def test_the_commands_run_from_the_shell(capsys: pytest.CaptureFixture[str]) -> None:
    tiny = ["--width=2", "--steps=2", "--repeats=1", "--starts=1", "--matrices", "16", "--data=digits", "--no-write"]
    throughput.main([*tiny, "--only=report", "--only=ours, fp32, eager"])
    overhead.main(["--width=2", "--steps=2", "--repeats=1", "--data=digits", "--no-write"])
    startup.main(["--repeats=1", "--no-write", "data=digits", "model.width=2"])
    memory.main(["--repeats=1", "--no-write", "data=digits", "data.train_size=64", "model.width=2"])
    output = capsys.readouterr().out
    assert "| ours, fp32, eager" in output
    assert "| train.py --help" in output
    assert "| dry run of two jobs " in output
    assert "| W&B offline" in output


def fake_run(experiment: str, accuracies: list[float], seconds: float, seed: int = 1) -> lean.TimedRun:
    epochs = [{"test_accuracy": accuracy, "training_seconds": seconds} for accuracy in accuracies]
    return lean.TimedRun(experiment, seed, start=1.0, epochs=epochs, ended=False)


def test_reports_time_is_up_to_the_first_epoch_at_the_target_and_missed_targets_are_shown() -> None:
    recipes = [fake_run(name, [0.5, 0.995], seconds) for name, seconds in (("lean99", 1.0), ("lean", 5.0))]
    report = fake_run(lean.REPORT, [0.98, 0.991, 0.989], 100.0)
    lines = lean.report_lines(report, recipes)
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:4]] == [
        ["99.00 %", "200", "2 (lean99)", "100"],
        ["99.44 %", "not in 300", "10 (lean)", "more than 30"],
    ]
    assert "stopped, at the limit" in lines[-1]


def test_a_recipe_whose_mean_misses_its_target_is_named() -> None:
    runs = [
        *(fake_run("lean99", [accuracy], 2.0, seed) for seed, accuracy in enumerate((0.989, 0.992))),
        *(fake_run("lean", [accuracy], 2.0, seed) for seed, accuracy in enumerate((0.994, 0.9945))),
    ]
    text = "\n".join(lean.recipe_lines(runs))
    assert "99.050" in text
    assert "The mean test accuracy of lean over these seeds does not reach 99.44 %." in text
    assert "The mean test accuracy of lean99" not in text


def test_concurrent_workers_take_each_job_once(capsys: pytest.CaptureFixture[str]) -> None:
    leases.main(["--jobs", "30", "--workers", "3"])
    output = capsys.readouterr().out
    assert "| 1 to 30 |" in output
    assert "30 empty jobs in" in output
