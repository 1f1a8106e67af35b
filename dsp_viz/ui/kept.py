"""What is kept of a result: small things for the tabs, and pieces for the browsers that rebuild maps from them."""

import io
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
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


class Facts(NamedTuple):
    """What a page offers of a layer before its bytes arrive: its stage, from 0, its grid, heads, and attention."""

    stage: int
    grid: tuple[int, int]
    heads: int
    kind: str


@dataclass(frozen=True)
class Manifest:
    """What the scripts of the page are told of a result.

    Attributes:
        token: under which its pieces can be fetched. layers: in order. grid: rows and columns of the finest one.
        name: of the picture. example: its name among the examples, or None. model, digest: what looked at it.
        side, whole, stretch: how it became the input, see :class:`Source`. note: on the file, or "".
        best: the most probable class and its probability, or None. unsure: see :attr:`dsp_viz.Analysis.unsure`.
        changed: whether anything was intervened on.
        verified: largest relative error of what the maps rebuild, see :attr:`dsp_viz.Analysis.verified`.
        rounded: see :attr:`dsp_viz.layer.Trace.rounded`.
        refused: a sentence for each layer that is not shown.
    """

    token: str
    layers: tuple[Facts, ...]
    grid: tuple[int, int]
    name: str
    example: str | None
    model: str
    digest: str
    side: int
    whole: bool
    stretch: bool
    note: str
    best: tuple[str, float] | None
    unsure: bool
    changed: bool
    verified: float | None
    rounded: str
    refused: tuple[str, ...]

    @classmethod
    def of(
        cls,
        result: Analysis,
        *,
        token: str = "",
        example: str | None = None,
        side: int | None = None,
        whole: bool = False,
        stretch: bool = False,
        note: str = "",
    ) -> "Manifest":
        """Of a result; what it does not know itself is given. By default ``side`` is the longer one of its input."""
        return cls(
            token=token,
            layers=facts(result),
            grid=result.grid,
            name=Path(result.name).stem,
            example=example,
            model=result.model,
            digest=result.digest,
            side=max(result.frame.input_size) if side is None else side,
            whole=whole,
            stretch=stretch,
            note=note,
            best=next(iter(result.top(1)), None),
            unsure=result.unsure,
            changed=bool(result.interventions),
            verified=result.verified,
            rounded=result.trace.rounded,
            refused=result.trace.refused,
        )

    @property
    def blocks(self) -> int:
        """How many layers."""
        return len(self.layers)

    def json(self, **more: Any) -> dict[str, Any]:
        """As the value of a view, with what only that one needs."""
        return asdict(self) | {"layers": [facts._asdict() for facts in self.layers]} | more


@dataclass(frozen=True)
class Kept:
    """What is kept for every visitor: small, whatever the number of tokens.

    Attributes:
        source: what it is of. manifest: what scripts are told. result: without the tensors that hold tokens.
        powers: see :func:`dsp_viz.spectrum.radial_power`. influence: ``(3,)``, mean change of the coefficients without
            each summary. Both of each block with DSP-Attention, by its index.
    """

    source: Source
    manifest: Manifest
    result: Analysis
    powers: dict[int, np.ndarray]
    influence: dict[int, np.ndarray]


def keep(result: Analysis, subject: Subject, source: Source, manifest: Manifest) -> Kept:
    """Take from a result what the tabs show."""
    blocks = dsp_blocks(result)
    changes, powers = {}, {}
    for i, (block, _) in blocks.items():
        layer: Any = subject.get_submodule(block.name)
        changes[i] = summary_influence(layer, block).abs().mean((1, 2, 3, 4)).numpy()
        powers[i] = spectrum.radial_power(block).numpy()
    return Kept(source, manifest, without_tokens(result), powers, changes)


def without_tokens(result: Analysis) -> Analysis:
    """The analysis without the tensors that hold tokens, and without the picture for people, which is a piece."""
    blocks = tuple(map(factors.without_tokens, result.trace.blocks))
    return replace(result, trace=replace(result.trace, blocks=blocks), sharp=None)


def facts(result: Analysis) -> tuple[Facts, ...]:
    """What is offered of each layer."""
    return tuple(Facts(b.stage, b.grid.size, b.coefficients.shape[1], b.kind) for b in result.trace.blocks)


def pieces(result: Analysis) -> dict[str, bytes]:
    """What browsers fetch: the factors of each block, by its index, the picture as the model saw it, and for people."""
    seen, sharp = io.BytesIO(), io.BytesIO()
    result.picture.save(seen, "PNG", compress_level=1)
    (result.sharp or result.picture).save(sharp, "JPEG", quality=88)
    found = {str(i): factors.encode(block) for i, block in enumerate(result.trace.blocks)}
    return found | {"picture": seen.getvalue(), "sharp": sharp.getvalue()}


def dsp_blocks(result: Analysis) -> dict[int, tuple[Layer, Parts]]:
    """The blocks with DSP-Attention, by their index among all, and what only they have."""
    return {i: (b, b.parts) for i, b in enumerate(result.trace.blocks) if b.parts is not None}
