"""How filters, coefficients and mixing weights evolve in a run: a small array of each per epoch, not the weights."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dsp_viz.files import write_atomically
from dsp_viz.history import groups
from dsp_viz.kinds.dsp import dsp_layers
from dsp_viz.trace import recording


def snapshot(model: nn.Module, pictures: Tensor) -> dict[str, Tensor]:
    """What a model's DSP-Attention layers hold now.

    Args:
        model: with DSP-Attention layers. pictures: normalised, ``(B, 3, height, width)``, over which coefficients are
            averaged.

    Returns:
        float16 on the CPU, of each group ``g`` of layers of one form (:func:`dsp_viz.history.groups`), which are the
        first axis: ``filters.g`` ``(L, 2, h, 2M-1, M, 2)``, the last axis (re, im) of ``D``; ``coefficients.g``
        ``(L, h, S, 2)``, their mean over the pictures, and ``spread.g``, their standard deviation; ``weights.g``
        ``(L, h, S)``. Where there is one group, without its number.
    """
    points = {"filters": "spectral.filters", "coefficients": "context", "weights": "mixer.weights"}
    every = [f"{path}.{name}" for path in dsp_layers(model) for name in points.values()]
    with torch.inference_mode(), recording(model, every) as calls:
        model(pictures)
    arrays: dict[str, Tensor] = {}
    for suffix, paths in groups(model).items():
        found = {key: torch.stack([calls[f"{p}.{name}"][-1] for p in paths]) for key, name in points.items()}
        arrays |= {
            f"filters{suffix}": torch.view_as_real(found["filters"]),
            f"coefficients{suffix}": found["coefficients"].mean(1),
            f"spread{suffix}": found["coefficients"].std(1),
            f"weights{suffix}": found["weights"][:, 0],
        }
    return {key: value.half().cpu() for key, value in arrays.items()}


def write(path: Path, epochs: list[dict[str, Tensor]]) -> None:
    """Keep the snapshots of a run as a compressed NPZ, epochs first."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {key: np.stack([epoch[key].numpy() for epoch in epochs]) for key in epochs[0]}
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())
