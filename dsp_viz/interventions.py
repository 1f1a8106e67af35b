"""What if a part of the model did something else: changes to one forward pass, as immutable values.

No weight is changed: within a context, outputs of some submodules are replaced (:mod:`dsp_viz.hooks`).

Blocks, heads and scales count from 0; ``None`` means every one.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from torch import Tensor, nn

from dsp_attention import DynamicSpectralPolarityAttention
from dsp_attention.grid import pool

from .faults import place, short
from .hooks import Change, Point, changed
from .kinds import layers as all_layers
from .kinds.dsp import dsp_layers

#: Bounds keep what an address on the web may ask for finite.
Amount = Annotated[float, Field(ge=0, le=1000)]
Frequency = Annotated[int, Field(ge=0, le=10_000)]
Side = Annotated[int, Field(ge=1, le=1024)]
Position = Annotated[int, Field(ge=0, lt=1024)]

_FILTERS = ("positive", "negative")
_STREAMS = ("same", "opposite")


class InterventionError(ValueError):
    """An intervention that is unknown, or that the model has no part for; the message says what is allowed."""


def _part(index: int | None, count: int, what: str) -> slice:
    if index is None:
        return slice(None)
    if not 0 <= index < count:
        raise InterventionError(f"{what}={short(index)}: must be within 0 and {count - 1}, or none for every one")
    return slice(index, index + 1)


def _named(name: str | None, known: Sequence[str]) -> slice:
    return slice(None) if name is None else slice(known.index(name), known.index(name) + 1)


class _Value(BaseModel):
    """Immutable; a field that does not exist, or of another type, is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class SetCoefficient(_Value):
    """Set coefficients, or with ``relative`` multiply them; ``value=0`` leaves out a head, a scale or a stream.

    What a coefficient multiplies is one stream of one head at one scale, so zero removes exactly that: leaving out a
    scale equals a mixing weight of 0 for it. The convolution on the values stays.

    Attributes:
        value: within 0 and 1000; coefficients of the model itself lie within 0 and 2.
        stream: ``"same"`` or ``"opposite"``. Formerly ``polarity``, which is still read.
    """

    kind: Literal["set_coefficient"] = "set_coefficient"
    value: Amount
    block: int | None = None
    head: int | None = None
    scale: int | None = None
    stream: Literal["same", "opposite"] | None = None
    relative: bool = False

    @model_validator(mode="before")
    @classmethod
    def _former(cls, given: Any) -> Any:
        if isinstance(given, dict) and "polarity" in given and "stream" not in given:
            # Not a DeprecationWarning: it would be raised within pydantic, where nobody sees one.
            warnings.warn("polarity of set_coefficient is called stream now", FutureWarning, stacklevel=2)
            return {"stream" if name == "polarity" else name: value for name, value in given.items()}
        return given

    def changes(self, layer: DynamicSpectralPolarityAttention) -> dict[str, Change]:
        """Which submodules' outputs are replaced in a layer, and by what."""
        head = _part(self.head, layer.num_heads, "head")
        scale = _part(self.scale, len(layer.factors), "scale")
        stream = _named(self.stream, _STREAMS)

        def change(c: Tensor, _: tuple[Any, ...]) -> Tensor:
            c = c.clone()
            chosen = c[:, head, scale, stream]
            c[:, head, scale, stream] = chosen * self.value if self.relative else torch.full_like(chosen, self.value)
            return c

        return {"context": change}


class LeaveOutFilter(_Value):
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
        """See :meth:`SetCoefficient.changes`."""
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


class LeaveOutSummary(_Value):
    """Replace one of the context encoder's three summaries by zeros."""

    kind: Literal["leave_out_summary"] = "leave_out_summary"
    summary: Literal["global", "lstm", "attention"]
    block: int | None = None

    def changes(self, layer: DynamicSpectralPolarityAttention) -> dict[str, Change]:
        """See :meth:`SetCoefficient.changes`."""
        return {f"context.{self.summary}_summary": lambda summary, _: torch.zeros_like(summary)}


class SetMixingWeights(_Value):
    """Fix the share of every scale.

    Attributes:
        weights: one for each scale, within 0 and 1000.
    """

    kind: Literal["set_mixing_weights"] = "set_mixing_weights"
    weights: Annotated[tuple[Amount, ...], Field(max_length=64, fail_fast=True)]
    block: int | None = None
    head: int | None = None

    def changes(self, layer: DynamicSpectralPolarityAttention) -> dict[str, Change]:
        """See :meth:`SetCoefficient.changes`."""
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


