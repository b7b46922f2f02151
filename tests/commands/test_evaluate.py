"""The evaluate command: a saved job is scored again; its record holds, differs, or can't be checked."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mnist_resnet import evaluate
from mnist_resnet.config.schema import check
from mnist_resnet.data.batches import DataSplits, load
from mnist_resnet.job_folder import EXPORTED_MODEL, PREDICTIONS, RESULT, SWEEP, TRACED_MODEL
from mnist_resnet.models.export import export_model
from mnist_resnet.models.model_file import ModelDescription
from mnist_resnet.models.resnet import ResNet
from mnist_resnet.training.predictions import test_set_sha256, write_predictions
from tests.small_training import in_memory

torch.set_num_threads(1)

NETWORK = "mnist_resnet.models.resnet.ResNet"
SCHEDULE = "mnist_resnet.training.schedule.constant"
DIGITS = "mnist_resnet.data.sources.digits"
NO_TRACKER = "mnist_resnet.tracking.no_tracker.NoTracker"

CONFIG: dict[str, Any] = {
    "seed": 1,
    "model": {"_target_": NETWORK, "stem": "7x7", "width": 4, "blocks": [1, 1, 1, 1], "block_norm": "none"}
    | {"dropout": 0.0, "channels": 1, "classes": 10},
    "regularization": {"dropout": 0.0},
    "optim": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.001},
    "schedule": {"_target_": SCHEDULE, "_partial_": True},
    "data": {"_target_": DIGITS, "root": None, "train_size": 640, "test_size": 300, "mean": 0.3, "std": 0.3},
    "trainer": {"epochs": 1, "device": "cpu", "precision": "fp32", "threads": 1, "log_interval": 10}
    | {"checkpoint_interval": 60.0, "checkpoint_every": None, "detect_anomaly": False, "profile": False},
    "scale": {"epochs": 1.0},
    "tracking": {"_target_": NO_TRACKER, "mode": "auto", "project": "p", "entity": None},
    "sweep": {"name": None, "exclude": [], "rerun": [], "dry_run": False, "on_failure": "continue"}
    | {"keep": "model", "seeds": 5},
}


def trained(splits: DataSplits, epochs: int = 8) -> ResNet:
    torch.manual_seed(1)
    network = ResNet(stem="7x7", width=4, blocks=[1, 1, 1, 1], block_norm="none", dropout=0.0)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(epochs):
        for images, labels in splits.train.batches(64):
            optimizer.zero_grad()
            cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return network.eval()


def record(folder: Path, log_probabilities: Tensor, splits: DataSplits, precision: str) -> None:
    """Write the files of a job with these log-probabilities on its test images."""
    test = in_memory(splits.test)
    write_predictions(folder, test.labels, log_probabilities, test.pixels, test_set_sha256(test.pixels, test.labels))
    accuracy = (log_probabilities.argmax(1) == test.labels).double().mean().item()
    result = {"format": 1, "status": "completed", "config": CONFIG, "last": {"epoch": 0, "test_accuracy": accuracy}}
    result["numerics"] = {"device": "cpu", "precision": precision, "threads": 1, "compiled": False}
    (folder / RESULT).write_text(json.dumps(result))


@pytest.fixture(scope="module")
def splits() -> DataSplits:
    return load(check(copy.deepcopy(CONFIG)).data, "cpu")


@pytest.fixture(scope="module")
def network(splits: DataSplits) -> ResNet:
    return trained(splits)


@pytest.fixture
def job(tmp_path: Path, network: ResNet, splits: DataSplits) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    record(folder, log_probabilities_of(network, splits), splits, "fp32")
    pixels = in_memory(splits.test).pixels
    export_model(network, pixels[:4], ModelDescription.of(pixels, 0.3, 0.3, 10), folder)
    return folder


def log_probabilities_of(network: ResNet, splits: DataSplits, dtype: torch.dtype | None = None) -> Tensor:
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype is not None):
        given: Tensor = network(splits.test.normalise(in_memory(splits.test).pixels)).float().log_softmax(1)
    return given


def edit(job: Path, change: Callable[[dict[str, Any]], None]) -> None:
    result = json.loads((job / RESULT).read_text())
    change(result)
    (job / RESULT).write_text(json.dumps(result))


def test_record_of_the_saved_network_holds(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accuracy = json.loads((job / RESULT).read_text())["last"]["test_accuracy"]
    assert accuracy > 0.5, "the network learned something, else the test shows little"
    assert evaluate.main([str(job)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"recorded {100 * accuracy:.2f} % (fp32), now {100 * accuracy:.2f} % (fp32) of 300 test images",
        "no image changed class",
        "the recorded figure holds",
    ]


@pytest.mark.parametrize("missing", [EXPORTED_MODEL, TRACED_MODEL])
def test_either_model_file_is_enough(job: Path, missing: str) -> None:
    (job / missing).unlink()
    assert evaluate.main([str(job)]) == 0


def test_bf16_record_holds_within_rounding(job: Path, network: ResNet, splits: DataSplits) -> None:
    record(job, log_probabilities_of(network, splits, torch.bfloat16), splits, "bf16")
    assert evaluate.main([str(job)]) == 0


def change_one(log_probabilities: Tensor, difference: float) -> Tensor:
    """Return log-probabilities with one image changed to its second most likely class.

    It is the image whose two most likely classes differ most nearly by `difference`.
    """
    two = log_probabilities.topk(2, dim=1)
    differences = two.values[:, 0] - two.values[:, 1]
    image = int((differences - difference).abs().argmin())
    changed = log_probabilities.clone()
    changed[image, two.indices[image, 1]] = 0.0
    return changed


@pytest.mark.parametrize(("precision", "difference", "code"), [("bf16", 0.2, 0), ("fp32", 0.2, 1), ("bf16", 3.0, 1)])
def test_changed_class_counts_as_rounding_only_for_near_ties(
    job: Path, network: ResNet, splits: DataSplits, precision: str, difference: float, code: int
) -> None:
    record(job, change_one(log_probabilities_of(network, splits), difference), splits, precision)
    assert evaluate.main([str(job)]) == code


def test_figure_that_contradicts_its_own_predictions_differs(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(job, lambda result: result["last"].update(test_accuracy=result["last"]["test_accuracy"] + 1 / 300))
    assert evaluate.main([str(job)]) == 1
    printed = capsys.readouterr().out
    assert "its own predictions.npz gives" in printed
    assert printed.splitlines()[-1] == "the recorded figure DIFFERS"


def test_record_of_another_network_differs(job: Path, splits: DataSplits, capsys: pytest.CaptureFixture[str]) -> None:
    other = trained(splits, epochs=3)
    pixels = in_memory(splits.test).pixels
    export_model(other, pixels[:4], ModelDescription.of(pixels, 0.3, 0.3, 10), job)
    assert evaluate.main([str(job)]) == 1
    assert "beyond what fp32 explains" in capsys.readouterr().out


def own_task(*metrics: str) -> dict[str, Any]:
    return {"task": {"_target_": "my.fit"}, "metrics": {metric: {"better": "lower"} for metric in metrics}}


def data(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda result: result["config"]["data"].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda result: result.update(status="running"), "the job is running"),
        (lambda result: result.update(status="diverged"), "the job is diverged"),
        (lambda result: result.update(last=None), "no test accuracy"),
        (lambda result: result.update(numerics={"precision": "fp7"}), "fp7"),
        (lambda result: result.update(format=99), "format 99"),
        (lambda result: result.update(config=None), "holds no config"),
        (data(classes=None), "reports test_loss; only the test accuracy"),
        (lambda result: result["config"].update(own_task("rmse")), "reports rmse; only the test accuracy"),
        (lambda result: result["config"].update(own_task()), "reports metrics of its own; only the test accuracy"),
        (data(test_size=200), "not those of the record"),
        (data(test_size="all"), "test_size"),
        (data(_target_="os.mkdir"), "_target_=os.mkdir"),
        (data(surprise=1), "surprise"),
    ],
)
def test_job_that_cannot_be_evaluated_prints_one_line_and_exits_with_2(
    job: Path, change: Callable[[dict[str, Any]], None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(job, change)
    assert evaluate.main([str(job)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize("missing", [[RESULT], [PREDICTIONS], [EXPORTED_MODEL, TRACED_MODEL]])
def test_missing_file_prints_one_line_and_exits_with_2(
    job: Path, missing: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in missing:
        (job / name).unlink()
    assert evaluate.main([str(job)]) == 2
    assert f"{missing[0]}" in capsys.readouterr().err


def test_data_root_overrides_the_recorded_path(job: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(job, data(_target_="tests.commands.test_evaluate.rooted", root="/nowhere/on/this/machine"))
    (tmp_path / "here").mkdir()
    trust = ["--trust", "tests.commands.test_evaluate.rooted"]
    assert evaluate.main([str(job), *trust]) == 2
    assert "/nowhere/on/this/machine" in capsys.readouterr().err
    assert evaluate.main([str(job), "--data-root", str(tmp_path / "here"), *trust]) == 0


def rooted(root: str, **_: Any) -> Any:
    """A user's own data source: the digits, if its root exists."""
    from mnist_resnet.data.sources import digits
    from mnist_resnet.errors import UsageError

    if not Path(root).is_dir():
        raise UsageError(f"data.root={root}: no such folder")
    return digits()


def test_sweep_is_no_job(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (job.parent / SWEEP).write_text("{}")
    assert evaluate.main([str(job.parent)]) == 2
    assert capsys.readouterr().err == (
        f"error: {job.parent}: the folder of a sweep; give that of one of its jobs, such as {job}\n"
    )
