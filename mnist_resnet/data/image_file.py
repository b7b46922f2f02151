"""A picture of a digit, however it was made, becomes an image as the network was trained on.

MNIST's own recipe (LeCun, Cortes, Burges, "The MNIST database of handwritten digits"): light ink on black, scaled to
fit a box of 20 × 20 pixels with its aspect kept, and placed with its centre of mass at the middle of 28 × 28. Other
sizes keep the recipe, with the box that their training images fill.
"""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mnist_resnet.errors import UsageError

Pixels = NDArray[np.uint8]
Grey = NDArray[np.float32]

FAINTEST = 24.0
"""Ink must differ from its ground by this much of 255, or the picture counts as blank."""

_WHITE, _BLACK = 255, 0


def read_picture(path: Path, channels: int, height: int, width: int, ink_side: int) -> Pixels:
    """The image file as uint8 [channels, height, width].

    An image of that very size on pure black, or on pure white, keeps its pixels (white ground is inverted). With one
    channel every other one goes through MNIST's recipe; with three it is scaled to fit and padded with black.

    Args:
        path: of any format that Pillow reads; of several frames the first counts.
        channels: 1 or 3.
        height: in pixels.
        width: in pixels.
        ink_side: the box, in pixels, that ink is scaled to fit.

    Raises:
        UsageError: there is no such file, it is no image, it is blank, or `channels` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise UsageError(f"{path}: a picture has 1 or 3 channels, and this network takes {channels}")
    picture = _opened(path)
    if channels == 3:
        fitted = ImageOps.pad(_flattened(picture, _WHITE).convert("RGB"), (width, height))
        return np.ascontiguousarray(np.asarray(fitted).transpose(2, 0, 1))
    grey = _grey(picture)
    ready = _as_trained(grey, height, width)
    if ready is None:
        ready = _placed(_scaled(_cropped(_ink(grey, path)), min(ink_side, height, width)), height, width)
    return ready[None]


def _opened(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
                return ImageOps.exif_transpose(picture)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: a folder, and an image file is wanted") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UsageError(f"{path}: more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels") from None
    except Exception as error:  # Pillow's plugins raise whatever a damaged file makes them meet
        reason = "" if isinstance(error, UnidentifiedImageError) else f" ({str(error).partition(chr(10))[0]})"
        raise UsageError(f"{path}: no image that can be read{reason}") from None


def _grey(picture: Image.Image) -> Grey:
    """Brightness, float32 [height, width] from 0 to 255; transparent parts become the ground that shows the ink."""
    if picture.mode.startswith(("I", "F")):
        return _deep(np.asarray(picture).astype(np.float32))
    on_white, on_black = (
        np.asarray(_flattened(picture, ground).convert("L")).astype(np.float32) for ground in (_WHITE, _BLACK)
    )
    return on_black if np.ptp(on_black) > np.ptp(on_white) else on_white


def _deep(values: Grey) -> Grey:
    """More than 8 bits: 16-bit files run to 65,535; files of fractions to 1."""
    if not np.isfinite(values).all():
        return np.zeros_like(values)
    peak = float(values.max())
    scale = 255.0 if peak <= 1 else 1.0 if peak <= 255 else 255 / 65535
    bright: Grey = np.clip(values * np.float32(scale), 0, 255)
    return bright


def _flattened(picture: Image.Image, ground: int) -> Image.Image:
    if not picture.has_transparency_data:
        return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", picture.size, (ground,) * 3), picture.convert("RGBA")).convert("RGB")


def _as_trained(grey: Grey, height: int, width: int) -> Pixels | None:
    if grey.shape != (height, width) or np.ptp(grey) < FAINTEST:
        return None
    ground = np.median(_border(grey))
    if ground < 128 and grey.min() == 0:
        return grey.round().astype(np.uint8)
    if ground >= 128 and grey.max() == 255:
        return (255 - grey).round().astype(np.uint8)
    return None


def _ink(grey: Grey, path: Path) -> Grey:
    """How far each pixel stands out from the ground, on the side (lighter, darker) where most does; noise becomes 0."""
    border = _border(grey)
    difference = grey - np.median(border)
    lighter, darker = np.clip(difference, 0, None), np.clip(-difference, 0, None)
    ink: Grey = lighter if np.square(lighter).sum() > np.square(darker).sum() else darker
    # Six median deviations are four standard deviations of normal noise; a clean ground has none.
    noise = 6 * float(np.median(np.abs(border - np.median(border))))
    peak = float(ink.max())
    if peak < max(FAINTEST, noise):
        raise UsageError(f"{path}: blank, nothing on it stands out from its ground")
    ink[ink < max(0.1 * peak, noise)] = 0
    return ink


def _border(grey: Grey) -> Grey:
    depth = max(1, min(grey.shape) // 20)
    return np.concatenate(
        [grey[:depth].ravel(), grey[-depth:].ravel(), grey[:, :depth].ravel(), grey[:, -depth:].ravel()]
    )


def _cropped(ink: Grey) -> Grey:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(ink: Grey, side: int) -> Grey:
    """Fitted to a box of `side` pixels, its strongest pixel 255: thin strokes must not fade as they shrink."""
    factor = side / max(ink.shape)
    height, width = (max(1, round(length * factor)) for length in ink.shape)
    shrunk = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR))
    return shrunk * np.float32(255 / shrunk.max())


def _placed(ink: Grey, height: int, width: int) -> Pixels:
    """On black, its centre of mass at (height / 2, width / 2), where MNIST's lie, or as near as it fits."""
    field = np.zeros((height, width), np.float32)
    top, left = (
        int(
            np.clip(
                round(size / 2 - float((ink.sum(axis=1 - axis) * np.arange(length)).sum() / ink.sum())),
                0,
                size - length,
            )
        )
        for axis, (size, length) in enumerate(zip((height, width), ink.shape, strict=True))
    )
    field[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return field.round().astype(np.uint8)
