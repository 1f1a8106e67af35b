"""Pictures of every kind: which load, as what, and what the others are told."""

import contextlib
import io
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dsp_viz.images import Frame, ImageError, fit, read_image, to_tensor

DATA = Path(__file__).parent / "data"

#: Every file and the size it must load at.
LOADS = {
    "animated.gif": (160, 107),
    "animated.png": (160, 107),
    "bilevel.png": (451, 300),
    "bomb_extents.gif": (100, 100),  # its first frame is an ordinary one
    "cmyk.jpg": (451, 300),
    "cmyk_adobe.jpg": (100, 100),
    "comment_html.jpg": (226, 150),
    "exif_broken_dpi.jpg": (100, 100),
    "exif_multiple.jpg": (1, 1),
    "exif_orientation_1.jpg": (226, 150),
    "exif_orientation_3.jpg": (226, 150),
    "exif_orientation_4.jpg": (226, 150),
    "exif_orientation_6.jpg": (226, 150),
    "first_frame_transparent.gif": (75, 50),
    "gray.jpg": (451, 300),
    "gray16.png": (256, 256),
    "gray_trns.png": (64, 64),
    "icc_profile.png": (57, 57),
    "icon.ico": (16, 16),
    "large_6000x4000.jpg": (6000, 4000),
    "no_extension": (226, 150),
    "noise.png": (96, 96),
    "photo.bmp": (113, 75),
    "png_named.jpg": (226, 150),
    "progressive.jpg": (300, 200),
    "rgb_trns.png": (64, 64),
    "rgba_transparent.png": (226, 150),
    "size_1x1.png": (1, 1),
    "size_1x300.png": (1, 300),
    "size_2x2.png": (2, 2),
    "size_4000x8.png": (4000, 8),
    "solid_black.jpg": (224, 224),
    "spaces in name.jpg": (226, 150),
}

#: Every other file and a part of what the person is told.
REFUSED = {
    "bomb_40000x40000_1bit.png": "too large",
    "bomb_header_only.png": "too large",
    "bomb_zero_dim.png": "not a picture",
    "broken.png": "not a picture",
    "empty.jpg": "empty",
    "script.svg": "not a picture",
    "text.jpg": "not a picture",
    "truncated.png": "incomplete",
    "truncated_half.jpg": "incomplete",
    "truncated_header.jpg": "damaged",
}


def pixels(name: str) -> np.ndarray:
    return np.asarray(read_image(DATA / name)).astype(float)


def test_every_file_is_covered() -> None:
    assert sorted([*LOADS, *REFUSED]) == sorted(p.name for p in DATA.iterdir() if p.name != "README.md")


@pytest.mark.parametrize("name", LOADS)
def test_loads_as_upright_rgb(name: str) -> None:
    picture = read_image(DATA / name)
    assert (picture.mode, picture.size, picture.info) == ("RGB", LOADS[name], {})
    square, frame = fit(picture, side=128, patch=8)
    assert (square.size, frame.grid) == ((128, 128), (16, 16))


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(DATA / name)
    message = str(caught.value)
    assert REFUSED[name] in message
    assert message.endswith(".")
    assert str(DATA) not in message


def test_bombs_cost_no_memory() -> None:
    program = (
        "import resource, sys\n"
        "from dsp_viz.images import ImageError, read_image\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "for path in sys.argv[1:]:\n"
        "    try: read_image(path)\n"
        "    except ImageError: pass\n"
        "print(peak() - before)\n"
    )
    bombs = [str(path) for path in DATA.glob("bomb_*")]
    run = subprocess.run(
        [sys.executable, "-c", program, *bombs],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=DATA.parent.parent,
    )
    assert len(bombs) == 4
    assert int(run.stdout) < 50 * 1024 * (1024 if sys.platform == "darwin" else 1)


def test_more_than_25_megapixels_name_both_sizes() -> None:
    buffer = io.BytesIO()
    Image.new("1", (6250, 4001)).save(buffer, "PNG")
    with pytest.raises(ImageError, match=r"6250×4001 pixels .25 megapixels.*at most 25 megapixels"):
        read_image(buffer.getvalue())


def test_orientation_is_applied() -> None:
    upright = pixels("exif_orientation_1.jpg")
    for turned in ("exif_orientation_3.jpg", "exif_orientation_4.jpg", "exif_orientation_6.jpg"):
        assert np.abs(pixels(turned) - upright).mean() < 3


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    with Image.open(DATA / "gray16.png") as picture:
        raw = np.asarray(picture).astype(float)
    assert raw.max() > 255
    np.testing.assert_allclose(pixels("gray16.png"), np.repeat((raw / 257)[..., None], 3, -1), atol=0.5)


def test_float_and_long_integer_gray() -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    expected = np.rint(ramp * 255)
    for values in (ramp, ramp * 1e6 - 5e5, (ramp * 1e9).astype(np.int32)):
        got = np.asarray(read_image(Image.fromarray(values)))[..., 0]
        np.testing.assert_allclose(got, expected, atol=1)


