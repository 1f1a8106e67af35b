"""The JSON beside a model's weights: how to build it and how to feed it, validated before anything is built."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Required

import torch
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
    with_config,
)
from pydantic.dataclasses import dataclass
from torch.overrides import TorchFunctionMode
from typing_extensions import TypedDict

from dsp_attention import DSPImageClassifier

from .faults import place, short
from .files import CheckpointError, read_regular

#: The newest that is read. What an older version can read too is written as the first, as is a file that names none.
FORMAT = 2

#: Bounds of what is read: bytes of a config, parameters of a model, tokens of the pictures that it is fed with.
MAX_BYTES = 4 * 2**20
MAX_PARAMETERS = 500_000_000
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


# Strict: "128", 128.0 and true are not whole numbers.
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Rate = Annotated[float, Field(strict=True, ge=0, lt=1)]
Mean = Annotated[float, Field(strict=True, ge=-1000, le=1000)]
Deviation = Annotated[float, Field(strict=True, ge=1e-4, le=1000)]
Name = Annotated[str, Field(max_length=200), AfterValidator(_visible)]
Names = Annotated[tuple[Name, ...], AfterValidator(distinct)]


def _size(most: int) -> Any:
    return Field(strict=True, ge=1, le=most)


@with_config(ConfigDict(extra="forbid"))
class Build(TypedDict, total=False):
    """Arguments of :class:`dsp_attention.DSPImageClassifier`, each within bounds that keep building it cheap."""

    image_size: Annotated[int, _size(4096)]
    patch: Annotated[int, _size(256)]
    dim: Annotated[int, _size(8192)]
    num_heads: Annotated[int, _size(256)]
    depth: Annotated[int, _size(128)]
    num_classes: Required[Annotated[int, _size(65_536)]]
    attention: Annotated[str, Field(max_length=60)]
    mlp_ratio: Annotated[float, Field(strict=True, gt=0, le=64)]
    qkv_bias: Annotated[bool, Field(strict=True)]
    attn_drop: Rate
    proj_drop: Rate
    alpha: Annotated[float, Field(strict=True, gt=0, le=100)]
    kernel_size: Annotated[int, _size(63)]
    spectral_modes: Annotated[int, _size(256)]
    num_scales: Annotated[int, _size(8)]
    adaptive_beta: Share


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
        model: arguments of :class:`dsp_attention.DSPImageClassifier`.
        image_size: side in pixels that pictures are resized to, a multiple of the model's patch.
        mean, std: per-channel statistics, in units where white is 1, that pictures are normalised with.
        classes: names, in the order of the logits, each once.
        directories: the classes' folder names in the data set, same order.
        card: what people should know: data and its terms, accuracy, time, hardware.
        format: version of the file that it was read from.
        fit: how pictures are cut and resized to a square, see :class:`dsp_viz.framing.Fitting`; empty: the middle
            square, resized.

    Raises:
        pydantic.ValidationError: a value of another type or out of range, or no model can be built from these.
    """

    model: Build
    image_size: Annotated[int, _size(4096)]
    mean: Annotated[tuple[Mean, Mean, Mean], BeforeValidator(_three)]
    std: Annotated[tuple[Deviation, Deviation, Deviation], BeforeValidator(_three)]
    classes: Names
    directories: Names
    card: dict[str, Any] = Field(default_factory=dict)
    format: Annotated[int, Field(strict=True, ge=1, le=FORMAT)] = 1
    fit: Fit = Field(default_factory=Fit)

    @model_validator(mode="after")
    def _fits_a_model(self) -> "Config":
        count = self.model["num_classes"]
        for key, names in (("classes", self.classes), ("directories", self.directories)):
            if len(names) != count:
                raise ValueError(
                    f"{key} holds {len(names)}, the model has num_classes={count}: one name for each class"
                )
        try:
            patch = self.shapes().patch
        except (TypeError, ValueError) as error:
            raise ValueError(f"describes no model: {error}") from error
        if self.image_size % patch:
            raise ValueError(f"image_size={self.image_size}: must be a multiple of the model's patch={patch}")
        if (self.image_size // patch) ** 2 > MAX_TOKENS:
            largest = patch * math.isqrt(MAX_TOKENS)
            raise ValueError(f"image_size={self.image_size}: at most {largest}, {MAX_TOKENS:,} tokens")
        return self

    def shapes(self) -> DSPImageClassifier:
        """The model without numbers: its parameters are on the meta device and take no memory.

        Raises:
            ValueError, TypeError: no such model can be built, or it would be too large.
        """
        with _Shapes():
            model = DSPImageClassifier(**self.model)
        parameters = sum(p.numel() for p in model.parameters())
        if parameters > MAX_PARAMETERS:
            raise ValueError(f"it would have {parameters:,} parameters; at most {MAX_PARAMETERS:,} are built")
        return model


class _Shapes(TorchFunctionMode):
    """New tensors are on the meta device, and stay without values.

    ``with torch.device("meta")`` would do; but there ``normal_`` and ``arange`` import SymPy, which takes seconds.
    """

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0]
        device = {"device": "meta"} if func in (torch.empty, torch.zeros, torch.ones, torch.full) else {}
        return func(*args, **(kwargs or {}) | device)


_CONFIG = TypeAdapter(Config)


def to_json(config: Config) -> bytes:
    """What :func:`read_config` reads."""
    data = _CONFIG.dump_python(config, mode="json")
    if not config.fit:
        del data["fit"]
    data["format"] = FORMAT if config.fit else 1
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
        where, message = place(fault["loc"]), fault["msg"].removeprefix("Value error, ")
        if where and fault["type"] != "missing":
            where += f"={short(fault['input'])}"
        if fault["type"] in unknown:
            known = Build if len(fault["loc"]) > 1 else Config
            message = f"there is no such field; fields are {', '.join(known.__annotations__)}"
        faults.append(f"{where}: {message}" if where else message)
    more = f" (and {error.error_count() - 3} more)" if error.error_count() > 3 else ""
    return "; ".join(faults) + more
