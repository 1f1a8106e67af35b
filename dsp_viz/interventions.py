"""What if a part of the model did something else: changes to one forward pass, as immutable values.

No weight is changed. What DSP-Attention has of its own is changed where it is computed: outputs of submodules are
replaced (:mod:`dsp_viz.hooks`). All else is done to the record of a layer, whatever its attention, and the layer puts
out what the changed record gives (:mod:`dsp_viz.rebuilding`).

Blocks, heads and scales count from 0; ``None`` means every one. Blocks are those of a trace: layers that are not shown
do not count.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from torch import Tensor, nn

from dsp_attention import DynamicSpectralPolarityAttention

from .faults import InterventionError, place, short
from .hooks import Change, Point, changed
from .kinds import kind_of
from .kinds import layers as all_layers
from .kinds.dsp import dsp_layers
from .layer import Layer
from .maps import streams
from .rebuilding import Revision, revised
from .regions import Restrict, Value, restriction

#: Bounds keep what an address on the web may ask for finite.
Amount = Annotated[float, Field(ge=0, le=1000)]
Frequency = Annotated[int, Field(ge=0, le=10_000)]
Name = Annotated[str, Field(max_length=100)]

_FILTERS = ("positive", "negative")


def _part(index: int | None, count: int, what: str) -> slice:
    if index is None:
        return slice(None)
    if not 0 <= index < count:
        raise InterventionError(f"{what}={short(index)}: must be within 0 and {count - 1}, or none for every one")
    return slice(index, index + 1)


def _named(name: str | None, known: Sequence[str]) -> slice:
    if name is not None and name not in known:
        raise InterventionError(f"stream={short(name)}: must be one of {', '.join(known)}, or none for every one")
    return slice(None) if name is None else slice(known.index(name), known.index(name) + 1)


class SetCoefficient(Value):
    """Set coefficients, or with ``relative`` multiply them; ``value=0`` leaves out a head, a scale or a stream.

    What a coefficient multiplies is one stream of one head at one scale, so zero removes exactly that: leaving out a
    scale equals a mixing weight of 0 for it. What is no part of the maps, such as a convolution of the values, stays.
    A layer without coefficients of its own has 1 everywhere.

    Attributes:
        value: within 0 and 1000; coefficients of DSP-Attention itself lie within 0 and 2.
        stream: its name, such as ``"same"`` or ``"opposite"``. With ``block=None``, layers that have none of that name
            stay as they are. Formerly ``polarity``, which is still read.
    """

    kind: Literal["set_coefficient"] = "set_coefficient"
    value: Amount
    block: int | None = None
    head: int | None = None
    scale: int | None = None
    stream: Name | None = None
    relative: bool = False

    @model_validator(mode="before")
    @classmethod
    def _former(cls, given: Any) -> Any:
        if isinstance(given, dict) and "polarity" in given and "stream" not in given:
            # Not a DeprecationWarning: it would be raised within pydantic, where nobody sees one.
            warnings.warn("polarity of set_coefficient is called stream now", FutureWarning, stacklevel=2)
            return {"stream" if name == "polarity" else name: value for name, value in given.items()}
        return given

    def changed(self, coefficients: Tensor, known: Sequence[str]) -> Tensor:
        """Coefficients ``(B, h, S, streams)`` after it, where the streams have these names.

        Raises:
            InterventionError: there is no such head, scale or stream.
        """
        head, scale = _part(self.head, coefficients.shape[1], "head"), _part(self.scale, coefficients.shape[2], "scale")
        if self.block is None and self.stream is not None and self.stream not in known:
            return coefficients
        where = (slice(None), head, scale, _named(self.stream, known))
        c = coefficients.clone()
        c[where] = c[where] * self.value if self.relative else self.value
        return c


class LeaveOutFilter(Value):
    """Give a spectral filter gain 1 in a band of spatial frequencies, or everywhere.

    Attributes:
        polarity: ``"positive"`` for ``F⁺``, ``"negative"`` for ``F⁻``.
        low, high: the band, both included, in cycles per image: ``|k|`` rounded to a whole number.
    """

    kind: Literal["leave_out_filter"] = "leave_out_filter"
    block: int | None = None
    head: int | None = None
    polarity: Literal["positive", "negative"] | None = None
    low: Frequency = 0
    high: Frequency | None = None

    @model_validator(mode="after")
    def _band(self) -> "LeaveOutFilter":
        if self.high is not None and self.low > self.high:
            raise ValueError(f"low={self.low} is above high={self.high}: the band is empty")
        return self

    def changes(self, layer: DynamicSpectralPolarityAttention) -> dict[str, Change]:
        """Which submodules' outputs are replaced in a layer, and by what."""
        head, which = _part(self.head, layer.num_heads, "head"), _named(self.polarity, _FILTERS)
        high = float("inf") if self.high is None else self.high

        def change(D: Tensor, _: tuple[Any, ...]) -> Tensor:
            M = D.shape[-1]
            k = torch.arange(1 - M, M, device=D.device, dtype=torch.float)
            radius = torch.hypot(k[:, None], k[None, M - 1 :]).round()  # (2M-1, M)
            D = D.clone()
            D[which, head] = torch.where((radius >= self.low) & (radius <= high), 0, D[which, head])
            return D

        return {"spectral.filters": change}


