"""How much each token matters for a class, by several methods: from attention maps, and from gradients."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from . import maps
from .device import device_of
from .hooks import reading
from .kinds import absolute, layers
from .layer import Grid, Layer, Scale, Trace
from .rebuilding import rebuilt
from .steps import Step, Steps, finish
from .trace import trace

#: Steps of the integral of integrated gradients, from the mean colour to the picture; a power of 2.
STEPS = 16


def relevances(model: nn.Module, x: Tensor, target: int) -> dict[str, Tensor]:
    r"""Relevance of every token for the logit of a class.

    - ``received``: what a token gets on average over queries, blocks and heads, in the effective maps
      (:func:`dsp_viz.maps.layer_map`), streams added up; where all blocks have the same several streams, of each too,
      such as ``received same``. What prefix tokens get and ask is no part of it. Where entries of maps may be negative
      (the rule ``product``) it is ``received, signed``;
    - ``rollout``: :func:`rollout`, where they may not; ``gradient × map``: :func:`gradient_times_map`;
    - ``gradient``: ``Σ |∂ logit/∂ pixel|`` over a token's pixels and channels (captum's Saliency);
    - ``integrated gradients``: ``Σ`` over a token's pixels and channels (captum's IntegratedGradients,
      Sundararajan et al. 2017), from the mean colour in :data:`STEPS` steps: Gauss-Legendre on each of as many equal
      parts of the way as memory asks for, one at 256 tokens.

    Args:
        model: a classifier with attention that is known here. x: one picture as the model takes it,
            ``(1, 3, height, width)``, on any device. target: index of the class.

    Returns:
        By name, ``(H, W)`` on the model's finest grid of tokens, on the CPU: larger is more relevant. See
        :func:`dsp_viz.accounts.account` for which have a sign.

    Raises:
        ValueError: the model has no attention that is known here.
    """
    return finish(relevance_steps(model, x, target))


def relevance_steps(
    model: nn.Module, x: Tensor, target: int, *, found: dict[str, Tensor] | None = None
) -> Steps[dict[str, Tensor]]:
    """:func:`relevances`, one method after the other; ``found``: an empty dictionary, to be filled as they come."""
    from captum.attr import IntegratedGradients, Saliency  # takes a second, and only this needs it

    found = {} if found is None else found
    x = ordinary(x, model)
    traced = trace(model, x)
    tokens = traced.grid.rows * traced.grid.columns
    parts = 1 << (math.ceil(STEPS / batch_size(tokens)) - 1).bit_length()
    found |= _received(traced) | ({} if _signed(traced) else {"rollout": rollout(traced)})
    yield Step(1, 3 + parts, "accounts of relevance")
    found["gradient × map"] = gradient_times_map(model, x, target)
    yield Step(2, 3 + parts, "accounts of relevance")
    with differentiable():
        plain = _by_token(Saliency(model).attribute(x.clone().requires_grad_(), target=target), traced.grid)
    found["gradient"] = plain
    integrated = torch.zeros_like(plain)
    for i in range(parts):  # of the way from the mean colour, as many as run at a time
        yield Step(3 + i, 3 + parts, "accounts of relevance")
        with differentiable():
            part = IntegratedGradients(model).attribute(
                x * ((i + 1) / parts), x * (i / parts), target=target, n_steps=STEPS // parts
            )
        integrated = integrated + _by_token(part, traced.grid)
    found["integrated gradients"] = integrated
    return found


def _received(traced: Trace) -> dict[str, Tensor]:
    """What each token gets, by stream where all blocks have the same, and in all."""
    each = [maps.spread(maps.layer_map(b, "all").mean(1), b.grid, traced.grid) for b in traced.blocks]
    names = {maps.streams(b) for b in traced.blocks}
    by_stream: dict[str, Tensor] = {}
    if len(names) == 1 and len(each[0]) > 1:
        by_stream = dict(zip((f"received {n}" for n in names.pop()), torch.stack(each).mean(0), strict=True))
    name = "received, signed" if _signed(traced) else "received"
    return by_stream | {name: torch.stack([one.sum(0) for one in each]).mean(0)}


def _signed(traced: Trace) -> bool:
    """Whether entries of maps may be negative. Then rows have no common sum, and none that attention could follow."""
    return any(block.finish == "product" for block in traced.blocks)


@contextmanager
def differentiable() -> Iterator[None]:
    """Forward passes in here can be differentiated, whatever mode the caller is in, and on a GPU too: cuDNN's LSTM has
    a backward pass only in training."""
    with torch.inference_mode(False), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        yield


def ordinary(x: Tensor, model: nn.Module) -> Tensor:
    """The input where the model is, as a tensor that can be differentiated by, which those of inference mode cannot."""
    with torch.inference_mode(False):
        return x.to(device_of(model)).clone()


def class_index(logits: Tensor, target: int | None) -> int:
    """Index of the class that is explained, by default of the most probable one, from logits ``(classes,)``.

    Raises:
        ValueError: there is no such class.
    """
    if target is None:
        return int(logits.argmax())
    if not 0 <= target < len(logits):
        raise ValueError(f"target={target}: must be within 0 and {len(logits) - 1}; None is the most probable class")
    return target


def batch_size(tokens: int) -> int:
    """How many pictures of that many tokens run at a time: 32 of 256, fewer of more."""
    return max(1, min(32, 8192 // tokens))


def _by_token(pixels: Tensor, grid: Grid) -> Tensor:
    """``(1, 3, height, width)`` → ``(H, W)`` on the CPU: sums over a token's pixels and channels."""
    return maps.spread(pixels.detach().cpu().sum(1)[0], Grid(*pixels.shape[2:]), grid)


