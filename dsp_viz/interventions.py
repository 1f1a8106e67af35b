"""What if a part of the model did something else: changes to one forward pass, as immutable values.

No weight is changed. As in :mod:`dsp_viz.trace`, hooks are registered once per model and do nothing unless the current
context asks for it, so requests that run at the same time never see each other's changes, and nothing outlives one.

Blocks, heads and scales count from 0; ``None`` means every one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from torch import Tensor, nn

from dsp_attention import DynamicSpectralPolarityAttention
from dsp_attention.grid import pool

from .maps import POLARITIES
from .trace import dsp_layers

#: Turns the output of a submodule, given its inputs, into what takes its place.
Change = Callable[[Tensor, tuple[Any, ...]], Tensor]

#: Bounds keep what an address on the web may ask for finite.
Amount = Annotated[float, Field(ge=0, le=1000)]
Frequency = Annotated[int, Field(ge=0, le=10_000)]
Side = Annotated[int, Field(ge=1, le=1024)]

_FILTERS = ("positive", "negative")


class InterventionError(ValueError):
    """An intervention that is unknown, or that the model has no part for; the message says what is allowed."""


def _part(index: int | None, count: int, what: str) -> slice:
    if index is None:
        return slice(None)
    if not 0 <= index < count:
        raise InterventionError(f"{what}={index}: must be within 0 and {count - 1}, or none for every one")
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
        polarity: ``"same"`` or ``"opposite"``.
    """

    kind: Literal["set_coefficient"] = "set_coefficient"
    value: Amount
    block: int | None = None
    head: int | None = None
    scale: int | None = None
    polarity: Literal["same", "opposite"] | None = None
    relative: bool = False

    def changes(self, layer: DynamicSpectralPolarityAttention) -> dict[str, Change]:
        """What takes the place of the output of which submodule of a layer."""
        head = _part(self.head, layer.num_heads, "head")
        scale = _part(self.scale, len(layer.factors), "scale")
        stream = _named(self.polarity, POLARITIES)

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
    weights: tuple[Amount, ...]
    block: int | None = None
    head: int | None = None

    def changes(self, layer: DynamicSpectralPolarityAttention) -> dict[str, Change]:
        """See :meth:`SetCoefficient.changes`."""
        head = _part(self.head, layer.num_heads, "head")
        if len(self.weights) != len(layer.factors):
            raise InterventionError(
                f"weights={self.weights}: one for each of the {len(layer.factors)} scales is needed"
            )

        def change(w: Tensor, _: tuple[Any, ...]) -> Tensor:
            w = w.clone()
            w[:, head] = w.new_tensor(self.weights)
            return w

        return {"mixer.weights": change}


class Restrict(_Value):
    """Let queries attend to keys within a region of the picture alone.

    A key outside is left out of numerator and normaliser alike. A key of a coarser scale counts by the share of its
    tokens that lie within.

    Attributes:
        grid: ``(H, W)`` of the tokens.
        tokens: ``(row, column)`` of those within the region, at least one.
    """

    kind: Literal["restrict"] = "restrict"
    grid: tuple[Side, Side]
    tokens: tuple[tuple[int, int], ...]
    block: int | None = None

    def changes(self, layer: DynamicSpectralPolarityAttention) -> dict[str, Change]:
        """See :meth:`SetCoefficient.changes`."""
        H, W = self.grid
        if not self.tokens or not all(0 <= r < H and 0 <= c < W for r, c in self.tokens):
            raise InterventionError(f"tokens: at least one is needed, each within the grid of {H}×{W}")
        index = [r * W + c for r, c in self.tokens]

        def check(c: Tensor, inputs: tuple[Any, ...]) -> Tensor:
            if inputs[1:] != self.grid:  # of the context encoder, the first part of a layer to run: (x, H, W)
                raise InterventionError(f"grid={self.grid}: the picture's tokens form another grid, {inputs[1:]}")
            return c

        def change_at(factor: int) -> Change:
            def change(features: Tensor, _: tuple[Any, ...]) -> Tensor:  # (2, 2, B, h, N_s, d)
                inside = features.new_zeros(1, H * W, 1)  # made here, where the grid is known to be the picture's
                inside[:, index] = 1.0
                phi_q, phi_k = features.unbind(1)
                return torch.stack([phi_q, phi_k * pool(inside, H, W, factor)], 1)

            return change

        return {"context": check} | {f"polarity.{s}": change_at(factor) for s, factor in enumerate(layer.factors)}


