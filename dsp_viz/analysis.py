"""One picture and one subject → everything that the screen shows."""

import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image

from . import images
from .interventions import Intervention, InterventionError, applied
from .layer import sample
from .maps import Query
from .subject import Prepared, Subject, probabilities
from .trace import Trace, shown, trace

if TYPE_CHECKING:
    from .figures.print import PrintFigure

#: What is said of a picture that the model is not sure of.
UNSURE = "Not sure: no class it knows stands out."


@dataclass(frozen=True)
class Analysis:
    """What one forward pass showed of one picture.

    Attributes:
        picture: the picture as the model saw it, RGB.
        frame: how it was cut out of the original, and its token grid.
        trace: of the forward pass, see :class:`dsp_viz.trace.Trace`; batch size 1.
        classes: names of the classes; none where the model has none. probabilities: see
            :func:`dsp_viz.subject.probabilities`; same order, sum to 1.
        model: name of the model. digest: start of the SHA-256 of its weights.
        seconds: wall time of the forward pass, hooks included, until what they recorded lies on the CPU.
        interventions: what was changed in that pass, see :mod:`dsp_viz.interventions`.
        name: of the picture's file; empty where it came without one.
        sharp: what the model saw, for people, see :func:`dsp_viz.framing.sharp`; None where that is not kept.
        temperature, threshold: of the model, see ``temperature`` and ``unsure`` of :class:`dsp_viz.Subject`.
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
    sharp: Image.Image | None = None
    temperature: float = 1.0
    threshold: float = 0.0

    @property
    def unsure(self) -> bool:
        """Whether the model is not sure what this is: its largest probability is below its threshold."""
        return max(self.probabilities, default=1.0) < self.threshold

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the finest grid of tokens, which a place in the picture is given on."""
        return self.trace.grid.size

    @property
    def verified(self) -> float | None:
        """How far the maps were off, see :attr:`dsp_viz.layer.Trace.verified`; None where that is not known."""
        return None if math.isnan(self.trace.verified) else self.trace.verified

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The most probable classes, best first, each with its probability within 0 and 1."""
        pairs = zip(self.classes, self.probabilities, strict=True)
        return sorted(pairs, key=lambda pair: -pair[1])[:count]

    def figure(self, *, block: int | None = None, query: Query | None = None) -> "PrintFigure":
        """All maps of one block for one query, for print: ``figure.savefig("maps.pdf")``, or PNG or SVG.

        Args:
            block: index from 0. query: ``(row, column)`` on the finest grid, from 0, ``"all"``, or the name of a token
                without a place; by default see :func:`dsp_viz.export.default_view`.

        Raises:
            ValueError: the model has no such block, or the query lies outside the grid.
        """
        from . import export  # imports this module

        usual = export.default_view(len(self.trace.blocks), self.grid)
        return export.maps_figure(
            self, block=usual[0] if block is None else block, query=usual[1] if query is None else query
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the maps as they live in the app, in a frame; of one that is too large for a notebook
        :func:`dsp_viz.export.html`, with a line that says what to do instead."""
        from . import export
        from .ui import takeaway  # only here is the screen needed, and loaded

        if (frame := takeaway.frame(self)) is not None:
            return frame
        block, query = export.default_view(len(self.trace.blocks), self.grid)
        note = "<p>Too large to be drawn within a notebook: <code>dsp_viz.explore(model)</code> opens it whole.</p>"
        return export.html(self, block=block, query=query) + note


def analyse(
    model: Subject,
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
        side: of the model's input in pixels, a multiple of its patch; by default what it was made for.
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
    prepared = model.prepare(picture, side=side, whole=whole, stretch=stretch)
    name = Path(picture).name if isinstance(picture, str | os.PathLike) else ""
    return analyse_prepared(model, prepared, interventions=interventions, name=name)


def analyse_prepared(
    model: Subject, prepared: Prepared, *, interventions: Iterable[Intervention] = (), name: str = ""
) -> Analysis:
    """:func:`analyse` of a picture that is the model's input already.

    Args:
        model: from :func:`dsp_viz.load`. prepared: by its own :meth:`Subject.prepare`.
        interventions: as of :func:`analyse`. name: of the picture's file.

    Raises:
        InterventionError: as of :func:`analyse`.
    """
    interventions = tuple(interventions)
    x = prepared.input.to(model.device)
    with applied(model, interventions, shown(model, x) if interventions else None):
        start = time.perf_counter()
        result = trace(model, x)
        seconds = time.perf_counter() - start
    if interventions and not torch.isfinite(result.output).all():
        raise InterventionError("the interventions lead to numbers too large to go on with: use smaller values")
    return _analysis(model, prepared, result, seconds, interventions, name)


def analyse_together(model: Subject, prepared: Sequence[Prepared], *, names: Sequence[str]) -> list[Analysis]:
    """:func:`analyse_prepared` of several pictures in one pass, which takes less time than one after the other.

    Args:
        model: from :func:`dsp_viz.load`, one whose pictures do not affect one another. prepared: by its own
            :meth:`Subject.prepare`, all of one size. names: of the pictures' files.

    Returns:
        One for each, with its share of the time.

    Raises:
        ValueError: they differ in size.
    """
    if len({tuple(one.input.shape) for one in prepared}) != 1:
        raise ValueError("pictures that are analysed together must be of one size")
    start = time.perf_counter()
    every = trace(model, torch.cat([one.input for one in prepared]).to(model.device))
    seconds = (time.perf_counter() - start) / len(prepared)
    return [
        _analysis(
            model,
            one,
            replace(
                every,
                output=every.output[i : i + 1].clone(),
                blocks=tuple(sample(block, i) for block in every.blocks),
            ),
            seconds,
            (),
            name,
        )
        for i, (one, name) in enumerate(zip(prepared, names, strict=True))
    ]


def _analysis(
    model: Subject,
    prepared: Prepared,
    result: Trace,
    seconds: float,
    interventions: tuple[Intervention, ...],
    name: str,
) -> Analysis:
    return Analysis(
        picture=prepared.picture,
        frame=prepared.frame,
        trace=result,
        classes=model.classes,
        probabilities=tuple(probabilities(model, result.output[0].double()).tolist()) if model.classes else (),
        model=model.name,
        digest=model.digest,
        seconds=seconds,
        interventions=interventions,
        name=name,
        sharp=prepared.sharp,
        temperature=model.temperature,
        threshold=model.unsure,
    )
