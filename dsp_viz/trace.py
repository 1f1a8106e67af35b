"""One forward pass under hooks, as an immutable :class:`Trace`.

Hooks are registered once per model and stay: each returns at once unless the current context holds a recorder. A
recorder lives in a ``ContextVar``, so threads and tasks that run the same model never see each other's tensors, and
``finally`` takes it away whatever happens.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from dsp_attention import DynamicSpectralPolarityAttention

#: Submodules of a DSP-Attention layer that are recorded; ``{s}`` stands for each scale. Names are module paths.
POINTS = (
    "context",
    "context.global_summary",
    "context.lstm_summary",
    "context.attention_summary",
    "qkv.{s}",
    "spectral",
    "spectral.filters",
    "polarity.{s}",
    "attention.{s}",
    "mixer.weights",
    "mixer",
    "convolution",
    "norm",
)


@dataclass(frozen=True)
class Call:
    """One call of a module: its positional inputs and its output."""

    inputs: tuple[Any, ...]
    output: Any


@dataclass
class _Recorder:
    model: nn.Module
    names: frozenset[str]
    calls: dict[str, list[Call]] = field(default_factory=dict)


_current: ContextVar[_Recorder | None] = ContextVar("dsp_viz_recorder", default=None)
_installing = Lock()


class _Probe:
    """A forward hook that records for the current context's recorder, if there is one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        recorder = _current.get()
        if recorder is not None and self.name in recorder.names:
            recorder.calls.setdefault(self.name, []).append(Call(inputs, output))


def layers(model: nn.Module) -> dict[str, DynamicSpectralPolarityAttention]:
    """The DSP-Attention layers of a model by module path, in the order of the forward pass.

    Raises:
        ValueError: the model has none.
    """
    found = {n: m for n, m in model.named_modules() if isinstance(m, DynamicSpectralPolarityAttention)}
    if not found:
        raise ValueError(f"{type(model).__name__} has no DynamicSpectralPolarityAttention layer to trace")
    return found


def names(model: nn.Module) -> list[str]:
    """Module paths that can be recorded, in the order of :data:`POINTS`, layer by layer."""
    result = []
    for path, layer in layers(model).items():
        prefix = f"{path}." if path else ""
        for point in POINTS:
            scales = range(len(layer.factors)) if "{s}" in point else range(1)
            result += [prefix + point.format(s=s) for s in scales]
    return result


@contextmanager
def recording(model: nn.Module, wanted: Collection[str] | None = None) -> Iterator[dict[str, list[Call]]]:
    """Record what named submodules compute while the body runs, in this context alone.

    Args:
        model: any module with DSP-Attention layers.
        wanted: module paths, see :func:`names`; all of them by default.

    Yields:
        A dictionary from module path to the calls so far, filled while the body runs.

    Raises:
        ValueError: an unknown name (it and the nearest known ones are listed).
        RuntimeError: a wanted module was never called.
    """
    known = names(model)
    chosen = frozenset(known if wanted is None else wanted)
    unknown = sorted(chosen - set(known))
    if unknown:
        raise ValueError(f"unknown hook name {unknown[0]!r}; known are {', '.join(known[:20])}, …")
    _install(model, known)
    recorder = _Recorder(model, chosen)
    token = _current.set(recorder)
    try:
        yield recorder.calls
    finally:
        _current.reset(token)
    silent = sorted(chosen - recorder.calls.keys())
    if silent:
        raise RuntimeError(f"hook {silent[0]!r} never fired (and {len(silent) - 1} more): was the model run?")


def _install(model: nn.Module, known: list[str]) -> None:
    # Looked up on the modules themselves, so that a deep copy of a model, which carries its hooks, is not hooked twice.
    with _installing:
        for name in known:
            module = model.get_submodule(name)
            if not any(isinstance(hook, _Probe) and hook.name == name for hook in module._forward_hooks.values()):
                module.register_forward_hook(_Probe(name))


@dataclass(frozen=True)
class Block:
    """What one DSP-Attention layer computed. Axes as in :mod:`dsp_attention`; tuples have an entry per scale.

    Attributes:
        name: module path of the layer.
        grids: ``(H_s, W_s)``; the first is the grid of the tokens.
        fields: q and k before the filters, ``(B, H_s, W_s, 2, h, d)``.
        filtered: after them, ``(2, 2, B, h, N_s, d)``: polarity, (q, k).
        features: ``φ``, same axes.
        values: ``v``, ``(B, h, N_s, d)``.
        coefficients: ``c``, ``(B, h, S, 2)``, (same, opposite).
        summaries: the context's summaries by name, ``(B, width)``.
        weights: ``w``, ``(B, h, S)``.
        filters: ``D``, ``(2, h, 2M-1, M)`` complex.
        ema: tracked gradients, ``(h, S)``.
        local: output of the convolution, ``(B, N, C)``.
        mixed: what enters the LayerNorm, ``(B, N, C)``.
    """

    name: str
    grids: tuple[tuple[int, int], ...]
    fields: tuple[Tensor, ...]
    filtered: tuple[Tensor, ...]
    features: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    coefficients: Tensor
    summaries: dict[str, Tensor]
    weights: Tensor
    filters: Tensor
    ema: Tensor
    local: Tensor
    mixed: Tensor


@dataclass(frozen=True)
class Trace:
    """Everything one forward pass showed: the model's output ``(B, num_classes)`` and its layers."""

    output: Tensor
    blocks: tuple[Block, ...]


def trace(model: nn.Module, x: Tensor, *grid: int) -> Trace:
    """Run a model once and keep what its DSP-Attention layers computed.

    Args:
        model: a classifier, a :class:`dsp_attention.DSPModel` or a single layer.
        x: its input. grid: ``H, W`` where the model takes tokens that do not form a square.

    Returns:
        Tensors without gradients, on the model's device.

    Raises:
        ValueError: the model has no DSP-Attention layer, or refuses ``x``.
        RuntimeError: a hook did not fire.
    """
    with torch.inference_mode(), recording(model) as calls:
        output = model(x, *grid)
    return Trace(output, tuple(_block(path, layer, calls) for path, layer in layers(model).items()))


def _block(path: str, layer: DynamicSpectralPolarityAttention, calls: dict[str, list[Call]]) -> Block:
    prefix = f"{path}." if path else ""
    scales = range(len(layer.factors))

    def one(point: str) -> Call:
        return calls[prefix + point][-1]

    spectral = calls[prefix + "spectral"][-len(scales) :]
    return Block(
        name=path,
        grids=tuple(one("mixer").inputs[1]),
        fields=tuple(call.inputs[0] for call in spectral),
        filtered=tuple(call.output for call in spectral),
        features=tuple(one(f"polarity.{s}").output for s in scales),
        values=tuple(one(f"attention.{s}").inputs[1] for s in scales),
        coefficients=one("context").output,
        summaries={n: one(f"context.{n}_summary").output for n in ("global", "lstm", "attention")},
        weights=one("mixer.weights").output,
        filters=one("spectral.filters").output,
        ema=layer.mixer.weights.ema.clone(),
        local=one("convolution").output,
        mixed=one("norm").inputs[0],
    )
