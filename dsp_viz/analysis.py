"""One picture and one model → everything the screen shows."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from PIL import Image

from . import images
from .checkpoint import LoadedModel
from .trace import Trace, trace


@dataclass(frozen=True)
class Analysis:
    """What one forward pass showed of one picture.

    Attributes:
        picture: the picture as the model saw it, RGB.
        frame: how it was cut out of the original, and its token grid.
        trace: of the forward pass, see :class:`dsp_viz.trace.Trace`; batch size 1.
        classes: names of the classes. probabilities: softmax of the logits, same order, sum to 1.
        model: name of the model. digest: start of the SHA-256 of its weights.
        seconds: wall time of the forward pass, hooks included.
    """

    picture: Image.Image
    frame: images.Frame
    trace: Trace
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    model: str
    digest: str
    seconds: float

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable classes, best first, each with its probability within 0 and 1."""
        pairs = zip(self.classes, self.probabilities, strict=True)
        return sorted(pairs, key=lambda pair: -pair[1])[:count]


def analyse(model: LoadedModel, picture: str | Path | bytes | BinaryIO | Image.Image) -> Analysis:
    """Run a model on a picture once and keep all that is worth looking at.

    Args:
        model: from :func:`dsp_viz.load`.
        picture: a path, the bytes of a file, an open binary file, or a PIL image.

    Returns:
        See :class:`Analysis`.

    Raises:
        ImageError: the picture cannot be read; the message says why and what is allowed.
    """
    config = model.config
    cut, frame = images.fit(images.read_image(picture), side=config.image_size, patch=model.classifier.patch)
    x = images.to_tensor(cut, config.mean, config.std)
    start = time.perf_counter()
    result = trace(model, x.to(next(model.parameters()).device))
    seconds = time.perf_counter() - start
    return Analysis(
        picture=cut,
        frame=frame,
        trace=result,
        classes=config.classes,
        probabilities=tuple(torch.softmax(result.output[0].double(), 0).tolist()),
        model=model.name,
        digest=model.digest,
        seconds=seconds,
    )
