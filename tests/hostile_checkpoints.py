"""A small checkpoint for tests to harm, and what they expect of it."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsp_viz
from dsp_attention import DSPImageClassifier
from dsp_viz.config import Config
from dsp_viz.sources.checkpoint import save

BUILD: Any = {
    "image_size": 24,
    "patch": 8,
    "dim": 12,
    "num_heads": 3,
    "depth": 1,
    "num_classes": 2,
    "attention": "dsp",
    "spectral_modes": 2,
    "num_scales": 2,
}

#: Of two epochs of that model.
SHAPES = {
    "filters": (2, 1, 2, 3, 3, 2, 2),
    "coefficients": (2, 1, 3, 2, 2),
    "spread": (2, 1, 3, 2, 2),
    "weights": (2, 1, 3, 2),
}


def write_small(folder: Path, build: Any = BUILD) -> Path:
    """``small.safetensors`` with its config and snapshots, all in order."""
    config = Config(build, 24, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2), ("cat", "dog"), ("n1", "n2"))
    save(folder / "small.safetensors", DSPImageClassifier(**build), config)
    pack_snapshots(folder / "small.snapshots.npz")
    return folder / "small.safetensors"


def array(key: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.zeros(options.get("shape", SHAPES[key]), options.get("dtype", "<f2")))
    return buffer.getvalue()


def pack_snapshots(path: Path, compression: int = zipfile.ZIP_DEFLATED, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for key, content in ({key: array(key) for key in SHAPES} | members).items():
            archive.writestr(f"{key}.npy", content)


def refused(weights: Path, *parts: str) -> None:
    with pytest.raises(dsp_viz.CheckpointError) as caught:
        dsp_viz.load(weights)
    told = str(caught.value)
    assert all(part in told for part in ("small.", *parts)), told
    assert len(told.replace(str(weights.parent), "")) < 700
