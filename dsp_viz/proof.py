r"""Check that the maps are true: that they rebuild what the layer put out.

A reader of an attention (:mod:`dsp_viz.kinds`) may be wrong, or the library that it reads may have changed. So with a
model's first picture of each size, every layer is asked for some queries ``i`` whether

.. math:: g_i \odot \Bigl(\ell_i + \sum_s w_s\,c_s \sum_j A^s_{ij}\,v^s_j\Bigr)

is what its output projection was given. No map of a layer that fails is ever shown.
"""

import math
from collections.abc import Hashable, Mapping
from functools import cache
from importlib.metadata import packages_distributions, version
from threading import Lock
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from .hooks import changing
from .layer import Layer, near
from .rows import Query, rows

#: Largest difference that is allowed, as a share of the largest entry that was asked of.
LIMIT = 1e-4

#: Queries of each layer that are asked.
QUERIES = 4

#: How far off each model's maps were, by what the check depends on. Faults are never remembered: what was
#: mended is seen at once.
_found: WeakKeyDictionary[nn.Module, dict[Hashable, float]] = WeakKeyDictionary()
_finding = Lock()

_ENDLESS = "what it puts out is not finite"


def prove(model: nn.Module, records: Mapping[str, Layer], x: Tensor, made_by: Hashable) -> tuple[float, dict[str, str]]:
    """Check the records of a model's first pass with an input of that size; of later ones nothing is computed.

    Args:
        model: that was run. records: of its layers, by name. x: its input. made_by: the readers that made the records.

    Returns:
        The largest error of those layers that are true, see :func:`error`, NaN if none is; and of each other one, by
        its name, a sentence that says what is wrong.
    """
    endless = [name for name, record in records.items() if not torch.isfinite(record.output).all()]
    records = {name: record for name, record in records.items() if name not in endless}
    # Where an intervention went too far, that says nothing about the maps.
    refused = {} if changing() else {name: refusal(model, name, _ENDLESS) for name in endless}
    dtypes = tuple(record.output.dtype for record in records.values())
    key = (x.shape, dtypes, model.training, made_by)
    with _finding:
        known = _found.setdefault(model, {})
        if key in known:
            return known[key], refused
    largest = -math.inf
    for name, record in records.items():
        off, fault = _checked(record, len(x))
        largest = largest if fault else max(largest, off)
        if fault:
            refused[name] = refusal(model, name, fault)
    largest = largest if largest >= 0 else math.nan
    # Where all tokens hold the same, or a change left the maps out, any map would do: the next picture is asked again.
    if not endless and not refused and not changing() and all(map(_tells, records.values())):
        with _finding:
            known[key] = largest
    return largest, refused


def refusal(model: nn.Module, name: str, fault: str) -> str:
    """A sentence that says which layer is not shown, and of which release of which library it is."""
    layer = model.get_submodule(name)
    called = name or "the model itself"
    package = _released(type(layer).__module__.split(".")[0])
    return f"{called} is not shown: {fault}. It is {type(layer).__qualname__} of {package}"


@cache
def _released(package: str) -> str:
    """The distribution that a package comes from, with its version; its name where it comes from none. Found once: it
    takes half a second, and a model may have many layers that are refused, in each of its passes."""
    released = [f"{found} {version(found)}" for found in packages_distributions().get(package, [])[:1]]
    return (released or [package])[0]


def _tells(record: Layer) -> bool:
    """Whether values differ from token to token."""
    return all(
        float((placed - placed[:, :, :1]).abs().max()) > 1e-3 * float(placed.abs().max())
        for placed in (scale.values[:, :, len(record.prefix) :] for scale in record.scales)
    )


def _checked(record: Layer, samples: int) -> tuple[float, str]:
    """How far a layer is off, and what is wrong with it or ""."""
    if (called := len(record.coefficients)) != samples:
        return 0.0, (
            f"it is called with {called} samples where the model got {samples}, as with windows of a picture, and its "
            "reader knows nothing of that"
        )
    return checked(record)


def checked(record: Layer) -> tuple[float, str]:
    """How far a layer's maps are off, see :func:`error`, and what is wrong with it in words, or ""."""
    record = near(record)
    off = error(record)
    # What was rounded to a coarser type than float32 cannot be rebuilt more exactly than that.
    limit = max(LIMIT, 4 * torch.finfo(record.dtype).eps)
    if off <= limit:
        return off, ""
    return off, f"its maps do not rebuild what it puts out (off by {off:.1e} of the largest)"


def error(record: Layer) -> float:
    """The largest difference between what the maps rebuild and what the layer put out, over its prefix tokens and
    :data:`QUERIES` others of the first and of the last sample, as a share of the largest entry that it put out there;
    infinite where either is not finite.
    """
    columns, first = record.grid.columns, len(record.prefix)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randperm(record.grid.rows * columns, generator=generator)[:QUERIES].tolist()
    asked: dict[int, Query] = dict(enumerate(record.prefix)) | {
        first + token: divmod(token, columns) for token in tokens
    }
    worst = 0.0
    for sample in {0, len(record.output) - 1}:
        want = record.output[sample, list(asked)].double()  # (tokens, C)
        got = torch.stack([_rebuilt(record, token, query, sample) for token, query in asked.items()])
        top = want.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
        off = float((got - want).abs().max() / top)
        worst = max(worst, off if math.isfinite(off) else math.inf)  # max() would pass over NaN
    return worst


def _rebuilt(record: Layer, token: int, query: Query, sample: int) -> Tensor:
    """What a token gets, ``(C,)`` float64."""
    total = record.output.new_zeros(record.output.shape[-1], dtype=torch.float64)
    for s, scale in enumerate(record.scales):
        found = rows(record, scale, query, sample).double()  # (streams, h, N_keys)
        v = scale.values[sample].double()  # (h, N_keys, d)
        parts = [
            (found[t, :, None] @ v[..., slice(*(stream.columns or (None,)))])[:, 0]
            * (record.weights[sample, :, s] * record.coefficients[sample, :, s, t]).double()[:, None]
            for t, stream in enumerate(record.streams)
        ]
        total += torch.cat(parts, -1).flatten()
    if record.local is not None:
        total += record.local[sample, token]
    return total if record.gate is None else total * record.gate[sample, token]
