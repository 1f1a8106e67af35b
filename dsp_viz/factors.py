"""The factors of one layer's maps as bytes: all that a browser needs to rebuild any row of any map.

docs/format.md describes the bytes; ``ui/view/layer.js`` reads them too. Factors take 16 bits a number. Those of the
rule ``ratio`` are float16, scaled per head so that the largest value is 2^15: features span many powers of ten, and
only float16's exponent limits the smallest. Those of the other rules are whole numbers of a unit, one for each head and
channel: an exponential turns a score's absolute error into a weight's relative error, and where products of both signs
cancel, their errors stay.
"""

import json
import struct
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .layer import WHOLE, Layer, Scale
from .rows import rows

#: The format that is written, and the only one that is read.
FORMAT = 4

#: What the largest feature of a head becomes as float16, which ends at 65504, and the largest number as an integer.
_TOPS = {"<f2": 32768.0, "<i2": 32767.0}


class Factors(NamedTuple):
    """Of one scale, in true units, float32; queries and keys are prefix tokens and then the cells of a grid.

    Attributes:
        left: ``(h, queries, width)``. right: ``(h, keys, width)``.
        average: of all rows, ``(streams, h, keys)``, with the rule ``softmax``.
        bias: of a window, ``(h, 2·rows − 1, 2·columns − 1)``. kept: of each key, ``(keys,)``.
    """

    left: np.ndarray
    right: np.ndarray
    average: np.ndarray | None = None
    bias: np.ndarray | None = None
    kept: np.ndarray | None = None


def encode(block: Layer) -> bytes:
    """Pack a layer of a trace (its first sample), see docs/format.md.

    Raises:
        ValueError: the factors of its scales differ in width.
    """
    # A part of the left factor is a run of its width.
    part, *others = {scale.left.shape[-1] for scale in block.scales}
    if others:
        raise ValueError(f"{block.name}: the factors of all scales must be as wide; they are {sorted([part, *others])}")
    scales, packed = [], []
    for scale in block.scales:
        arrays: list[np.ndarray] = []
        signed = _never_both(block, scale)
        for factor in (scale.left, scale.right):
            parts = factor[:, 0].float()
            joined = parts[0] - parts[1] if signed else torch.cat(parts.unbind(0), dim=-1)  # (h, N, stored width)
            if block.finish == "ratio":
                arrays += _scaled(joined, (1, 2), "<f2")
            else:
                arrays += _scaled(joined, 1, "<i2")
        window = scale.window
        if block.finish == "softmax":
            with torch.autocast("cpu", enabled=False):
                arrays.append(rows(block, scale, "all").float().numpy().astype("<f4"))
            if window is not None and window.bias is not None:
                arrays += _scaled(window.bias.float(), (1, 2), "<i2")
            if scale.kept is not None:
                arrays.append(scale.kept.float().numpy().astype("<f4"))
        packed.append(b"".join(map(_padded, arrays)))
        told = {
            "bytes": len(packed[-1]),
            "queries": scale.queries.size,
            "keys": scale.keys.size,
            "box": scale.keys.box,
            "pooled": scale.pooled,
            "width": scale.left.shape[0] * part,
            "signed": signed,
            "kept": scale.kept is not None,
        }
        if window is not None:
            told["window"] = {"size": window.size, "shift": window.shift, "bias": window.bias is not None}
        scales.append(told)
    header = {
        "format": FORMAT,
        "name": block.name,
        "kind": block.kind,
        "stage": block.stage,
        "heads": block.coefficients.shape[1],
        "prefix": block.prefix,
        "grid": block.grid.size,
        "streams": [{"name": s.name, "role": s.role, "turn": s.turn * part} for s in block.streams],
        "finish": block.finish,
        "epsilon": block.epsilon,
        "dynamic": block.dynamic,
        "coefficients": block.coefficients[0].tolist(),
        "weights": block.weights[0].tolist(),
        "scales": scales,
    }
    if block.grid.box != WHOLE:
        header["box"] = block.grid.box
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    # The last scales are the coarse ones: few bytes, whose maps are drawn while the others are on their way.
    return b"".join([struct.pack("<I", len(text)), text, *reversed(packed)])


