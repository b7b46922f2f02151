"""What the project's loop is measured against: the report's own loop, and the stack of lightning-hydra-template."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.pace import Pace

if TYPE_CHECKING:
    from benchmarks.contenders import Work

MEAN, STD = (0.1307,), (0.3081,)
LR = 0.001
TEMPLATE_SPLIT = (55_000, 5_000)
"""Of training and validation images, of the 70,000 that there are; the rest is for tests."""


def report_loop(work: "Work", pace: Pace) -> None:
    """The report's: DataLoader, ToTensor and Normalize for each image, PyTorch's defaults, `.item()` each step."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader
    from torchvision.datasets import MNIST

    from mnist_resnet.models.resnet import ResNet

    pace.imported()
    torch.manual_seed(1)
    loader = DataLoader(MNIST(work.torchvision_root, transform=_transform()), batch_size=work.batch_size, shuffle=True)
    model = ResNet(work.stem, work.width).to(work.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    while True:
        total_loss, correct = 0.0, 0
        for images, labels in loader:
            images, labels = images.to(work.device), labels.to(work.device)
            optimizer.zero_grad()
            logits = model(images)
            loss = cross_entropy(logits, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total_loss += loss.item()
            correct += (logits.argmax(1) == labels).sum().item()
            pace.step(len(labels))


def lightning_loop(work: "Work", pace: Pace) -> None:
    """The template's: Lightning's Trainer with its callbacks, torchmetrics, a data module over torchvision's MNIST."""
    from lightning import Trainer
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, RichModelSummary, RichProgressBar

    from benchmarks.lightning_stack import Images, Network, Turns

    pace.imported()
    folder = Path(work.torchvision_root) / "lightning"
    trainer = Trainer(
        accelerator="gpu" if work.device.startswith("cuda") else "cpu",
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
            Turns(pace),
        ],
    )
    trainer.fit(Network(work.stem, work.width), Images(work.torchvision_root, work.batch_size, _transform()))


def _transform() -> Any:
    from torchvision.transforms import Compose, Normalize, ToTensor

    return Compose([ToTensor(), Normalize(MEAN, STD)])


def synchronise_on(device: str) -> None:
    """Wait for what was queued on `device`."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
