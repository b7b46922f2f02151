"""Measures training images per second of the report's loop, lightning-hydra-template's stack and our loop.

Run `python -m benchmarks.throughput`. The loops take turns on one machine. The table and a plot are written to
`benchmarks/results/`, named after the device.
"""

import argparse
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.config import ROOT
from benchmarks.contenders import CONTENDERS, LIMIT, Contender
from benchmarks.machine import describe_machine, headline, table, write_results
from benchmarks.rounds import Rounds
from benchmarks.torchvision_files import write_for_torchvision
from benchmarks.workload import Workload
from mnist_resnet.jobs.environment import git

STEPS = {"cpu": 12, "cuda": 400}
"""Optimiser steps in a round: a few seconds of training for the slowest contender."""
STARTS = {"cpu": 3, "cuda": 1}
"""Starts of each contender, to time its first step."""
REPEATS = {"cpu": 7, "cuda": 5}
"""Rounds of each contender."""
MATRICES = {"cpu": [1024, 2048, 4096], "cuda": [4096, 8192]}
"""Sizes of the matrices that measure the machine's limit."""

Row = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark, print its table and write its results."""
    options = _options(arguments)
    kind = options.device.partition(":")[0]
    contenders = [
        contender
        for contender in [*_of_other_checkouts(options.beside), *CONTENDERS]
        if kind in contender.limit and (not options.only or any(part in contender.name for part in options.only))
    ]
    options.repeats, options.starts = options.repeats or REPEATS[kind], options.starts or STARTS[kind]
    machine = describe_machine(options.device)
    print(headline(machine))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        workload = _workload(options, kind, folder)
        flops = flops_per_image(workload)
        with Rounds([LIMIT, *contenders], workload, options.starts, print) as rounds:
            for number in range(options.repeats):
                rounds.run_round()
                print(f"round {number + 1} of {options.repeats} done, {time.perf_counter() - started:.0f} s")
    limits = {
        precision: median(figures[precision] for figures in rounds.rounds[LIMIT.name])
        for precision in rounds.rounds[LIMIT.name][0]
    }
    rows = result_rows(rounds, contenders, kind, flops, limits)
    lines = [*table([_formatted(row) for row in rows]), "", *_notes(workload, options, flops, limits, rounds.failed)]
    print("\n".join(lines))
    if options.write:
        without_paths = {**asdict(workload), "data_root": None, "torchvision_root": None}
        figures = {"work": without_paths, "flops_per_image": flops, "gflops_limit": limits, "rows": rows}
        path = write_results("throughput", machine, lines, figures)
        plot(rows, machine, path.with_suffix(".png"))
        print(f"written: {path.relative_to(ROOT)}.md, .json, .png")


def result_rows(
    rounds: Rounds, contenders: list[Contender], kind: str, flops: float, limits: dict[str, float]
) -> list[Row]:
    """Return one row per contender, without those that failed.

    Figures are medians over the rounds. Ratios are medians of the ratios to the first contender in the same round.

    Args:
        rounds: the measurements.
        contenders: the contenders in the order of the rows.
        kind: `cpu` or `cuda`.
        flops: floating-point operations of training on one image.
        limits: the machine's limit in GFLOP/s, by precision.
    """
    base = [figures["images"] / figures["seconds"] for figures in rounds.rounds[contenders[0].name]]
    rows: list[Row] = []
    for contender in contenders:
        rates = [figures["images"] / figures["seconds"] for figures in rounds.rounds[contender.name]]
        if not rates:
            continue
        firsts, limit = rounds.firsts[contender.name], contender.limit[kind]
        rows.append(
            {
                "name": contender.name,
                "images_per_second": median(rates),
                "slowest": min(rates),
                "fastest": max(rates),
                "ratio": median(rate / first for rate, first in zip(rates, base, strict=True)) if base else None,
                "limit": limit,
                "share_of_limit": median(rates) * flops / (limits[limit] * 1e9),
                "first_step_from_start": median(first["start"] for first in firsts),
                "first_step_from_building": median(first["building"] for first in firsts),
            }
        )
    return rows


def flops_per_image(workload: Workload) -> float:
    """Return the floating-point operations of training on one image, forward and backward, as PyTorch counts them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from mnist_resnet.models.resnet import ResNet

    images = 2
    with FlopCounterMode(display=False) as counter:
        ResNet(workload.stem, workload.width)(torch.zeros(images, 1, 28, 28)).sum().backward()
    return float(counter.get_total_flops()) / images


