"""The factors of one block's maps as bytes: all that a browser needs to rebuild any row of any map.

Linear attention is a product of two thin factors, ``φ(q)`` and ``φ(k)``, ``(h, N_s, 2d)`` each; both streams come from
the same two (the opposite-signed one exchanges the halves of ``φ(q)``). Stored as float16, scaled per head so that the
largest value is 2^15: features span many powers of ten, and only float16's exponent limits the smallest.

Softmax attention's rows follow from q and k, ``(h, N, d)`` each, in the same way. They are stored as float32: the
exponential makes a relative error in a weight of an absolute one in a score. Its average over all queries has no
shortcut, so it travels.

Layout, little-endian: ``uint32`` length of the header, the header as JSON (padded with spaces, so that what follows
lies at a multiple of 4), then for each scale the two factors as float16; or q, k and the average over all queries,
``(h, N)``, as float32.
"""

import json
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dsp_attention.polarity import EPS

from . import maps
from .trace import Block, LinearBlock, SoftmaxBlock

#: What the largest feature of a head becomes; float16 ends at 65504.
_TOP = 32768.0


def encode(block: Block) -> bytes:
    """Pack a block of a trace (its first sample).

    Returns:
        The header's fields: ``kind``, ``linear`` or ``softmax``; ``heads``; ``width``, ``2d`` or for softmax ``d``;
        ``grids``, ``[[H_s, W_s], …]``; ``coefficients`` ``(h, S, streams)``; ``weights`` ``(h, S)``; for linear
        attention ``units``, ``(S, 2, h)``: what 1 is worth in the two stored factors of each head, and ``epsilon`` of
        the normaliser's mean. After it, for each scale, ``(2, h, N_s, width)``: ``φ(q)`` and ``φ(k)``, positive
        polarity first, or ``q`` and ``k``.
    """
    header: dict[str, Any] = {
        "kind": "linear",
        "heads": block.coefficients.shape[1],
        "grids": block.grids,
        "coefficients": block.coefficients[0].tolist(),
        "weights": block.weights[0].tolist(),
    }
    if isinstance(block, SoftmaxBlock):
        header |= {"kind": "softmax", "width": block.q.shape[-1]}
        average = maps.block_maps(block, "all")[0]
        return _join(header, [t.float().numpy().astype("<f4").tobytes() for t in (block.q[0], block.k[0], average)])
    assert isinstance(block, LinearBlock)
    parts, units = [], []
    for features in block.features:
        joined = torch.cat(features[:, :, 0].unbind(0), dim=-1).float()  # (2, h, N_s, 2d)
        unit = joined.amax((2, 3)).clamp_min(torch.finfo(torch.float32).tiny) / _TOP  # (2, h)
        units.append(unit.tolist())
        parts.append((joined / unit[..., None, None]).half().numpy().astype("<f2").tobytes())
    return _join(header | {"width": 2 * block.features[0].shape[-1], "units": units, "epsilon": EPS}, parts)


def _join(header: dict[str, Any], parts: list[bytes]) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def decode(data: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What :func:`encode` packed: the header, and for each scale ``(2, h, N_s, width)`` float32 in true units."""
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    softmax = header["kind"] == "softmax"
    offset, factors = 4 + length, []
    for i, (H, W) in enumerate(header["grids"]):
        shape = (2, header["heads"], H * W, header["width"])
        stored = np.frombuffer(data, "<f4" if softmax else "<f2", count=int(np.prod(shape)), offset=offset)
        unit = 1 if softmax else np.array(header["units"][i], np.float32)[..., None, None]
        factors.append(stored.reshape(shape).astype(np.float32) * unit)
        offset += stored.nbytes
    return header, factors


def restore(block: Block, data: bytes) -> Block:
    """A block whose tensors over tokens were let go, with the factors of its maps again.

    Args:
        block: that :func:`encode` packed. data: what it returned.

    Returns:
        The block with ``features``, or with ``q`` and ``k`` of softmax attention: what its maps are made of.
    """
    _, decoded = decode(data)
    if isinstance(block, SoftmaxBlock):
        q, k = torch.from_numpy(decoded[0])[:, None]
        return replace(block, q=q, k=k)
    assert isinstance(block, LinearBlock)
    # Of each scale the two polarities, (2, 1, h, N_s, d) each.
    both = [torch.from_numpy(joined)[:, None].chunk(2, dim=-1) for joined in decoded]
    return replace(block, features=tuple(torch.stack(polarities) for polarities in both))
