r"""Run a model as if the records of its layers were others: each layer puts out what its changed record gives.

.. math:: g_i \odot \Bigl(\ell_i + \sum_s w_s\,c_s\,U_s \sum_j A^s_{ij}\,v^s_j\Bigr)

takes the place of what enters the output projection, for all tokens: in ``O(N·d²)`` for the rules ``ratio`` and
``product``, row by row for ``softmax``. So what can be said of a record can be done to any attention that has one, and
the record of such a pass tells what was done.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dsp_attention.grid import lift

from .faults import InterventionError
from .hooks import Calls, changed, reading
from .kinds import absolute, joined, layers
from .kinds.kind import Entries, Kind, put
from .layer import Layer, Scale
from .proof import checked
from .rows import softmax_rows

#: What becomes of the record of a layer.
Revision = Callable[[Layer], Layer]

_revisions: ContextVar[Mapping[nn.Module, Sequence[Revision]] | None] = ContextVar("dsp_viz_revisions", default=None)


def rebuilt(record: Layer) -> Tensor:
    """What the record says that the layer puts out, ``(B, prefix + N, C)``, at least float32."""
    first, total = len(record.prefix), torch.zeros((), device=record.output.device)
    with torch.autocast(record.output.device.type, enabled=False):
        for s, scale in enumerate(record.scales):
            heads = _attended(record, scale, record.coefficients[:, :, s] * record.weights[:, :, s, None])
            tokens = heads.transpose(1, 2).flatten(2)  # (B, prefix + N_queries, C)
            total = total + torch.cat(
                [tokens[:, :first], lift(tokens[:, first:], scale.queries.size, record.grid.size)], 1
            )
        if record.local is not None:
            total = total + record.local
        return total if record.gate is None else total * record.gate


def _attended(record: Layer, scale: Scale, amounts: Tensor) -> Tensor:
    """``(B, h, prefix + N_queries, d)``: maps times values, each stream times its amount ``(B, h, streams)``."""
    dtype = torch.promote_types(scale.right.dtype, torch.float32)
    left, right, values = (tensor.to(dtype) for tensor in (scale.left, scale.right, scale.values))
    parts = []
    for t, stream in enumerate(record.streams):
        asking, v = left.roll(-stream.turn, 0), values[..., slice(*(stream.columns or (None,)))]
        if record.finish == "softmax":
            every = torch.ones(left.shape[-2], dtype=torch.bool, device=left.device)
            part = v.new_zeros(*left.shape[1:-1], v.shape[-1])
            for queries, keys, weights in softmax_rows(scale, asking, right, every):
                part[..., queries, :] = weights @ v[..., keys, :]
        else:
            part = (asking @ (right.mT @ v)).sum(0)
            if record.finish == "ratio":
                unit = (asking @ right.mean(-2)[..., None]).sum(0) + record.epsilon
                part = part / (right.shape[-2] * unit)
        parts.append(part * amounts[:, :, t, None, None])
    return torch.cat(parts, -1)


@contextmanager
def revised(model: nn.Module, revisions: Mapping[str, Sequence[Revision]]) -> Iterator[None]:
    """Run what the body runs as if the records of some layers were others, only in this context.

    Contexts nest: an inner one's revisions act on the outer one's result.

    Args:
        model: with attention that is known here. revisions: by the module path of a layer, in their order.

    Raises:
        InterventionError: while the body runs, where a layer's record does not rebuild what the layer puts out.
    """
    found = layers(model) if revisions else {}
    every = dict(_revisions.get() or {})
    with ExitStack() as stack:
        for path, own in revisions.items():
            layer, kind = found[path]
            if layer not in every:  # else an outer context replaces what it puts out, by all revisions that there are
                # Read for each layer apart: what is seen around several layers is seen for each.
                calls = stack.enter_context(reading(model, [absolute(path, point) for point in kind.points(layer)]))
                output = kind.output(layer)
                change = partial(_replaced, _Place(path, layer, kind, output), calls)
                stack.enter_context(changed(model, {absolute(path, output.point): [change]}))
            every[layer] = [*every.get(layer, ()), *own]
        token = _revisions.set(every)
        try:
            yield
        finally:
            _revisions.reset(token)


def as_revised(layer: nn.Module, record: Layer) -> Layer:
    """The record of a layer as this context changes it."""
    for revision in (_revisions.get() or {}).get(layer, ()):
        record = revision(record)
    return record


class _Place(NamedTuple):
    """A layer, and where what it puts out is."""

    path: str
    layer: nn.Module
    kind: Kind
    output: Entries


def _replaced(place: _Place, calls: Calls, tensor: Tensor, _: tuple[Any, ...]) -> Tensor:
    """What the changed record gives, in place of what the layer put out; ``calls``: what was read in the same pass."""
    path, layer, kind, output = place
    kept = {point.path: given for point, given in calls.items()}

    def seen(inner: str, call: int = -1) -> Any:
        return tensor if inner == output.point.path else kept[joined(path, inner)][call]

    record = kind.read(path, layer, seen)
    own = {absolute(path, point) for point in kind.points(layer) if not point.path.startswith("/")}
    for point, given in calls.items():
        # A call needs its own only. What was seen around the layer holds for its next call in the same pass, too.
        del given[: None if point in own else -1]
    with torch.no_grad():
        fault = checked(record)[1] if torch.isfinite(record.output).all() else ""
    if fault:
        raise InterventionError(f"{path or 'the model itself'} cannot be changed: {fault}")
    return put(output, tensor, rebuilt(as_revised(layer, record)))
