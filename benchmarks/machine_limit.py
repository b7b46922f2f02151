"""Measures the machine's peak arithmetic throughput, by precision."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.round_timer import RoundTimer, synchronise
from benchmarks.workload import Workload

if TYPE_CHECKING:
    import torch


def machine_limit(workload: Workload, timer: RoundTimer) -> None:
    """Report in each round the highest GFLOP/s of dense arithmetic, by precision, until the timer ends it.

    This is the fastest of several products of square matrices and, on a CPU, of a 3 × 3 convolution like the network's.
    On an AMD EPYC, PyTorch's matrix products in fp32 reached 229 GFLOP/s where that convolution reached 591. On CUDA,
    cuDNN may choose an algorithm that saves multiplications, so only matrix products measure the arithmetic.
    """
    import torch

    from mnist_resnet.training.numerics import Numerics

    is_cuda = torch.device(workload.device).type == "cuda"
    timer.send("first", building=0.0)
    timer.send("ready")
    while True:
        timer.wait_for_request()
        gflops = {}
        for precision in ("fp32", "tf32", "bf16") if is_cuda else ("fp32", "bf16"):
            Numerics(workload.device, precision, torch.get_num_threads()).apply()
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            speeds = [_matrix_product(workload.device, dtype, size) for size in workload.matrices]
            gflops[precision] = max(speeds if is_cuda else [*speeds, _convolution(workload.device, dtype)])
        timer.send("round", **gflops)


def _matrix_product(device: str, dtype: "torch.dtype", size: int) -> float:
    """Return the GFLOP/s of a product of two `size` × `size` matrices."""
    import torch

    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _shortest(lambda: torch.mm(left, right), device) / 1e9


def _convolution(device: str, dtype: "torch.dtype") -> float:
    """Return the GFLOP/s of a 3 × 3 convolution of 64 images, 128 channels, 7 × 7 pixels."""
    import torch

    batch, channels, pixels = 64, 128, 7 * 7
    images = torch.randn(batch, channels, 7, 7, device=device).to(dtype, memory_format=torch.channels_last)
    weights = torch.randn(channels, channels, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    seconds = _shortest(lambda: torch.nn.functional.conv2d(images, weights, padding=1), device)
    return 2 * batch * pixels * channels * channels * 9 / seconds / 1e9


def _shortest(compute: Callable[[], Any], device: str, seconds: float = 0.4) -> float:
    """Call `compute` for this many seconds, after one warm-up call, and return the shortest call's seconds."""
    compute()
    synchronise(device)
    shortest, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        compute()
        synchronise(device)
        shortest = min(shortest, time.perf_counter() - started)
    return shortest
