"""Changes to training images that keep their class, drawn anew for each image and made on its device.

An augmentation is built with `black`, what a black pixel is once normalised, and called with normalised images,
float32 [batch, channels, height, width]; it gives as many of the same shape. All is drawn from PyTorch's global
generator of the images' device, which checkpoints save; nothing waits for the device or branches on what was drawn,
so that a CUDA graph can capture it. There are no flips: they change digits.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample


class Translate(nn.Module):
    """Shifts by whole pixels, evenly drawn from -`pixels` to `pixels` along each axis.

    Args:
        black: float32 [channels, 1, 1], what comes in at the edges.
        pixels: the most, 1 or more.
    """

    black: Tensor

    def __init__(self, black: Tensor, pixels: int) -> None:
        super().__init__()
        self.register_buffer("black", black)
        self.pixels = pixels

    def forward(self, images: Tensor) -> Tensor:
        """Shapes as the module says."""
        count, channels, height, width = images.shape
        most = self.pixels
        padded = self.black.expand(count, channels, height + 2 * most, width + 2 * most).contiguous()
        padded[..., most : most + height, most : most + width] = images
        down, right = torch.randint(2 * most + 1, (2, count, 1), device=images.device)
        rows = torch.arange(height, device=images.device) + down
        columns = torch.arange(width, device=images.device) + right
        places = (rows[:, :, None] * (width + 2 * most) + columns[:, None, :]).reshape(count, 1, -1)
        return padded.flatten(2).gather(2, places.expand(-1, channels, -1)).reshape(images.shape)


class Affine(nn.Module):
    """Shifts, turns, scales and shears about the image's middle, each evenly drawn up to its most in either direction.

    Pixels between the old ones are interpolated bilinearly.

    Args:
        black: float32 [channels, 1, 1], what comes in at the edges.
        translate: pixels along each axis.
        rotate: degrees.
        scale: share of the size, below 1.
        shear: degrees, below 90; rows are moved along themselves.
    """

    black: Tensor

    def __init__(self, black: Tensor, translate: float, rotate: float, scale: float, shear: float) -> None:
        super().__init__()
        self.register_buffer("black", black)
        self.translate, self.rotate, self.scale, self.shear = translate, rotate, scale, shear

    def forward(self, images: Tensor) -> Tensor:
        """Shapes as the module says."""
        # What lies outside of an image is 0 for grid_sample, so black is made 0 for it.
        sampled = grid_sample(images - self.black, self.places(images), align_corners=False)
        return sampled.add_(self.black)

    def places(self, images: Tensor) -> Tensor:
        """Where in each image its new pixels come from: float32 [batch, height, width, 2], as grid_sample counts."""
        # affine_grid counts half an image as 1 along either axis; built without a copy from the host.
        height, width = images.shape[2:]
        (a, b, c), (d, e, f) = (row.unbind(1) for row in self.maps(images).unbind(1))
        top = torch.stack([a, b * (height / width), c * (2 / width)], dim=1)
        bottom = torch.stack([d * (width / height), e, f * (2 / height)], dim=1)
        return affine_grid(torch.stack([top, bottom], dim=1), list(images.shape), align_corners=False)

    def maps(self, images: Tensor) -> Tensor:
        """A draw for each image, as `affine_maps` gives it: float32 [batch, 2, 3]."""
        across, down, turn, size, lean = torch.rand(5, len(images), device=images.device).mul_(2).sub_(1)
        return affine_maps(
            self.translate * across, self.translate * down, self.rotate * turn, 1 + self.scale * size, self.shear * lean
        )


def affine_maps(across: Tensor, down: Tensor, degrees: Tensor, scale: Tensor, shear: Tensor) -> Tensor:
    """For each image, the map from places in the new one to places in the old one, in pixels from the middle.

    The new image is the old one sheared (what is above its middle to the right), scaled, turned clockwise and shifted,
    in this order.

    Args:
        across: float32 [batch], pixels to the right.
        down: float32 [batch], pixels downwards.
        degrees: float32 [batch].
        scale: float32 [batch], factor on its size.
        shear: float32 [batch], degrees.

    Returns:
        float32 [batch, 2, 3], to be multiplied by (x, y, 1).
    """
    sine, cosine = torch.sin(torch.deg2rad(degrees)), torch.cos(torch.deg2rad(degrees))
    tangent = torch.tan(torch.deg2rad(shear))
    # Backwards: unshift, unturn by [[cos, sin], [-sin, cos]], unscale, unshear by [[1, tan], [0, 1]].
    top = torch.stack([cosine - tangent * sine, sine + tangent * cosine], dim=1)
    bottom = torch.stack([-sine, cosine], dim=1)
    matrices = torch.stack([top, bottom], dim=1) / scale[:, None, None]
    shifts = -matrices @ torch.stack([across, down], dim=1)[:, :, None]
    return torch.cat([matrices, shifts], dim=2)


class Elastic(Affine):
    """As `Affine`, and each pixel is displaced a little, its neighbours alike.

    Simard, Steinkraus and Platt 2003, "Best Practices for Convolutional Neural Networks Applied to Visual Document
    Analysis", section 2. There, noise drawn for every pixel, evenly from -1 to 1, is smoothed by a Gaussian and
    multiplied by `alpha`. Noise on a lattice of points `sigma` apart, `sigma` times as strong, gives a field of the
    same covariance, to some 2 exp(-π²), a ten-thousandth, along each axis (Poisson's summation), for a fifth of the
    random numbers and far fewer products. The lattice goes on two `sigma` beyond the edges.

    Args:
        black: as for `Affine`, and so `translate`, `rotate`, `scale` and `shear`.
        translate: pixels.
        rotate: degrees.
        scale: share.
        shear: degrees.
        alpha: strength; along each axis pixels are displaced by 0.163 alpha / sigma (standard deviation).
        sigma: the Gaussian's standard deviation in pixels.
    """

    def __init__(
        self, black: Tensor, translate: float, rotate: float, scale: float, shear: float, alpha: float, sigma: float
    ) -> None:
        super().__init__(black, translate, rotate, scale, shear)
        self.alpha, self.sigma = alpha, sigma

    def places(self, images: Tensor) -> Tensor:
        """Shapes as in `Affine`."""
        height, width = images.shape[2:]
        rows, columns = self._smoothing(height, images.device), self._smoothing(width, images.device)
        noise = torch.rand(len(images), 2, rows.shape[1], columns.shape[1], device=images.device).mul_(2).sub_(1)
        across, down = (self.alpha * self.sigma * (rows @ noise @ columns.T)).unbind(1)
        return super().places(images) + torch.stack([across * (2 / width), down * (2 / height)], dim=3)

    def _smoothing(self, size: int, device: torch.device) -> Tensor:
        """The Gaussian at each pixel for each point of the lattice: float32 [size, points]."""
        points = (torch.arange(math.ceil((size - 1) / self.sigma) + 5, device=device) - 2) * self.sigma
        distances = torch.arange(size, device=device)[:, None] - points
        return torch.exp(-0.5 * (distances / self.sigma) ** 2) / (self.sigma * math.sqrt(2 * math.pi))
