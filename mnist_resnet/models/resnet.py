"""The report's network: a ResNet-34 for one-channel images, with two variants of the stem.

Sources: the report's tables ("Network") for the layout and its variants; He et al. 2016, "Deep Residual Learning for
Image Recognition", figure 5 left, for the residual block.
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

Stem = Literal["3x3", "7x7"]
BlockNorm = Literal["none", "after_repeats", "after_every"]


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions with a shortcut around them.

    The first convolution applies the stride and the change of channels. The shortcut is the identity, or a 1 × 1
    convolution with batch norm if the shape changes.

    Args:
        channels_in: channels of the input.
        channels_out: channels of the output.
        stride: factor that divides height and width.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False), nn.BatchNorm2d(channels_out)
            )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """Compute the block's output.

        Args:
            features: float [batch, channels_in, height, width].

        Returns:
            float [batch, channels_out, ceil(height / stride), ceil(width / stride)], in the dtype of `features`.
        """
        residual: Tensor = self.residual(features)
        activated: Tensor = self.activation(residual + self.shortcut(features))
        return activated


class ResNet(nn.Module):
    """The report's classifier: stem, four stages of residual blocks, average pooling, dropout, linear layer.

    With the default width and blocks, a 3 × 3 stem and `block_norm="none"`, it has 21,280,970 parameters.

    Args:
        stem: first convolution, `3x3` with stride 1, or `7x7` with stride 2 (the report's first attempt).
        width: channels of the stem and the first stage; each later stage doubles them.
        blocks: number of residual blocks in each stage.
        block_norm: extra batch norms after residual blocks: `none`; `after_repeats`, as in the report's code (after
            blocks 2, 3, … of each stage); `after_every`, as in the report's text (after every block).
        dropout: fraction of the pooled features that is zeroed in training, 0 ≤ dropout < 1.
        channels: channels of the input images.
        classes: number of classes.
    """

    def __init__(
        self,
        stem: Stem = "3x3",
        width: int = 64,
        blocks: Sequence[int] = (3, 4, 6, 3),
        block_norm: BlockNorm = "after_repeats",
        dropout: float = 0.3,
        channels: int = 1,
        classes: int = 10,
    ) -> None:
        super().__init__()
        kernel, stride = (3, 1) if stem == "3x3" else (7, 2)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.LeakyReLU(0.01, inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        widths = [width * 2**stage for stage in range(len(blocks))]
        self.stages = nn.Sequential(
            *(
                _stage(before, after, repeats, stride=1 if before == after else 2, block_norm=block_norm)
                for before, after, repeats in zip([width, *widths[:-1]], widths, blocks, strict=True)
            )
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(widths[-1], classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: float [batch, channels, height, width], normalised.

        Returns:
            Logits, float [batch, classes], in the dtype of `images`.
        """
        logits: Tensor = self.head(self.stages(self.stem(images)))
        return logits


def _stage(channels_in: int, channels_out: int, repeats: int, stride: int, block_norm: BlockNorm) -> nn.Sequential:
    layers: list[nn.Module] = []
    for repeat in range(repeats):
        first = repeat == 0
        layers.append(ResidualBlock(channels_in if first else channels_out, channels_out, stride if first else 1))
        if block_norm == "after_every" or (block_norm == "after_repeats" and not first):
            layers.append(nn.BatchNorm2d(channels_out))
    return nn.Sequential(*layers)
