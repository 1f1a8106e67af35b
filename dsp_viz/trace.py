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

#: What is recorded of a DSP-Attention layer, by module path (``{s}`` stands for each scale): the submodule's output,
#: or its positional input of that index. Nothing else is held, so that tracing costs little memory.
POINTS: dict[str, int | None] = {
    "context": None,
    "context.global_summary": None,
    "context.lstm_summary": None,
    "context.attention_summary": None,
    "spectral": 0,
    "spectral.filters": None,
    "polarity.{s}": None,
    "attention.{s}": 1,
    "mixer.weights": None,
    "convolution": None,
    "norm": 0,
}


@dataclass
class _Recorder:
    names: frozenset[str]
    calls: dict[str, list[Tensor]] = field(default_factory=dict)


_current: ContextVar[_Recorder | None] = ContextVar("dsp_viz_recorder", default=None)
_installing = Lock()


class _Probe:
    """A forward hook that records for the current context's recorder, if there is one."""

    def __init__(self, name: str, kept: int | None) -> None:
        self.name = name
        self.kept = kept

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        recorder = _current.get()
        if recorder is not None and self.name in recorder.names:
            value = output if self.kept is None else inputs[self.kept]
            recorder.calls.setdefault(self.name, []).append(value)


def layers(model: nn.Module) -> dict[str, DynamicSpectralPolarityAttention]:
    """The DSP-Attention layers of a model by module path, in the order of the forward pass.

    Raises:
        ValueError: the model has none.
    """
    found = {n: m for n, m in model.named_modules() if isinstance(m, DynamicSpectralPolarityAttention)}
    if not found:
        raise ValueError(f"{type(model).__name__} has no DynamicSpectralPolarityAttention layer to trace")
    return found


def _points(found: dict[str, DynamicSpectralPolarityAttention]) -> dict[str, int | None]:
    result: dict[str, int | None] = {}
    for path, layer in found.items():
        prefix = f"{path}." if path else ""
        for point, kept in POINTS.items():
            scales = range(len(layer.factors)) if "{s}" in point else range(1)
            result |= {prefix + point.format(s=s): kept for s in scales}
    return result


def names(model: nn.Module) -> list[str]:
    """Module paths that can be recorded, in the order of :data:`POINTS`, layer by layer."""
    return list(_points(layers(model)))


@contextmanager
def recording(model: nn.Module, wanted: Collection[str] | None = None) -> Iterator[dict[str, list[Tensor]]]:
    """Record named submodules while the body runs, in this context alone.

    Args:
        model: any module with DSP-Attention layers.
        wanted: module paths, see :func:`names`; all of them by default.

    Yields:
        A dictionary from module path to what was recorded (see :data:`POINTS`), call by call, filled while the body
        runs.

    Raises:
        ValueError: an unknown name (it and the nearest known ones are listed).
        RuntimeError: a wanted module was never called.
    """
    known = _points(layers(model))
    chosen = frozenset(known if wanted is None else wanted)
    unknown = sorted(chosen - known.keys())
    if unknown:
        raise ValueError(f"unknown hook name {unknown[0]!r}; known are {', '.join(list(known)[:20])}, …")
    with _recording(model, known, chosen) as calls:
        yield calls


@contextmanager
def _recording(
    model: nn.Module, known: dict[str, int | None], chosen: frozenset[str]
) -> Iterator[dict[str, list[Tensor]]]:
    _install(model, known)
    recorder = _Recorder(chosen)
    token = _current.set(recorder)
    try:
        yield recorder.calls
    finally:
        _current.reset(token)
    silent = sorted(chosen - recorder.calls.keys())
    if silent:
        raise RuntimeError(f"hook {silent[0]!r} never fired (and {len(silent) - 1} more): was the model run?")


def _install(model: nn.Module, known: dict[str, int | None]) -> None:
    # Looked up on the modules themselves, so that a deep copy of a model, which carries its hooks, is not hooked twice.
    with _installing:
        for name, kept in known.items():
            module = model.get_submodule(name)
            if not any(isinstance(hook, _Probe) and hook.name == name for hook in module._forward_hooks.values()):
                module.register_forward_hook(_Probe(name, kept))


@dataclass(frozen=True)
class Block:
    """What one DSP-Attention layer computed. Axes as in :mod:`dsp_attention`; tuples have an entry per scale.

    Attributes:
        name: module path of the layer.
        grids: ``(H_s, W_s)``; the first is the grid of the tokens.
        fields: q and k before the filters, ``(B, H_s, W_s, 2, h, d)``.
        features: ``φ`` of the filtered q and k, ``(2, 2, B, h, N_s, d)``: polarity, (q, k).
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
    found = layers(model)
    points = _points(found)
    with torch.inference_mode(), _recording(model, points, frozenset(points)) as calls:
        output = model(x, *grid)
    return Trace(output, tuple(_block(path, layer, calls) for path, layer in found.items()))


def _block(path: str, layer: DynamicSpectralPolarityAttention, calls: dict[str, list[Tensor]]) -> Block:
    prefix = f"{path}." if path else ""
    scales = range(len(layer.factors))

    def one(point: str) -> Tensor:
        return calls[prefix + point][-1]

    fields = tuple(calls[prefix + "spectral"][-len(scales) :])
    return Block(
        name=path,
        grids=tuple((q.shape[1], q.shape[2]) for q in fields),
        fields=fields,
        features=tuple(one(f"polarity.{s}") for s in scales),
        values=tuple(one(f"attention.{s}") for s in scales),
        coefficients=one("context"),
        summaries={n: one(f"context.{n}_summary") for n in ("global", "lstm", "attention")},
        weights=one("mixer.weights"),
        filters=one("spectral.filters"),
        ema=layer.mixer.weights.ema.clone(),
        local=one("convolution"),
        mixed=one("norm"),
    )
