"""One picture and one model → everything the screen shows."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from . import images
from .checkpoint import LoadedModel
from .device import device_of
from .interventions import Intervention, InterventionError, applied
from .trace import Trace, trace

#: Longest side of a model's input in pixels; with a patch of 8 that is 65,536 tokens.
MAX_SIDE = 2048


@dataclass(frozen=True)
class Analysis:
    """What one forward pass showed of one picture.

    Attributes:
        picture: the picture as the model saw it, RGB.
        frame: how it was cut out of the original, and its token grid.
        trace: of the forward pass, see :class:`dsp_viz.trace.Trace`; batch size 1.
        classes: names of the classes. probabilities: softmax of the logits, same order, sum to 1.
        model: name of the model. digest: start of the SHA-256 of its weights.
        seconds: wall time of the forward pass, hooks included, until what they recorded lies on the CPU.
        interventions: what was changed in that pass, see :mod:`dsp_viz.interventions`.
        name: of the picture's file; empty where it came without one.
    """

    picture: Image.Image
    frame: images.Frame
    trace: Trace
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    model: str
    digest: str
    seconds: float
    interventions: tuple[Intervention, ...] = ()
    name: str = ""

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable classes, best first, each with its probability within 0 and 1."""
        pairs = zip(self.classes, self.probabilities, strict=True)
        return sorted(pairs, key=lambda pair: -pair[1])[:count]

    def _repr_html_(self) -> str:
        """What a notebook shows, see :func:`dsp_viz.export.html`."""
        from . import export  # imports this module

        block, query = export.default_view(len(self.trace.blocks), self.frame.grid)
        return export.html(self, block=block, query=query)


def analyse(
    model: LoadedModel,
    picture: images.Source,
    *,
    side: int | None = None,
    whole: bool = False,
    stretch: bool = False,
    interventions: Iterable[Intervention] = (),
) -> Analysis:
    """Run a model on a picture once and keep all that is worth looking at.

    Args:
        model: from :func:`dsp_viz.load`.
        picture: a path, the bytes of a file, an open binary file, a PIL image, an array or a tensor, see
            :func:`dsp_viz.images.read_image`.
        side: of the model's input in pixels, see :func:`input_side`; by default what it was trained for.
        whole: keep all of a picture that is not square, instead of its middle.
        stretch: of a dark 16-bit picture, see :func:`dsp_viz.images.read_image`.
        interventions: changes to the pass, in this order; none by default.

    Returns:
        See :class:`Analysis`.

    Raises:
        ImageError: the picture cannot be read; the message says why and what is allowed.
        ValueError: the model takes no such ``side``.
        InterventionError: the model has no such part, or what comes out is not finite.
    """
    cut, frame = fitted(model, picture, side=side, whole=whole, stretch=stretch)
    name = Path(picture).name if isinstance(picture, str | os.PathLike) else ""
    return analyse_fitted(model, cut, frame, interventions=interventions, name=name)


def analyse_fitted(
    model: LoadedModel,
    cut: Image.Image,
    frame: images.Frame,
    *,
    interventions: Iterable[Intervention] = (),
    name: str = "",
) -> Analysis:
    """:func:`analyse` of a picture that is cut out already, by :func:`fitted` or :class:`dsp_viz.decoding.Decoder`.

    Args:
        model: from :func:`dsp_viz.load`. cut, frame: RGB of ``frame.input_size``, and how it came about.
        interventions: as of :func:`analyse`. name: of the picture's file.

    Raises:
        ValueError: it was made for another patch than the model's. InterventionError: as of :func:`analyse`.
    """
    if frame.patch != model.classifier.patch:
        raise ValueError(
            f"the picture was cut for patches of {frame.patch} pixels, the model's are {model.classifier.patch}"
        )
    x = model_input(model, cut)
    interventions = tuple(interventions)
    with applied(model, interventions):
        start = time.perf_counter()
        result = trace(model, x.to(device_of(model)))
        seconds = time.perf_counter() - start
    if interventions and not torch.isfinite(result.output).all():
        raise InterventionError("the interventions lead to numbers too large to go on with: use smaller values")
    return Analysis(
        picture=cut,
        frame=frame,
        trace=result,
        classes=model.config.classes,
        probabilities=tuple(torch.softmax(result.output[0].double(), 0).tolist()),
        model=model.name,
        digest=model.digest,
        seconds=seconds,
        interventions=interventions,
        name=name,
    )


def fitted(
    model: LoadedModel, picture: images.Source, *, side: int | None = None, whole: bool = False, stretch: bool = False
) -> tuple[Image.Image, images.Frame]:
    """A picture as the model sees it, and how it was cut out; arguments and errors as for :func:`analyse`."""
    side = input_side(model, side)
    read = images.read_image(picture, stretch=stretch)
    return images.fit(read, side=side, patch=model.classifier.patch, whole=whole)


def model_input(model: LoadedModel, cut: Image.Image) -> Tensor:
    """What the model takes of a picture that is cut out, ``(1, 3, height, width)`` on the CPU."""
    return images.to_tensor(cut, model.config.mean, model.config.std)


def input_side(model: LoadedModel, side: int | None) -> int:
    """The longer side of a model's input in pixels, by default the one it was trained for.

    Raises:
        ValueError: ``side`` is no multiple of the patch, or larger than :data:`MAX_SIDE`.
    """
    patch = model.classifier.patch
    if side is None:
        return model.config.image_size
    if not patch <= side <= MAX_SIDE or side % patch:
        raise ValueError(f"side={side}: must be a multiple of the model's patch, {patch} pixels, up to {MAX_SIDE}")
    return side
