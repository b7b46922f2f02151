"""A user's network that raises, dies or meets another job, as its config says, and a place whose jobs can have it."""

import sys
from pathlib import Path

import pytest

from tests.small_sweeps import Place, make_place

TARGET = "fateful.network"

FATEFUL = """
import json, os, time
from pathlib import Path
import torch
from mnist_resnet.models.resnet import ResNet
from mnist_resnet.tracking.no_tracker import NoTracker

HERE = Path(__file__).parent

class Fateful(ResNet):
    def __init__(self, fate, **rest):
        super().__init__(**rest)
        self.fate = fate

    def forward(self, images):
        if self.training and self.fate.startswith("meets"):
            meet(self.fate)
        if self.training and self.fate in ("dies_once", "dies"):
            # A checkpoint brings this count back, so that it is the job's step whether one was written or not.
            steps = int(self.stem[1].num_batches_tracked) + 1
            died = HERE / "died"
            if steps == 6 and (self.fate == "dies" or not died.exists()):
                if self.fate == "dies_once":
                    died.touch()
                os.kill(os.getpid(), 9)
        return super().forward(images)

def meet(fate):
    sees = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")}
    part = HERE / f"{fate}.part"
    part.write_text(json.dumps(sees | {"threads": torch.get_num_threads()}))
    part.rename(HERE / f"{fate}.json")
    until = time.monotonic() + 100
    while len(list(HERE.glob("meets*.json"))) < 2:
        if time.monotonic() > until:
            raise RuntimeError("alone")
        time.sleep(0.05)

class DiesAfterTheResult(NoTracker):
    def end(self, result):
        os.kill(os.getpid(), 9)

def network(fate="lives", **rest):
    if fate == "raises":
        raise RuntimeError("on purpose")
    return Fateful(fate, **rest)
"""
"""Source of a user's network. Workers find its module through the search path of the process that starts them."""


def make_fateful_place(folder: Path, patch: pytest.MonkeyPatch) -> Place:
    (folder / "modules").mkdir()
    (folder / "modules" / "fateful.py").write_text(FATEFUL)
    patch.syspath_prepend(str(folder / "modules"))
    patch.delitem(sys.modules, "fateful", raising=False)
    return make_place(folder)
