"""Forms of convolutions, most of them Winograd's: their errors, which layers take them, that a job keeps its choice."""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from mnist_resnet.errors import UsageError
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.training import convolution_times, winograd
from mnist_resnet.training.compile import set_up
from mnist_resnet.training.convolution_forms import FORMS, ConvolutionForms, forms_of, shape_of
from mnist_resnet.training.convolution_times import cache_file
from mnist_resnet.training.loop import train
from mnist_resnet.training.numerics import Numerics, resolve, resume
from mnist_resnet.training.training_run import Training
from mnist_resnet.training.winograd import SIZES
from tests.small_training import differences, different_tensors, new_training, small, trained, unsaved

WIDE = ("model.width=32", "model.blocks=[1,2]", "data.train_size=64")
"""Its second stage has a layer with 64 channels at 7 × 7 pixels."""
LAYER = "64x64@7"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    convolution_times._measure.cache_clear()


def written() -> Path:
    file = cache_file()
    assert file is not None
    return file


def output_and_gradients(images: Tensor, weight: Tensor, **settings: Any) -> list[Tensor]:
    torch.manual_seed(1)
    output = conv2d(images, weight, **settings)
    gradients = torch.autograd.grad(output, (images, weight), torch.randn(output.shape).to(output.dtype))
    return [output, *gradients]


def error(result: Tensor, exact: Tensor) -> float:
    return float((result.double() - exact).norm().detach() / exact.norm().detach())


@pytest.mark.parametrize("form", ["", ":linear", ":rows"])
@pytest.mark.parametrize("size", SIZES)
def test_error_against_float64_is_at_most_16_times_that_of_pytorch_and_3e_6(size: int, form: str) -> None:
    torch.manual_seed(0)
    images = torch.randn(16, 64, size, size).relu().requires_grad_()
    weight, bias = torch.randn(96, 64, 3, 3, requires_grad=True), torch.randn(96)
    exact = output_and_gradients(images.double(), weight.double(), bias=bias.double(), padding=1)
    pytorch = output_and_gradients(images, weight, bias=bias, padding=1)
    with ConvolutionForms([f"64x96@{size}{form}"]):
        results = output_and_gradients(images, weight, bias=bias, padding=1)
    assert not torch.equal(results[0], pytorch[0])
    for result, plain, expected in zip(results, pytorch, exact, strict=True):
        assert result.shape == plain.shape
        assert error(result, expected) < min(16 * error(plain, expected), 3e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 14])
def test_products_of_unfolded_images_are_the_convolution_with_stride_2(size: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 64, size, size).relu().requires_grad_()
    weight, bias = torch.randn(96, 64, 3, 3, requires_grad=True), torch.randn(96)
    settings: dict[str, Any] = {"padding": 1, "stride": 2}
    exact = output_and_gradients(images.double(), weight.double(), bias=bias.double(), **settings)
    with ConvolutionForms([f"64x96@{size}s2:unfolded"]):
        results = output_and_gradients(images, weight, bias=bias, **settings)
    for result, expected in zip(results, exact, strict=True):
        assert result.shape == expected.shape
        assert error(result, expected) < 1e-6


