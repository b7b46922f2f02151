"""The study of mixup with other people's parts, at toy size: it is swept, and ends with the same bits after a stop."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.config.schema import check
from mnist_resnet.data.sources import digits
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from tests.small_sweeps import CHECKOUT, Place, run_in_process, statuses
from tests.small_training import SMALL, differences, trained
from tests.training.test_resume import AtCheck, resume

STUDY = CHECKOUT / "examples" / "photo_digits"
TOY = ("data.digits=digits", "data.train_size=48", "data.test_size=40", "data.batch_size=16", "trainer.epochs=1")


@pytest.fixture(autouse=True)
def study_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(STUDY))


def test_pictures_are_digits_that_invert_photographs_and_always_the_same() -> None:
    digits_on_photographs = import_module("photo_digits_study.pictures").digits_on_photographs
    made, again = digits_on_photographs("digits"), digits_on_photographs("digits")
    assert (made.train.pixels.dtype, list(made.test.pixels.shape)) == (torch.uint8, [360, 3, 28, 28])
    assert torch.equal(made.train.pixels, again.train.pixels)
    assert torch.equal(made.train.labels, digits().train.labels)
    empty = digits().train.pixels.expand(-1, 3, -1, -1) == 0
    assert made.train.pixels[empty].float().std() > 30, "the photograph is behind the digit"
    assert made.train.pixels[:, 0].float().sub(made.train.pixels[:, 2].float()).abs().mean() > 5, "in colour"


@pytest.mark.slow
def test_study_is_swept_and_tells_both_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    pytest.importorskip("torchmetrics")
    command = ["--config-dir", str(STUDY / "conf"), "-m", "+sweep=mixup", "sweep.seeds=1", "tracking=none", *TOY]
    ended = run_in_process(command, Place(tmp_path, tmp_path), monkeypatch, capfd)
    assert ended.code == 0, ended.out + ended.err
    sweep = tmp_path / "multirun/mixup"
    assert list(statuses(sweep).values()) == ["completed", "completed"]
    assert {"test_f1", "test_calibration_error"} <= set(load_sweep(sweep).columns)
    table = (sweep / "table.md").read_text()
    assert "test F1, %" in table
    assert "Thulasidasan" in table


def test_a_job_of_the_study_ends_with_the_same_bits_after_a_stop_in_mid_epoch(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    pytest.importorskip("torchmetrics")
    small = [word for word in SMALL if not word.startswith(("model.", "data=", "data."))]
    chosen = ["data=digits_on_photographs", "model=timm_resnet10t", "optim=adamw_in_groups", "training=mixed"]
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        path = f"hydra.searchpath=[file://{STUDY / 'conf'}]"
        composed = compose("config", [*small, path, *chosen, *TOY])
    container: Any = OmegaConf.to_container(composed, resolve=True)
    allow(container)
    config = check({str(key): value for key, value in container.items() if key != "hydra"})
    with pytest.raises(Interrupted):
        resume(config, tmp_path, AtCheck(2))
    assert differences(trained(config), resume(config, tmp_path, Interrupt())) == []
