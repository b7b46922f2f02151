"""Tests of values in Python's syntax, as W&B's agent passes them."""

import pytest

from mnist_resnet.config.hydra_errors import _is_open
from mnist_resnet.config.python_values import from_python


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("trainer.checkpoint_every=None", ["trainer.checkpoint_every=null"]),
        ("experiment=None", []),
        ("tracking.entity=None", ["tracking.entity=null"]),
        ("optim={'lr': 0.01}", ["optim.lr=0.01"]),
        (
            "optim={'lr': 0.01, 'betas': [0.9, 0.99], 'amsgrad': True}",
            ["optim.lr=0.01", "optim.betas=[0.9,0.99]", "optim.amsgrad=True"],
        ),
        ("trainer={'checkpoint_every': None}", ["trainer.checkpoint_every=null"]),
        ("data={'root': '/a b'}", ['data.root="/a b"']),
        ("_wandb={'cli_version': '0.31.0'}", []),
        ("optim={lr: 0.01}", ["optim={lr: 0.01}"]),
        ("optim.lr=0.01", ["optim.lr=0.01"]),
        ("sweep.name=None_of_them", ["sweep.name=None_of_them"]),
        ("-m", ["-m"]),
        ("model=stem3x3,stem7x7", ["model=stem3x3,stem7x7"]),
    ],
)
def test_python_values_become_overrides(argument: str, expected: list[str]) -> None:
    assert from_python([argument]) == expected


@pytest.mark.parametrize(
    ("text", "is_open"),
    [("a=[1", True), ("a='b", True), ("a={b:1", True), ("a==", False), ("a=b=c", False), ('a="it\'s"', False)],
)
def test_open_brackets_and_quotes_are_noticed(text: str, is_open: bool) -> None:
    assert _is_open(text) == is_open
