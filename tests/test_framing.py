"""Which part of a picture a model sees: to the pixel as torchvision cuts it, where a rule claims to be its own."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from dsp_viz.framing import Fitting, Frame, fit, frame

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.jpg"))

#: Odd, even, upright, lying, smaller than the result, already right, and a strip.
SIZES = [(97, 61), (61, 97), (640, 427), (333, 500), (19, 23), (64, 64), (256, 256), (301, 7)]


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("fitting", "side", "resize"),
    [
        (Fitting("squash", 0.875, "bicubic"), 224, (256, 256)),  # PolaFormer's official code
        (Fitting("squash", 1, "bicubic"), 64, (64, 64)),
        (Fitting("shorter", 0.875, "bilinear"), 56, 64),  # torchvision's ResNets, a quarter of them
        (Fitting("shorter", 0.9, "bicubic"), 61, 67),  # 67.8, as timm rounds it
        (Fitting("shorter", 1, "lanczos"), 48, 48),
    ],
    ids=str,
)
def test_cuts_are_torchvision_s_to_the_pixel(
    size: tuple[int, int], fitting: Fitting, side: int, resize: int | tuple[int, int]
) -> None:
    picture = noise(*size)
    steps = [transforms.Resize(resize, InterpolationMode(fitting.interpolation)), transforms.CenterCrop(side)]
    got, how = fit(picture, side=side, patch=1, fitting=fitting)
    assert got.tobytes() == transforms.Compose(steps)(picture).tobytes()
    assert how == frame(size, side=side, patch=1, fitting=fitting)


@pytest.mark.parametrize("way", ["square", "shorter", "squash"])
@pytest.mark.parametrize("size", [(640, 427), (300, 1200)])
def test_the_frame_says_where_in_the_original_a_pixel_is(way: str, size: tuple[int, int]) -> None:
    """A dot of the original is where the frame says."""
    width, height = size
    x, y = 0.55 * width, 0.52 * height
    picture = Image.new("RGB", size)
    picture.paste("white", (round(x) - 6, round(y) - 6, round(x) + 6, round(y) + 6))
    got, how = fit(picture, side=160, patch=8, fitting=Fitting(way, 0.8, "bilinear"))  # type: ignore[arg-type]
    left, top, right, bottom = how.box
    rows, columns = np.nonzero(np.asarray(got)[..., 0] > 100)
    assert (columns.mean() + 0.5) / 160 == pytest.approx((x - left) / (right - left), abs=0.01)
    assert (rows.mean() + 0.5) / 160 == pytest.approx((y - top) / (bottom - top), abs=0.01)


def test_the_part_that_is_used() -> None:
    """By hand: of 400×200, resized to 320×160 or 160×160, the middle 128×128."""
    assert frame((400, 200), side=128, patch=8, fitting=Fitting("shorter", 0.8)) == Frame(
        (400, 200), (120.0, 20.0, 280.0, 180.0), (128, 128), 8
    )
    assert frame((400, 200), side=128, patch=8, fitting=Fitting("squash", 0.8)).box == (40.0, 20.0, 360.0, 180.0)
    assert frame((400, 200), side=128, patch=8, fitting=Fitting("square", 0.8)).box == (120.0, 20.0, 280.0, 180.0)
    assert frame((400, 200), side=128, patch=8).box == (100.0, 0.0, 300.0, 200.0)


def test_all_of_a_picture_is_kept_whatever_the_rule() -> None:
    picture = Image.open(EXAMPLES[0]).convert("RGB").resize((300, 200))
    for fitting in (Fitting("squash", 0.875, "bicubic"), Fitting("shorter", 0.875, "bicubic")):
        got, how = fit(picture, side=64, patch=8, whole=True, fitting=fitting)
        assert (how.box, got.size) == ((0, 0, 300, 200), (64, 40))
        assert got.tobytes() == picture.resize((64, 40), Image.Resampling.BICUBIC, reducing_gap=3.0).tobytes()


def test_a_long_strip_is_not_enlarged_to_be_cut() -> None:
    """It would be 33 million pixels; only what is kept is resized, to the same within two levels."""
    picture = noise(500, 1)
    fitting = Fitting("shorter", 0.875, "bicubic")
    resized = fitting.resized(picture.size, 224)
    assert resized == (128_000, 256)
    got, how = fit(picture, side=224, patch=8, fitting=fitting)
    want = picture.resize(resized, Image.Resampling.BICUBIC, box=(0, 0, 500, 1)).crop((63888, 16, 64112, 240))
    assert got.size == how.input_size == (224, 224)
    assert np.abs(np.asarray(got).astype(int) - np.asarray(want)).max() <= 2


@pytest.mark.parametrize("share", [0.0, -1.0, 0.05, 1.01, float("nan")])
def test_shares_are_bounded(share: float) -> None:
    with pytest.raises(ValueError, match=r"share=.*: must be within 0\.1 and 1"):
        Fitting(share=share)