def test_transparency_lies_on_white() -> None:
    assert (pixels("rgba_transparent.png")[0] == 255).all()
    key = Image.new("RGB", (4, 4), (10, 20, 30))
    key.putpixel((1, 2), (200, 0, 0))
    buffer = io.BytesIO()
    key.save(buffer, "PNG", transparency=(10, 20, 30))
    got = read_image(buffer.getvalue())
    assert (got.getpixel((0, 0)), got.getpixel((1, 2))) == ((255, 255, 255), (200, 0, 0))


def test_the_first_frame_counts() -> None:
    with Image.open(DATA / "animated.png") as picture:
        first = np.asarray(picture.convert("RGB")).astype(float)
        picture.seek(1)
        second = np.asarray(picture.convert("RGB")).astype(float)
    got = pixels("animated.png")
    assert np.abs(got - first).mean() < 1
    assert np.abs(got - second).mean() > 20


def test_path_bytes_file_and_picture_are_the_same(tmp_path: Path) -> None:
    path = DATA / "progressive.jpg"
    want = read_image(path).tobytes()
    with path.open("rb") as file, Image.open(path) as picture:
        for source in (str(path), path.read_bytes(), file, picture):
            assert read_image(source).tobytes() == want
    with pytest.raises(ImageError, match="cannot be opened"):
        read_image(tmp_path / "absent.png")


def test_threads_do_not_disturb_each_other() -> None:
    names = ["truncated.png", "gray16.png", "exif_orientation_6.jpg", "text.jpg"] * 8
    wrong: list[str] = []

    def work(name: str) -> None:
        try:
            if read_image(DATA / name).size != LOADS.get(name):
                wrong.append(name)
        except ImageError:
            if name in LOADS:
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_grid_is_rows_by_columns() -> None:
    assert Frame((300, 100), (100.0, 0.0, 200.0, 100.0), (40, 80), patch=8).grid == (10, 5)


def test_fit_takes_the_middle() -> None:
    picture = Image.new("RGB", (30, 10), (255, 0, 0))
    picture.paste((0, 0, 255), (10, 0, 20, 10))
    square, frame = fit(picture, side=16, patch=8)
    assert frame.box == (10.0, 0.0, 20.0, 10.0)
    assert square.getpixel((8, 8)) == (0, 0, 255)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (4000, 8), (30, 17)])
def test_fit_of_any_shape(size: tuple[int, int]) -> None:
    square, frame = fit(Image.new("RGB", size, (10, 20, 30)), side=24, patch=8)
    assert (np.asarray(square) == (10, 20, 30)).all()
    left, top, right, bottom = frame.box
    assert right - left == bottom - top == min(size)
    assert (left + right, top + bottom) == size


@pytest.mark.parametrize(
    ("size", "grid"),
    [((300, 200), (5, 8)), ((200, 300), (8, 5)), ((64, 64), (8, 8)), ((4000, 8), (1, 8)), ((800, 699), (7, 8))],
)
def test_fit_of_the_whole_picture(size: tuple[int, int], grid: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, "red")
    picture.paste("blue", (size[0] // 2, 0, *size))
    fitted, frame = fit(picture, side=64, patch=8, whole=True)
    assert (frame.grid, frame.box) == (grid, (0, 0, *size))
    assert fitted.size == frame.input_size == (8 * grid[1], 8 * grid[0])
    assert fitted.getpixel((2, 2)) == (255, 0, 0)
    assert fitted.getpixel((fitted.width - 2, 2)) == (0, 0, 255)


def test_fit_is_antialiased() -> None:
    """A board of single black and white pixels, ten times too fine for the result, turns gray."""
    board = np.indices((300, 300)).sum(0) % 2 * 255
    square, _ = fit(Image.fromarray(np.stack([board] * 3, -1).astype(np.uint8)), side=30, patch=5)
    assert np.abs(np.asarray(square)[2:-2, 2:-2].astype(int) - 127.5).max() < 3


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "ICO", "WEBP", "AVIF", "JPEG"])
def test_no_cut_file_lets_another_error_out(kind: str) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    whole = buffer.getvalue()
    assert np.abs(np.asarray(read_image(whole)).astype(float).mean() - noise.mean()) < 8
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        with contextlib.suppress(ImageError):
            assert read_image(whole[:length]).mode == "RGB"


def test_tensor_by_hand() -> None:
    picture = Image.new("RGB", (2, 3), (255, 0, 51))
    got = to_tensor(picture, (0.5, 0.5, 0.1), (0.5, 0.25, 0.2))
    assert got.shape == (1, 3, 3, 2)
    torch.testing.assert_close(got[0, :, 2, 1], torch.tensor([1.0, -2.0, 0.5]))
