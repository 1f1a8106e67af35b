"""Pictures of every kind: which load, as what, and what the others are told."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import hostile_pictures as hostile
import numpy as np
import pillow_heif
import pytest
import torch
from PIL import Image

from dsp_viz import framing, reading, structure
from dsp_viz.images import FORMATS, MAX_BYTES, Frame, ImageError, fit, read_image, to_tensor

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
    "icon.ico": "not a picture",
    "script.svg": "not a picture",
    "text.jpg": "not a picture",
    "truncated.png": "incomplete",
    "truncated_half.jpg": "incomplete",
    "truncated_header.jpg": "damaged",
}


def pixels(name: str) -> np.ndarray:
    return np.asarray(read_image(DATA / name)).astype(float)


def test_every_file_is_covered() -> None:
    assert sorted([*LOADS, *REFUSED]) == sorted(p.name for p in DATA.iterdir() if p.is_file() and p.name != "README.md")


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


@pytest.mark.parametrize(
    ("size", "whole", "expected"),
    [((6000, 4000), False, (1024, 1024)), ((6000, 4000), True, (1024, 704)), ((451, 300), False, (300, 300)),
     ((4000, 8), True, (1024, 64)), ((1, 300), False, (1, 1))],
)  # fmt: skip
def test_the_sharp_picture_has_the_crop_s_own_resolution(
    size: tuple[int, int], whole: bool, expected: tuple[int, int]
) -> None:
    used = framing.frame(size, side=256, patch=16, whole=whole)
    assert framing.sharp_size(used) == expected


def test_the_sharp_picture_shows_what_the_model_saw() -> None:
    picture = Image.new("RGB", (40, 20), "red")
    picture.paste("blue", (10, 0, 30, 20))
    _, used = fit(picture, side=8, patch=4)
    sharp = framing.sharp(picture, used)
    assert sharp.size == (20, 20)
    assert sharp.getcolors() == [(400, (0, 0, 255))]


def test_fit_is_antialiased() -> None:
    """A board of single black and white pixels, ten times too fine for the result, turns gray."""
    board = np.indices((300, 300)).sum(0) % 2 * 255
    square, _ = fit(Image.fromarray(np.stack([board] * 3, -1).astype(np.uint8)), side=30, patch=5)
    assert np.abs(np.asarray(square)[2:-2, 2:-2].astype(int) - 127.5).max() < 3


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "AVIF", "JPEG", "HEIC"])
def test_no_cut_file_lets_another_error_out(kind: str) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    if kind == "HEIC":
        pillow_heif.from_pillow(Image.fromarray(noise)).save(buffer)
    else:
        Image.fromarray(noise).save(buffer, kind)
    whole = buffer.getvalue()
    assert np.abs(np.asarray(read_image(whole)).astype(float).mean() - noise.mean()) < 8
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        with contextlib.suppress(ImageError):
            assert read_image(whole[:length]).mode == "RGB"


@pytest.mark.parametrize("kind", ["PPM", "ICO", "JPEG2000", "TGA", "EPS", "PCX"])
def test_formats_that_are_not_named_are_refused(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, kind)
    with pytest.raises(ImageError, match=r"not a picture that can be read\. Allowed are .*\.$") as caught:
        read_image(buffer.getvalue())
    named = str(caught.value).upper()
    assert all(name in named for name in FORMATS)


def test_heic_upright() -> None:
    picture = Image.new("RGB", (64, 32), "red")
    picture.paste("blue", (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    pillow_heif.from_pillow(picture).save(buffer, exif=exif.tobytes(), quality=95)
    assert structure.is_heic(buffer.getvalue())
    got = read_image(buffer.getvalue())
    assert (got.size, got.info) == ((32, 64), {})
    assert np.abs(np.asarray(got)[8, 16].astype(int) - (0, 0, 255)).max() < 16
    assert np.abs(np.asarray(got)[56, 16].astype(int) - (255, 0, 0)).max() < 16


def test_heic_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red")).save(buffer)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"HEIC.*`pip install pillow-heif`.*JPEG\.$"):
        read_image(buffer.getvalue())


@pytest.mark.parametrize("name", hostile.REFUSED)
def test_hostile_files_are_refused_before_they_are_decoded(name: str) -> None:
    make, told = hostile.REFUSED[name]
    with pytest.raises(ImageError) as caught:
        read_image(make())
    assert told in str(caught.value)
    assert str(caught.value).endswith(".")


def test_what_cameras_and_encoders_write_is_not_hostile() -> None:
    assert read_image(hostile.scans(20, side=64)).size == (64, 64)
    assert read_image(hostile.with_chunks(hostile.chunk(b"tEXt", b"a\0b") * 500)).size == (16, 16)
    assert read_image(hostile.with_prelude(b"!\xfe" + (b"\xff" + b"a" * 255) * 99 + b"\0")).size == (16, 16)
    # What is behind the first picture of a file, as a phone's film, is not looked at.
    assert read_image(hostile.with_segments(b"") + b"\xff\xda\0\4" * 1000).size == (16, 16)


def exif(orientation: int, size: int) -> bytes:
    head = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return head.ljust(size, b"\0")


@pytest.mark.parametrize(("size", "upright"), [(60_000, (40, 20)), (70_000, (20, 40))])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_over_64_kb_is_ignored(kind: str, size: int, upright: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    picture = Image.new("RGB", (20, 40), "red")
    if kind == "JPEG":
        picture.save(buffer, kind)
        blocks = exif(6, size)
        segments = [blocks[:60_000]] + ([b"Exif\0\0" + blocks[60_000:]] if blocks[60_000:] else [])
        data = buffer.getvalue()
        data = data[:2] + b"".join(hostile.segment(0xE1, block) for block in segments) + data[2:]
    elif kind == "PNG":
        picture.save(buffer, kind)
        data = buffer.getvalue()
        data = data[:33] + hostile.chunk(b"eXIf", exif(6, size)[6:]) + data[33:]
    else:
        picture.save(buffer, kind, exif=exif(6, size))
        data = buffer.getvalue()
    assert read_image(data).size == upright


def test_only_ordinary_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path / "link", "/dev/tty", tmp_path):
        with pytest.raises(ImageError) as caught:
            read_image(path)
        assert str(caught.value).endswith(".")
    (tmp_path / "good").symlink_to(DATA / "noise.png")
    assert read_image(tmp_path / "good").size == (96, 96)


def test_endless_files_are_not_read_to_their_end(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ImageError, match="larger than 32 MB"):
        read_image(path)
    with Path("/dev/zero").open("rb") as endless, pytest.raises(ImageError, match="larger than 32 MB"):
        read_image(endless)
    assert MAX_BYTES == 32 * 2**20


def test_what_is_no_picture_is_told_so(tmp_path: Path) -> None:
    closed = (DATA / "noise.png").open("rb")
    closed.close()
    (tmp_path / "text").write_text("no picture")
    with (tmp_path / "text").open() as text, (DATA / "noise.png").open() as undecodable:
        sources = [None, 3, [1, 2], {}, object(), Image, closed, text, undecodable, io.StringIO("a"), "a\0b", b"", ""]
        for source in sources:
            with pytest.raises(ImageError) as caught:
                read_image(source)  # type: ignore[arg-type]
            assert str(caught.value).endswith(".")
    shut = Image.open(DATA / "noise.png")
    shut.close()
    with pytest.raises(ImageError):
        read_image(shut)


def test_buffers_are_bytes() -> None:
    data = (DATA / "noise.png").read_bytes()
    for source in (bytearray(data), memoryview(data)):
        assert read_image(source).size == (96, 96)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "depth", [np.uint8, np.float16, np.float32, np.float64, torch.uint8, torch.bfloat16, torch.float32]
)
def test_arrays_and_tensors_are_pictures(depth: type | torch.dtype) -> None:
    values = np.random.default_rng(0).integers(0, 2, (5, 7, 3), dtype=np.uint8)
    whole = depth in (np.uint8, torch.uint8)
    for form in (values, values[..., 0], values.transpose(2, 0, 1)):
        want = np.repeat(form[..., None], 3, -1) if form.ndim == 2 else values
        scaled = form * 255 if whole else form
        if isinstance(depth, torch.dtype):
            source = torch.from_numpy(scaled.copy()).to(depth).requires_grad_(not whole)
            got = read_image(source)
        else:
            got = read_image(scaled.astype(depth))
        assert (got.mode, got.size) == ("RGB", (7, 5))
        np.testing.assert_array_equal(np.asarray(got), want * 255)


def test_floats_are_rounded() -> None:
    steps = np.arange(256).reshape(16, 16)
    for shift in (-0.4, 0.4):
        values = np.clip((steps + shift) / 255, 0, 1)
        np.testing.assert_array_equal(np.asarray(read_image(values))[..., 0], steps)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.zeros((3, 5, 3), np.uint8), "two pictures"),
        (np.zeros((2, 3, 5, 7), np.uint8), r"one picture, x\[0\]"),
        (np.zeros((5, 7, 4), np.uint8), "shape"),
        (np.zeros((7,), np.uint8), "shape"),
        (np.zeros((), np.uint8), "shape"),
        (np.zeros((0, 7, 3), np.uint8), "nothing to see"),
        (np.zeros((5, 7), np.int64), "int64"),
        (np.zeros((5, 7), np.uint16), "uint16"),
        (np.zeros((5, 7), bool), "bool"),
        (np.zeros((5, 7), complex), "complex"),
        (np.array([["a"]]), "<U1"),
        (np.full((5, 7), 255.0), "from 255 to 255"),
        (np.full((5, 7), -0.1), "from -0.1"),
        (np.full((5, 7), np.nan), "nan"),
        (np.full((5, 7), np.inf), "inf"),
        (np.broadcast_to(np.zeros(1, np.uint8), (5001, 5001)), "25 megapixels"),
        (torch.zeros(5, 7, device="meta"), "no plain values"),
        (torch.eye(5).to_sparse(), "no plain values"),
    ],
)
def test_other_arrays_are_refused(values: np.ndarray | torch.Tensor, told: str) -> None:
    with pytest.raises(ImageError, match=told) as caught:
        read_image(values)
    assert str(caught.value).endswith(".")


def dark(bits: int, colours: bool = False) -> tuple[np.ndarray, bytes]:
    """Random values of so many bits in a PNG of 16, and its file."""
    values = np.random.default_rng(0).integers(0, 2**bits, (11, 13, 3) if colours else (11, 13)).astype(np.uint16)
    values[0, 0] = 2**bits - 1
    if not colours:
        buffer = io.BytesIO()
        Image.fromarray(values).save(buffer, "PNG")
        return values, buffer.getvalue()
    header = struct.pack(">IIBBBBB", 13, 11, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return values, b"\x89PNG\r\n\x1a\n" + b"".join(hostile.chunk(*chunk) for chunk in chunks)


@pytest.mark.parametrize("bits", [9, 12, 13])
@pytest.mark.parametrize("colours", [False, True])
def test_few_of_16_bits_are_told_and_stretched(bits: int, colours: bool) -> None:
    values, data = dark(bits, colours)
    with pytest.warns(UserWarning, match=rf"lowest {bits}, 0 to {2**bits - 1:,} of 65,535.*Stretch it"):
        assert np.asarray(read_image(data)).max() <= 2 ** (bits - 8)
    stretched = np.asarray(read_image(data, stretch=True)).astype(float)
    if colours:  # of which Pillow reads the upper eight bits
        want = (values >> 8) * (255 / (2 ** (bits - 8) - 1))
    else:
        want = np.repeat(values[..., None], 3, -1) * (255 / (2**bits - 1))
    np.testing.assert_allclose(stretched, want, atol=0.5)


@pytest.mark.parametrize("colours", [False, True])
def test_most_of_16_bits_are_fine(colours: bool) -> None:
    _, data = dark(14, colours)
    _, full = dark(16, colours)
    assert np.asarray(read_image(data)).max() == 63 + (not colours)
    assert read_image(full, stretch=True).tobytes() == read_image(full).tobytes()
    black = Image.fromarray(np.zeros((3, 5), np.uint16))
    assert np.asarray(read_image(black, stretch=True)).max() == 0


def test_12_bits_that_say_so() -> None:
    """A TIFF of 12 bits a value: its range is known, nothing needs to be stretched."""
    values = [0, 4095, 1000, 2000]
    packed = bytes.fromhex("".join(f"{value:03x}" for value in values))
    fields = [(256, 4, 1, 4), (257, 4, 1, 1), (258, 3, 1, 12), (259, 3, 1, 1), (262, 3, 1, 1)]
    fields += [(273, 4, 1, 8 + 2 + 9 * 12 + 4), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1, len(packed))]
    got = np.asarray(read_image(hostile.tiff(fields, packed)))
    np.testing.assert_allclose(got[0, :, 0], [value * 255 / 4095 for value in values], atol=0.5)


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions go through a picture in parts; the result is that of one."""
    names = ["gray16.png", "rgba_transparent.png", "first_frame_transparent.gif", "rgb_trns.png", "gray_trns.png"]
    floats = Image.fromarray(np.random.default_rng(0).normal(size=(101, 53)).astype(np.float32))
    want = [read_image(source).tobytes() for source in [*(DATA / name for name in names), floats]]
    monkeypatch.setattr(reading, "_STRIP", 700)
    assert [read_image(source).tobytes() for source in [*(DATA / name for name in names), floats]] == want


def test_the_picture_that_was_passed_stays_as_it_is() -> None:
    with Image.open(DATA / "exif_orientation_6.jpg") as picture:
        before = picture.size, dict(picture.info)
        assert read_image(picture).size != picture.size
        assert (picture.size, dict(picture.info)) == before


def test_tensor_by_hand() -> None:
    picture = Image.new("RGB", (2, 3), (255, 0, 51))
    got = to_tensor(picture, (0.5, 0.5, 0.1), (0.5, 0.25, 0.2))
    assert got.shape == (1, 3, 3, 2)
    torch.testing.assert_close(got[0, :, 2, 1], torch.tensor([1.0, -2.0, 0.5]))
