"""The files of a survey, ``docs/survey.md``: their names, columns and numbers. Needs numpy and pyarrow, never torch."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "a survey is kept in Parquet files, which need pyarrow: pip install 'dsp-attention[survey]'", name="pyarrow"
    ) from error

#: Version of the files; another one is not read, and not gone on with.
FORMAT = 1

#: Settings of a survey, beside its rows.
SETTINGS = "survey.json"

#: Pictures of a file of rows; fewer in the last one.
SHARD = 256

#: Classes that are kept of each picture.
TOP = 5

#: Bits of the significand that are kept: numbers are off by at most 2⁻¹⁵ of themselves, so they have four digits. What
#: is left out are zeros, which take no room once they are compressed.
BITS = 14

#: What there is of each layer, head, scale and stream, and what it says.
QUANTITIES = {
    "coefficient": "how much the head uses the stream at that scale, within 0 and 2",
    "weight": "the scale's share of what the head passes on; of all streams together",
    "same_share": "how much of what queries and keys have in common is same-signed; of all streams together",
    "distance": "root-mean-square distance between a query and what it looks at, in longer sides of the picture",
    "entropy": "mean entropy of single rows, 0: one token, 1: all alike",
    "received_entropy": "entropy of the average map, 0: one token receives everything, 1: all receive the same",
    "self_share": "what a query gives to the keys at its own place",
    "prefix_share": "what a query gives to tokens without a place, such as a class token",
    "centre_row": "centre of the average map, from the top, as a share of the picture's height",
    "centre_column": "centre of the average map, from the left, as a share of the picture's width",
    "worth": "to first order, how much the logit of the most probable class falls when the part is left out",
}

#: Those of a head and a scale: their last axis has one entry.
OF_SCALES = ("weight", "same_share")


class SurveyError(ValueError):
    """A survey that is not there, damaged, of another format, or does not fit; the message says what to do."""


@dataclass(frozen=True)
class SurveyedLayer:
    """An attention layer, as a survey's settings describe it.

    Attributes:
        index: place among the layers, from 0. name: module path. kind: of attention. stage: of a pyramid, from 0.
        heads: how many. grid: its rows and columns of tokens; None where pictures are whole, and grids their own.
        pooled: of each scale, finest first: tokens along each side of a key.
        streams: their names. roles: of these, see :class:`dsp_viz.layer.Stream`.
        prefix: names of tokens without a place.
        quantities: names of those that it has, among :data:`QUANTITIES`.
    """

    index: int
    name: str
    kind: str
    stage: int
    heads: int
    grid: tuple[int, int] | None
    pooled: tuple[int, ...]
    streams: tuple[str, ...]
    roles: tuple[str, ...]
    prefix: tuple[str, ...]
    quantities: tuple[str, ...]

    def shape(self, quantity: str) -> tuple[int, int, int]:
        """``(h, S, T)`` of a quantity of one picture; T is 1 for those of all streams together."""
        return self.heads, len(self.pooled), 1 if quantity in OF_SCALES else len(self.streams)

    def described(self) -> dict[str, Any]:
        """As JSON has it; :meth:`read` reads it."""
        found = asdict(self)
        del found["index"]
        return found

    @classmethod
    def read(cls, index: int, described: Mapping[str, Any]) -> "SurveyedLayer":
        """A layer of the settings."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in described.items()
        }
        return cls(index=index, **values)


@dataclass(frozen=True)
class Row:
    """What is said of one picture.

    Attributes:
        path: relative to the survey's folder, with ``/``. label: name of its folder among the model's classes, or None.
        size: (width, height) of the upright picture in pixels; None where it could not be read.
        error: why it could not be used, a sentence, or None.
        top: indices of the most probable classes, best first. probabilities: theirs.
        numbers: by (quantity, index of the layer) ``(h, S, T)``; none where there is an error.
    """

    path: str
    label: str | None
    size: tuple[int, int] | None
    error: str | None
    top: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()
    numbers: Mapping[tuple[str, int], np.ndarray] | None = None