def rollout(traced: Trace) -> Tensor:
    r"""What reaches the model's answer from each token of the picture, through all blocks: an approximation.

    .. math:: r_{l-1} = r_l\,\bigl(\tfrac12 I + \tfrac12 \bar E_l\bigr)

    ``Ē`` is the mean of a layer's effective maps over heads, all streams added, its rows scaled to sum 1 (Abnar and
    Zuidema, 2020, arXiv 2005.00928). Only row vectors are multiplied, each from the factors: ``O(L·N·d)``. ``r_L`` is 1
    for the class token, if the last layer has one, else ``1/N`` for each token of its grid: what the model's answer is
    read from in most models.

    It approximates, and more so in a pyramid: residuals count as much as attention, what lies between the layers counts
    for nothing, and between blocks of different grids what flows is spread over the finer one's tokens, or gathered.
    What flows to a prefix token flows on through its own rows; where an earlier layer has no such token it is lost.

    Returns:
        ``(H, W)`` on the finest grid, scaled to sum 1: what is left with prefix tokens is no part of it.
    """
    above = traced.blocks[-1]
    N = above.grid.rows * above.grid.columns
    r = torch.zeros(len(above.prefix) + N, dtype=above.coefficients.dtype)
    if "class" in above.prefix:
        r[above.prefix.index("class")] = 1
    else:
        r[len(above.prefix) :] = 1 / N
    for block in reversed(traced.blocks):
        r, above = _carried(r, above, block), block
        seen = maps.layer_row(block, r).sum(0).mean(0)
        # Every row of a layer has the same sum, Σ_s w_s c_s over both streams, so the whole may be scaled at once; but
        # not by the rule `product`, of which there is no rollout here.
        # Where a layer's attention is left out, that sum is 0, and only the residual flows.
        total = seen.sum()
        r = (r + seen * (r.sum() / total)) / 2 if total > 0 else r
    placed = maps.spread(r[len(above.prefix) :].view(above.grid.size), above.grid, traced.grid)
    return placed / placed.sum() if placed.sum() > 0 else placed


def _carried(r: Tensor, above: Layer, below: Layer) -> Tensor:
    """What reaches the tokens of a layer, as what leaves those of the one before, ``(prefix + N,)``."""
    named = dict(zip(above.prefix, r, strict=False))
    prefix = torch.stack([named.get(name, r.new_zeros(())) for name in below.prefix]) if below.prefix else r[:0]
    placed = maps.spread(r[len(above.prefix) :].view(above.grid.size), above.grid, below.grid)
    return torch.cat([prefix, placed.flatten()])


def gradient_times_map(model: nn.Module, x: Tensor, target: int) -> Tensor:
    r"""Gradient of a logit with respect to every entry of every map, times the entry, added up by key.

    .. math:: R_j = \sum_i A_{ij}\,\frac{\partial y}{\partial A_{ij}} = v_j\cdot\frac{\partial y}{\partial v_j}

    The right side follows from ``O = A v`` and needs no map: ``O(N·d)``. The gradient is only that through the
    attention, not that through the convolution on the values. A coarse key's relevance is spread over the tokens it
    pools. Added up over scales, heads, streams and blocks.

    Returns:
        ``(H, W)``, signed, on the CPU.
    """
    x = ordinary(x, model)
    traced = trace(model, x)
    found = layers(model)
    outputs = {block.name: found[block.name][1].output(found[block.name][0]) for block in traced.blocks}
    points = [absolute(name, own.point) for name, own in outputs.items()]
    with differentiable(), reading(model, points) as calls:
        logit = model(x.clone().requires_grad_())[0, target]
        gradients = torch.autograd.grad(logit, [calls[point][-1] for point in points])
    total = torch.zeros(traced.grid.size, dtype=x.dtype)
    for block, own, gradient in zip(traced.blocks, outputs.values(), gradients, strict=True):
        for scale, relevance in zip(block.scales, _by_key(block, own.take(gradient).cpu()), strict=True):
            placed = relevance[len(block.prefix) :].view(scale.keys.size)
            total += maps.spread(placed.to(total), scale.keys, traced.grid)
    return total


def _by_key(block: Layer, gradient: Tensor) -> list[Tensor]:
    """``v_j · ∂y/∂v_j`` through the maps of a layer, added up over heads, ``(prefix + N_keys,)`` for each scale.

    Args:
        block: of one sample. gradient: ``∂y/∂`` of what the layer puts out, ``(1, prefix + N, C)``.
    """
    # From the record, since a library may use values for more than the maps, or make them where no submodule does.
    with differentiable():
        record = _copied(block)
        values = [scale.values.requires_grad_() for scale in record.scales]
        found = torch.autograd.grad(rebuilt(record), values, gradient)
    return [(v * g).detach().sum((0, 1, 3)) for v, g in zip(values, found, strict=True)]


def _copied(value: Any) -> Any:
    """A record with copies of its tensors: those of a trace are of inference mode, which no gradient passes."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, tuple):
        return tuple(map(_copied, value))
    if isinstance(value, Layer | Scale):
        return replace(value, **{f.name: _copied(getattr(value, f.name)) for f in fields(value)})
    return value