Intervention = SetCoefficient | LeaveOutFilter | LeaveOutSummary | SetMixingWeights | Restrict

#: Every kind of intervention by its name in JSON.
KINDS: dict[str, type[Intervention]] = {
    kind.model_fields["kind"].default: kind
    for kind in (SetCoefficient, LeaveOutFilter, LeaveOutSummary, SetMixingWeights, Restrict)
}


_current: ContextVar[Mapping[nn.Module, Sequence[Change]]] = ContextVar("dsp_viz_changes")
_installing = Lock()


def _replace(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
    """A forward hook that replaces an output where the current context asks for it."""
    changes = _current.get({}).get(module)
    if changes is None:
        return None
    for change in changes:
        output = change(output, inputs)
    return output


@contextmanager
def applied(model: nn.Module, interventions: Iterable[Intervention]) -> Iterator[None]:
    """Run what the body runs with these interventions, in this context alone; later ones act on earlier ones' result.

    Raises:
        InterventionError: the model has no DSP-Attention, or lacks the part that an intervention names.
    """
    collected: dict[str, list[Change]] = {}
    paths = list(dsp_layers(model).items())
    for intervention in interventions:
        if not isinstance(intervention, _Value):
            raise InterventionError(
                f"{str(intervention)[:60]!r} is no intervention: give values such as SetCoefficient(value=0), in a "
                "list; from_json makes them from JSON"
            )
        if not paths:
            raise InterventionError("interventions need a model with DSP-Attention layers")
        for path, layer in paths[_part(intervention.block, len(paths), "block")]:
            for point, change in intervention.changes(layer).items():
                collected.setdefault(f"{path}.{point}".strip("."), []).append(change)
    with changed(model, collected):
        yield


@contextmanager
def changed(model: nn.Module, changes: Mapping[str, Sequence[Change]]) -> Iterator[None]:
    """Run what the body runs with changes of named submodules' outputs, in this context alone.

    Contexts nest: an inner one's changes act on the outer one's result.
    """
    every = dict(_current.get({}))
    with _installing:
        for name, more in changes.items():
            module = model.get_submodule(name)
            every[module] = [*every.get(module, ()), *more]
            if _replace not in module._forward_hooks.values():
                # Before the hooks that record: what they see is what the model went on with.
                module.register_forward_hook(_replace, prepend=True)
    token = _current.set(every)
    try:
        yield
    finally:
        _current.reset(token)


_LIST: TypeAdapter[tuple[Intervention, ...]] = TypeAdapter(
    Annotated[tuple[Annotated[Intervention, Field(discriminator="kind")], ...], Field(max_length=256)]
)


def to_json(interventions: Iterable[Intervention]) -> str:
    """A list of interventions as JSON; :func:`from_json` reads it."""
    return _LIST.dump_json(tuple(interventions), exclude_none=True).decode()


def from_json(text: str | bytes) -> tuple[Intervention, ...]:
    """Interventions from JSON: a list of objects, each with its ``kind`` and its fields, see :func:`schema`.

    Raises:
        InterventionError: no such JSON; an unknown kind (those that are known are listed) or field, or a value that is
            out of range.
    """
    try:
        return _LIST.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        more = ""
        if first["type"] == "extra_forbidden":
            more = f"; fields are {', '.join(KINDS[str(first['loc'][1])].model_fields)}"
        elif first["type"] == "union_tag_not_found":
            more = f"; kinds are {', '.join(KINDS)}"
        raise InterventionError(f"interventions{f'.{where}' if where else ''}: {first['msg']}{more}") from error


def schema() -> dict[str, Any]:
    """JSON Schema of what :func:`from_json` reads."""
    result = _LIST.json_schema()
    for kind in result["$defs"].values():  # in Python a class tells its kind, in JSON the field has to
        kind["required"] = ["kind", *kind.get("required", [])]
    return result