def file_of(shard: int) -> str:
    """Name of the file with a shard's rows."""
    return f"rows-{shard:06d}.parquet"


def column(quantity: str, layer: int) -> str:
    """Name of a column of numbers."""
    return f"{quantity}/{layer}"


def about(classes: int) -> pa.Schema:
    """The columns that are of a picture, not of a layer, where the model has that many classes."""
    top, text, whole = min(TOP, classes), pa.string(), pa.int32()
    found = [("path", text), ("label", text), ("width", whole), ("height", whole), ("error", text)]
    lists = [("top", pa.list_(whole, top)), ("probability", pa.list_(pa.float32(), top))]
    return pa.schema(found + (lists if top else []))


def rounded(values: np.ndarray, significand: int = BITS) -> np.ndarray:
    """float32 to so many bits of significand, halves away from zero; NaN and infinity stay."""
    dropped = 23 - significand
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    with np.errstate(over="ignore"):
        kept = (bits + np.uint32(1 << (dropped - 1))) & np.uint32(~((1 << dropped) - 1) & 0xFFFFFFFF)
    return np.where(np.isfinite(values), kept.view(np.float32), np.float32(values))


def to_parquet(rows: Sequence[Row], layers: Sequence[SurveyedLayer], classes: int) -> bytes:
    """A file of rows.

    Args:
        rows: of one shard, in order. layers: of the survey. classes: that the model has.
    """
    top = min(TOP, classes)
    columns: dict[str, pa.Array] = {
        "path": pa.array([row.path for row in rows], pa.string()),
        "label": pa.array([row.label for row in rows], pa.string()),
        "width": pa.array([row.size and row.size[0] for row in rows], pa.int32()),
        "height": pa.array([row.size and row.size[1] for row in rows], pa.int32()),
        "error": pa.array([row.error for row in rows], pa.string()),
    }
    if top:
        columns["top"] = _lists(np.array([row.top or (-1,) * top for row in rows], np.int32))
        columns["probability"] = _lists(np.array([row.probabilities or (0.0,) * top for row in rows], np.float32))
    for layer in layers:
        for quantity in layer.quantities:
            shape, key = layer.shape(quantity), (quantity, layer.index)
            nothing = np.full(shape, np.nan, np.float32)
            numbers = np.stack([(row.numbers or {}).get(key, nothing) for row in rows])
            if numbers.shape[1:] != shape:
                raise ValueError(f"{quantity} of {layer.name} has shape {numbers.shape[1:]} instead of {shape}")
            columns[column(*key)] = _lists(rounded(numbers).reshape(len(rows), -1))
    return packed(pa.table(columns))


def slim(path: Path, layers: Sequence[SurveyedLayer], bits: int) -> bytes:
    """A file of the same rows, with the layers' quantities only and fewer bits.

    Args:
        path: of a file of rows. layers: with the quantities that stay. bits: of significand.
    """
    table = pq.read_table(path)
    columns = {name: table[name] for name in table.column_names if "/" not in name}
    for layer in layers:
        for quantity in layer.quantities:
            name = column(quantity, layer.index)
            numbers = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            columns[name] = _lists(rounded(numbers, bits).reshape(len(table), -1))
    return packed(pa.table(columns))


def packed(table: pa.Table) -> bytes:
    """A file of rows. Bytes of equal weight stand together before they are compressed: of the lowest most are zero."""
    file = io.BytesIO()
    pq.write_table(
        table,
        file,
        compression="zstd",
        use_dictionary=["label"],
        use_byte_stream_split=[f"{name}.list.element" for name in table.column_names if "/" in name] or False,
        write_statistics=False,
        store_schema=True,
    )
    return file.getvalue()


def _lists(values: np.ndarray) -> pa.Array:
    """``(rows, n)`` as a column of lists of n numbers."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
