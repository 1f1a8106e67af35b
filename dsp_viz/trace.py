"""One forward pass under hooks, as an immutable :class:`Trace`.

Hooks are registered once per model and stay: each returns at once unless the current context holds a recorder. A
recorder lives in a ``ContextVar``, so threads and tasks that run the same model never see each other's tensors, and
``finally`` takes it away whatever happens.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from dsp_attention import DynamicSpectralPolarityAttention, PolaFormerAttention, SoftmaxAttention
from dsp_attention.grid import grid_size

#: What is kept of a call: its output, the positional input of an index, or all positional inputs.
_INPUTS = -1
_Kept = int | None

#: What is recorded of a layer, by module path within it (``{s}`` stands for each scale, the empty path for the layer
#: itself): the submodule's output (None), its positional input of that index, or all of those (-1). Nothing else is
#: held, so that tracing costs little memory.
POINTS: dict[type[nn.Module], dict[str, _Kept]] = {
    DynamicSpectralPolarityAttention: {
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
    },
    PolaFormerAttention: {"": _INPUTS, "attention": _INPUTS},
    SoftmaxAttention: {"": _INPUTS, "qkv": None},
}


@dataclass
class _Recorder:
    names: frozenset[str]
    calls: dict[str, list[Any]] = field(default_factory=dict)


_current: ContextVar[_Recorder | None] = ContextVar("dsp_viz_recorder", default=None)
_installing = Lock()


class _Probe:
    """A forward hook that records for the current context's recorder, if there is one."""

    def __init__(self, name: str, kept: _Kept) -> None:
        self.name = name
        self.kept = kept

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        recorder = _current.get()
        if recorder is not None and self.name in recorder.names:
            value = output if self.kept is None else inputs if self.kept == _INPUTS else inputs[self.kept]
            recorder.calls.setdefault(self.name, []).append(value)


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """The attention layers of a model by module path, in the order of the forward pass.

    Raises:
        ValueError: the model has none of those in :data:`POINTS`.
    """
    found = {name: module for name, module in model.named_modules() if type(module) in POINTS}
    if not found:
        raise ValueError(f"{type(model).__name__} has no {', '.join(t.__name__ for t in POINTS)} layer to trace")
    return found


def dsp_layers(model: nn.Module) -> dict[str, DynamicSpectralPolarityAttention]:
    """The DSP-Attention layers among :func:`layers`; none for a model with another attention."""
    return {n: m for n, m in layers(model).items() if isinstance(m, DynamicSpectralPolarityAttention)}


def _points(found: dict[str, nn.Module]) -> dict[str, _Kept]:
    result: dict[str, _Kept] = {}
    for path, layer in found.items():
        scales = len(layer.factors) if isinstance(layer, DynamicSpectralPolarityAttention) else 1
        for point, kept in POINTS[type(layer)].items():
            repeated = range(scales) if "{s}" in point else range(1)
            result |= {_join(path, point.format(s=s)): kept for s in repeated}
    return result


def _join(path: str, point: str) -> str:
    return f"{path}.{point}".strip(".")


def names(model: nn.Module) -> list[str]:
    """Module paths that can be recorded, in the order of :data:`POINTS`, layer by layer."""
    return list(_points(layers(model)))


