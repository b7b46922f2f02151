"""Checks that two checkouts compute bitwise the same, for example before and after a refactoring.

Run `python -m benchmarks.same_bits BASELINE_CHECKOUT`. It runs one job of each kind with the `train.py` of the baseline
and of this checkout, and compares their batch losses, metrics (without times), final weights and signatures bitwise.
Both run on one CPU thread of this machine, on scikit-learn's digits, in the same Python environment. It prints one line
per kind, and exits with code 1 if any differs.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.config import ROOT, merge_overrides

TIMES = {"seconds", "training_seconds", "images_per_second"}
COMMON = (
    *("data=digits", "data.train_size=700", "data.test_size=100", "data.batch_size=32", "trainer.epochs=4"),
    *("trainer.device=cpu", "trainer.threads=1", "tracking=none", "sweep.keep=checkpoint", "sweep.name=same_bits"),
    *("trainer.checkpoint_interval=0", "trainer.checkpoint_every=5"),
)
REPORT = ("model.width=8", "model.blocks=[1,2]", "schedule=onecycle")
LEAN = ("model=lean", "model.width=8", "model.blocks=[1,1]", "augmentation=translate", "averaging=ema")
KINDS: Mapping[str, tuple[str, ...]] = {
    "report's network, dropout and schedule": (*REPORT, "trainer.precision=fp32"),
    "report's network, bf16": (*REPORT, "model.width=128", "data.train_size=200", "trainer.precision=bf16"),
    "lean, EMA and translation": (*LEAN, "schedule=linear", "loss=label_smoothing", "trainer.precision=fp32"),
    "search": (
        *("hydra/sweeper=search", "sweep.trials=4", *LEAN, "data.val_size=200", "trainer.precision=fp32"),
        *("optim.lr=tag(log,interval(1e-3,1e-1))", "schedule=choice(constant,linear)"),
    ),
    "interrupted and resumed": (*LEAN, "trainer.precision=fp32", "trainer.epochs=8"),
}


def main() -> None:
    """Compare each kind of job, and exit with code 1 if any differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_bits", description=__doc__)
    parser.add_argument("baseline", type=Path, help="a checkout of the commit before")
    baseline = parser.parse_args().baseline.resolve()
    differing = 0
    for kind, overrides in KINDS.items():
        before, now = (_bits_of(checkout, overrides, "resumed" in kind) for checkout in (baseline, ROOT))
        differing += before != now
        jobs = f"{len(now)} job{'s' * (len(now) != 1)}"
        print(f"{kind}: {jobs}: {'the same bits' if before == now else 'DIFFERENT'}", flush=True)
        for job in sorted(before.keys() | now.keys()):
            if before.get(job) != now.get(job):
                print(f"  {job}: {before.get(job)} before, {now.get(job)} now")
    sys.exit(1 if differing else 0)


def _bits_of(checkout: Path, overrides: tuple[str, ...], interrupts: bool) -> dict[str, dict[str, str]]:
    """Run a sweep of one or more jobs, and return the hashes of each job's results, by job name."""
    command = [sys.executable, "-P", str(checkout / "train.py"), "-m", *merge_overrides(*COMMON, *overrides)]
    with tempfile.TemporaryDirectory() as folder:
        sweep = Path(folder) / "multirun" / "same_bits"
        if interrupts:
            _run_until_epoch(command, checkout, Path(folder), sweep)
        done = subprocess.run(
            command, cwd=folder, env=_environment(checkout), capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{shutil.which('python')} {' '.join(command[1:])}:\n{done.stdout}{done.stderr}")
        jobs = [_hashes(result.parent) for result in sweep.glob("*/result.json")]
        return {job.pop("signature"): job for job in sorted(jobs, key=lambda job: job["signature"])}


def _run_until_epoch(command: list[str], checkout: Path, folder: Path, sweep: Path) -> None:
    """Interrupt the sweep in the middle of its third epoch or later."""
    process = subprocess.Popen(command, cwd=folder, env=_environment(checkout), stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if any(len(metrics.read_text().splitlines()) >= 2 for metrics in sweep.glob("*/metrics.jsonl")):
            process.send_signal(signal.SIGTERM)
            process.wait()
        time.sleep(0.002)
    if process.returncode != 128 + signal.SIGTERM:
        sys.exit("the sweep ended before it could be interrupted")


def _environment(checkout: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(checkout)}


def _hashes(job: Path) -> dict[str, str]:
    result = json.loads((job / "result.json").read_text())
    epochs = [json.loads(line) for line in (job / "metrics.jsonl").read_text().splitlines()]
    metrics = [{key: value for key, value in epoch.items() if key not in TIMES} for epoch in epochs]
    state = torch.load(job / "checkpoint.pt", weights_only=True)
    return {
        "status": result["status"],
        "signature": result["signature"][:12],
        "batch losses": _hash((job / "batch_losses.npy").read_bytes()),
        "metrics": _hash(json.dumps(metrics).encode()),
        "weights": _hash(*_tensors([state["model"], state["averaging"]])),
    }


def _tensors(value: Any) -> list[bytes]:
    if isinstance(value, torch.Tensor):
        return [value.contiguous().numpy().tobytes()]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    return [found for part in inner for found in _tensors(part)]


def _hash(*content: bytes) -> str:
    digest = hashlib.sha256()
    for part in content:
        digest.update(part)
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    main()
