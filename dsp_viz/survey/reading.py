"""Read a survey. Needs numpy and pyarrow, never torch, so that it can be looked at where no model runs."""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .format import FORMAT, QUANTITIES, SETTINGS, SurveyedLayer, SurveyError, about, column, file_of

_FILE = re.compile(r"rows-([0-9]{6,})\.parquet")


class Top(NamedTuple):
    """The most probable classes of each picture, best first.

    Attributes:
        classes: indices among ``settings["classes"]``, ``(pictures, k)`` int32; −1 where a picture has an error.
        probabilities: ``(pictures, k)`` float32, within 0 and 1; 0 where it has.
    """

    classes: np.ndarray
    probabilities: np.ndarray


class Total(NamedTuple):
    """A quantity of a layer over all pictures, each ``(h, S, T)``.

    Attributes:
        mean, std: over the pictures that have the number, float64; NaN where none has. The standard deviation is that
            of the pictures at hand, ``√(Σ (x − mean)² / n)``.
        n: how many have it, int64.
    """

    mean: np.ndarray
    std: np.ndarray
    n: np.ndarray


class Survey:
    """What a survey has found so far. Its rows are those of the shards that are written, in the order of the paths.

    Nothing but the settings is read before it is asked for, and of the rows only the columns that are asked for. A
    survey that goes on while it is read stays as it was when it was opened: open it again for more.

    Attributes:
        path: its folder. settings: what ``survey.json`` says, see ``docs/survey.md``.
        layers: the attention layers, in order.
        shards: numbers of those that are written. missing: of those that are not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = _settings(path)
        self.layers = tuple(SurveyedLayer.read(i, layer) for i, layer in enumerate(self.settings["layers"]))
        written = {int(match[1]) for file in path.iterdir() if (match := _FILE.fullmatch(file.name))}
        count = -(-self.settings["of"]["count"] // self.settings["shard"])
        self.shards = tuple(n for n in range(count) if n in written)
        self.missing = tuple(n for n in range(count) if n not in written)

    def __len__(self) -> int:
        """Pictures that there are rows of."""
        count, shard = self.settings["of"]["count"], self.settings["shard"]
        return sum(min(shard, count - shard * n) for n in self.shards)

    @property
    def count(self) -> int:
        """Pictures that it is to have once all shards are written."""
        return int(self.settings["of"]["count"])

    @property
    def pictures(self) -> Path | None:
        """Where a survey that was made to be passed on has those of its pictures that may be; None: it has none."""
        within = self.path / "pictures"
        return within if within.is_dir() else None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the model's classes; empty where it has none."""
        return tuple(self.settings["classes"])

    @cached_property
    def paths(self) -> list[str]:
        """Of the pictures, relative to the folder that was surveyed, with ``/``."""
        return list(self._about["path"].to_pylist())

    @cached_property
    def labels(self) -> np.ndarray:
        """The class that each picture's folder stands for, an index among :attr:`classes`, int32; −1: none."""
        known = {name: i for names in ("classes", "directories") for i, name in enumerate(self.settings[names])}
        labels = self._about["label"].to_pylist()
        return np.array([known.get(label, -1) for label in labels], np.int32)

    @cached_property
    def errors(self) -> list[str | None]:
        """Why a picture could not be used, a sentence; None where it could."""
        return list(self._about["error"].to_pylist())

    @cached_property
    def sizes(self) -> np.ndarray:
        """Width and height of the pictures in pixels, ``(pictures, 2)`` int32; 0 where one could not be read."""
        sides = [self._about[name].fill_null(0).to_numpy() for name in ("width", "height")]
        return np.stack(sides, 1)

    @cached_property
    def top(self) -> Top:
        """The most probable classes; none where the model has no classes."""
        if not self.classes:
            return Top(np.zeros((len(self), 0), np.int32), np.zeros((len(self), 0), np.float32))
        return Top(*(_lists(self._about[name]) for name in ("top", "probability")))

    def quantity(self, name: str, layer: int | str) -> np.ndarray:
        """A number of each picture, head, scale and stream.

        Args:
            name: among the layer's ``quantities``. layer: its index or its name.

        Returns:
            ``(pictures, h, S, T)`` float32, to four digits; T is 1 for ``weight`` and ``same_share``. NaN where a
            picture has an error, and where the number means nothing, such as the entropy of a map with negative
            entries.

        Raises:
            SurveyError: no such layer, the layer has no such quantity, or a file is damaged.
        """
        return self.of_layers(name, [self._layer(layer, name).index])[0]

    def of_layers(self, name: str, layers: Sequence[int]) -> list[np.ndarray]:
        """:meth:`quantity` of several layers, reading each file once: much faster than one after the other."""
        found = [self._layer(layer, name) for layer in layers]
        arrays = [np.empty((len(self), *layer.shape(name)), np.float32) for layer in found]
        at = 0
        for table in self._tables(" ".join(column(name, layer.index) for layer in found)):
            for layer, array in zip(found, arrays, strict=True):
                part = array[at : at + len(table)]
                part[:] = _lists(table[column(name, layer.index)]).reshape(part.shape)
            at += len(table)
        return arrays

    def totals(self, names: Sequence[str] = tuple(QUANTITIES)) -> dict[tuple[str, int], Total]:
        """Mean and standard deviation over all rows, by (quantity, index of the layer).

        They are made of the rows, shard after shard, in float64: whoever wrote the shards, and in whatever order, they
        are the same to the last bit.

        Args:
            names: of the quantities; all by default. Reads as much as these need, one shard at a time.
        """
        wanted = [(name, layer) for layer in self.layers for name in layer.quantities if name in names]
        sums = {(name, layer.index): _Sums(layer.shape(name)) for name, layer in wanted}
        if sums:
            for table in self._tables(" ".join(column(*key) for key in sums)):
                for key, total in sums.items():
                    total.add(_lists(table[column(*key)]).reshape(len(table), *total.mean.shape))
        return {key: total.total() for key, total in sums.items()}

    def _layer(self, layer: int | str, quantity: str) -> SurveyedLayer:
        names = [known.name for known in self.layers]
        index = names.index(layer) if layer in names else layer
        if not isinstance(index, int) or not 0 <= index < len(names):
            raise SurveyError(f"layer={layer!r}: the survey has 0…{len(names) - 1}: {', '.join(names)}")
        found = self.layers[index]
        if quantity not in found.quantities:
            raise SurveyError(f"{quantity!r}: {found.name} has {', '.join(found.quantities)}")
        return found

    @cached_property
    def _about(self) -> pa.Table:
        """All columns but those of quantities, read once."""
        schema = about(len(self.classes))
        tables = list(self._tables(" ".join(schema.names)))
        return pa.concat_tables(tables) if tables else schema.empty_table()

    def _tables(self, columns: str) -> Iterator[pa.Table]:
        """Some columns, by their names with blanks between, shard after shard."""
        for shard in self.shards:
            path = self.path / file_of(shard)
            try:
                with pq.ParquetFile(path) as file:  # pq.read_table looks for a data set first, which takes longer
                    table = file.read(columns.split(), use_threads=False)
            except (pa.ArrowException, OSError) as error:
                raise SurveyError(f"{path} cannot be read ({error}): delete it and start the survey again") from error
            count = min(self.settings["shard"], self.count - shard * self.settings["shard"])
            if len(table) != count or set(table.column_names) != set(columns.split()):
                raise SurveyError(f"{path} is of another survey: delete it and start the survey again")
            yield table


