"""Python's help texts as tokens: words and characters to predict."""

import re
from collections import Counter
from pydoc_data.topics import topics

import torch
from torch import Tensor, nn

from mnist_resnet.data.dataset import DataSet, LabelledImages


def next_words(words: int = 400, before: int = 3, examples: int = 4000) -> DataSet:
    """Which of the most frequent words follows `before` others: tokens [n, before], one of `words` classes [n]."""
    text = re.findall(r"\w+|[^\w\s]", _text())
    rank = {word: number for number, (word, _) in enumerate(Counter(text).most_common(words))}
    codes = torch.tensor([rank.get(word, words) for word in text])
    passages = codes.unfold(0, before + 1, 1)
    passages = passages[passages[:, -1] < words]
    return _parts(passages[:, :-1], passages[:, -1], examples)


def next_characters(length: int = 32, examples: int = 2000) -> DataSet:
    """Characters, int64 [n, length], and those that follow each of them, int64 [n, length], of 128."""
    codes = torch.tensor([min(ord(character), 127) for character in _text()])
    passages = codes[: len(codes) // (length + 1) * (length + 1)].view(-1, length + 1)
    return _parts(passages[:, :-1], passages[:, 1:], examples)


class NextCharacter(nn.Module):
    """Characters, int64 [batch, length], to logits of the next ones, float32 [batch, characters, length]."""

    def __init__(self, characters: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(characters, width)
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, characters)

    def forward(self, characters: Tensor) -> Tensor:
        """Return the logits after each character."""
        logits: Tensor = self.head(self.recurrent(self.embedding(characters))[0]).transpose(1, 2)
        return logits


def _text() -> str:
    return "".join(topics[name] for name in sorted(topics))


def _parts(inputs: Tensor, labels: Tensor, examples: int) -> DataSet:
    """Take the first examples for training, and a quarter as many after them for the test."""
    end = examples + examples // 4
    return DataSet(
        LabelledImages(inputs[:examples], labels[:examples]),
        LabelledImages(inputs[examples:end], labels[examples:end]),
    )
