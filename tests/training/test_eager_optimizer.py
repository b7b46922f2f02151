import json
import subprocess
import sys

STEPS = """
import json, sys
import torch
from mnist_resnet.training.eager_optimizer import use_eager_optimizers
from torch import nn


def weights_after_steps(name):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 4, bias=False))
    make = getattr(torch.optim, name)
    optimizer = make(model.parameters(), lr=0.01)
    for step in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 6)).square().mean().backward()
        optimizer.step()
    again = make(model.parameters(), lr=0.01)
    again.load_state_dict(optimizer.state_dict())
    model(torch.randn(8, 6)).square().mean().backward()
    again.step()
    return [weight.detach().flatten().tolist() for weight in model.parameters()]


use_eager_optimizers()
names = ("SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad", "Muon")
before = {name: weights_after_steps(name) for name in names}
is_imported = "torch._dynamo" in sys.modules
import torch._dynamo
print(json.dumps([is_imported, before, {name: weights_after_steps(name) for name in names}]))
"""


def test_optimizers_compute_the_same_without_importing_the_compiler() -> None:
    command = [sys.executable, "-W", "ignore", "-c", STEPS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    is_imported, before, after = json.loads(done.stdout)
    assert is_imported is False
    assert before == after
