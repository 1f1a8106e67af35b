"""One forward pass under hooks, as an immutable :class:`~dsp_viz.layer.Trace`: of each attention layer its record."""

from collections.abc import Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from .hooks import Calls, Point, changing, reading
from .kinds import absolute, joined, layers
from .kinds.kind import Kind, Unreadable
from .kinds.refused import refused as unknown
from .layer import Layer, Trace
from .layer import near as on_cpu
from .proof import prove, refusal
from .rebuilding import as_revised


def names(model: nn.Module) -> list[str]:
    """Module paths that are read, layer by layer: see ``points`` of :class:`dsp_viz.kinds.kind.Kind`."""
    return [point.path for own in _points(layers(model)).values() for point in own]


def _points(found: dict[str, tuple[nn.Module, Kind]]) -> dict[str, list[Point]]:
    return {name: [absolute(name, point) for point in kind.points(layer)] for name, (layer, kind) in found.items()}


@contextmanager
def recording(model: nn.Module, wanted: Collection[str] | None = None) -> Iterator[dict[str, list[Any]]]:
    """Record named submodules while the body runs, only in this context.

    Args:
        model: any module with attention layers that are known, see :data:`dsp_viz.kinds.KINDS`.
        wanted: module paths, see :func:`names`; all of them by default.

    Yields:
        A dictionary from module path to what was recorded (an output or inputs, as the layer's kind says), call by
        call, filled while the body runs.

    Raises:
        ValueError: an unknown name (it and the nearest known ones are listed).
        RuntimeError: a wanted module was never called.
    """
    known = {point.path: point for own in _points(layers(model)).values() for point in own}
    chosen = set(known if wanted is None else wanted)
    unknown = sorted(chosen - known.keys())
    if unknown:
        raise ValueError(f"unknown hook name {unknown[0]!r}; known are {', '.join(list(known)[:20])}, …")
    with reading(model, [point for name, point in known.items() if name in chosen]) as calls:
        yield {point.path: kept for point, kept in calls.items()}
    silent = sorted(point.path for point, kept in calls.items() if not kept)
    if silent:
        raise RuntimeError(f"hook {silent[0]!r} never fired (and {len(silent) - 1} more): was the model run?")


#: Which layers of each model were shown, by what that depends on.
_shown: WeakKeyDictionary[nn.Module, dict[Hashable, tuple[str, ...]]] = WeakKeyDictionary()
_showing = Lock()


def shown(model: nn.Module, x: Tensor, *grid: int) -> tuple[str, ...]:
    """Paths of the layers that :func:`trace` shows of inputs of that size, in its order: what interventions count.

    Arguments and errors as of :func:`trace`. Remembered of the model's latest pass without interventions at that size;
    without one, ``x`` is run.
    """
    with _showing:
        known = _shown.get(model, {}).get(_key(model, x, grid, layers(model)))
    return tuple(block.name for block in trace(model, x, *grid).blocks) if known is None else known


def _key(model: nn.Module, x: Tensor, grid: tuple[int, ...], found: dict[str, tuple[nn.Module, Kind]]) -> Hashable:
    return x.shape, x.dtype, grid, model.training, tuple(kind for _, kind in found.values())


def trace(model: nn.Module, x: Tensor, *grid: int, near: bool = True) -> Trace:
    """Run a model once and keep what its attention layers computed.

    Args:
        model: any module with attention layers that are known, see :data:`dsp_viz.kinds.KINDS`.
        x: its input, samples first. grid: ``H, W`` where the model takes tokens that do not form a square.
        near: bring the records to the CPU; else they stay where the model runs, for what is computed there.

    Returns:
        Tensors without gradients, on the CPU wherever the model runs, unless they are to stay. The maps of a model's
        first pass with an input of that size are checked, see :mod:`dsp_viz.proof`.

    Raises:
        ValueError: the model has no attention layer that is known here, none whose maps rebuild what it puts out, or
            refuses ``x``.
    """
    found = layers(model)
    points = _points(found)
    with torch.inference_mode():
        with reading(model, [point for own in points.values() for point in own]) as calls:
            output = model(x, *grid)
        with torch.autocast("cpu", enabled=False):
            records, refused = _read(model, found, points, calls, near=near)
            verified, untrue = prove(model, records, x, tuple(kind for _, kind in found.values()))
    refused |= untrue | unknown(model)
    blocks = _staged(record for name, record in records.items() if name not in refused)
    if not blocks:
        raise ValueError(next(iter(refused.values())))
    if not changing():
        with _showing:
            _shown.setdefault(model, {})[_key(model, x, grid, found)] = tuple(block.name for block in blocks)
    return Trace(output.cpu(), blocks, verified, tuple(refused.values()))


def _staged(records: Iterable[Layer]) -> tuple[Layer, ...]:
    """Layers of a pyramid, numbered by stage: those of one grid, whichever layers lie between them."""
    every = tuple(records)
    stages = list(dict.fromkeys(record.grid.size for record in every))
    return tuple(replace(record, stage=stages.index(record.grid.size)) for record in every)


def _read(
    model: nn.Module,
    found: dict[str, tuple[nn.Module, Kind]],
    points: dict[str, list[Point]],
    calls: Calls,
    *,
    near: bool,
) -> tuple[dict[str, Layer], dict[str, str]]:
    """The records of all layers that could be read, and of each other one why not."""
    records, refused = {}, {}
    seen = {point.path: kept for point, kept in calls.items()}
    for name, (layer, kind) in found.items():
        silent = [point for point in points[name] if not calls[point]]
        if silent:
            refused[name] = refusal(model, name, f"{silent[0].path or 'it'} was not called in this pass")
            continue
        try:
            record = as_revised(layer, kind.read(name, layer, partial(_seen, seen, name)))
            # Here and nowhere else: what is made of a trace (bytes, arrays, figures) is made on the CPU, some of it in
            # float64.
            records[name] = on_cpu(record) if near else record
        except Unreadable as fault:
            refused[name] = refusal(model, name, str(fault))
        except (ValueError, TypeError, RuntimeError, LookupError, AttributeError) as error:
            # Another form than the reader knows: one such layer does not take the others away.
            refused[name] = refusal(model, name, f"its reader cannot read it ({type(error).__name__}: {error})")
    return records, refused


def _seen(calls: dict[str, list[Any]], name: str, path: str, call: int = -1) -> Any:
    return calls[joined(name, path)][call]