def plot(rows: list[Row], machine: dict[str, Any], path: Path) -> None:
    """Plot images per second as bars, with the range over the rounds, labelled with the ratio to the first row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.6 * len(rows) + 1.4), layout="constrained")
    axes = figure.add_subplot()
    names = [row["name"] for row in rows]
    rates = [row["images_per_second"] for row in rows]
    below = [row["images_per_second"] - row["slowest"] for row in rows]
    above = [row["fastest"] - row["images_per_second"] for row in rows]
    bars = axes.barh(names, rates, xerr=[below, above], color="#4477aa", ecolor="#222222", capsize=3)
    labels = [f"{row['ratio']} ×, {row['share of limit']}'s limit" for row in map(_formatted, rows)]
    axes.bar_label(bars, labels=labels, padding=8)
    axes.set_xlim(0, 1.75 * max(row["fastest"] for row in rows))
    axes.invert_yaxis()
    axes.set_xlabel("training images per second: median, slowest and fastest round")
    axes.set_title(f"{machine['gpu'] or machine['cpu']}, torch {machine['versions']['torch']}", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--stem", choices=("3x3", "7x7"), default="3x3", help="network stem (default: %(default)s)")
    parser.add_argument("--width", type=int, default=64, help="network width (default: %(default)s, the report's)")
    parser.add_argument("--steps", type=int, help=f"steps in a round (default: {STEPS})")
    parser.add_argument("--repeats", type=int, help=f"rounds of each contender (default: {REPEATS})")
    parser.add_argument(
        "--starts", type=int, help=f"starts to time the first step; compiled contenders: 1 (default: {STARTS})"
    )
    parser.add_argument("--only", action="append", metavar="PART", help="run only contenders with PART in their names")
    parser.add_argument(
        "--beside",
        action="append",
        default=[],
        type=Path,
        metavar="CHECKOUT",
        help="another checkout, such as a worktree of an earlier commit, whose training loop takes turns, too",
    )
    parser.add_argument(
        "--matrices", type=int, nargs="+", help=f"matrix sizes for the machine's limit (default: {MATRICES})"
    )
    parser.add_argument("--data", default="mnist", choices=("mnist", "digits"), help="data set (default: %(default)s)")
    parser.add_argument("--data-root", help="folder with data sets, like data.root (default: $MNIST_RESNET_DATA)")
    parser.add_argument("--no-write", dest="write", action="store_false", help="do not write to benchmarks/results")
    return parser.parse_args(arguments)


def _of_other_checkouts(checkouts: list[Path]) -> list[Contender]:
    """Return our loop's contenders with the code of each checkout."""
    return [
        contender.at(checkout.resolve(), git(checkout, "rev-parse", "--short", "HEAD") or checkout.name)
        for checkout in checkouts
        for contender in CONTENDERS
        if contender.name.startswith("ours")
    ]


def _workload(options: argparse.Namespace, kind: str, folder: str) -> Workload:
    from mnist_resnet.data import sources

    data_set = getattr(sources, options.data)(options.data_root)
    write_for_torchvision(data_set, Path(folder))
    batch_size, steps = 64, options.steps or STEPS[kind]
    return Workload(
        device=options.device,
        stem=options.stem,
        width=options.width,
        steps=steps,
        batch_size=batch_size,
        data=options.data,
        data_root=options.data_root,
        torchvision_root=folder,
        train_size=min(steps * batch_size, len(data_set.train)),
        matrices=options.matrices or MATRICES[kind],
    )


def _formatted(row: Row) -> dict[str, str]:
    return {
        "loop": row["name"],
        "images/s": f"{row['images_per_second']:,.0f}",
        "slowest to fastest": f"{row['slowest']:,.0f} to {row['fastest']:,.0f}",
        "ratio": "" if row["ratio"] is None else f"{row['ratio']:.2f}",
        "share of limit": f"{100 * row['share_of_limit']:.1f} % of {row['limit']}",
        "first step, s from start": f"{row['first_step_from_start']:.1f}",
        "s from building": f"{row['first_step_from_building']:.1f}",
    }


def _notes(
    workload: Workload, options: argparse.Namespace, flops: float, limits: dict[str, float], failed: dict[str, str]
) -> list[str]:
    gflops = ", ".join(f"{precision} {limit:,.0f}" for precision, limit in limits.items())
    return [
        f"Stem {workload.stem}, width {workload.width}, batches of {workload.batch_size}, {workload.steps} steps per "
        f"round; medians over {options.repeats} rounds in turns, first steps over {options.starts} starts (of compiled "
        "contenders: 1).",
        f"Limit in GFLOP/s, the fastest of matrix products and (on a CPU) a 3 × 3 convolution: {gflops}. Training "
        f"takes {flops / 1e9:.3f} GFLOP per image.",
        "First step: until its loss is on the host; since the process started, and since the imports ended "
        "(data, network, optimiser, the step).",
        *(f"Not measured: {name} ({reason})." for name, reason in failed.items()),
    ]


if __name__ == "__main__":
    main()