class Restrict(_Value):
    """Let queries attend only to keys within a region of the picture; with several regions, within all of them.

    A key outside is left out of numerator and normaliser alike. A key of a coarser scale counts by the share of its
    tokens that lie within.

    Attributes:
        grid: ``(H, W)`` of the tokens.
        tokens: ``(row, column)`` of those within the region, at least one and at most 65,536, each once.
    """

    kind: Literal["restrict"] = "restrict"
    grid: tuple[Side, Side]
    tokens: Annotated[tuple[tuple[Position, Position], ...], Field(max_length=2**16, fail_fast=True)]
    block: int | None = None

    @cached_property
    def inside(self) -> frozenset[tuple[int, int]]:
        """The tokens.

        Raises:
            InterventionError: there is none, one is outside the grid, or one is there twice.
        """
        H, W = self.grid
        tokens = frozenset(self.tokens)
        if not tokens or max(r for r, _ in tokens) >= H or max(c for _, c in tokens) >= W:
            raise InterventionError(f"tokens: at least one is needed, each within the grid of {H}×{W}")
        if len(tokens) < len(self.tokens):
            raise InterventionError("tokens: one is there twice; each may be there once")
        return tokens


def _restricted(regions: Sequence[Restrict], factors: Iterable[int]) -> dict[str, Change]:
    """Which submodules' outputs are replaced in a layer whose scales pool by these factors, and by what."""
    grid = H, W = regions[0].grid
    other = next((region.grid for region in regions if region.grid != grid), None)
    if other is not None:
        raise InterventionError(f"grid={other}: another region has grid={grid}, but a picture has one")
    common = frozenset.intersection(*(region.inside for region in regions))
    if not common:
        raise InterventionError("tokens: no token is within all regions; at least one is needed")
    index = torch.tensor([r * W + c for r, c in common])

    def check(c: Tensor, inputs: tuple[Any, ...]) -> Tensor:
        if inputs[1:] != grid:  # of the context encoder, the first part of a layer to run: (x, H, W)
            raise InterventionError(f"grid={grid}: the picture's tokens form another grid, {inputs[1:]}")
        return c

    def change_at(factor: int) -> Change:
        def change(features: Tensor, _: tuple[Any, ...]) -> Tensor:  # (2, 2, B, h, N_s, d)
            inside = features.new_zeros(1, H * W, 1)  # made here, where the grid is known to be the picture's
            inside[:, index.to(inside.device)] = 1.0
            phi_q, phi_k = features.unbind(1)
            return torch.stack([phi_q, phi_k * pool(inside, H, W, factor)], 1)

        return change

    return {"context": check} | {f"polarity.{s}": change_at(factor) for s, factor in enumerate(factors)}


Intervention = SetCoefficient | LeaveOutFilter | LeaveOutSummary | SetMixingWeights | Restrict

#: Every kind of intervention by its name in JSON.
KINDS: dict[str, type[Intervention]] = {
    kind.model_fields["kind"].default: kind
    for kind in (SetCoefficient, LeaveOutFilter, LeaveOutSummary, SetMixingWeights, Restrict)
}


@contextmanager
def applied(model: nn.Module, interventions: Iterable[Intervention]) -> Iterator[None]:
    """Run what the body runs with these interventions, only in this context; later ones act on earlier ones' result.

    Raises:
        InterventionError: the model has no DSP-Attention, or lacks the part that an intervention names.
    """
    collected: dict[Point, list[Change]] = {}
    regions: dict[str, list[Restrict]] = {}
    interventions = tuple(interventions)
    layers = dsp_layers(model) if interventions else {}
    every = list(all_layers(model)) if layers else []
    for intervention in interventions:
        if not isinstance(intervention, _Value):
            raise InterventionError(
                f"{short(intervention)} is no intervention: give values such as SetCoefficient(value=0), in a "
                "list; from_json makes them from JSON"
            )
        if not layers:
            raise InterventionError("interventions need a model with DSP-Attention layers")
        for path in every[_part(intervention.block, len(every), "block")]:
            if path not in layers:
                if intervention.block is not None:
                    raise InterventionError(f"block={intervention.block}: {path} is not a DSP-Attention layer")
            elif isinstance(intervention, Restrict):
                regions.setdefault(path, []).append(intervention)
            else:
                _collect(collected, path, intervention.changes(layers[path]))
    for path, own in regions.items():
        _collect(collected, path, _restricted(own, layers[path].factors))
    with changed(model, collected):
        yield


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
