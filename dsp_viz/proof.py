r"""Check that the maps are true: that they rebuild what the layer put out.

A reader of an attention (:mod:`dsp_viz.kinds`) may be wrong, or the library that it reads may have changed. So with a
model's first picture of each size, every layer is asked for some queries ``i`` whether

.. math:: g_i \odot \Bigl(\ell_i + \sum_s w_s\,c_s \sum_j A^s_{ij}\,v^s_j\Bigr)

is what its output projection was given. No map of a layer that fails is ever shown.
"""

import math
from collections.abc import Sequence
from importlib.metadata import packages_distributions, version
from threading import Lock
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from . import maps
from .layer import Layer

#: Largest difference that is allowed, as a share of the largest entry of the output.
LIMIT = 1e-4

#: Queries of each layer that are asked.
QUERIES = 4

#: What was found for each model, by the shape and the type of its input.
_found: WeakKeyDictionary[nn.Module, dict[tuple[torch.Size, torch.dtype], tuple[float, dict[str, str]]]]
_found = WeakKeyDictionary()
_finding = Lock()


def prove(model: nn.Module, x: Tensor, records: Sequence[Layer]) -> tuple[float, dict[str, str]]:
    """Check the records of a model's first pass with an input of that size; of later ones nothing is computed.

    Args:
        model: that was run. x: its input. records: of its layers.

    Returns:
        The largest error of those layers that are true, see :func:`error`, and of each other one, by its name, a
        sentence that says what is wrong.
    """
    with _finding:
        known = _found.setdefault(model, {})
        key = x.shape, x.dtype
        if key not in known:
            if not all(torch.isfinite(record.output).all() for record in records):
                return math.nan, {}  # an intervention went too far: this says nothing about the maps
            known[key] = _proved(model, records, len(x))
        return known[key]


def _proved(model: nn.Module, records: Sequence[Layer], samples: int) -> tuple[float, dict[str, str]]:
    largest, refused = 0.0, {}
    for record in records:
        off, fault = _error(record, samples)
        if fault:
            refused[record.name] = f"{record.name} is not shown: {fault}{_made_by(model.get_submodule(record.name))}"
        else:
            largest = max(largest, off)
    return largest, refused


def _error(record: Layer, samples: int) -> tuple[float, str]:
    """How far a layer is off, and what is wrong with it or ""."""
    if (called := len(record.coefficients)) != samples:
        return 0.0, (
            f"it is called with {called} samples where the model got {samples}, as with windows of a picture, and its "
            "reader knows nothing of that"
        )
    off = error(record)
    # The output may have been rounded to a coarser type than the maps.
    limit = max(LIMIT, 4 * torch.finfo(record.output.dtype).eps)
    return off, "" if off <= limit else f"its maps do not rebuild what it puts out (off by {off:.1e} of the largest)"


def _made_by(layer: nn.Module) -> str:
    package = type(layer).__module__.split(".")[0]
    released = [f"{name} {version(name)}" for name in packages_distributions().get(package, [])[:1]]
    return f". It is {type(layer).__qualname__} of {(released or [package])[0]}"


def error(record: Layer) -> float:
    """The largest difference between what the maps rebuild and what the layer put out, over :data:`QUERIES` tokens of
    the first sample, as a share of the largest entry that the layer put out there.
    """
    columns = record.grid.columns
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randperm(record.grid.rows * columns, generator=generator)[:QUERIES].tolist()
    want = record.output[0].double()  # (N, C)
    got = torch.stack([_rebuilt(record, token) for token in tokens])
    return float((got - want[tokens]).abs().max() / want.abs().max().clamp_min(torch.finfo(torch.float32).tiny))


def _rebuilt(record: Layer, token: int) -> Tensor:
    """What a token gets, ``(C,)`` float64."""
    query = divmod(token, record.grid.columns)
    total = torch.zeros(record.output.shape[-1], dtype=torch.float64)
    for s, (scale, rows) in enumerate(zip(record.scales, maps.block_maps(record, query), strict=True)):
        v = scale.values[0].double()  # (h, N_keys, d)
        parts = [
            (rows[t].flatten(1).double()[:, None] @ v[..., slice(*(stream.columns or (None,)))])[:, 0]
            * (record.weights[0, :, s] * record.coefficients[0, :, s, t]).double()[:, None]
            for t, stream in enumerate(record.streams)
        ]
        total += torch.cat(parts, -1).flatten()
    if record.local is not None:
        total += record.local[0, token]
    return total if record.gate is None else total * record.gate[0, token]
