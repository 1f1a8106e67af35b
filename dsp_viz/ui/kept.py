"""What is kept of a result: small things for the tabs, and pieces for the browsers that rebuild maps from them."""

import io
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .. import factors, spectrum
from ..analysis import Analysis
from ..influence import summary_influence
from ..interventions import Intervention
from ..layer import Layer, Parts
from ..subject import Subject


class Source(NamedTuple):
    """What a result is of.

    Attributes:
        path: of the picture. side: the longer one of the input, in pixels. whole: whether all of the picture is kept.
        model: its name. stretch: whether few values of many bits are stretched. interventions: in the pass.
    """

    path: str
    side: int
    whole: bool
    model: str
    stretch: bool = False
    interventions: tuple[Intervention, ...] = ()

    def text(self) -> str:
        """What the page keeps of it; :meth:`dsp_viz.ui.results.Results.asked` reads it. Interventions are left out."""
        return json.dumps(self._asdict() | {"interventions": None})


@dataclass(frozen=True)
class Manifest:
    """What the scripts of the page are told of a result.

    Attributes:
        token: under which its pieces can be fetched. blocks: how many. grid: rows and columns of tokens.
        name: of the picture. example: its name among the examples, or None. model, digest: what looked at it.
        side, whole, stretch: how it became the input, see :class:`Source`. note: on the file, or "".
        best: the most probable class and its probability. changed: whether anything was intervened on.
        verified: largest relative error of what the maps rebuild, see :attr:`dsp_viz.Analysis.verified`.
        refused: a sentence for each layer that is not shown.
    """

    token: str
    blocks: int
    grid: tuple[int, int]
    name: str
    example: str | None
    model: str
    digest: str
    side: int
    whole: bool
    stretch: bool
    note: str
    best: tuple[str, float]
    changed: bool
    verified: float | None
    refused: tuple[str, ...]

    def json(self, **more: Any) -> dict[str, Any]:
        """As the value of a view, with what only that one needs."""
        return asdict(self) | more


@dataclass(frozen=True)
class Kept:
    """What is kept for every visitor: small, whatever the number of tokens.

    Attributes:
        source: what it is of. manifest: what scripts are told. result: without the tensors that hold tokens.
        powers: of each block, see :func:`dsp_viz.spectrum.radial_power`. influence: ``(blocks, 3)``, mean change of the
            coefficients without each summary. Both are empty or None for a model without DSP-Attention.
    """

    source: Source
    manifest: Manifest
    result: Analysis
    powers: tuple[np.ndarray, ...]
    influence: np.ndarray | None


def keep(result: Analysis, subject: Subject, source: Source, manifest: Manifest) -> Kept:
    """Take from a result what the tabs show."""
    blocks = [block for block, _ in dsp_blocks(result)]
    changes = []
    for block in blocks:
        layer: Any = subject.get_submodule(block.name)
        changes.append(summary_influence(layer, block).abs().mean((1, 2, 3, 4)).numpy())
    return Kept(
        source,
        manifest,
        without_tokens(result),
        tuple(spectrum.radial_power(b).numpy() for b in blocks),
        np.stack(changes) if changes else None,
    )


def without_tokens(result: Analysis) -> Analysis:
    """The analysis without the tensors that hold tokens."""
    return replace(result, trace=replace(result.trace, blocks=tuple(map(factors.without_tokens, result.trace.blocks))))


def pieces(result: Analysis) -> dict[str, bytes]:
    """What browsers fetch: the factors of each block, by its index, and the picture as the model saw it."""
    buffer = io.BytesIO()
    result.picture.save(buffer, "PNG", compress_level=1)
    return {str(i): factors.encode(block) for i, block in enumerate(result.trace.blocks)} | {
        "picture": buffer.getvalue()
    }


def dsp_blocks(result: Analysis) -> list[tuple[Layer, Parts]]:
    """The blocks with DSP-Attention, and what only they have."""
    return [(b, b.parts) for b in result.trace.blocks if b.parts is not None]
