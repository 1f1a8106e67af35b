"""Which part matters for a picture: each left out in turn, or, to first order, all at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .device import device_of
from .hooks import Change, Point, changed
from .kinds import values
from .kinds.kind import Entries, put
from .layer import Layer
from .relevance import batch_size, class_index, differentiable, ordinary
from .steps import Step, Steps, finish
from .trace import trace


@dataclass(frozen=True)
class Importance:
    """What leaving out each part does to the logit of one class.

    Attributes:
        target: index of the class.
        logit: of that class with nothing left out.
        heads, scales, streams: of each layer ``(h,)``, ``(S,)``, ``(T,)``: the logit without that part of that layer,
            minus ``logit``. Negative where the part spoke for the class. Empty where a layer has one scale or stream.
    """

    target: int
    logit: float
    heads: tuple[Tensor, ...]
    scales: tuple[Tensor, ...]
    streams: tuple[Tensor, ...]


def importance(model: nn.Module, x: Tensor, *, target: int | None = None) -> Importance:
    """Leave out every head, scale and stream of every attention layer, one at a time.

    A part is left out by setting to 0 the values that its maps act on. A coefficient of 0 does the same where a layer
    has one (:class:`dsp_viz.interventions.SetCoefficient`). Parts of a layer run in one batch, as many as memory is
    thought to hold (:func:`dsp_viz.relevance.batch_size`), so that the whole costs a forward pass for each part.

    Args:
        model: a classifier with attention that is known here. x: one picture as the model takes it,
            ``(1, 3, height, width)``, on any device.
        target: index of the class, by default the most probable one.

    Returns:
        See :class:`Importance`.

    Raises:
        ValueError: the model has no attention that is known here, or no such class, or ``x`` holds more than one
            picture.
    """
    return finish(importance_steps(model, x, target=target))


@torch.inference_mode()
def importance_steps(model: nn.Module, x: Tensor, *, target: int | None = None) -> Steps[Importance]:
    """:func:`importance`, layer by layer."""
    if len(x) != 1:
        raise ValueError(f"x holds {len(x)} pictures; one is needed")
    x = x.to(device_of(model))
    traced = trace(model, x)
    plain = traced.output[0]
    chosen = class_index(plain, target)
    where = values(model)
    parts: list[Sequence[Tensor]] = []
    for done, block in enumerate(traced.blocks):
        found = []
        for masks in _masks(*_parts(block)).split(batch_size(traced.grid.rows * traced.grid.columns)):
            with changed(model, _left_out(block, where[block.name], masks.to(x))):
                found.append(model(x.expand(len(masks), *x.shape[1:])).cpu())
        logits = torch.cat(found)
        sizes = [n if n > 1 or i == 0 else 0 for i, n in enumerate(_parts(block))]
        parts.append((logits[:, chosen] - plain[chosen]).split(sizes))
        yield Step(done + 1, len(traced.blocks), "blocks")
    heads, scales, streams = (tuple(each) for each in zip(*parts, strict=True))
    return Importance(chosen, float(plain[chosen]), heads, scales, streams)


def worth(model: nn.Module, x: Tensor, layers: Sequence[Layer]) -> tuple[Tensor, ...]:
    r"""What each head, scale and stream is worth for the most probable class, to first order, of many pictures at once.

    .. math:: \frac{\partial z}{\partial m}\Big|_{m=1}

    where ``z`` is the logit and ``m`` a factor on the values that the part's maps act on: about as much as the logit
    falls when the part is left out, as far as it is linear in ``m``. Positive where the part speaks for the class. Its
    absolute value is the score by which Michel, Levy and Neubig (2019, arXiv 1905.10650) rank heads.

    Args:
        model: a classifier with attention that is known here. x: pictures as it takes them, ``(B, 3, height, width)``.
        layers: those of a trace of them, see :func:`dsp_viz.trace.trace`.

    Returns:
        Of each layer ``(B, h, S, T)``, where the model is. One forward and one backward pass in all.
    """
    x = ordinary(x, model)
    where = values(model)
    with differentiable():
        masks = [torch.ones(len(x), *_parts(layer)).to(x).requires_grad_() for layer in layers]
        every = dict[Point, list[Change]]()
        for layer, mask in zip(layers, masks, strict=True):
            every |= _left_out(layer, where[layer.name], mask)
        with changed(model, every):
            total = model(x).amax(-1).sum()
        return torch.autograd.grad(total, masks)


def _parts(layer: Layer) -> tuple[int, int, int]:
    """``h, S, T``."""
    _, heads, scales = layer.weights.shape
    return heads, scales, len(layer.streams)


def _left_out(block: Layer, where: Sequence[Entries], masks: Tensor) -> dict[Point, list[Change]]:
    """Changes that multiply the values of each sample by its mask, ``(samples, h, S, streams)``."""
    changes: dict[Point, list[Change]] = {}
    for own in where:
        changes.setdefault(own.point, []).append(partial(_times, own, block, masks[:, :, own.scale]))
    return changes


def _times(own: Entries, block: Layer, masks: Tensor, tensor: Tensor, _: tuple[Any, ...]) -> Tensor:
    values = own.take(tensor).clone()  # (samples, some of h, N_keys, d)
    masks = masks[:, own.head : own.head + values.shape[1], :, None, None]
    for t, stream in enumerate(block.streams):
        values[..., slice(*(stream.columns or (None,)))] *= masks[:, :, t]
    return put(own, tensor, values)


def _masks(heads: int, scales: int, streams: int) -> Tensor:
    """``(parts, h, S, streams)``: in each row one head, scale or stream is 0. An only scale or stream is no part."""
    every = torch.ones(heads, scales, streams)
    rows = []
    for axis, count in enumerate(every.shape):
        for i in range(count) if count > 1 or axis == 0 else ():
            rows.append(every.index_fill(axis, torch.tensor(i), 0))
    return torch.stack(rows)
