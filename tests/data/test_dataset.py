import pytest
import torch
from torch import Tensor

from mnist_resnet.data.dataset import DataSet, LabelledImages
from mnist_resnet.errors import UsageError

PIXELS = torch.zeros(4, 1, 28, 28, dtype=torch.uint8)
LABELS = torch.arange(4)


@pytest.mark.parametrize(
    ("pixels", "labels", "says"),
    [
        (PIXELS[:, 0, 0, 0].float(), LABELS, "pixels must be [n, …] with at least two dimensions, not float32 [4]"),
        (PIXELS.squeeze(1), LABELS, "not uint8 [4, 28, 28]"),
        (PIXELS.numpy(), LABELS, "pixels must be a tensor"),
        (PIXELS, LABELS.to(torch.uint8), "labels must be int64 [n], not uint8 [4]"),
        (PIXELS, LABELS.double(), "labels must be int64 [n], or float32 [n, labels], not float64 [4]"),
        (PIXELS, LABELS[:3], "4 images and 3 labels"),
        (PIXELS[:0], LABELS[:0], "there must be at least one image"),
        (PIXELS, LABELS - 1, "a label is -1"),
    ],
)
def test_invalid_tensors_are_a_one_line_error(pixels: Tensor, labels: Tensor, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        LabelledImages(pixels, labels)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_inputs_and_targets_that_are_not_finite_are_named_by_split_and_item(value: float) -> None:
    good = LabelledImages(torch.zeros(4, 3, dtype=torch.float64), torch.zeros(4, 2))
    inputs, targets = good.pixels.clone(), good.labels.clone()
    inputs[2, 1], targets[3, 0] = value, torch.tensor(value)
    with pytest.raises(UsageError, match=r"^data\.test: item 2 has a NaN or an infinity in its input, as float32"):
        DataSet(good, LabelledImages(inputs, good.labels))
    with pytest.raises(UsageError, match=r"^data\.train: item 3 has a NaN or an infinity in its target"):
        DataSet(LabelledImages(good.pixels, targets), good)


def test_training_and_test_images_must_have_the_same_shape() -> None:
    train = LabelledImages(PIXELS, LABELS)
    assert len(DataSet(train, train).test) == 4
    with pytest.raises(UsageError, match=r"training images are \[1, 28, 28\], test images \[1, 14, 28\]"):
        DataSet(train, LabelledImages(PIXELS[:, :, :14], LABELS))
    with pytest.raises(UsageError, match="test must be LabelledImages, not tuple"):
        DataSet(train, (PIXELS, LABELS))  # type: ignore[arg-type]
