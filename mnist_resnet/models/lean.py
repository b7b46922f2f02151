"""A small plain convolutional network, 1/290 of the report's parameters: convolutions, batch norm, ReLU, pooling."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from mnist_resnet.models.resnet import BlockNorm

Pool = Literal["max", "average", "stride"]
Head = Literal["max", "average"]


class LeanNetwork(nn.Module):
    """Stages of convolutions at one size each, which halves between them; then a global pool and a linear layer.

    With the default arguments it has 72,666 parameters.

    Args:
        width: channels of the first stage.
        growth: factor on the channels from each stage to the next.
        blocks: convolutions in each stage.
        kernel: odd size of all convolutions but the first.
        stem_kernel: size of the first convolution.
        stem_stride: of the first convolution; 2 halves the image before anything is computed at full size.
        pool: what halves the size between stages: `max`, `average` (both 2 × 2; the last row of an odd size counts),
            `stride` (of the next stage's first convolution).
        head: what makes one number of each last feature map: `max`, `average`.
        block_norm: batch norms after convolutions: `none` (they have biases instead), `after_repeats` (after
            convolutions 2, 3, … of each stage), `after_every`.
        dropout: share of the pooled features that is zeroed in training, 0 ≤ dropout < 1.
        logit_scale: factor on the logits; below 1 it softens what is learnt first.
        channels: of the input images.
        classes: logits for each image.
    """

    def __init__(
        self,
        width: int = 16,
        growth: float = 2.0,
        blocks: Sequence[int] = (2, 2, 2),
        kernel: int = 3,
        stem_kernel: int = 3,
        stem_stride: int = 1,
        pool: Pool = "max",
        head: Head = "max",
        block_norm: BlockNorm = "after_every",
        dropout: float = 0.0,
        logit_scale: float = 1.0,
        channels: int = 1,
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.logit_scale = logit_scale
        layers: list[nn.Module] = []
        before = channels
        for stage, repeats in enumerate(blocks):
            after = max(1, round(width * growth**stage))
            if stage and pool != "stride":
                layers.append(nn.MaxPool2d(2, ceil_mode=True) if pool == "max" else nn.AvgPool2d(2, ceil_mode=True))
            for repeat in range(repeats):
                is_stem, halves = not layers, stage > 0 and repeat == 0 and pool == "stride"
                size, stride = (stem_kernel, stem_stride) if is_stem else (kernel, 2 if halves else 1)
                has_norm = block_norm == "after_every" or (block_norm == "after_repeats" and repeat > 0)
                layers += _block(before, after, size, stride, has_norm)
                before = after
        self.stages = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.AdaptiveMaxPool2d(1) if head == "max" else nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(before, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float [batch, classes], of normalised images, float [batch, channels, height, width]."""
        logits: Tensor = self.head(self.stages(images))
        return logits * self.logit_scale


def _block(before: int, after: int, kernel: int, stride: int, has_norm: bool) -> list[nn.Module]:
    # An even size is divided by the stride exactly under this padding, whichever of kernel and stride is odd.
    padding = (kernel - stride + 1) // 2
    convolution = nn.Conv2d(before, after, kernel, stride=stride, padding=padding, bias=not has_norm)
    return [convolution, *([nn.BatchNorm2d(after)] if has_norm else []), nn.ReLU(inplace=True)]
