"""A picture ↔ a model's input: which part of it, at what size, and the token grid over it."""

from dataclasses import dataclass

from PIL import Image

#: Longer side of :func:`sharp` at most, in pixels.
SHARP = 1024


@dataclass(frozen=True)
class Frame:
    """How a picture became model input.

    Attributes:
        size: (width, height) of the upright original in pixels.
        box: (left, top, right, bottom) of the part that was used, in the original's pixels.
        input_size: (width, height) of the model's input in pixels.
        patch: side of a token in pixels of the input.
    """

    size: tuple[int, int]
    box: tuple[float, float, float, float]
    input_size: tuple[int, int]
    patch: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens, ``(H, W)``."""
        return self.input_size[1] // self.patch, self.input_size[0] // self.patch


def frame(size: tuple[int, int], *, side: int, patch: int, whole: bool = False) -> Frame:
    """How :func:`fit` makes model input of a picture of this size."""
    width, height = size
    if whole:
        tokens, longer = side // patch, max(size)
        columns, rows = (max(1, round(tokens * length / longer)) for length in size)
        return Frame(size, (0.0, 0.0, float(width), float(height)), (columns * patch, rows * patch), patch)
    short = min(size)
    left, top = (width - short) / 2, (height - short) / 2
    return Frame(size, (left, top, left + short, top + short), (side, side), patch)


def fit(image: Image.Image, *, side: int, patch: int, whole: bool = False) -> tuple[Image.Image, Frame]:
    """The largest centred square of a picture, or all of it, resized to whole tokens.

    Args:
        image: RGB. side: of the result in pixels, the longer one where it is not square; a multiple of ``patch``.
        patch: side of a token in pixels.
        whole: keep all of the picture; its shorter side becomes the nearest multiple of ``patch``, so the aspect
            ratio changes by less than half a token.

    Returns:
        The result and how it came about.
    """
    used = frame(image.size, side=side, patch=patch, whole=whole)
    # Cropping and resizing in one step: a strip of 4000×8 never becomes 64000×128.
    return image.resize(used.input_size, Image.Resampling.LANCZOS, box=used.box, reducing_gap=3.0), used


def sharp_size(used: Frame) -> tuple[int, int]:
    """(width, height) of :func:`sharp`: in the proportions of the input, as large as what was used of the original."""
    left, top, right, bottom = used.box
    longer = min(SHARP, round(max(right - left, bottom - top)))
    width, height = (max(1, round(longer * side / max(used.input_size))) for side in used.input_size)
    return width, height


def sharp(image: Image.Image, used: Frame) -> Image.Image:
    """The part of a picture that was used, in its own resolution up to :data:`SHARP`: what people look at."""
    return image.resize(sharp_size(used), Image.Resampling.LANCZOS, box=used.box, reducing_gap=3.0)


def preview_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(width, height) at most ``longest``, in the proportions of ``size``; what is smaller stays as it is."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def preview(image: Image.Image, longest: int) -> Image.Image:
    """All of a picture, scaled down to :func:`preview_size`."""
    return image.resize(preview_size(image.size, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
