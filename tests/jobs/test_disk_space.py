"""Disk space: a model's parameters are counted without building it for real."""

import json

from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.jobs.disk_space import parameter_count


def count(node: dict[str, object]) -> int:
    allow(node)
    return parameter_count(json.dumps(node))


def test_parameters_are_counted() -> None:
    assert count({"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 2}) == 8


def test_layers_whose_shape_the_first_batch_decides_end_no_launch() -> None:
    assert count({"_target_": "torch.nn.LazyLinear", "out_features": 10}) == 0
    known = {"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 2}
    lazy = {"_target_": "torch.nn.LazyLinear", "out_features": 10}
    assert count({"_target_": "torch.nn.Sequential", "_args_": [known, lazy]}) == 8
