"""The factors of one block's maps as bytes: all that a browser needs to rebuild any row of any map.

Linear attention is a product of two thin factors, ``φ(q)`` and ``φ(k)``, ``(h, N_s, 2d)`` each; both streams come from
the same two (the opposite-signed one exchanges the halves of ``φ(q)``). Stored as float16, scaled per head so that the
largest value is 2^15: features span many powers of ten, and only float16's exponent limits the smallest.

Layout, little-endian: ``uint32`` length of the header, the header as JSON (padded with spaces, so that what follows
lies at a multiple of 4), then for each scale ``φ(q)`` and ``φ(k)`` as float16.
"""

import json
import struct
from typing import Any

import numpy as np
import torch

from dsp_attention.polarity import EPS

from .trace import Block

#: What the largest feature of a head becomes; float16 ends at 65504.
_TOP = 32768.0


def encode(block: Block) -> bytes:
    """Pack a block of a trace (its first sample).

    Returns:
        The header's fields: ``heads``; ``width``, ``2d``; ``grids``, ``[[H_s, W_s], …]``; ``units``,
        ``(S, 2, h)``: what 1 is worth in the stored ``φ(q)`` and ``φ(k)`` of each head; ``coefficients``
        ``(h, S, 2)``; ``weights`` ``(h, S)``; ``epsilon`` of the normaliser's mean. After it, for each scale,
        ``(2, h, N_s, 2d)``: ``φ(q)`` and ``φ(k)``, positive polarity first.
    """
    parts, units = [], []
    for features in block.features:
        joined = torch.cat(features[:, :, 0].unbind(0), dim=-1).float()  # (2, h, N_s, 2d)
        unit = joined.amax((2, 3)).clamp_min(torch.finfo(torch.float32).tiny) / _TOP  # (2, h)
        units.append(unit.tolist())
        parts.append((joined / unit[..., None, None]).half().numpy().astype("<f2").tobytes())
    header: dict[str, Any] = {
        "heads": block.coefficients.shape[1],
        "width": 2 * block.features[0].shape[-1],
        "grids": block.grids,
        "units": units,
        "coefficients": block.coefficients[0].tolist(),
        "weights": block.weights[0].tolist(),
        "epsilon": EPS,
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def decode(data: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What :func:`encode` packed: the header, and for each scale ``(2, h, N_s, 2d)`` float32 in true units."""
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    offset, factors = 4 + length, []
    for (H, W), unit in zip(header["grids"], header["units"], strict=True):
        shape = (2, header["heads"], H * W, header["width"])
        stored = np.frombuffer(data, "<f2", count=int(np.prod(shape)), offset=offset).reshape(shape)
        factors.append(stored.astype(np.float32) * np.array(unit, np.float32)[..., None, None])
        offset += stored.nbytes
    return header, factors