def _never_both(block: Layer, scale: Scale) -> bool:
    """Whether the factors are positive and negative parts of one number each, as features are without filters."""
    factors = (scale.left[:, 0], scale.right[:, 0])
    return (
        block.finish == "ratio"
        and len(scale.left) == 2
        and all(bool((f >= 0).all() & (f == 0).any(0).all()) for f in factors)
    )


def _scaled(values: Tensor, over: int | tuple[int, ...], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Units, one for all values along some axes, and the values in these units."""
    tops = values.abs().amax(over, keepdim=True)
    units = (tops / _TOPS[dtype]).clamp_min(torch.finfo(torch.float32).tiny)
    scaled = values / units
    return units.numpy().astype("<f4"), (scaled.round() if dtype == "<i2" else scaled).numpy().astype(dtype)


def _padded(array: np.ndarray) -> bytes:
    data = array.tobytes()
    return data + b"\0" * (-len(data) % 4)


def decode(data: bytes) -> tuple[dict[str, Any], list[Factors]]:
    """What :func:`encode` packed: the header, and the factors of each scale.

    Raises:
        ValueError: the bytes are of another format.
    """
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    if header.get("format", 1) != FORMAT:
        raise ValueError(f"format={header.get('format', 1)}: this version of dsp_viz reads {FORMAT} only")
    heads, first, softmax = header["heads"], len(header["prefix"]), header["finish"] == "softmax"
    offset = 4 + length

    def take(dtype: str, *shape: int) -> np.ndarray:
        nonlocal offset
        array = np.frombuffer(data, dtype, count=int(np.prod(shape)), offset=offset).reshape(shape)
        offset += array.nbytes + -array.nbytes % 4
        return array.astype(np.float32)

    def factor(scale: dict[str, Any], count: int) -> np.ndarray:
        width = scale["width"] // 2 if scale["signed"] else scale["width"]
        ratio = header["finish"] == "ratio"
        units = take("<f4", heads, 1, 1 if ratio else width)
        stored = units * take("<f2" if ratio else "<i2", heads, count, width)
        return np.concatenate([stored.clip(min=0), (-stored).clip(min=0)], -1) if scale["signed"] else stored

    def read(scale: dict[str, Any]) -> Factors:
        counts = [first + rows * columns for rows, columns in (scale["queries"], scale["keys"])]
        left, right = (factor(scale, count) for count in counts)
        average = take("<f4", len(header["streams"]), heads, counts[1]) if softmax else None
        window, bias = scale.get("window"), None
        if window and window["bias"]:
            bias = take("<f4", heads, 1, 1) * take("<i2", heads, *(2 * side - 1 for side in window["size"]))
        return Factors(left, right, average, bias, take("<f4", counts[1]) if scale["kept"] else None)

    return header, [read(scale) for scale in reversed(header["scales"])][::-1]


def restore(block: Layer, data: bytes) -> Layer:
    """A layer whose tensors over tokens were dropped, with the factors of its maps again.

    Args:
        block: that :func:`encode` packed. data: what it returned.
    """
    _, decoded = decode(data)

    def parts(joined: np.ndarray, like: Tensor) -> Tensor:
        return torch.stack(torch.from_numpy(joined)[:, None].movedim(1, 0).chunk(like.shape[0], dim=-1))

    scales = [
        replace(
            scale,
            left=parts(found.left, scale.left),
            right=parts(found.right, scale.right),
            average=None if found.average is None else torch.from_numpy(found.average)[:, None],
        )
        for scale, found in zip(block.scales, decoded, strict=True)
    ]
    return replace(block, scales=tuple(scales))


def without_tokens(block: Layer) -> Layer:
    """A layer without what holds tokens: small, whatever the picture; :func:`restore` brings the factors back."""
    none = torch.empty(0)
    scales = tuple(
        # The number of parts is kept in the shape.
        replace(scale, left=torch.empty(len(scale.left), 0), right=torch.empty(len(scale.right), 0), values=none)
        for scale in block.scales
    )
    parts = block.parts and replace(block.parts, fields=())
    return replace(block, scales=scales, output=none, local=None, gate=None, parts=parts)
