"""The JSON beside a model's weights: how to build it and how to feed it, validated before anything is built."""

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
    with_config,
)
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from dsp_attention import HierarchicalClassifier

from .builds import Build, Network, Pyramid, kind_of, network_of, shapes_of, size
from .faults import place, short
from .files import CheckpointError, read_regular

#: The newest that is read. A file is written as the oldest whose readers make of it what it says: the second where
#: pictures are fitted otherwise or the model is a pyramid, the third where it is calibrated, else the first.
FORMAT = 3

#: Bounds of what is read: bytes of a config, tokens of the pictures that a model is fed with.
MAX_BYTES = 4 * 2**20
MAX_TOKENS = 2**16


def _visible(name: str) -> str:
    if not name.strip() or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name):
        raise ValueError("a name needs a visible character and may hold no control character")
    return name


def _twice(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names; ValueError where one is there twice."""
    if (name := _twice(names)) is not None:
        raise ValueError(f"{short(name)} is there twice: each may be there once")
    return names


def _three(numbers: Any) -> Any:
    if isinstance(numbers, list | tuple) and len(numbers) != 3:
        raise ValueError("3 numbers are needed, for red, green and blue")
    return numbers


Mean = Annotated[float, Field(strict=True, ge=-1000, le=1000)]
Deviation = Annotated[float, Field(strict=True, ge=1e-4, le=1000)]
Temperature = Annotated[float, Field(strict=True, ge=0.01, le=100)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Name = Annotated[str, Field(max_length=200), AfterValidator(_visible)]
Names = Annotated[tuple[Name, ...], AfterValidator(distinct)]


@with_config(ConfigDict(extra="forbid"))
class Fit(TypedDict, total=False):
    """Fields of :class:`dsp_viz.framing.Fitting`."""

    way: Literal["square", "shorter", "squash"]
    share: Annotated[float, Field(strict=True, ge=0.1, le=1)]
    interpolation: Literal["lanczos", "bicubic", "bilinear"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Config:
    """How to build a model and how to feed it.

    Attributes:
        model: arguments of :class:`dsp_attention.DSPImageClassifier`, or of
            :class:`dsp_attention.HierarchicalClassifier`, see :func:`dsp_viz.builds.kind_of`.
        image_size: side in pixels that pictures are resized to, a multiple of the model's patch.
        mean, std: per-channel statistics, in units where white is 1, that pictures are normalised with.
        classes: names, in the order of the logits, each once.
        directories: the classes' folder names in the data set, same order.
        card: what people should know: data and its terms, accuracy, time, hardware.
        format: version of the file that it was read from.
        fit: how pictures are cut and resized to a square, see :class:`dsp_viz.framing.Fitting`; empty: the middle
            square, resized.
        temperature: what logits are divided by before their softmax, within 0.01 and 100.
        unsure: the model is not sure where its largest probability is below this, within 0 and 1; 0: it always is. Both
            are chosen on validation pictures, see :mod:`training.calibrate`.

    Raises:
        pydantic.ValidationError: a value of another type or out of range, or no model can be built from these.
    """

    model: Annotated[Annotated[Build, Tag("single")] | Annotated[Pyramid, Tag("pyramid")], Discriminator(kind_of)]
    image_size: Annotated[int, size(4096)]
    mean: Annotated[tuple[Mean, Mean, Mean], BeforeValidator(_three)]
    std: Annotated[tuple[Deviation, Deviation, Deviation], BeforeValidator(_three)]
    classes: Names
    directories: Names
    card: dict[str, Any] = Field(default_factory=dict)
    format: Annotated[int, Field(strict=True, ge=1, le=FORMAT)] = 1
    fit: Fit = Field(default_factory=Fit)
    temperature: Temperature = 1.0
    unsure: Share = 0.0

    @model_validator(mode="after")
    def _fits_a_model(self) -> "Config":
        count = self.model["num_classes"]
        for key, names in (("classes", self.classes), ("directories", self.directories)):
            if len(names) != count:
                raise ValueError(
                    f"{key} holds {len(names)}, the model has num_classes={count}: one name for each class"
                )
        try:
            shapes = self.shapes()
        except (TypeError, ValueError) as error:
            raise ValueError(f"describes no model: {error}") from error
        if self.image_size % shapes.patch:
            raise ValueError(f"image_size={self.image_size}: must be a multiple of the model's patch={shapes.patch}")
        token = shapes.feature_info[0]["reduction"] if isinstance(shapes, HierarchicalClassifier) else shapes.patch
        if (self.image_size // token) ** 2 > MAX_TOKENS:
            largest = token * math.isqrt(MAX_TOKENS)
            raise ValueError(f"image_size={self.image_size}: at most {largest}, {MAX_TOKENS:,} tokens")
        return self

    def network(self) -> Network:
        """The model, with random weights."""
        return network_of(self.model)

    def shapes(self) -> Network:
        """The model without numbers: its parameters are on the meta device and take no memory.

        Raises:
            ValueError, TypeError: no such model can be built, or it would be too large.
        """
        return shapes_of(self.model)


_CONFIG = TypeAdapter(Config)


def to_json(config: Config) -> bytes:
    """What :func:`read_config` reads."""
    data = _CONFIG.dump_python(config, mode="json")
    if not config.fit:
        del data["fit"]
    data["format"] = 2 if config.fit or kind_of(config.model) == "pyramid" else 1
    if (config.temperature, config.unsure) == (1, 0):
        del data["temperature"], data["unsure"]
    else:
        data["format"] = 3
    return json.dumps(data, indent=2, ensure_ascii=False).encode() + b"\n"


def read_config(path: Path) -> Config:
    """Read a config file.

    Raises:
        CheckpointError: it is missing, no JSON, of a newer format, or a field is missing, unknown or out of range; the
            first of these are named, with what is allowed.
    """
    data = read_regular(path, MAX_BYTES)
    try:
        raw = json.loads(
            data.decode("utf-8-sig"), object_pairs_hook=_each_once, parse_float=_finite, parse_constant=_finite
        )
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise CheckpointError(f"{path} is no readable model config: {why}") from None
    version = raw.get("format", FORMAT) if isinstance(raw, dict) else FORMAT
    if isinstance(version, int) and version > FORMAT:
        raise CheckpointError(
            f"{path} has format={short(version)}, this version reads up to {FORMAT}: it was made by a newer "
            "dsp-attention, update to read it"
        )
    try:
        return _CONFIG.validate_python(raw)
    except ValidationError as error:
        raise CheckpointError(f"{path} is no readable model config: {told(error)}") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (key := _twice(key for key, _ in pairs)) is not None:
        raise ValueError(f"the field {short(key)} is there twice")
    return dict(pairs)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:60]} is no finite number")
    return number


def told(error: ValidationError) -> str:
    """The first three faults, each with its place, its value and what is allowed; fields with a typo come first."""
    unknown = ("extra_forbidden", "unexpected_keyword_argument")
    faults = []
    for fault in sorted(error.errors(include_url=False), key=lambda fault: fault["type"] not in unknown)[:3]:
        loc, fields = fault["loc"], Config.__annotations__
        if len(loc) > 1 and loc[0] in ("model", "fit"):
            held = Fit if loc[0] == "fit" else Pyramid if loc[1] == "pyramid" else Build
            fields = held.__annotations__
        if loc and loc[0] == "model":
            loc = (loc[0], *loc[2:])  # without the kind of model
        where, message = place(loc), fault["msg"].removeprefix("Value error, ")
        if where and fault["type"] != "missing":
            where += f"={short(fault['input'])}"
        if fault["type"] in unknown:
            message = f"there is no such field; fields are {', '.join(fields)}"
        faults.append(f"{where}: {message}" if where else message)
    more = f" (and {error.error_count() - 3} more)" if error.error_count() > 3 else ""
    return "; ".join(faults) + more
