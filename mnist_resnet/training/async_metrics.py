"""Figures that come from the device late, so that nobody waits for them."""

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor


class AsyncMetrics:
    """Reads a step's loss and count of correct images back to the host without a synchronisation.

    On CUDA each pair is copied into pinned memory behind the work already queued, and is given out once an event says
    that it arrived; elsewhere a read costs nothing or can't be made late, and it is given out at once.
    """

    def __init__(self, device: str) -> None:
        self._is_cuda = torch.device(device).type == "cuda"
        self._waiting: deque[tuple[int, Tensor, torch.cuda.Event | None]] = deque()

    def put(self, step: int, loss: Tensor, correct: Tensor) -> None:
        """Ask for `loss`, float32 [], and `correct`, int64 [], as they will be when the device gets here."""
        pair = torch.stack([loss, correct])  # float32 holds counts up to 16 million exactly
        if not self._is_cuda:
            self._waiting.append((step, pair, None))
            return
        host = torch.empty(2, pin_memory=True).copy_(pair, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._waiting.append((step, host, event))

    def arrived(self) -> Iterator[tuple[int, float, int]]:
        """(step, loss, correct) of those that are there, in order, each once."""
        while self._waiting and _is_there(self._waiting[0][2]):
            step, pair, _ = self._waiting.popleft()
            yield step, pair[0].item(), int(pair[1].item())

    def rest(self) -> Iterator[tuple[int, float, int]]:
        """All that are left; waits for them. For an epoch's end."""
        for _, _, event in self._waiting:
            if event is not None:
                event.synchronize()
        yield from self.arrived()


def _is_there(event: "torch.cuda.Event | None") -> bool:
    return event is None or bool(event.query())  # type: ignore[no-untyped-call]
