"""A survey as the tab Atlas shows it: numbers over its pictures, as what can be JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from .. import atlas
from ..survey import QUANTITIES, Survey
from .atlas_classes import classes_of
from .atlas_pictures import PREFIX, Pictures, Recent
from .stages import block_names

#: What each quantity is called on the screen; others are called as in the survey.
TITLES = {
    "coefficient": "Coefficient",
    "weight": "Mixing weight",
    "same_share": "Same-signed share",
    "distance": "Distance",
    "entropy": "Entropy of a row",
    "received_entropy": "Entropy of the average map",
    "self_share": "Share of its own place",
    "prefix_share": "Share of tokens without a place",
    "centre_row": "Centre, from the top",
    "centre_column": "Centre, from the left",
    "worth": "Worth",
}

#: Of a head the sum over its scales and streams; of others the mean.
ADDED = ("worth",)

#: Parts of the histograms: of the table's, and of the large one.
BINS, FINE = 24, 48

#: Pictures at each end.
ENDS = 8

#: Bytes of numbers that are kept.
NUMBERS = 128 * 2**20


@dataclass(frozen=True)
class Summary:
    """Of one quantity of all layers: sums of each class, and histograms, of each layer ``(…, h, S, T)``."""

    sums: list[atlas.Sums]
    counts: list[np.ndarray]
    low: float
    high: float


class Surveyed:
    """What the tab asks of a survey; threads may share it.

    Nothing but settings and paths is read before it is asked for. What is computed of a quantity is kept.

    Args:
        survey: see :func:`dsp_viz.survey.open_survey`. folder: where its pictures lie; None: nobody knows.
    """

    def __init__(self, survey: Survey, folder: Path | None) -> None:
        self.survey = survey
        of = survey.settings["of"]
        self.model, self.digest = str(of["model"]), str(of["digest"])
        self.side, self.whole = of["side"], bool(of["whole"])
        told = json.dumps([survey.settings, survey.shards], sort_keys=True)
        self.key = sha256(told.encode()).hexdigest()[:16]
        self.pictures = Pictures(survey.paths, folder)
        self.classes = classes_of(survey, folder)
        self._arrays = Recent[list[np.ndarray]](NUMBERS, lambda arrays: sum(a.nbytes for a in arrays))
        self._summaries: dict[tuple[str, bool], Summary] = {}
        self._working = Lock()

    # Numbers. All answers can be JSON: what is NaN is None.

    def facts(self) -> dict[str, Any]:
        """What the survey is of, and what can be asked for."""
        survey, classes = self.survey, self.classes
        n = np.bincount(classes.of[classes.of >= 0], minlength=len(classes.names))
        of_group = [{"of": f"group/{name}", "name": name, "n": int(n[in_it].sum())} for name, in_it in self.groups()]
        of_class = [
            {"of": f"class/{classes.names[i]}", "name": classes.names[i], "n": int(n[i])}
            for i in sorted(np.flatnonzero(n), key=lambda i: classes.names[i])
        ]
        names = [name for layer in survey.layers for name in layer.quantities]
        return {
            "pictures": len(survey),
            "count": survey.count,
            "errors": sum(error is not None for error in survey.errors),
            "shown": self.pictures.folder is not None,
            "unlabelled": int((classes.of < 0).sum()),
            "classes": of_class,
            "groups": of_group,
            "quantities": [
                {"name": name, "title": TITLES.get(name, name), "about": QUANTITIES.get(name, "")}
                for name in sorted(set(names), key=lambda name: list(TITLES).index(name) if name in TITLES else 99)
            ],
            "layers": [
                {"name": name, "stage": layer.stage, "streams": layer.streams, "roles": layer.roles}
                | {"pooled": layer.pooled, "heads": layer.heads, "quantities": layer.quantities}
                for layer, name in zip(survey.layers, block_names(survey.layers), strict=True)
            ],
            "bounds": {"constant": atlas.CONSTANT, "class": atlas.BY_CLASS, "enough": atlas.ENOUGH},
        }

    def groups(self) -> list[tuple[str, np.ndarray]]:
        """Groups of classes of which there are pictures."""
        there = np.isin(np.arange(len(self.classes.names)), self.classes.of)
        return [(name, in_it) for name, in_it in self.classes.groups.items() if (in_it & there).any()]

    def numbers(self, quantity: str, heads: bool) -> dict[str, Any]:
        """A quantity of all layers: of each cell where it stands, and its mean, spread and kind, columns of one length.

        Args:
            quantity: its name. heads: whether a head's scales and streams are averaged (or :data:`ADDED` up), picture
                by picture.

        Raises:
            KeyError: no layer has such a quantity.
        """
        summary = self._summary(quantity, heads)
        columns: dict[str, list[Any]] = {name: [] for name in ("layer", "head", "scale", "stream")}
        for layer, of in zip(self._having(quantity), summary.sums, strict=True):
            for at in np.ndindex(of.centre.shape):
                for name, index in zip(columns, (layer, *at), strict=True):
                    columns[name].append(index)
        found = [atlas.moments(of) for of in summary.sums]
        mean, std, n = (np.concatenate([m[i].ravel() for m in found]) for i in range(3))
        omega = np.concatenate([atlas.omega_squared(of).ravel() for of in summary.sums])
        counts = np.concatenate([c.reshape(BINS, -1) for c in summary.counts], 1).T
        return columns | {
            "mean": _plain(mean),
            "std": _plain(std),
            "n": n.tolist(),
            "omega": _plain(omega),
            "kind": [atlas.kind(s, o) for s, o in zip(std.tolist(), omega.tolist(), strict=True)],
            "counts": counts.tolist(),
            "range": _plain(np.array([summary.low, summary.high])),
            "together": self._together(quantity, heads),
        }

    def effects(self, quantity: str, heads: bool, of: str) -> dict[str, Any]:
        """How the pictures of a group or class differ, of each cell as :meth:`numbers` has them; errors likewise.

        Args:
            of: ``group/NAME`` or ``class/NAME``.
        """
        inside = self.classes.inside(of)
        if inside is None:
            raise KeyError(of)
        found = [atlas.effect(each, inside) for each in self._summary(quantity, heads).sums]
        d, low, high, n = (np.concatenate([e[i].ravel() for e in found]) for i in range(4))
        return {"d": _plain(d), "low": _plain(low), "high": _plain(high), "n": n.tolist()}

    def cell(self, quantity: str, heads: bool, at: Sequence[int], of: str) -> dict[str, Any]:
        """How one number is distributed, and the pictures at both ends: of those that are there, if any are.

        Args:
            quantity, heads: see :meth:`numbers`. at: layer, head, scale and stream. of: see :meth:`effects`; "": none.

        Raises:
            KeyError, IndexError: there is no such.
        """
        having = self._having(quantity)
        if len(at) != 4 or min(at) < 0 or at[0] not in having:
            raise IndexError(at)
        layer, head, scale, stream = at
        array = self._array(quantity)[having.index(layer)]
        values = of_heads(quantity, array)[:, head, 0, 0] if heads else array[:, head, scale, stream]
        known = values[np.isfinite(values)].astype(np.float64)
        if not len(known):
            return {"n": 0, "lowest": [], "highest": []}
        low, high = known.min(), known.max()
        inside = self.classes.inside(of)
        chosen = np.zeros(len(values), bool) if inside is None else np.append(inside, False)[self.classes.of]
        there = self.pictures.there
        lowest, highest = atlas.ends(np.where(there, values, np.nan) if there.any() else values, ENDS)
        return {
            "n": len(known),
            "mean": float(known.mean()),
            "std": float(known.std()),
            "quantiles": _plain(np.quantile(known, (0.05, 0.5, 0.95))),
            "range": _plain(np.array([low, high])),
            "counts": atlas.histograms(values[:, None], low, high, FINE).ravel().tolist(),
            "inside": atlas.histograms(values[chosen, None], low, high, FINE).ravel().tolist(),
            "lowest": [self._picture(int(i), values) for i in lowest],
            "highest": [self._picture(int(i), values) for i in highest],
            "among": int((there & np.isfinite(values)).sum()),
        }

    def _picture(self, index: int, values: np.ndarray) -> dict[str, Any]:
        of = self.classes.of[index]
        return {
            "index": index,
            "name": PREFIX + self.survey.paths[index],
            "class": self.classes.names[of] if of >= 0 else "",
            "value": float(values[index]),
            "gone": self.pictures.file(index) is None,
        }

    def _having(self, quantity: str) -> list[int]:
        found = [layer.index for layer in self.survey.layers if quantity in layer.quantities]
        if not found:
            raise KeyError(quantity)
        return found

    def _together(self, quantity: str, heads: bool) -> dict[str, bool]:
        """Of what a cell is all: where a quantity is of all streams, and where scales are taken together."""
        shape = [layer.shape(quantity) for layer in self.survey.layers if quantity in layer.quantities]
        several = any(len(layer.streams) > 1 for layer in self.survey.layers)
        return {"scales": heads, "streams": heads or (several and all(streams == 1 for _, _, streams in shape))}

    def _array(self, quantity: str) -> list[np.ndarray]:
        layers = self._having(quantity)
        return self._arrays.get(quantity, lambda: self.survey.of_layers(quantity, layers))

    def _summary(self, quantity: str, heads: bool) -> Summary:
        key = quantity, heads
        if key not in self._summaries:
            with self._working:
                if key not in self._summaries:
                    self._summaries[key] = self._summed(quantity, heads)
        return self._summaries[key]

    def _summed(self, quantity: str, heads: bool) -> Summary:
        arrays = self._array(quantity)
        if heads:
            arrays = [of_heads(quantity, array) for array in arrays]
        finite = [array[np.isfinite(array)] for array in arrays]
        lows, highs = ([float(edge(a)) for a in finite if a.size] for edge in (np.min, np.max))
        low, high = min(lows, default=0.0), max(highs, default=1.0)
        names = len(self.classes.names)
        return Summary(
            sums=[atlas.sums(array, self.classes.of, names) for array in arrays],
            counts=[atlas.histograms(array, low, high, BINS) for array in arrays],
            low=low,
            high=high,
        )


def of_heads(quantity: str, array: np.ndarray) -> np.ndarray:
    """``(pictures, h, S, T)`` → ``(pictures, h, 1, 1)``; NaN where one of them is."""
    whole = array.sum if quantity in ADDED else array.mean
    found: np.ndarray = whole((2, 3), keepdims=True, dtype=np.float64)
    return found.astype(np.float32)


def _plain(values: np.ndarray) -> list[float | None]:
    """Numbers of five digits; what is not finite is None."""
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values.tolist()]
