"""Which part matters for a picture: each head, scale and stream left out in turn."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .changes import changed
from .device import device_of
from .steps import Step, Steps, finish
from .trace import dsp_layers


@dataclass(frozen=True)
class Importance:
    """What leaving out each part does to the logit of one class.

    Attributes:
        target: index of the class.
        logit: of that class with nothing left out.
        heads, scales, streams: ``(L, h)``, ``(L, S)``, ``(L, 2)`` for the ``L`` layers: the logit without that part of
            that layer, minus ``logit``. Negative where the part spoke for the class.
    """

    target: int
    logit: float
    heads: Tensor
    scales: Tensor
    streams: Tensor


def importance(model: nn.Module, x: Tensor, *, target: int | None = None) -> Importance:
    """Leave out every head, scale and stream of every DSP-Attention layer, one at a time.

    A part is left out by a coefficient of 0, as with :class:`dsp_viz.interventions.SetCoefficient`. All parts of a
    layer run as one batch, so that the whole costs a forward pass for each part and no more.

    Args:
        model: a classifier with DSP-Attention. x: one picture as the model takes it, ``(1, 3, height, width)``,
            on any device.
        target: index of the class, by default the most probable one.

    Returns:
        See :class:`Importance`.

    Raises:
        ValueError: the model has no DSP-Attention layer, or ``x`` holds more than one picture.
    """
    return finish(importance_steps(model, x, target=target))


@torch.inference_mode()
def importance_steps(model: nn.Module, x: Tensor, *, target: int | None = None) -> Steps[Importance]:
    """:func:`importance`, layer by layer."""
    found = dsp_layers(model)
    if not found:
        raise ValueError("no DSP-Attention layer: there is nothing to leave out")
    if len(x) != 1:
        raise ValueError(f"x holds {len(x)} pictures; one is needed")
    x = x.to(device_of(model))
    plain = model(x)[0]
    chosen = int(plain.argmax()) if target is None else target
    parts = []
    for done, (path, layer) in enumerate(found.items()):
        masks = _masks(layer.num_heads, len(layer.factors)).to(x)
        with changed(model, {f"{path}.context".strip("."): [partial(_times, masks)]}):
            logits = model(x.expand(len(masks), *x.shape[1:]))
        parts.append(logits[:, chosen] - plain[chosen])
        yield Step(done + 1, len(found), "blocks")
    sizes = [layer.num_heads, len(layer.factors), 2]
    heads, scales, streams = torch.stack(parts).cpu().split(sizes, dim=1)
    return Importance(chosen, float(plain[chosen]), heads, scales, streams)


def _times(masks: Tensor, c: Tensor, _: tuple[Any, ...]) -> Tensor:
    return c * masks


def _masks(heads: int, scales: int) -> Tensor:
    """Factors of the coefficients ``(h + S + 2, h, S, 2)``: in each row one head, scale or stream is 0."""
    rows = torch.ones(heads + scales + 2, heads, scales, 2)
    for i in range(heads):
        rows[i, i] = 0
    for i in range(scales):
        rows[heads + i, :, i] = 0
    for i in range(2):
        rows[heads + scales + i, ..., i] = 0
    return rows
