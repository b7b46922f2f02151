"""A recurrent network that predicts the next character of Python's help texts; every step can be resumed."""

import math
from pydoc_data.topics import topics

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mnist_resnet.jobs.function_task import Run
from mnist_resnet.jobs.read_config import ReadConfig

HELD_OUT = 0.05
"""Share of the text, at its end, that is not trained on."""


class Network(nn.Module):
    """Characters, int64 [batch, length], to logits of the next ones, float32 [batch, length, alphabet]."""

    def __init__(self, alphabet: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(alphabet, width)
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, alphabet)

    def forward(self, characters: Tensor) -> Tensor:
        """Return the logits after each character."""
        logits: Tensor = self.head(self.recurrent(self.embedding(characters))[0])
        return logits


def train(
    _: ReadConfig, run: Run, width: int, rate: float, epochs: int, steps: int, batch: int, length: int = 64
) -> None:
    """Train on random passages; an epoch of `steps` steps ends with a report on the held-out text."""
    text = "".join(topics[name] for name in sorted(topics))
    alphabet = sorted(set(text))
    codes = torch.tensor([alphabet.index(character) for character in text], device=run.device)
    trained, held_out = codes.split([len(codes) - int(HELD_OUT * len(codes)), int(HELD_OUT * len(codes))])
    network = Network(len(alphabet), width).to(run.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    done = 0
    if (state := run.resume()) is not None:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
    for step in range(done, epochs * steps):
        starts = torch.randint(len(trained) - length, (batch,))
        passages = torch.stack([trained[start : start + length + 1] for start in starts.tolist()])
        optimizer.zero_grad()
        _loss(network, passages).backward()
        optimizer.step()
        if (step + 1) % steps == 0:
            run.report((step + 1) // steps, {"bits_per_character": _bits(network, held_out, length)})
        run.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "done": step + 1})


def _loss(network: Network, passages: Tensor) -> Tensor:
    """Return the mean cross entropy in nats of passages, int64 [batch, length + 1]."""
    return cross_entropy(network(passages[:, :-1]).flatten(0, 1), passages[:, 1:].flatten())


@torch.no_grad()
def _bits(network: Network, codes: Tensor, length: int) -> float:
    passages = codes[: len(codes) // (length + 1) * (length + 1)].view(-1, length + 1)
    return float(_loss(network, passages)) / math.log(2)