@contextmanager
def recording(model: nn.Module, wanted: Collection[str] | None = None) -> Iterator[dict[str, list[Any]]]:
    """Record named submodules while the body runs, in this context alone.

    Args:
        model: any module with attention layers of this package.
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
def _recording(model: nn.Module, known: dict[str, _Kept], chosen: frozenset[str]) -> Iterator[dict[str, list[Any]]]:
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


def _install(model: nn.Module, known: dict[str, _Kept]) -> None:
    # Looked up on the modules themselves, so that a deep copy of a model, which carries its hooks, is not hooked twice.
    with _installing:
        for name, kept in known.items():
            module = model.get_submodule(name)
            if not any(isinstance(hook, _Probe) and hook.name == name for hook in module._forward_hooks.values()):
                module.register_forward_hook(_Probe(name, kept))


@dataclass(frozen=True)
class Block:
    """What one attention layer computed. Axes as in :mod:`dsp_attention`; tuples have an entry per scale.

    Attributes:
        name: module path of the layer.
        grids: ``(H_s, W_s)``; the first is the grid of the tokens.
        values: ``v``, ``(B, h, N_s, d)``.
        coefficients: ``c``, ``(B, h, S, streams)``; 1 where a layer has none.
        weights: ``w``, ``(B, h, S)``; 1 where a layer has none.
    """

    name: str
    grids: tuple[tuple[int, int], ...]
    values: tuple[Tensor, ...]
    coefficients: Tensor
    weights: Tensor


@dataclass(frozen=True)
class LinearBlock(Block):
    """A layer of polarity-aware linear attention: two streams, (same, opposite).

    Attributes:
        features: ``φ`` of q and k, ``(2, 2, B, h, N_s, d)``: polarity, (q, k).
    """

    features: tuple[Tensor, ...]


@dataclass(frozen=True)
class DSPBlock(LinearBlock):
    """A DSP-Attention layer.

    Attributes:
        fields: q and k before the filters, ``(B, H_s, W_s, 2, h, d)``.
        summaries: the context's summaries by name, ``(B, width)``.
        filters: ``D``, ``(2, h, 2M-1, M)`` complex.
        ema: tracked gradients, ``(h, S)``.
        local: output of the convolution, ``(B, N, C)``.
        mixed: what enters the LayerNorm, ``(B, N, C)``.
    """

    fields: tuple[Tensor, ...]
    summaries: dict[str, Tensor]
    filters: Tensor
    ema: Tensor
    local: Tensor
    mixed: Tensor


@dataclass(frozen=True)
class SoftmaxBlock(Block):
    """A layer of softmax attention: one scale, one stream.

    Attributes:
        q, k: ``(B, h, N, d)``; the map is ``softmax(q kᵀ/√d)``.
    """

    q: Tensor
    k: Tensor


@dataclass(frozen=True)
class Trace:
    """Everything one forward pass showed: the model's output ``(B, num_classes)`` and its layers."""

    output: Tensor
    blocks: tuple[Block, ...]


def trace(model: nn.Module, x: Tensor, *grid: int) -> Trace:
    """Run a model once and keep what its attention layers computed.

    Args:
        model: a classifier, a :class:`dsp_attention.DSPModel` or a single layer, with any attention of this package.
        x: its input. grid: ``H, W`` where the model takes tokens that do not form a square.

    Returns:
        Tensors without gradients, on the CPU wherever the model runs.

    Raises:
        ValueError: the model has no attention layer that is known here, or refuses ``x``.
        RuntimeError: a hook did not fire.
    """
    found = layers(model)
    points = _points(found)
    with torch.inference_mode():
        with _recording(model, points, frozenset(points)) as calls:
            output = model(x, *grid)
        return Trace(output.cpu(), tuple(_near(_block(path, layer, calls)) for path, layer in found.items()))


def _near(block: Block) -> Block:
    # Here and nowhere else: what is made of a trace (bytes, arrays, figures) is made on the CPU, some of it in float64.
    return replace(block, **{f.name: _on_cpu(getattr(block, f.name)) for f in fields(block)})


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {name: _on_cpu(part) for name, part in value.items()}
    return tuple(map(_on_cpu, value)) if isinstance(value, tuple) else value


def _block(path: str, layer: nn.Module, calls: dict[str, list[Any]]) -> Block:
    def one(point: str) -> Any:
        return calls[_join(path, point)][-1]

    if isinstance(layer, DynamicSpectralPolarityAttention):
        scales = range(len(layer.factors))
        fields = tuple(calls[_join(path, "spectral")][-len(scales) :])
        return DSPBlock(
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
    x, *grid = one("")
    grids = (grid_size(x.shape[1], *grid),)
    if isinstance(layer, PolaFormerAttention):
        features, v, ones = one("attention")
        return LinearBlock(path, grids, (v,), ones[:, :, None], ones.new_ones(*ones.shape[:2], 1), (features,))
    assert isinstance(layer, SoftmaxAttention)
    q, k, v = layer.heads(one("qkv"))
    ones = q.new_ones(*q.shape[:2], 1)
    return SoftmaxBlock(path, grids, (v,), ones[..., None], ones, q, k)
