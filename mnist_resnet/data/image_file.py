"""Reads image files and prepares them like MNIST's training images.

MNIST's preparation (LeCun, Cortes, Burges, "The MNIST database of handwritten digits"): light ink on black, scaled to
fit a box of 20 × 20 pixels with its aspect ratio kept, and placed with its centre of mass at the centre of 28 × 28
pixels. Other image sizes are prepared in the same way, with the box that their training images fill.

Helpers work on float32 [height, width], brightness or ink from 0 to 255.
"""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mnist_resnet.errors import UsageError

Pixels = NDArray[np.uint8]
Grey = NDArray[np.float32]

MIN_CONTRAST = 24.0
"""Least difference between ink and background, out of 255; an image with less counts as blank."""

_WHITE, _BLACK = 255, 0


def read_image_file(path: Path, channels: int, height: int, width: int, ink_side: int) -> Pixels:
    """Read an image file and prepare it for the network.

    With `channels=1`, an image that already has this size and a pure black or white background keeps its pixels (white
    is inverted); any other image gets MNIST's preparation. With `channels=3`, the image is scaled to fit, padded with
    black.

    Args:
        path: a file in any format that Pillow reads; only its first frame is used.
        channels: channels of the result, 1 or 3.
        height: height of the result, in pixels.
        width: width of the result, in pixels.
        ink_side: longer side of the box that ink is scaled to fit, in pixels.

    Returns:
        uint8 [channels, height, width].

    Raises:
        UsageError: The file is missing, is not an image or is blank, or `channels` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise UsageError(f"{path}: an image file has 1 or 3 channels, but this network takes {channels}")
    image = _open(path)
    if channels == 3:
        fitted = ImageOps.pad(_flatten(image, _WHITE).convert("RGB"), (width, height))
        return np.ascontiguousarray(np.asarray(fitted).transpose(2, 0, 1))
    grey = _to_grey(image)
    prepared = _keep_if_prepared(grey, height, width)
    if prepared is None:
        prepared = _place(_scale(_crop(_extract_ink(grey, path)), min(ink_side, height, width)), height, width)
    return prepared[None]


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                return ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: a folder; give an image file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UsageError(f"{path}: more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels") from None
    except Exception as error:  # Pillow's plugins raise many types on damaged files
        reason = "" if isinstance(error, UnidentifiedImageError) else f" ({str(error).partition(chr(10))[0]})"
        raise UsageError(f"{path}: not a readable image{reason}") from None


def _to_grey(image: Image.Image) -> Grey:
    """Convert to brightness, float32 [height, width] from 0 to 255.

    Transparent parts become white or black, whichever gives more contrast.
    """
    if image.mode.startswith(("I", "F")):
        return _scale_to_255(np.asarray(image).astype(np.float32))
    on_white, on_black = (
        np.asarray(_flatten(image, background).convert("L")).astype(np.float32) for background in (_WHITE, _BLACK)
    )
    return on_black if np.ptp(on_black) > np.ptp(on_white) else on_white


def _scale_to_255(values: Grey) -> Grey:
    """Scale images of more than 8 bits to 0…255: integers have 16 bits (up to 65,535), fractions go up to 1."""
    if not np.isfinite(values).all():
        return np.zeros_like(values)
    peak = float(values.max())
    scale = 255.0 if peak <= 1 else 1.0 if peak <= 255 else 255 / 65535
    bright: Grey = np.clip(values * np.float32(scale), 0, 255)
    return bright


def _flatten(image: Image.Image, background: int) -> Image.Image:
    """Replace transparency by a grey `background`, 0 to 255."""
    if not image.has_transparency_data:
        return image if image.mode in ("L", "RGB") else image.convert("RGB")
    ground = Image.new("RGBA", image.size, (background,) * 3)
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def _keep_if_prepared(grey: Grey, height: int, width: int) -> Pixels | None:
    """Return the pixels of an image that already looks like a training image, or None if it needs preparation."""
    if grey.shape != (height, width) or np.ptp(grey) < MIN_CONTRAST:
        return None
    background = np.median(_border(grey))
    if background < 128 and grey.min() == 0:
        return grey.round().astype(np.uint8)
    if background >= 128 and grey.max() == 255:
        return (255 - grey).round().astype(np.uint8)
    return None


def _extract_ink(grey: Grey, path: Path) -> Grey:
    """Return each pixel's difference from the background, with noise set to 0.

    Ink is lighter or darker than the background, whichever has more energy (sum of squares).

    Raises:
        UsageError: The image is blank.
    """
    border = _border(grey)
    difference = grey - np.median(border)
    lighter, darker = np.clip(difference, 0, None), np.clip(-difference, 0, None)
    ink: Grey = lighter if np.square(lighter).sum() > np.square(darker).sum() else darker
    # Six median absolute deviations are four standard deviations of normal noise; a clean background gives 0.
    noise = 6 * float(np.median(np.abs(border - np.median(border))))
    peak = float(ink.max())
    if peak < max(MIN_CONTRAST, noise):
        raise UsageError(f"{path}: blank, nothing stands out from the background")
    ink[ink < max(0.1 * peak, noise)] = 0
    return ink


def _border(grey: Grey) -> Grey:
    """Return the pixels along the four edges, to a depth of one twentieth of the shorter side: float32 [n]."""
    depth = max(1, min(grey.shape) // 20)
    return np.concatenate(
        [grey[:depth].ravel(), grey[-depth:].ravel(), grey[:, :depth].ravel(), grey[:, -depth:].ravel()]
    )


def _crop(ink: Grey) -> Grey:
    """Crop to the bounding box of all pixels above 0."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scale(ink: Grey, side: int) -> Grey:
    """Fit to a box of `side` × `side` pixels, and stretch to a peak of 255, so that thin strokes do not fade."""
    factor = side / max(ink.shape)
    height, width = (max(1, round(length * factor)) for length in ink.shape)
    shrunk = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR))
    return shrunk * np.float32(255 / shrunk.max())


def _place(ink: Grey, height: int, width: int) -> Pixels:
    """Place on black with the centre of mass as near to (height / 2, width / 2), MNIST's centre, as fits.

    Returns:
        uint8 [height, width].
    """
    canvas = np.zeros((height, width), np.float32)
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
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return canvas.round().astype(np.uint8)