class LeaveOutSummary(Value):
    """Replace one of the context encoder's three summaries by zeros."""

    kind: Literal["leave_out_summary"] = "leave_out_summary"
    summary: Literal["global", "lstm", "attention"]
    block: int | None = None

    def changes(self, layer: DynamicSpectralPolarityAttention) -> dict[str, Change]:
        """See :meth:`LeaveOutFilter.changes`."""
        return {f"context.{self.summary}_summary": lambda summary, _: torch.zeros_like(summary)}


class SetMixingWeights(Value):
    """Fix the share of every scale.

    Attributes:
        weights: one for each scale, within 0 and 1000.
    """

    kind: Literal["set_mixing_weights"] = "set_mixing_weights"
    weights: Annotated[tuple[Amount, ...], Field(max_length=64, fail_fast=True)]
    block: int | None = None
    head: int | None = None

    def changes(self, layer: DynamicSpectralPolarityAttention) -> dict[str, Change]:
        """See :meth:`LeaveOutFilter.changes`."""
        head = _part(self.head, layer.num_heads, "head")
        if len(self.weights) != len(layer.factors):
            raise InterventionError(
                f"weights={short(self.weights)}: one for each of the {len(layer.factors)} scales is needed"
            )

        def change(w: Tensor, _: tuple[Any, ...]) -> Tensor:
            w = w.clone()
            w[:, head] = w.new_tensor(self.weights)
            return w

        return {"mixer.weights": change}


Intervention = SetCoefficient | LeaveOutFilter | LeaveOutSummary | SetMixingWeights | Restrict

#: Every kind of intervention by its name in JSON.
KINDS: dict[str, type[Intervention]] = {
    kind.model_fields["kind"].default: kind
    for kind in (SetCoefficient, LeaveOutFilter, LeaveOutSummary, SetMixingWeights, Restrict)
}


def offers(model: nn.Module) -> tuple[str, ...]:
    """Which kinds of intervention a model has parts for, by their names in JSON; none without known attention."""
    if dsp_layers(model):
        return tuple(KINDS)
    known = any(kind_of(module) for module in model.modules())
    return tuple(name for name, kind in KINDS.items() if kind in (SetCoefficient, Restrict)) if known else ()


