"""Copies metrics from the device asynchronously, so that training does not wait for them."""

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor


class AsyncMetrics:
    """Reads a step's loss and its number of correct images back to the host without synchronising.

    On CUDA, each pair is copied into pinned memory after the work that is already queued, and is returned once an event
    reports that it has arrived. On other devices a copy is free or can't be deferred, and it is returned at once.

    Args:
        device: the device of the metrics, such as `cpu` or `cuda:0`.
    """

    def __init__(self, device: str) -> None:
        self._is_cuda = torch.device(device).type == "cuda"
        self._pending: deque[tuple[int, Tensor, torch.cuda.Event | None]] = deque()

    def put(self, step: int, loss: Tensor, correct: Tensor) -> None:
        """Queue a copy of the values that `loss` and `correct` have when the device reaches this point.

        Args:
            step: identifies the pair.
            loss: float32 [].
            correct: int64 [].
        """
        pair = torch.stack([loss, correct])  # float32 is exact for counts up to 16 million
        if not self._is_cuda:
            self._pending.append((step, pair, None))
            return
        host = torch.empty(2, pin_memory=True).copy_(pair, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._pending.append((step, host, event))

    def arrived(self) -> Iterator[tuple[int, float, int]]:
        """Yield (step, loss, correct) of each pair that has arrived since the last call, in order."""
        while self._pending and _has_arrived(self._pending[0][2]):
            step, pair, _ = self._pending.popleft()
            yield step, pair[0].item(), int(pair[1].item())

    def wait_for_rest(self) -> Iterator[tuple[int, float, int]]:
        """Wait for all remaining pairs, and yield (step, loss, correct) of each, in order."""
        for _, _, event in self._pending:
            if event is not None:
                event.synchronize()
        yield from self.arrived()


def _has_arrived(event: "torch.cuda.Event | None") -> bool:
    return event is None or bool(event.query())  # type: ignore[no-untyped-call]
