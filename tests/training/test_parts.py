"""Other people's parts, by configuration alone: each trains, is stopped in mid-epoch, and ends with the same bits."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mnist_resnet.config.allowed_targets import allow, targets
from mnist_resnet.config.schema import Config, check
from mnist_resnet.jobs.checkpoint import load_checkpoint
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from tests.small_training import REPOSITORY, SIGNATURE, SMALL, differences, trained
from tests.training.test_resume import AtCheck, resume

PARTS = REPOSITORY / "examples" / "parts" / "conf"
LARGE = ("model=torchvision_resnet18", "model=googlenet training=auxiliary")
"""Rows whose networks take half a minute each."""

ROWS = [
    *("model=timm_resnet10t", "model=timm_vit"),
    *(pytest.param(row, marks=pytest.mark.slow) for row in LARGE),
    *("optim=lion", "optim=soap", "optim=prodigy", "optim=schedulefree_adamw", "optim=sam training=sam"),
    *("optim=muon model=timm_vit", "optim=muon_pytorch_optimizer", "optim=lbfgs training=lbfgs"),
    *("optim=adamw_without_decay_of_vectors", "training=clipped", "training=mixup", "training=cutmix"),
    *("schedule=pytorch_onecycle", "schedule=pytorch_cosine", "schedule=warm_restarts", "schedule=sequential"),
    *(
        "schedule=plateau",
        "schedule=timm_cosine",
        "loss=focal",
        "loss=class_weights",
        "augmentation=torchvision_v2",
        "augmentation=kornia",
    ),
    "training=measured data.val_size=20",
]


def composed(row: str) -> Config:
    overrides = row.split()
    small = [word for word in SMALL if "model=" not in row or not word.startswith("model.")]
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        config = compose(
            "config", [*small, "trainer.checkpoint_every=1", f"hydra.searchpath=[file://{PARTS}]", *overrides]
        )
    container: Any = OmegaConf.to_container(config, resolve=True)
    for target in targets(container):
        if find_spec(target.partition(".")[0]) is None:
            pytest.skip(f"{target} is not installed")
    allow(container)
    return check({str(key): value for key, value in container.items() if key != "hydra"})


@pytest.mark.parametrize("row", ROWS)
def test_part_trains_and_ends_with_the_same_bits_after_a_stop_in_mid_epoch(row: str, tmp_path: Path) -> None:
    config = composed(row)
    with pytest.raises(Interrupted):
        resume(config, tmp_path, AtCheck(2))
    for count in (4, 2):
        with pytest.raises(Interrupted):
            resume(config, tmp_path, AtCheck(count))
        _, notes = load_checkpoint(tmp_path, SIGNATURE)
        assert notes == []
    assert differences(trained(config), resume(config, tmp_path, Interrupt())) == []
