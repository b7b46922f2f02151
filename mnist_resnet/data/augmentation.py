"""Random augmentations of training images, computed on the images' device.

An augmentation is an `nn.Module` built with `black`, the normalised value of a black pixel (float32 [channels, 1, 1]).
It maps normalised images, float32 [batch, channels, height, width], to augmented images of the same shape and dtype,
with a separate random draw for each image.

Random numbers come from PyTorch's global generator of the images' device, whose state checkpoints save. No operation
synchronises with the device or branches on a random value, so a CUDA graph can capture an augmentation. There are no
flips: they change digits.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample


class Translate(nn.Module):
    """Shift each image by whole pixels, drawn uniformly from -`pixels` to `pixels` along each axis.

    Args:
        black: float32 [channels, 1, 1], the fill value at the edges.
        pixels: largest shift, 1 or more.
    """

    black: Tensor

    def __init__(self, black: Tensor, pixels: int) -> None:
        super().__init__()
        self.register_buffer("black", black)
        self.pixels = pixels

    def forward(self, images: Tensor) -> Tensor:
        """Augment float32 [batch, channels, height, width]; return the same shape and dtype."""
        count, channels, height, width = images.shape
        margin = self.pixels
        padded = self.black.expand(count, channels, height + 2 * margin, width + 2 * margin).contiguous()
        padded[..., margin : margin + height, margin : margin + width] = images
        top, left = torch.randint(2 * margin + 1, (2, count, 1), device=images.device)
        rows = torch.arange(height, device=images.device) + top
        columns = torch.arange(width, device=images.device) + left
        indices = (rows[:, :, None] * (width + 2 * margin) + columns[:, None, :]).reshape(count, 1, -1)
        return padded.flatten(2).gather(2, indices.expand(-1, channels, -1)).reshape(images.shape)


class Affine(nn.Module):
    """Shift, rotate, scale and shear each image about its centre, with bilinear interpolation.

    Each parameter is drawn uniformly from minus to plus its limit.

    Args:
        black: float32 [channels, 1, 1], the fill value at the edges.
        translate: largest shift along each axis, in pixels.
        rotate: largest rotation, in degrees.
        scale: largest relative change of size, below 1; 0.1 gives factors from 0.9 to 1.1.
        shear: largest horizontal shear, in degrees, below 90.
    """

    black: Tensor

    def __init__(self, black: Tensor, translate: float, rotate: float, scale: float, shear: float) -> None:
        super().__init__()
        self.register_buffer("black", black)
        self.translate, self.rotate, self.scale, self.shear = translate, rotate, scale, shear

    def forward(self, images: Tensor) -> Tensor:
        """Augment float32 [batch, channels, height, width]; return the same shape and dtype."""
        # grid_sample fills with 0 outside of the image, so shift black to 0 and back.
        sampled = grid_sample(images - self.black, self.sampling_grid(images), align_corners=False)
        return sampled.add_(self.black)

    def sampling_grid(self, images: Tensor) -> Tensor:
        """Draw the source coordinates of each output pixel.

        Args:
            images: float32 [batch, channels, height, width]; only the shape and device are used.

        Returns:
            float32 [batch, height, width, 2], (x, y) in `grid_sample`'s coordinates from -1 to 1.
        """
        # affine_grid measures in half images. The matrices are built on the device, without a copy from the host.
        height, width = images.shape[2:]
        (a, b, c), (d, e, f) = (row.unbind(1) for row in self.random_matrices(images).unbind(1))
        top = torch.stack([a, b * (height / width), c * (2 / width)], dim=1)
        bottom = torch.stack([d * (width / height), e, f * (2 / height)], dim=1)
        return affine_grid(torch.stack([top, bottom], dim=1), list(images.shape), align_corners=False)

    def random_matrices(self, images: Tensor) -> Tensor:
        """Draw one affine matrix for each image: float32 [batch, 2, 3], as `affine_matrices` returns them."""
        right, down, angle, scale, shear = torch.rand(5, len(images), device=images.device).mul_(2).sub_(1)
        return affine_matrices(
            self.translate * right,
            self.translate * down,
            self.rotate * angle,
            1 + self.scale * scale,
            self.shear * shear,
        )


def affine_matrices(right: Tensor, down: Tensor, degrees: Tensor, scale: Tensor, shear: Tensor) -> Tensor:
    """Return the matrices that map output to input coordinates, in pixels from the image's centre.

    The output is the input sheared (its upper half to the right), scaled, rotated clockwise and shifted, in this order.

    Args:
        right: float32 [batch], shift to the right in pixels.
        down: float32 [batch], downward shift in pixels.
        degrees: float32 [batch], clockwise rotation.
        scale: float32 [batch], factor on the size.
        shear: float32 [batch], degrees.

    Returns:
        float32 [batch, 2, 3], to be multiplied by (x, y, 1).
    """
    sine, cosine = torch.sin(torch.deg2rad(degrees)), torch.cos(torch.deg2rad(degrees))
    tangent = torch.tan(torch.deg2rad(shear))
    # Invert each step: shift, rotation by [[cos, sin], [-sin, cos]], scale, shear by [[1, tan], [0, 1]].
    top = torch.stack([cosine - tangent * sine, sine + tangent * cosine], dim=1)
    bottom = torch.stack([-sine, cosine], dim=1)
    matrices = torch.stack([top, bottom], dim=1) / scale[:, None, None]
    shifts = -matrices @ torch.stack([right, down], dim=1)[:, :, None]
    return torch.cat([matrices, shifts], dim=2)


class Elastic(Affine):
    """`Affine` plus a smooth random displacement field (elastic distortion).

    Source: Simard, Steinkraus and Platt 2003, "Best Practices for Convolutional Neural Networks Applied to Visual
    Document Analysis", section 2. The paper draws uniform noise from -1 to 1 for every pixel, smooths it by a Gaussian
    and multiplies it by `alpha`.

    Here, noise is drawn on a lattice with spacing `sigma` and is `sigma` times as strong. The field has the same
    covariance up to a relative error of about 2 exp(-π²), one ten-thousandth, along each axis (Poisson summation). It
    takes a fifth of the random numbers and far fewer multiplications. The lattice extends two `sigma` beyond the edges.

    Args:
        black: float32 [channels, 1, 1], the fill value at the edges.
        translate: largest shift along each axis, in pixels.
        rotate: largest rotation, in degrees.
        scale: largest relative change of size, below 1.
        shear: largest horizontal shear, in degrees, below 90.
        alpha: strength; the displacement along each axis has a standard deviation of 0.163 alpha / sigma pixels.
        sigma: standard deviation of the Gaussian, in pixels.
    """

    def __init__(
        self, black: Tensor, translate: float, rotate: float, scale: float, shear: float, alpha: float, sigma: float
    ) -> None:
        super().__init__(black, translate, rotate, scale, shear)
        self.alpha, self.sigma = alpha, sigma

    def sampling_grid(self, images: Tensor) -> Tensor:
        """Draw the source coordinates of each output pixel: float32 [batch, height, width, 2], as in `Affine`."""
        height, width = images.shape[2:]
        rows, columns = self._gaussian_weights(height, images.device), self._gaussian_weights(width, images.device)
        noise = torch.rand(len(images), 2, rows.shape[1], columns.shape[1], device=images.device).mul_(2).sub_(1)
        right, down = (self.alpha * self.sigma * (rows @ noise @ columns.T)).unbind(1)
        return super().sampling_grid(images) + torch.stack([right * (2 / width), down * (2 / height)], dim=3)

    def _gaussian_weights(self, size: int, device: torch.device) -> Tensor:
        """Return the weight of each lattice point at each pixel: float32 [size, points]."""
        points = (torch.arange(math.ceil((size - 1) / self.sigma) + 5, device=device) - 2) * self.sigma
        distances = torch.arange(size, device=device)[:, None] - points
        return torch.exp(-0.5 * (distances / self.sigma) ** 2) / (self.sigma * math.sqrt(2 * math.pi))
