"""How much each token matters for a class, by several accounts: what maps suggest, and what gradients say."""

import math
from contextlib import AbstractContextManager

import torch
from captum.attr import IntegratedGradients, Saliency
from torch import Tensor, nn

from . import maps
from .device import device_of
from .steps import Step, Steps, finish
from .trace import Block, DSPBlock, LinearBlock, Trace, recording, trace

#: Steps of the integral of integrated gradients, from the mean colour to the picture; a power of 2.
STEPS = 16


def relevances(model: nn.Module, x: Tensor, target: int, patch: int) -> dict[str, Tensor]:
    r"""Relevance of every token for the logit of a class.

    - ``received same``, ``received opposite``, ``received``: what a token gets on average over queries, blocks and
      heads, in the effective maps (:func:`dsp_viz.maps.layer_map`), by stream and in all;
    - ``rollout``: :func:`rollout`; ``gradient × map``: :func:`gradient_times_map`;
    - ``gradient``: ``Σ |∂ logit/∂ pixel|`` over a token's pixels and channels (captum's Saliency);
    - ``integrated gradients``: ``Σ`` over a token's pixels and channels (captum's IntegratedGradients,
      Sundararajan et al. 2017), from the mean colour in :data:`STEPS` steps: Gauss-Legendre on each of as many equal
      parts of the way as memory asks for, one at 256 tokens.

    Args:
        model: a classifier with linear attention of this package. x: one picture as the model takes it,
            ``(1, 3, height, width)``, on any device. target: index of the class. patch: side of a token in pixels.

    Returns:
        By name, ``(H, W)`` on the CPU: larger is more relevant; only the last and ``gradient × map`` have a sign.

    Raises:
        ValueError: the model has another attention.
    """
    return finish(relevance_steps(model, x, target, patch))


def relevance_steps(model: nn.Module, x: Tensor, target: int, patch: int) -> Steps[dict[str, Tensor]]:
    """:func:`relevances`, one account after the other."""
    x = x.to(device_of(model))
    traced = trace(model, x)
    if not all(isinstance(block, LinearBlock) for block in traced.blocks):
        raise ValueError("relevances by same- and opposite-signed maps need a model with linear attention")
    received = torch.stack([maps.layer_map(b, "all").mean(1) for b in traced.blocks]).mean(0)  # (2, H, W)
    parts = 1 << (math.ceil(STEPS / batch_size(received[0].numel())) - 1).bit_length()
    yield Step(1, 3 + parts, "accounts of relevance")
    with _differentiable():
        plain = _by_token(Saliency(model).attribute(x.clone().requires_grad_(), target=target), patch)
    yield Step(2, 3 + parts, "accounts of relevance")
    product = gradient_times_map(model, x, target)
    integrated = torch.zeros_like(x)
    for i in range(parts):  # of the way from the mean colour, as many as run at a time
        yield Step(3 + i, 3 + parts, "accounts of relevance")
        with _differentiable():
            integrated += IntegratedGradients(model).attribute(
                x * ((i + 1) / parts), x * (i / parts), target=target, n_steps=STEPS // parts
            )
    return {
        "received same": received[0],
        "received opposite": received[1],
        "received": received.sum(0),
        "rollout": rollout(traced),
        "gradient × map": product,
        "gradient": plain,
        "integrated gradients": _by_token(integrated, patch),
    }


def _differentiable() -> AbstractContextManager[None]:
    """Forward passes in here can be differentiated on a GPU too: cuDNN's LSTM has a backward pass in training alone."""
    return torch.backends.cudnn.flags(enabled=False)


def batch_size(tokens: int) -> int:
    """How many pictures of that many tokens run at a time: 32 of 256, fewer of more."""
    return max(1, min(32, 8192 // tokens))


def _by_token(pixels: Tensor, patch: int) -> Tensor:
    """``(1, 3, height, width)`` → ``(H, W)`` on the CPU: sums over a token's pixels and channels."""
    return nn.functional.avg_pool2d(pixels.detach().cpu().sum(1), patch)[0] * patch**2


def rollout(traced: Trace) -> Tensor:
    r"""What reaches the average of the last tokens from each token of the picture, through all blocks.

    .. math:: r_{l-1} = r_l\,\bigl(\tfrac12 I + \tfrac12 \bar E_l\bigr),\quad r_L = 1/N

    ``Ē`` is the mean of a layer's effective maps over heads, both streams added, its rows scaled to sum 1 (Abnar and
    Zuidema, 2020, arXiv 2005.00928). Row vectors alone are multiplied, each from the factors: ``O(L·N·d)``.

    Returns:
        ``(H, W)``, sums to 1.
    """
    H, W = traced.blocks[0].grids[0]
    r = torch.full((H, W), 1 / (H * W), dtype=traced.blocks[0].coefficients.dtype)
    for block in reversed(traced.blocks):
        seen = maps.layer_map(block, r).sum(0).mean(0)
        # Every row of a layer has the same sum, Σ_s w_s c_s over both streams, so the whole may be scaled at once.
        # Where a layer's attention is left out, that sum is 0, and what flows is the residual alone.
        total = seen.sum()
        r = (r + seen / total) / 2 if total > 0 else r
    return r


def gradient_times_map(model: nn.Module, x: Tensor, target: int) -> Tensor:
    r"""Gradient of a logit with respect to every entry of every map, times the entry, added up by key.

    .. math:: R_j = \sum_i A_{ij}\,\frac{\partial y}{\partial A_{ij}} = v_j\cdot\frac{\partial y}{\partial v_j}

    The right side follows from ``O = A v`` and needs no map: ``O(N·d)``. The gradient is that through the attention
    alone, not through the convolution on the values. A coarse key's relevance is spread over the tokens it pools. Added
    up over scales, heads, streams and blocks.

    Returns:
        ``(H, W)``, signed, on the CPU.
    """
    x = x.to(device_of(model))
    layers = trace(model, x).blocks
    points = [[_values(block, s) for s in range(len(block.grids))] for block in layers]
    with (
        torch.enable_grad(),
        _differentiable(),
        recording(model, [name for names in points for name in names]) as calls,
    ):
        logit = model(x.clone().requires_grad_())[0, target]
    values = {name: _tensor(calls[name][-1]) for names in points for name in names}
    gradients = dict(zip(values, torch.autograd.grad(logit, list(values.values())), strict=True))
    H, W = layers[0].grids[0]
    total = torch.zeros(H, W, dtype=x.dtype)
    for block, names in zip(layers, points, strict=True):
        for s, (grid, name) in enumerate(zip(block.grids, names, strict=True)):
            relevance = (values[name] * gradients[name]).sum((0, 1, 3)).detach().cpu().view(grid)
            total += maps.spread_evenly(relevance, 2**s, H, W)
    return total


def _values(block: Block, scale: int) -> str:
    own = f"attention.{scale}" if isinstance(block, DSPBlock) else "attention"
    return f"{block.name}.{own}".strip(".")


def _tensor(recorded: Tensor | tuple[Tensor, ...]) -> Tensor:
    return recorded if isinstance(recorded, Tensor) else recorded[1]