@pytest.mark.parametrize("name", ["64x64@4", "64x64@4:rows", "64x64@2:linear", "64x64@4s2:unfolded"])
def test_gradients_of_a_gradient_penalty_are_those_of_pytorch(name: str) -> None:
    torch.manual_seed(0)
    _, _, size, stride = shape_of(name.partition(":")[0])
    images, weight = torch.randn(2, 64, size, size).requires_grad_(), torch.randn(64, 64, 3, 3, requires_grad=True)

    def gradients(images: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        energy = conv2d(images, weight, stride=stride, padding=1).square().sum()
        (of_images,) = torch.autograd.grad(energy, images, create_graph=True)
        return torch.autograd.grad(of_images.square().sum(), (images, weight))

    exact = gradients(images.double(), weight.double())
    with ConvolutionForms([name]):
        results = gradients(images, weight)
    for result, expected in zip(results, exact, strict=True):
        assert error(result, expected) < 1e-5


@pytest.mark.parametrize("name", ["64x64@4", "64x64@4:rows", "64x64@1:rows", "64x64@2:linear", "64x64@4s2:unfolded"])
def test_outputs_can_be_changed_in_place(name: str) -> None:
    torch.manual_seed(0)
    _, _, size, stride = shape_of(name.partition(":")[0])
    images, weight = torch.randn(2, 64, size, size), torch.randn(64, 64, 3, 3, requires_grad=True)
    with ConvolutionForms([name]):
        plain, changed = (conv2d(images, weight, stride=stride, padding=1) for _ in range(2))
    (expected,) = torch.autograd.grad((plain + 1).relu().sum(), weight)
    changed += 1
    (result,) = torch.autograd.grad(changed.relu_().sum(), weight)
    assert torch.equal(result, expected)


@pytest.mark.slow
def test_compiled_steps_take_the_forms_too() -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.Conv2d(64, 64, 3, padding=1, stride=2)
    network = nn.Sequential(first, nn.ReLU(inplace=True), second)
    images = torch.randn(8, 64, 4, 4)

    def loss() -> Tensor:
        with ConvolutionForms(["64x64@4:rows", "64x64@4s2:unfolded"]):
            result: Tensor = network(images).square().mean()
        return result

    eager = torch.autograd.grad(loss(), list(network.parameters()))
    compiled = torch.autograd.grad(torch.compile(loss)(), list(network.parameters()))
    for one, other in zip(eager, compiled, strict=True):
        assert error(one, other.double()) < 1e-5


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((2, 2), {"padding": 2, "stride": 2}),
        ((2, 2), {"padding": 2, "dilation": 2}),
        ((2, 2), {"padding": 1, "groups": 2}),
        ((2, 2), {"padding": "same"}),
        ((4, 4), {}),
        ((2, 4), {"padding": 1}),
        ((5, 5), {"padding": 1}),
    ],
    ids=str,
)
def test_other_convolutions_are_left_to_pytorch(size: tuple[int, int], settings: dict[str, Any]) -> None:
    images = torch.randn(3, 128, *size, requires_grad=True)
    weight = torch.randn(128, 128 // settings.get("groups", 1), 3, 3, requires_grad=True)
    expected = output_and_gradients(images, weight, **settings)
    with ConvolutionForms([f"128x128@{size}" for size in SIZES] + ["128x128@2s2:unfolded"]):
        results = output_and_gradients(images, weight, **settings)
    assert different_tensors(expected, results, "") == []


def test_layers_in_bf16_are_left_to_pytorch() -> None:
    images, weight = torch.randn(2, 64, 4, 4), torch.randn(64, 64, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        expected = conv2d(images, weight, padding=1)
        with ConvolutionForms(["64x64@4"]):
            assert torch.equal(conv2d(images, weight, padding=1), expected)


def set_up_training(*overrides: str) -> Training:
    training = new_training(small(*WIDE, *overrides))
    assert set_up(training, is_settled=False)[0] == []
    return training


def chosen(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> str:
    times = {"pytorch": 2.0, "": 2.0, "rows": 2.0} | seconds
    monkeypatch.setattr(convolution_times, "_measure", lambda *_: times)
    written().unlink(missing_ok=True)
    return set_up_training().numerics.convolutions


def test_auto_takes_what_measures_as_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, **{"": 1.0}) == f"winograd {LAYER}"
    assert chosen(monkeypatch, rows=0.9, **{"": 1.0}) == f"winograd {LAYER}:rows"
    assert chosen(monkeypatch, rows=1.99, **{"": 1.99}) == ""


def test_a_job_trains_with_the_fastest_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(layer: str, *_: int) -> dict[str, float]:
        return {"pytorch": 2.0} | {form: 1.0 if form else 1.5 for form in forms_of(layer)}

    monkeypatch.setattr(convolution_times, "_measure", measure)
    forms = set_up_training("model.blocks=[1,1,1]")
    layers = "128x128@4:rows 64x128@7s2:unfolded 64x64@7:rows"
    assert forms.numerics.convolutions == f"winograd {layers}"
    plain = set_up_training("model.blocks=[1,1,1]", "trainer.convolutions=pytorch")
    for training in (forms, plain):
        train(training, [], unsaved(), Interrupt())
    losses = [training.history[-1]["train_loss"] for training in (forms, plain)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_layer_is_measured_once_a_machine_and_the_choice_changes_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = set_up_training()
    assert differences(training, new_training(small(*WIDE))) == []
    (seconds,) = json.loads(written().read_text()).values()
    assert set(seconds[LAYER]) == {"pytorch", "", "rows"}
    assert all(0 < value < 1 for value in seconds[LAYER].values())
    monkeypatch.setattr(convolution_times, "_measure", lambda *_: pytest.fail("measured again"))
    assert set_up_training().numerics == training.numerics


@pytest.mark.parametrize(
    "content",
    [
        "damaged",
        "[" * 100_000,
        {"pytorch": 2.0, "": 1.0},  # of a version that had no form along rows
        {"pytorch": 2.0, "": 1.0, "rows": 2.0, "fft": 0.1},  # of one that has another
        {"pytorch": 2.0, "": 2.0, "unfolded": 1.0},  # of another kind of layer
        {"pytorch": 2.0, "": 1.0, "rows": float("nan")},
        {"pytorch": 2.0, "": 1.0, "rows": -1.0},
        {"pytorch": 2.0, "": 1.0, "rows": True},
        {},
        None,
    ],
)
def test_measurements_that_are_damaged_or_of_other_forms_are_made_again(
    content: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_training()
    (machine,) = json.loads(written().read_text())
    again = {"pytorch": 2.0, "": 2.0, "rows": 1.0}
    monkeypatch.setattr(convolution_times, "_measure", lambda *_: again)
    written().write_text(content if isinstance(content, str) else json.dumps({machine: {LAYER: content}}))
    assert set_up_training().numerics.convolutions == f"winograd {LAYER}:rows"
    assert json.loads(written().read_text()) == {machine: {LAYER: again}}


def test_damage_to_one_machines_measurements_costs_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"pytorch": 2.0, "": 2.0, "rows": 1.0}
    monkeypatch.setattr(convolution_times, "_measure", lambda *_: times)
    damaged = {"one": None, "other": {f"{'6' * 5000}x64@7": times, LAYER: times}}
    written().parent.mkdir(parents=True)
    written().write_text(json.dumps(damaged))
    set_up_training()
    assert [*json.loads(written().read_text()).values()] == [{LAYER: times}, {LAYER: times}]


def test_a_pipe_in_place_of_the_measurements_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution_times, "_measure", lambda *_: {"pytorch": 2.0, "": 1.0, "rows": 2.0})
    written().parent.mkdir(parents=True)
    os.mkfifo(written())
    assert set_up_training().numerics.convolutions == f"winograd {LAYER}"


def test_without_a_folder_for_the_cache_each_process_measures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification says to ignore it
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    monkeypatch.setattr(convolution_times, "_measure", lambda *_: {"pytorch": 2.0, "": 1.0, "rows": 2.0})
    assert cache_file() is None
    assert set_up_training().numerics.convolutions == f"winograd {LAYER}"
    assert list(tmp_path.iterdir()) == []


def test_another_process_that_measures_is_waited_for_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    written().parent.mkdir(parents=True)
    with convolution_times._locked(written().parent):
        monkeypatch.setattr(convolution_times, "LOCK_TIMEOUT", 0.3)
        started = time.monotonic()
        set_up_training()
    assert time.monotonic() - started > 0.3


def test_no_larger_batches_are_measured_than_the_job_has(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []

    def measure(*arguments: Any) -> dict[str, float]:
        batches.append(arguments[2])
        return {"pytorch": 1.0}

    monkeypatch.setattr(convolution_times, "_measure", measure)
    set_up_training("data.batch_size=20")
    set_up_training("data.batch_size=3000")  # of 64 images
    set_up_training("data.batch_size=3000", "data.train_size=1000")
    assert batches == [20, 64, convolution_times.MAX_BATCH]


def test_waiting_for_other_processes_does_not_count_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def delayed(images: Tensor, weight: Tensor) -> Tensor:
        time.sleep(0.2)
        return winograd.convolution(images, weight)

    monkeypatch.setitem(FORMS, "", delayed)
    assert convolution_times._measure(LAYER, 1, 2)[""] < 0.2


def test_forms_can_be_forced_and_are_shown() -> None:
    train(forced := set_up_training("trainer.convolutions=winograd"), [], unsaved(), Interrupt())
    assert str(forced.numerics) == f"cpu, fp32, 1 thread, eager, convolutions winograd {LAYER}"
    train(plain := set_up_training("trainer.convolutions=pytorch"), [], unsaved(), Interrupt())
    assert plain.numerics.convolutions == "pytorch"
    assert not written().exists()
    assert differences(plain, trained(small(*WIDE))) == []
    assert "history" in differences(plain, forced)
    losses = [training.history[-1]["train_loss"] for training in (plain, forced)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    with pytest.raises(UsageError, match=r"trainer\.convolutions=winograd: only with trainer\.device=cpu"):
        resolve(small("trainer.convolutions=winograd", "trainer.precision=bf16").trainer)


def test_a_forced_form_that_no_layer_has_is_noted() -> None:
    notes, _ = set_up(new_training(small("trainer.convolutions=winograd")), is_settled=False)
    assert notes == ["trainer.convolutions=winograd: no layer of this network has such a form"]


def test_a_resumed_job_keeps_its_form_and_an_older_one_has_none() -> None:
    original = Numerics("cpu", "fp32", 1, convolutions=f"winograd {LAYER}:rows")
    assert resume(original.as_dict()) == (original, [])
    older = original.as_dict()
    del older["convolutions"]
    assert resume(older)[0].convolutions == ""
    training = new_training(small(*WIDE))
    assert set_up(training, is_settled=True) == ([], "")
    assert training.numerics.convolutions == ""


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"convolutions": None}, "convolutions is None"),
        ({"threads": "2"}, "threads is '2'"),
        ({"quantised": True}, "quantised is True"),
        ({"convolutions": f"winograd {LAYER}:fft"}, f"convolutions has {LAYER}:fft"),
        ({"convolutions": "winograd 64x64@7s2:rows"}, "convolutions has 64x64@7s2:rows"),
    ],
)
def test_numerics_that_this_version_has_not_are_named(changes: dict[str, Any], named: str) -> None:
    recorded = Numerics("cpu", "fp32", 1).as_dict() | changes
    with pytest.raises(
        UsageError, match=rf"^result\.json: numerics\.{re.escape(named)}, with which this version can't"
    ):
        resume(recorded)
    del recorded["device"]
    with pytest.raises(UsageError, match=r"numerics\."):
        resume(recorded)


def test_pytorchs_own_form_in_bf16_leaves_out_the_products() -> None:
    network = nn.Conv2d(128, 128, 3, padding=1)
    images = torch.randn(4, 128, 2, 2)
    results = []
    for convolutions in ("", "pytorch"):
        numerics = Numerics("cpu", "bf16", 1, convolutions=convolutions)
        with numerics.autocast(), numerics.faster_convolutions():
            results.append(network(images).grad_fn)
    assert [type(function).__name__ for function in results] == ["AddBackward0", "ConvolutionBackward0"]
