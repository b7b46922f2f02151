"""The lean network: a small plain convolutional network with 1/290 of the parameters of the report's network."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from mnist_resnet.models.resnet import BlockNorm

Pool = Literal["max", "average", "stride"]
Head = Literal["max", "average"]


class LeanNetwork(nn.Module):
    """Stages of convolutions with batch norm and ReLU, then global pooling, dropout and a linear layer.

    Height and width are halved between stages. With the default arguments the network has 72,666 parameters.

    Args:
        width: channels of the first stage.
        growth: factor on the channels from each stage to the next.
        blocks: number of convolutions in each stage.
        kernel: kernel size of all convolutions but the first; odd.
        stem_kernel: kernel size of the first convolution.
        stem_stride: stride of the first convolution; 2 halves the image before anything is computed at full size.
        pool: downsampling between stages: `max` or `average` pooling (2 × 2, rounding odd sizes up), or `stride` (of
            the next stage's first convolution).
        head: global pooling of the last feature maps: `max` or `average`.
        block_norm: batch norms after convolutions: `none` (biases instead), `after_repeats` (after convolutions 2, 3, …
            of each stage; biases elsewhere), `after_every`.
        dropout: fraction of the pooled features that is zeroed in training, 0 ≤ dropout < 1.
        logit_scale: factor on the logits; below 1 it softens the predictions early in training.
        channels: channels of the input images.
        classes: number of classes.
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
        channels_in = channels
        for stage, repeats in enumerate(blocks):
            channels_out = max(1, round(width * growth**stage))
            if stage and pool != "stride":
                layers.append(nn.MaxPool2d(2, ceil_mode=True) if pool == "max" else nn.AvgPool2d(2, ceil_mode=True))
            for repeat in range(repeats):
                is_stem, halves = not layers, stage > 0 and repeat == 0 and pool == "stride"
                size, stride = (stem_kernel, stem_stride) if is_stem else (kernel, 2 if halves else 1)
                has_norm = block_norm == "after_every" or (block_norm == "after_repeats" and repeat > 0)
                layers += _block(channels_in, channels_out, size, stride, has_norm)
                channels_in = channels_out
        self.stages = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.AdaptiveMaxPool2d(1) if head == "max" else nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(channels_in, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: float [batch, channels, height, width], normalised.

        Returns:
            Logits, float [batch, classes], in the dtype of `images`.
        """
        logits: Tensor = self.head(self.stages(images))
        return logits * self.logit_scale


def _block(channels_in: int, channels_out: int, kernel: int, stride: int, has_norm: bool) -> list[nn.Module]:
    # With this padding, an even size is divided exactly by the stride, whether kernel and stride are odd or even.
    padding = (kernel - stride + 1) // 2
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=padding, bias=not has_norm)
    return [convolution, *([nn.BatchNorm2d(channels_out)] if has_norm else []), nn.ReLU(inplace=True)]