@contextmanager
def applied(
    model: nn.Module, interventions: Iterable[Intervention], shown: Sequence[str] | None = None
) -> Iterator[None]:
    """Run what the body runs with these interventions, only in this context; later ones act on earlier ones' result.

    Args:
        model: with attention that is known here. interventions: in this order.
        shown: paths of the layers that ``block`` counts, see :func:`dsp_viz.trace.shown`; by default all that are
            known, which are others where one of them is not shown.

    Raises:
        InterventionError: at once, while the body runs, or after it: the model lacks the part that an intervention
            names.
        ValueError: there is no attention that is known.
    """
    collected: dict[Point, list[Change]] = {}
    revisions: dict[str, list[Revision]] = {}
    regions: dict[str, list[Restrict]] = {}
    met: list[tuple[SetCoefficient, set[str]]] = []
    interventions = tuple(interventions)
    for intervention in interventions:
        if not isinstance(intervention, Value):
            raise InterventionError(
                f"{short(intervention)} is no intervention: give values such as SetCoefficient(value=0), in a "
                "list; from_json makes them from JSON"
            )
    every = list(all_layers(model) if shown is None else shown) if interventions else []
    dsp = dsp_layers(model)
    for intervention in interventions:
        if intervention.kind not in offers(model):
            raise InterventionError(
                f"{intervention.kind} needs a model with DSP-Attention layers; to this one can be done: "
                + ", ".join(offers(model))
            )
        if isinstance(intervention, SetCoefficient):
            met.append((intervention, set()))
        for path in every[_part(intervention.block, len(every), "block")]:
            if isinstance(intervention, Restrict):
                regions.setdefault(path, []).append(intervention)
            elif isinstance(intervention, SetCoefficient):
                change, revision = _coefficients(*met[-1])
                if path in dsp:
                    _collect(collected, path, {"context": change})
                else:
                    revisions.setdefault(path, []).append(revision)
            elif path in dsp:
                _collect(collected, path, intervention.changes(dsp[path]))
            elif intervention.block is not None:
                raise InterventionError(f"block={intervention.block}: {path} is not a DSP-Attention layer")
    for path, own in regions.items():
        revisions.setdefault(path, []).append(restriction(own))
    with changed(model, collected), revised(model, revisions):
        yield
    for coefficient, names in met:
        if names and coefficient.stream is not None:
            _named(coefficient.stream, sorted(names))


def _coefficients(own: SetCoefficient, met: set[str]) -> tuple[Change, Revision]:
    """What becomes of DSP-Attention's coefficients, and of another attention's record; ``met``: names of streams."""

    def change(c: Tensor, _: tuple[Any, ...], known: Sequence[str] = ("same", "opposite")) -> Tensor:
        met.update(known)
        return own.changed(c, known)

    def revision(record: Layer) -> Layer:
        return replace(record, coefficients=change(record.coefficients, (), streams(record)))

    return change, revision


def _collect(collected: dict[Point, list[Change]], path: str, changes: Mapping[str, Change]) -> None:
    for inner, change in changes.items():
        collected.setdefault(Point(f"{path}.{inner}".strip(".")), []).append(change)


#: Characters of JSON that are read: :class:`Restrict` with the most tokens fits in.
MAX_LENGTH = 2**20

_LIST: TypeAdapter[tuple[Intervention, ...]] = TypeAdapter(
    Annotated[tuple[Annotated[Intervention, Field(discriminator="kind")], ...], Field(max_length=256, fail_fast=True)]
)


def to_json(interventions: Iterable[Intervention]) -> str:
    """A list of interventions as JSON; :func:`from_json` reads it."""
    return _LIST.dump_json(tuple(interventions), exclude_none=True).decode()


def from_json(text: str | bytes) -> tuple[Intervention, ...]:
    """Interventions from JSON: a list of objects, each with its ``kind`` and its fields, see :func:`schema`.

    Raises:
        InterventionError: no such JSON, or more than :data:`MAX_LENGTH` characters of it; an unknown kind (those that
            are known are listed) or field, or a value that is out of range.
    """
    if isinstance(text, str | bytes) and len(text) > MAX_LENGTH:
        raise InterventionError(f"interventions: {len(text):,} characters of JSON; at most {MAX_LENGTH:,} are read")
    try:
        return _LIST.validate_json(text)
    except ValidationError as error:
        told = _told(error)
    # Outside of the handler: pydantic's error repeats what came, and a traceback would repeat pydantic's error.
    raise InterventionError(told)


def _told(error: ValidationError) -> str:
    """The first fault: where it is and what is allowed."""
    first = error.errors(include_url=False, include_input=False)[0]
    where, message, context = place(first["loc"]), first["msg"], first.get("ctx", {})
    if first["type"] == "extra_forbidden":
        message += f"; fields are {', '.join(KINDS[str(first['loc'][1])].model_fields)}"
    elif first["type"] == "union_tag_not_found":
        message += f"; kinds are {', '.join(KINDS)}"
    elif first["type"] == "union_tag_invalid":
        message = f"there is no kind {short(context['tag'])}; kinds are {context['expected_tags']}"
    return f"interventions{f'.{where}' if where else ''}: {message}"


def schema() -> dict[str, Any]:
    """JSON Schema of what :func:`from_json` reads."""
    result = _LIST.json_schema()
    for kind in result["$defs"].values():  # in Python a class tells its kind, in JSON the field has to
        kind["required"] = ["kind", *kind.get("required", [])]
    return result
