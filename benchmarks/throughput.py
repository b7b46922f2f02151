"""Images a second of the report's loop, of lightning-hydra-template's stack and of ours, taking turns on one machine.

Run `python -m benchmarks.throughput`. The table and a plot go into `benchmarks/results/`, by the device's name.
"""

import argparse
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.composed import ROOT
from benchmarks.contenders import CONTENDERS, LIMIT, Contender, Work
from benchmarks.images import write_for_torchvision
from benchmarks.machine import described, headline, table, write_results
from benchmarks.rounds import Rounds

STEPS = {"cpu": 12, "cuda": 400}
"""In a round: some seconds of training by the slowest."""
STARTS = {"cpu": 3, "cuda": 1}
REPEATS = {"cpu": 7, "cuda": 5}
MATRICES = {"cpu": [1024, 2048, 4096], "cuda": [4096, 8192]}

Row = dict[str, Any]


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, write the results."""
    options = _options(arguments)
    kind = options.device.partition(":")[0]
    contenders = [
        contender
        for contender in CONTENDERS
        if kind in contender.limit and (not options.only or any(part in contender.name for part in options.only))
    ]
    options.repeats, options.starts = options.repeats or REPEATS[kind], options.starts or STARTS[kind]
    machine = described(options.device)
    print(headline(machine))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        work = _work(options, kind, folder)
        flops = flops_per_image(work)
        with Rounds([LIMIT, *contenders], work, options.starts, print) as rounds:
            for number in range(options.repeats):
                rounds.go_round()
                print(f"round {number + 1} of {options.repeats} done, {time.perf_counter() - started:.0f} s")
    limits = {
        precision: median(figures[precision] for figures in rounds.rounds[LIMIT.name])
        for precision in rounds.rounds[LIMIT.name][0]
    }
    rows = rows_of(rounds, contenders, kind, flops, limits)
    lines = [*table([_shown(row) for row in rows]), "", *_notes(work, options, flops, limits, rounds.failed)]
    print("\n".join(lines))
    if options.write:
        work_done = {**asdict(work), "data_root": None, "torchvision_root": None}
        figures = {"work": work_done, "flops_per_image": flops, "gflops_limit": limits, "rows": rows}
        path = write_results("throughput", machine, lines, figures)
        plot(rows, machine, path.with_suffix(".png"))
        print(f"written: {path.relative_to(ROOT)}.md, .json, .png")


def rows_of(
    rounds: Rounds, contenders: list[Contender], kind: str, flops: float, limits: dict[str, float]
) -> list[Row]:
    """Medians over the rounds, one row a contender; ratios are medians of the ratios within a round."""
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


def flops_per_image(work: Work) -> float:
    """Floating-point operations of training on one image, forward and backward, as PyTorch counts them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from mnist_resnet.models.resnet import ResNet

    images = 2
    with FlopCounterMode(display=False) as counter:
        ResNet(work.stem, work.width)(torch.zeros(images, 1, 28, 28)).sum().backward()
    return float(counter.get_total_flops()) / images


def plot(rows: list[Row], machine: dict[str, Any], path: Path) -> None:
    """Bars of images a second, with the slowest and the fastest round, and the ratio to the first row written on."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.6 * len(rows) + 1.4), layout="constrained")
    axes = figure.add_subplot()
    names = [row["name"] for row in rows]
    rates = [row["images_per_second"] for row in rows]
    below = [row["images_per_second"] - row["slowest"] for row in rows]
    above = [row["fastest"] - row["images_per_second"] for row in rows]
    bars = axes.barh(names, rates, xerr=[below, above], color="#4477aa", ecolor="#222222", capsize=3)
    shown = [_shown(row) for row in rows]
    labels = [f"{row['ratio']} ×, {row['share of limit']}'s limit" for row in shown]
    axes.bar_label(bars, labels=labels, padding=8)
    axes.set_xlim(0, 1.75 * max(row["fastest"] for row in rows))
    axes.invert_yaxis()
    axes.set_xlabel("training images a second: median, slowest and fastest round")
    axes.set_title(f"{machine['gpu'] or machine['cpu']}, torch {machine['versions']['torch']}", fontsize="medium")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--stem", choices=("3x3", "7x7"), default="3x3")
    parser.add_argument("--width", type=int, default=64, help="of the network (default: %(default)s, the report's)")
    parser.add_argument("--steps", type=int, help=f"in a round (default: {STEPS})")
    parser.add_argument("--repeats", type=int, help=f"rounds of each contender (default: {REPEATS})")
    parser.add_argument("--starts", type=int, help=f"of each but the compiled, for the first step (default: {STARTS})")
    parser.add_argument("--only", action="append", metavar="PART", help="contenders with PART in their names")
    parser.add_argument("--matrices", type=int, nargs="+", help=f"sizes for the machine's limit (default: {MATRICES})")
    parser.add_argument("--data", default="mnist", choices=("mnist", "digits"), help="images (default: %(default)s)")
    parser.add_argument("--data-root", help="as data.root; default: as MNIST_RESNET_DATA says")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave benchmarks/results alone")
    return parser.parse_args(arguments)


def _work(options: argparse.Namespace, kind: str, folder: str) -> Work:
    from mnist_resnet.data import sources

    whole = getattr(sources, options.data)(options.data_root)
    write_for_torchvision(whole, Path(folder))
    batch_size, steps = 64, options.steps or STEPS[kind]
    return Work(
        device=options.device,
        stem=options.stem,
        width=options.width,
        steps=steps,
        batch_size=batch_size,
        data=options.data,
        data_root=options.data_root,
        torchvision_root=folder,
        train_size=min(steps * batch_size, len(whole.train)),
        matrices=options.matrices or MATRICES[kind],
    )


def _shown(row: Row) -> dict[str, str]:
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
    work: Work, options: argparse.Namespace, flops: float, limits: dict[str, float], failed: dict[str, str]
) -> list[str]:
    reached = ", ".join(f"{precision} {gflops:,.0f}" for precision, gflops in limits.items())
    return [
        f"Stem {work.stem}, width {work.width}, batches of {work.batch_size}, {work.steps} steps a round; medians over "
        f"{options.repeats} rounds in turns, first steps over {options.starts} starts (of the compiled: 1).",
        f"Limit, GFLOP/s, by the fastest of matrix products and (on a CPU) a 3 × 3 convolution: {reached}. Training "
        f"takes {flops / 1e9:.3f} GFLOP an image.",
        "First step: its loss known on the host; from the process's start, and from the end of the imports "
        "(data, network, optimiser, the step).",
        *(f"Not measured: {name} ({why})." for name, why in failed.items()),
    ]


if __name__ == "__main__":
    main()
