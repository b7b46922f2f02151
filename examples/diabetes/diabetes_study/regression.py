"""Fits a network to a table of 442 patients; the seed decides which quarter of them is held out."""

import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import mse_loss

from mnist_resnet.jobs.function_task import Run
from mnist_resnet.jobs.read_config import ReadConfig


def fit(config: ReadConfig, run: Run, epochs: int, report_every: int = 20) -> None:
    """Train on all patients at once; report the error on those held out, in the target's own unit."""
    table, target = load_diabetes(return_X_y=True, scaled=True)
    parts = train_test_split(table * len(table) ** 0.5, target, test_size=0.25, random_state=run.seed)
    x, x_held_out, y, y_held_out = (torch.tensor(part, dtype=torch.float32, device=run.device) for part in parts)
    mean, deviation = y.mean(), y.std()
    model = config.model.build().to(run.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.optim.lr, weight_decay=config.optim.weight_decay)
    done = 0
    if (state := run.resume()) is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
    for epoch in range(done, epochs):
        optimizer.zero_grad()
        mse_loss(model(x).squeeze(1), (y - mean) / deviation).backward()
        optimizer.step()
        if (epoch + 1) % report_every == 0:
            with torch.no_grad():
                run.report(epoch + 1, _errors(model(x_held_out).squeeze(1) * deviation + mean, y_held_out))
        run.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": epoch + 1})


def _errors(predicted: Tensor, target: Tensor) -> dict[str, float]:
    error = float(mse_loss(predicted, target))
    return {"rmse": error**0.5, "r2": 1 - error / float(target.var(unbiased=False))}