def open_survey(path: str | Path) -> Survey:
    """Open what ``python -m dsp_viz survey`` has written, finished or not.

    >>> survey = dsp_viz.survey.open_survey("OUT")
    >>> survey.layers[2].quantities
    >>> entropy = survey.quantity("entropy", 2)  # (pictures, heads, scales, streams)
    >>> survey.paths[entropy[:, 0, 0, 0].argmin()]  # where head 0 looks most narrowly

    Args:
        path: what ``--out`` named, or the folder within it that has ``survey.json``.

    Raises:
        SurveyError: there is none, there are several (they are listed), or it is of another format.
    """
    path = Path(path)
    if (path / SETTINGS).is_file():
        return Survey(path)
    found = sorted(file.parent for file in path.glob(f"*/{SETTINGS}")) if path.is_dir() else []
    if not found:
        raise SurveyError(f"{path} has no survey: make one with python -m dsp_viz survey DIR --out {path}")
    if len(found) > 1:
        told = "; ".join(f"{folder} ({_told(folder)})" for folder in found[:8])
        raise SurveyError(f"{path} has {len(found)} surveys, name one of them: {told}")
    return Survey(found[0])


def _told(folder: Path) -> str:
    of = _settings(folder)["of"]
    shape = "whole pictures" if of["whole"] else "squares"
    return f"{of['model']} {of['digest']}, {of['count']} {shape}, {of['side']} px, version {of['version']}"


def _settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads((path / SETTINGS).read_bytes())
    except (OSError, ValueError) as error:
        raise SurveyError(f"{path / SETTINGS} cannot be read ({error})") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        known = found.get("format") if isinstance(found, dict) else None
        raise SurveyError(f"{path / SETTINGS} has format {known!r}, this version reads {FORMAT}: survey again")
    return found


def _lists(values: pa.ChunkedArray) -> np.ndarray:
    """``(rows, n)`` of a column of lists of n numbers."""
    return values.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, values.type.list_size)


class _Sums:
    """Running mean and sum of squared deviations, merged shard by shard (Chan, Golub and LeVeque 1979)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.n = np.zeros(shape, np.int64)
        self.mean = np.zeros(shape)
        self.squares = np.zeros(shape)

    def add(self, values: np.ndarray) -> None:
        """Some pictures more, ``(pictures, *shape)``."""
        there = np.isfinite(values)
        n = there.sum(0)
        exact = np.where(there, values, 0).astype(np.float64)
        mean = exact.sum(0) / np.maximum(n, 1)
        squares = (np.where(there, exact - mean, 0) ** 2).sum(0)
        both = np.maximum(self.n + n, 1)
        off = np.where(n > 0, mean - self.mean, 0)
        self.squares += squares + off**2 * (self.n * n / both)
        self.mean += off * (n / both)
        self.n += n

    def total(self) -> Total:
        """What it comes to."""
        n = np.maximum(self.n, 1)
        mean, std = (np.where(self.n > 0, value, np.nan) for value in (self.mean, np.sqrt(self.squares / n)))
        return Total(mean, std, self.n)
