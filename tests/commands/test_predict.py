"""The predict command: images of every kind are prepared for the network and classified."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from mnist_resnet import predict
from mnist_resnet.data.image_file import read_image_file
from mnist_resnet.data.sources import digits
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import EXPORTED_MODEL, RESULT, SWEEP, TRACED_MODEL
from mnist_resnet.models.export import export_model
from mnist_resnet.models.model_file import ModelDescription, load_model
from mnist_resnet.models.resnet import ResNet

torch.set_num_threads(1)

Pixels = NDArray[np.uint8]


def seven() -> Pixels:
    """Return a 7 prepared like MNIST, uint8 [28, 28]: drawn large, scaled to 20 × 20, placed by its centre of mass."""
    large = Image.new("L", (400, 400))
    draw = ImageDraw.Draw(large)
    draw.line([(60, 30), (340, 30), (160, 370)], fill=255, width=56, joint="curve")
    shrunk = np.asarray(large.crop(large.getbbox()).resize((17, 20), Image.Resampling.BILINEAR), np.float64)
    top, left = (
        round(14 - float((shrunk.sum(1 - axis) * np.arange(shrunk.shape[axis])).sum() / shrunk.sum()))
        for axis in (0, 1)
    )
    placed = np.zeros((28, 28), np.uint8)
    placed[top : top + 20, left : left + 17] = shrunk
    return placed


def read(path: Path) -> Pixels:
    pixels: Pixels = read_image_file(path, channels=1, height=28, width=28, ink_side=20)[0]
    return pixels


def enlarged(factor: int = 10) -> Image.Image:
    return Image.fromarray(seven()).resize((28 * factor, 28 * factor), Image.Resampling.BICUBIC)


def assert_same_digit(pixels: Pixels) -> None:
    """Assert the same position and strokes: a shift by one pixel gives a mean difference of 12 or more."""
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - seven()).mean() < 6


def test_sweep_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "seed=1").mkdir()
    (tmp_path / "seed=1" / RESULT).write_text("{}")
    (tmp_path / SWEEP).write_text("{}")
    assert predict.main([str(tmp_path), "photo.png"]) == 2
    told = f"error: {tmp_path}: the folder of a sweep; give that of one of its jobs, such as {tmp_path / 'seed=1'}\n"
    assert capsys.readouterr().err == told


def test_assert_same_digit_detects_a_shift_by_one_pixel() -> None:
    for axis in (0, 1):
        with pytest.raises(AssertionError):
            assert_same_digit(np.roll(seven(), 1, axis))


def test_prepared_image_keeps_its_pixels(tmp_path: Path) -> None:
    Image.fromarray(seven()).save(tmp_path / "grey.png")
    Image.fromarray(seven()).convert("RGB").save(tmp_path / "colour.png")
    Image.fromarray(255 - seven()).save(tmp_path / "inverted.png")
    for name in ("grey", "colour", "inverted"):
        assert np.array_equal(read(tmp_path / f"{name}.png"), seven())


def test_real_digits_saved_as_files_keep_their_pixels(tmp_path: Path) -> None:
    for pixels in digits().test.pixels[:100].numpy():
        Image.fromarray(pixels[0]).save(tmp_path / "digit.png")
        assert np.array_equal(read(tmp_path / "digit.png"), pixels[0])


def large_on_white(background: int = 255, ink: tuple[int, int, int] = (20, 20, 90)) -> Image.Image:
    """Return ink on a wide sheet with the digit off centre."""
    mask = enlarged(12)
    sheet = Image.new("RGB", (700, 500), (background,) * 3)
    sheet.paste(Image.new("RGB", mask.size, ink), (310, 40), mask)
    return sheet


def test_dark_ink_on_light_and_light_ink_on_dark(tmp_path: Path) -> None:
    large_on_white().save(tmp_path / "paper.png")
    large_on_white(background=40, ink=(250, 250, 200)).save(tmp_path / "board.png")
    large_on_white(background=170, ink=(90, 40, 40)).save(tmp_path / "faint.png")
    for name in ("paper", "board", "faint"):
        assert_same_digit(read(tmp_path / f"{name}.png"))


def test_noise_in_a_photograph_is_not_ink(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 4, (500, 700, 3))
    noisy = np.clip(np.asarray(large_on_white(background=220), np.float64) + noise, 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "photo.jpg", quality=85)
    assert_same_digit(read(tmp_path / "photo.jpg"))


def test_thin_strokes_do_not_fade(tmp_path: Path) -> None:
    sheet = Image.new("L", (1000, 1000), 255)
    ImageDraw.Draw(sheet).line([(500, 100), (500, 900)], fill=0, width=3)
    sheet.save(tmp_path / "one.png")
    assert read(tmp_path / "one.png").max() == 255


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_every_colour_mode_is_supported(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray(255 - np.asarray(enlarged()))
    if mode == "I;16":
        Image.fromarray(np.asarray(grey, np.uint16) * 257).save(tmp_path / "digit.png")
    else:
        grey.convert("RGB").convert(mode).save(tmp_path / ("digit.tif" if mode == "CMYK" else "digit.png"))
    assert_same_digit(read(next(tmp_path.iterdir())))


@pytest.mark.parametrize("ink", [0, 255])
def test_ink_on_a_transparent_background(tmp_path: Path, ink: int) -> None:
    mask = enlarged()
    picture = Image.new("RGBA", mask.size, (ink, ink, ink, 0))
    picture.putalpha(mask)
    picture.save(tmp_path / "digit.png")
    assert_same_digit(read(tmp_path / "digit.png"))
    picture.quantize(64).save(tmp_path / "palette.png")
    assert_same_digit(read(tmp_path / "palette.png"))


@pytest.mark.parametrize(("orientation", "stored"), [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90)])
def test_camera_rotation_is_undone(tmp_path: Path, orientation: int, stored: Image.Transpose) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    large_on_white().transpose(stored).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    assert_same_digit(read(tmp_path / "photo.jpg"))


def test_other_image_sizes_and_channels(tmp_path: Path) -> None:
    large_on_white().save(tmp_path / "paper.png")
    small = read_image_file(tmp_path / "paper.png", 1, 8, 8, ink_side=8)
    assert small.shape == (1, 8, 8)
    assert small[0].any(axis=1).all(), "its ink reaches from top to bottom"
    colour = read_image_file(tmp_path / "paper.png", 3, 32, 32, ink_side=32)
    assert colour.shape == (3, 32, 32)
    assert not colour[:, 0].any(), "the wide sheet is padded above"
    assert colour[:, 16, 0].tolist() == [255] * 3
    with pytest.raises(UsageError, match="1 or 3 channels, but this network takes 2"):
        read_image_file(tmp_path / "paper.png", 2, 28, 28, ink_side=20)


def test_wide_and_tall_ink_fits_inside(tmp_path: Path) -> None:
    for name, size in {"wide": (900, 40), "tall": (40, 900), "dot": (1, 1)}.items():
        sheet = Image.new("L", (1000, 1000), 255)
        sheet.paste(0, (50, 50, 50 + size[0], 50 + size[1]))
        sheet.save(tmp_path / f"{name}.png")
    assert read(tmp_path / "wide.png").any(axis=0).sum() == 20
    assert read(tmp_path / "tall.png").any(axis=1).sum() == 20
    assert read(tmp_path / "dot.png").any()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("job")
    images = torch.from_numpy(seven())[None, None]
    network = ResNet(width=4, blocks=[1, 1, 1, 1])
    network(torch.randn(64, 1, 28, 28))  # gives the batch norms statistics, so that images differ in their logits
    export_model(network, images, ModelDescription.of(images, 0.1307, 0.3081, 10), folder)
    return folder


@pytest.mark.parametrize("model", ["", EXPORTED_MODEL, TRACED_MODEL])
def test_one_line_per_image_with_class_and_all_probabilities(
    tmp_path: Path, job: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    images: Tensor = torch.from_numpy(np.stack([seven(), seven().T]))[:, None]
    paths = [tmp_path / "a b.png", tmp_path / "ü.png"]
    for path, pixels in zip(paths, images[:, 0].numpy(), strict=True):
        Image.fromarray(pixels).save(path)
    assert predict.main([str(job / model), *map(str, paths)]) == 0
    printed = capsys.readouterr()
    probabilities = load_model(job / EXPORTED_MODEL).log_probabilities(images).exp()
    expected = []
    for path, row in zip(paths, probabilities, strict=True):
        shares = ", ".join(f"{number} {100 * share:.2f} %" for number, share in enumerate(row.tolist()))
        expected.append(f"{path}: {int(row.argmax())}  ({shares})")
    assert printed.out.splitlines() == expected
    assert printed.err == ""
    assert expected[0].partition(":")[2] != expected[1].partition(":")[2]


def blank(path: Path) -> None:
    Image.new("L", (100, 100), 250).save(path)


def no_image(path: Path) -> None:
    path.write_text("not a picture")


def cut_off(path: Path) -> None:
    large_on_white().save(path)
    path.write_bytes(path.read_bytes()[:900])


def bomb(path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(path)


def folder(path: Path) -> None:
    path.mkdir()


def transparent(path: Path) -> None:
    Image.new("RGBA", (50, 50)).save(path)


def missing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize("make", [blank, no_image, cut_off, bomb, folder, transparent, missing])
def test_unreadable_image_prints_one_line_and_exits_with_2(
    tmp_path: Path, job: Path, make: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(seven()).save(tmp_path / "good.png")
    make(tmp_path / "bad.png")
    assert predict.main([str(job), str(tmp_path / "good.png"), str(tmp_path / "bad.png")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {tmp_path / 'bad.png'}: ")
    assert len(printed.err.splitlines()) == 1


def test_every_bad_image_is_reported(tmp_path: Path, job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blank(tmp_path / "blank.png")
    assert predict.main([str(job), str(tmp_path / "blank.png"), str(tmp_path / "missing.png")]) == 2
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "blank, nothing stands out from the background",
        "no such file",
    ]


@pytest.mark.parametrize("model", ["missing", "missing.pt2", "empty"])
def test_missing_model_prints_one_line(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert predict.main([str(tmp_path / model), "any.png"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / model}: ")
