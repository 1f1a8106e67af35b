"""A picture ↔ a model's input: which part of it, at what size, and the token grid over it."""

from dataclasses import dataclass
from typing import Literal

from PIL import Image

#: Largest picture that :class:`Fitting` resizes before it cuts: as pixels, those that a file may have.
_MAX_RESIZED = 25_000_000


@dataclass(frozen=True)
class Fitting:
    """How a picture is cut and resized to the square that a network wants.

    Attributes:
        way: ``"square"``: its middle square, resized. Or all of it is resized first, then the middle cut out:
            ``"shorter"``: so that its shorter side is ``side / share`` pixels, what torchvision's ``Resize(number)``
            and ``CenterCrop`` and timm do; ``"squash"``: so that both are, whatever its proportions, what the official
            code of PolaFormer does with 256 pixels for 224.
        share: the cut's part of the resized side, timm's ``crop_pct``: 1 cuts a square off ``"shorter"``, and nothing
            off ``"squash"``. For ``"square"`` the side of the square, as a part of the shorter side.
        interpolation: Pillow's filter; whichever, it is wide enough for the size of the result (antialiased).

    Raises:
        ValueError: ``share`` is not within 0.1 and 1.
    """

    way: Literal["square", "shorter", "squash"] = "square"
    share: float = 1.0
    interpolation: Literal["lanczos", "bicubic", "bilinear"] = "lanczos"

    def __post_init__(self) -> None:
        if not 0.1 <= self.share <= 1:
            raise ValueError(f"share={self.share}: must be within 0.1 and 1")

    @property
    def resampling(self) -> Image.Resampling:
        """The filter as Pillow knows it."""
        return Image.Resampling[self.interpolation.upper()]

    def resized(self, size: tuple[int, int], side: int) -> tuple[int, int]:
        """(width, height) that a picture of ``size`` is resized to before a square of ``side`` pixels is cut out."""
        wanted = int(side / self.share + 1e-6)  # downwards, as timm does
        if self.way == "squash":
            return wanted, wanted
        width, height = (int(wanted * length / min(size)) for length in size)
        return width, height


#: Longer side of :func:`sharp` at most, in pixels.
SHARP = 1024


@dataclass(frozen=True)
class Frame:
    """How a picture became model input.

    Attributes:
        size: (width, height) of the upright original in pixels.
        box: (left, top, right, bottom) of the part that was used, in the original's pixels.
        input_size: (width, height) of the model's input in pixels.
        patch: what sides of the input are multiples of: the side of a token, where all layers have one grid.
    """

    size: tuple[int, int]
    box: tuple[float, float, float, float]
    input_size: tuple[int, int]
    patch: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches, ``(H, W)``."""
        return self.input_size[1] // self.patch, self.input_size[0] // self.patch


#: What is done where nobody chose.
SQUARE = Fitting()


def frame(size: tuple[int, int], *, side: int, patch: int, whole: bool = False, fitting: Fitting = SQUARE) -> Frame:
    """How :func:`fit` makes model input of a picture of this size."""
    width, height = size
    if whole:
        tokens, longer = side // patch, max(size)
        columns, rows = (max(1, round(tokens * length / longer)) for length in size)
        return Frame(size, (0.0, 0.0, float(width), float(height)), (columns * patch, rows * patch), patch)
    if fitting.way == "square":
        short = min(size) * fitting.share
        left, top = (width - short) / 2, (height - short) / 2
        return Frame(size, (left, top, left + short, top + short), (side, side), patch)
    resized = fitting.resized(size, side)
    left, top, right, bottom = (
        at * length / scaled for at, length, scaled in zip(_middle(resized, side), 2 * size, 2 * resized, strict=True)
    )
    return Frame(size, (left, top, right, bottom), (side, side), patch)


def _middle(size: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    """The square that torchvision's ``CenterCrop`` cuts out, (left, top, right, bottom): halves round to even."""
    left, top = (round((length - side) / 2) for length in size)
    return left, top, left + side, top + side


def fit(
    image: Image.Image, *, side: int, patch: int, whole: bool = False, fitting: Fitting = SQUARE
) -> tuple[Image.Image, Frame]:
    """A square cut out of a picture, or all of it, resized to whole tokens.

    Args:
        image: RGB. side: of the result in pixels, the longer one where it is not square; a multiple of ``patch``.
        patch: what its sides are to be multiples of, the side of a token in pixels.
        whole: keep all of the picture; its shorter side becomes the nearest multiple of ``patch``, so the aspect
            ratio changes by less than half a token. fitting: how a square is made; by default the largest one in the
            middle.

    Returns:
        The result and how it came about.
    """
    used = frame(image.size, side=side, patch=patch, whole=whole, fitting=fitting)
    if not whole and fitting.way != "square":
        width, height = resized = fitting.resized(image.size, side)
        # All of it, as torchvision does, to the pixel; but a strip of 4000×8 must not become 128000×256.
        if width * height <= _MAX_RESIZED:
            return image.resize(resized, fitting.resampling).crop(_middle(resized, side)), used
    return image.resize(used.input_size, fitting.resampling, box=used.box, reducing_gap=3.0), used


def sharp_size(used: Frame) -> tuple[int, int]:
    """(width, height) of :func:`sharp`: in the proportions of the input, as large as what was used of the original."""
    left, top, right, bottom = used.box
    longer = min(SHARP, round(max(right - left, bottom - top)))
    width, height = (max(1, round(longer * side / max(used.input_size))) for side in used.input_size)
    return width, height


def sharp(image: Image.Image, used: Frame) -> Image.Image:
    """The part of a picture that was used, in its own resolution up to :data:`SHARP`: what people look at."""
    # A gap of 1 is a quarter of the work of 3: nobody measures these pixels.
    return image.resize(sharp_size(used), Image.Resampling.LANCZOS, box=used.box, reducing_gap=1.0)


def preview_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(width, height) at most ``longest``, in the proportions of ``size``; what is smaller stays as it is."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def preview(image: Image.Image, longest: int) -> Image.Image:
    """All of a picture, scaled down to :func:`preview_size`."""
    return image.resize(preview_size(image.size, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
