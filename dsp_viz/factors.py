"""The factors of one layer's maps as bytes: all that a browser needs to rebuild any row of any map.

docs/format.md describes the bytes; ``ui/view/layer.js`` reads them too. Factors of the rule ``ratio`` are stored as
float16, scaled per head so that the largest value is 2^15: features span many powers of ten, and only float16's
exponent limits the smallest. Those of the other rules are stored as float32: an exponential turns a score's absolute
error into a weight's relative error, and where products of both signs cancel, their errors stay.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import maps
from .layer import Layer

#: The format that is written, and the newest that is read.
FORMAT = 2

#: What the largest feature of a head becomes; float16 ends at 65504.
_TOP = 32768.0


class Factors(NamedTuple):
    """Of one scale, in true units: ``(h, N_queries, width)``, ``(h, N_keys, width)``, and of the rule ``softmax`` the
    average of all rows, ``(streams, h, N_keys)``; float32."""

    left: np.ndarray
    right: np.ndarray
    average: np.ndarray | None


def encode(block: Layer) -> bytes:
    """Pack a layer of a trace (its first sample), see docs/format.md.

    Raises:
        ValueError: the factors of its scales differ in width.
    """
    small = block.finish == "ratio"
    arrays: list[np.ndarray] = []
    scales = []
    averages = maps.block_maps(block, "all") if block.finish == "softmax" else None
    for s, scale in enumerate(block.scales):
        units = []
        for factor in (scale.left, scale.right):
            joined = torch.cat(factor[:, 0].unbind(0), dim=-1).float()  # (h, N, width)
            unit = torch.ones(len(joined))
            if small:
                unit = joined.abs().amax((1, 2)).clamp_min(torch.finfo(torch.float32).tiny) / _TOP
            units.append(unit.tolist())
            arrays.append((joined / unit[:, None, None] if small else joined).numpy().astype("<f2" if small else "<f4"))
        if averages is not None:
            arrays.append(averages[s].float().numpy().astype("<f4"))
        scales.append(
            {
                "queries": scale.queries.size,
                "keys": scale.keys.size,
                "box": scale.keys.box,
                "pooled": scale.pooled,
                "width": scale.left.shape[0] * scale.left.shape[-1],
                "units": units,
            }
        )
    # A part of the left factor is a run of its width.
    part, *others = {scale.left.shape[-1] for scale in block.scales}
    if others:
        raise ValueError(f"{block.name}: the factors of all scales must be as wide; they are {sorted([part, *others])}")
    header = {
        "format": FORMAT,
        "name": block.name,
        "kind": block.kind,
        "stage": block.stage,
        "heads": block.coefficients.shape[1],
        "grid": block.grid.size,
        "streams": [{"name": s.name, "role": s.role, "turn": s.turn * part} for s in block.streams],
        "finish": block.finish,
        "epsilon": block.epsilon,
        "dynamic": block.dynamic,
        "coefficients": block.coefficients[0].tolist(),
        "weights": block.weights[0].tolist(),
        "scales": scales,
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([struct.pack("<I", len(text)), text, *map(_padded, arrays)])


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
    offset = 4 + length

    def take(dtype: str, *shape: int) -> np.ndarray:
        nonlocal offset
        array = np.frombuffer(data, dtype, count=int(np.prod(shape)), offset=offset).reshape(shape)
        offset += array.nbytes + -array.nbytes % 4
        return array.astype(np.float32)

    def read(scale: dict[str, Any]) -> Iterator[np.ndarray]:
        heads, width = header["heads"], scale["width"]
        for (rows, columns), unit in zip((scale["queries"], scale["keys"]), scale["units"], strict=True):
            stored = take("<f2" if header["finish"] == "ratio" else "<f4", heads, rows * columns, width)
            yield stored * np.array(unit, np.float32)[:, None, None]
        if header["finish"] == "softmax":
            rows, columns = scale["keys"]
            yield take("<f4", len(header["streams"]), heads, rows * columns)

    found = [list(read(scale)) for scale in header["scales"]]
    return header, [Factors(left, right, rest[0] if rest else None) for left, right, *rest in found]


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
