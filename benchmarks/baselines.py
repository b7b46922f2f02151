"""The baselines of `throughput`: the report's own loop, and the stack of lightning-hydra-template."""

from pathlib import Path
from typing import Any

from benchmarks.round_timer import RoundTimer
from benchmarks.workload import LEARNING_RATE, Workload

MEAN, STD = (0.1307,), (0.3081,)
"""Mean and standard deviation of MNIST's training pixels, scaled to 0…1."""


def report_loop(workload: Workload, timer: RoundTimer) -> None:
    """Train with the report's loop until the timer ends it.

    It uses a DataLoader, ToTensor and Normalize for each image, PyTorch's defaults, and `.item()` in each step.
    """
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader
    from torchvision.datasets import MNIST

    from mnist_resnet.models.resnet import ResNet

    timer.imports_done()
    torch.manual_seed(1)
    data_set = MNIST(workload.torchvision_root, transform=_transform())
    loader = DataLoader(data_set, batch_size=workload.batch_size, shuffle=True)
    model = ResNet(workload.stem, workload.width).to(workload.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    while True:
        total_loss, correct = 0.0, 0
        for images, labels in loader:
            images, labels = images.to(workload.device), labels.to(workload.device)
            optimizer.zero_grad()
            logits = model(images)
            loss = cross_entropy(logits, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total_loss += loss.item()
            correct += (logits.argmax(1) == labels).sum().item()
            timer.step(len(labels))


def lightning_loop(workload: Workload, timer: RoundTimer) -> None:
    """Train with the template's stack until the timer ends it.

    It uses Lightning's Trainer with the template's callbacks, torchmetrics, and a data module over torchvision's MNIST.
    """
    from lightning import Trainer
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, RichModelSummary, RichProgressBar

    from benchmarks.lightning_stack import Images, Network, TimerCallback

    timer.imports_done()
    folder = Path(workload.torchvision_root) / "lightning"
    trainer = Trainer(
        accelerator="gpu" if workload.device.startswith("cuda") else "cpu",
        devices=1,
        min_epochs=1,
        max_epochs=-1,
        logger=False,
        default_root_dir=folder,
        callbacks=[
            ModelCheckpoint(dirpath=folder, monitor="val/acc", mode="max", save_last=True),
            EarlyStopping(monitor="val/acc", patience=100, mode="max"),
            RichModelSummary(max_depth=-1),
            RichProgressBar(),
            TimerCallback(timer),
        ],
    )
    network = Network(workload.stem, workload.width)
    trainer.fit(network, Images(workload.torchvision_root, workload.batch_size, _transform()))


def _transform() -> Any:
    from torchvision.transforms import Compose, Normalize, ToTensor

    return Compose([ToTensor(), Normalize(MEAN, STD)])
