"""Whether a network returns what the targets ask for, such as one output for each class."""

from torch import Tensor

from mnist_resnet.config.schema import Config
from mnist_resnet.data.targets import Kind
from mnist_resnet.errors import UsageError


def check_outputs(config: Config, logits: Tensor, labels: Tensor, kind: Kind) -> None:
    """Check the shape of a batch's outputs; more of them than classes train without an error, and to no purpose.

    Only what PyTorch's own losses need is asked for: for a loss or a step of the user's, further outputs may be the
    point, such as one for no answer. Numbers are checked where they are judged (`summed_loss`).

    Args:
        config: the job's config.
        logits: what the network returns for a batch.
        labels: the batch's targets, int64 [batch] or [batch, tokens], or float32 [batch, labels].
        kind: the kind of the targets.

    Raises:
        UsageError: They are of another shape.
    """
    classes = config.data.classes
    if classes is None:
        return
    shape = list(logits.shape)
    expected = [len(labels), classes, *(labels.shape[1:] if kind == "classes" else [])]
    has_more = kind == "classes" and len(shape) > 1 and shape[1] > classes and not asks_for_classes(config)
    if shape != (expected[:1] + shape[1:2] + expected[2:] if has_more else expected):
        raise UsageError(
            f"model._target_={config.model.target}: returns {shape} for {len(labels)} images or other inputs; "
            f"data.classes={classes} asks for {expected}"
        )


def asks_for_classes(config: Config) -> bool:
    """Return whether loss and step are known to take one output for each class, and no others."""
    step = config.training.step
    return config.loss.target.startswith("torch.") and (step is None or step.target.startswith("mnist_resnet."))
