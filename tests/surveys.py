"""Small surveys with known numbers, and pictures for them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from dsp_viz.survey import SurveyedLayer
from dsp_viz.survey.format import FORMAT, Row, file_of, to_parquet

CLASSES = ("cat", "dog", "car")

#: As of dsp_tiny: six layers of four heads, three scales and two streams.
LAYERS = tuple(
    SurveyedLayer(
        i, f"blocks.{i}", "DSP", 0, 4, (16, 16), (1, 2, 4), ("same", "opposite"), ("same", "opposite"), (), quantities
    )
    for i, quantities in enumerate([("coefficient", "distance", "weight")] * 6)
)

#: (layer, head, scale, stream) of the coefficient that reacts to cats and dogs, and of the distance that is largest.
REACTS, FAR = (3, 1, 2, 1), (4, 2, 1, 0)


def numbers(i: int) -> dict[tuple[str, int], np.ndarray]:
    """Of picture ``i``; classes take turns. Weights are the model's own, the same for all."""
    generator = np.random.default_rng(i)
    found = {}
    for layer in LAYERS:
        coefficient = generator.normal(1, 0.1, (4, 3, 2)).astype(np.float32)
        distance = generator.uniform(0.2, 0.3, (4, 3, 2)).astype(np.float32)
        if layer.index == REACTS[0]:
            coefficient[REACTS[1:]] += 0 if i % 3 == 2 else 0.5
        if layer.index == FAR[0]:
            distance[FAR[1:]] += 0.2
        weight = np.full((4, 3, 1), 1 / 3, np.float32)
        found |= {("coefficient", layer.index): coefficient, ("distance", layer.index): distance}
        found[("weight", layer.index)] = weight
    return found


def write(folder: Path, *, model: str, digest: str, count: int = 41) -> tuple[Path, Path]:
    """A survey and its pictures, of which one cannot be read and one has been removed; yields both folders."""
    pictures, out = folder / "pictures", folder / "out"
    out.mkdir(parents=True)
    rows = []
    for i in range(count):
        name = CLASSES[i % 3]
        path = f"{name}/{i:02d}.png"
        (pictures / name).mkdir(parents=True, exist_ok=True)
        if i == 7:
            (pictures / path).write_bytes(b"no picture")
            rows.append(Row(path, name, None, "It is no picture."))
            continue
        colour = tuple(np.random.default_rng(i).integers(0, 256, 3).tolist())
        Image.new("RGB", (48, 40), colour).save(pictures / path)
        rows.append(Row(path, name, (48, 40), None, (0, 1, 2), (0.5, 0.3, 0.2), numbers(i)))
    (pictures / "classes.json").write_text(
        json.dumps({"classes": [{"name": n, "group": "vehicle" if n == "car" else "animal"} for n in CLASSES]})
    )
    settings = {
        "format": FORMAT,
        "of": {"count": count, "model": model, "digest": digest, "side": 128, "whole": False, "version": "1"},
        "shard": 16,
        "classes": CLASSES,
        "directories": CLASSES,
        "layers": [layer.described() for layer in LAYERS],
    }
    (out / "survey.json").write_text(json.dumps(settings))
    for shard in range(-(-count // 16)):
        (out / file_of(shard)).write_bytes(to_parquet(rows[16 * shard : 16 * (shard + 1)], LAYERS, 3))
    return out, pictures
