"""Weights of other forms, made into ours: official PolaFormer models, and what training here keeps.

Files of PyTorch are pickles, which may run code when they are opened. Here they are read by torch's own reader of
weights, which builds tensors and plain values only, and refuses everything else.
"""

import hashlib
import math
import os
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dsp_attention.official import from_official, published

from ..builds import MAX_PARAMETERS, Network
from ..config import Config, Fit, read_config, told
from ..faults import short
from ..files import CheckpointError, open_regular
from . import hub
from .checkpoint import COUNTS, FLOATS, PICKLES, check_fit
from .own import numbered

#: Statistics that ImageNet's pictures are normalised with.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: WordNet's name and what people call it, of each of ImageNet's classes in the order of the logits.
IMAGENET = Path(__file__).with_name("imagenet.tsv")

#: Bytes of a file that is read: weights, their average and two moments of an optimiser, in float32.
MAX_BYTES = 4 * 4 * MAX_PARAMETERS

#: Bytes of the pickle within a file, which holds names, shapes and plain values.
MAX_PICKLE = 4 * 2**20


def convert(file: str, config: Path | None = None) -> tuple[Network, Config]:
    """A model of weights that are not ours.

    Args:
        file: path of a ``.pth`` or ``.safetensors`` file, or ``hf-hub:user/name/FILE``. Official weights: a state dict,
            or one under ``"model"``, as the official code saves it.
        config: of weights that training here wrote: a state dict of its network, or its ``state.pt``, of which the
            averaged weights are taken. None: the weights are official.

    Returns:
        The network, and its config.

    Raises:
        CheckpointError: the file cannot be read, holds more than weights, or fits no known model; the sentence says
            what it is, where that can be told.
    """
    path = hub.fetch(file, (*PICKLES, ".safetensors"), MAX_BYTES) if file.startswith("hf-hub:") else Path(file)
    digest = _digest(path)
    raw = _read(path)
    source = {"file": path.name, "sha256": digest}
    if config is not None:
        return _trained(raw, read_config(config), path, source)
    tensors = _weights(raw, path, "model")
    if any(key.removeprefix("module.").startswith("model.blocks.0.") for key in tensors):
        raise CheckpointError(
            f"{path} holds weights of this project's own network: give --config with the .json that training wrote "
            "beside them"
        )
    try:
        arguments, renamed = from_official(tensors, _alpha(raw))
        made = _described(arguments, source)
    except ValidationError as error:
        raise CheckpointError(f"{path} describes no model that is built here: {told(error)}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return _built(made, renamed, path), made


def _built(config: Config, tensors: dict[str, Tensor], path: Path) -> Network:
    check_fit(config.shapes().state_dict(), tensors, path)
    network = config.network()
    network.load_state_dict(tensors)
    return network


def _trained(raw: Mapping[str, Any], config: Config, path: Path, source: dict[str, str]) -> tuple[Network, Config]:
    tensors = {key.removeprefix("module."): t for key, t in _weights(raw, path, "average", "model").items()}
    tensors.pop("n_averaged", None)  # of the average only
    made = Config(**{**vars(config), "card": config.card | {"converted": source}})
    return _built(made, tensors, path), made


def _described(arguments: dict[str, Any], source: dict[str, str]) -> Config:
    """The config of an official model: fed as its accuracy was measured, see docs/own-model.md."""
    side, count = arguments["image_size"], arguments["num_classes"]
    names = directories = numbered(count)
    if count == 1000:
        directories, names = zip(*(line.split("\t") for line in IMAGENET.read_text().splitlines()), strict=True)
    # 256 for 224, and all of it at 384: both sides are given, so the proportions are lost.
    fit: Fit = {"way": "squash", "share": 1.0 if side >= 384 else 0.875, "interpolation": "bicubic"}
    card = {"architecture": published(arguments) or "of its own sizes", "converted": source}
    return Config(arguments, side, MEAN, STD, names, directories, card, fit=fit)  # type: ignore[arg-type]


def _weights(raw: Mapping[str, Any], path: Path, *keys: str) -> dict[str, Tensor]:
    """The state dict of a file, under one of these keys or bare.

    Raises:
        CheckpointError: it is none; its tensors are of a kind that weights are not; or they hold more numbers than the
            file, as those do that repeat one number or share them.
    """
    found = next((raw[key] for key in keys if isinstance(raw.get(key), dict)), raw)
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"the file holds no weights, which are tensors by name: {short(key)} is a {type(value).__name__}"
            )
        if value.is_nested or value.layout != torch.strided or value.device.type != "cpu":
            kind = "nested" if value.is_nested else f"{value.layout} on {value.device}"
            raise CheckpointError(f"{path}: {short(key)} is no plain tensor ({kind}): weights are torch.strided on cpu")
        if value.dtype not in (allowed := FLOATS + COUNTS):
            raise CheckpointError(
                f"{path}: {short(key)} is {value.dtype}, expected one of {', '.join(map(str, allowed))}"
            )
    held, told = path.stat().st_size, sum(value.numel() * value.itemsize for value in found.values())
    if told > held:
        raise CheckpointError(
            f"{path} holds {held:,} bytes, its tensors {told:,}: they repeat or share numbers. Save a copy of each"
        )
    return dict(found)


def _alpha(raw: Mapping[str, Any]) -> float | None:
    """The range of the powers, from the config that the official code saves beside the weights."""
    value: Any = raw.get("config")
    for key in ("MODEL", "LA", "ALPHA"):
        value = value.get(key) if isinstance(value, dict) else None
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf


def _read(path: Path) -> Mapping[str, Any]:
    """What a file holds: tensors and plain values by name."""
    shown = str(path)[:300]
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{shown} is no readable safetensors file: {str(error)[:200]}") from error
    if path.suffix not in PICKLES:
        raise CheckpointError(f"{shown}: weights end in {', '.join(PICKLES)} or .safetensors")
    archive = _is_archive(path)
    try:
        # Its config is of a class of yacs, a dictionary with comforts: torch fills a plain one in its place.
        with torch.serialization.safe_globals([(OrderedDict, "yacs.config.CfgNode")]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a newer pickle than torch writes: what it cannot read it refuses
            raw = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except UnpicklingError as error:
        raise CheckpointError(f"{shown} {_refused(str(error))}") from error
    except Exception as error:  # damaged archives end in whatever their reader raises
        raise CheckpointError(f"{shown} is no readable file of PyTorch: {str(error)[:200]}") from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{shown} holds a {type(raw).__name__}: weights are tensors by name, a state dict")
    return raw


def _is_archive(path: Path) -> bool:
    """Whether a file is one of torch's archives; older ones are not.

    Raises:
        CheckpointError: it would unpack to more than it holds, or to a pickle that is larger than any of weights.
    """
    with open_regular(path) as file:
        if file.read(4) != b"PK\3\4":  # as torch tells
            return False
        try:
            members = zipfile.ZipFile(file).infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
            raise CheckpointError(f"{str(path)[:300]} is no readable file of PyTorch: {str(error)[:200]}") from error
        held = os.fstat(file.fileno()).st_size
    told = sum(member.file_size for member in members)
    if told > held or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise CheckpointError(
            f"{str(path)[:300]} holds {held:,} bytes and unpacks to {told:,}: torch.save compresses nothing, so it did "
            "not write this"
        )
    # torch's reader of archives does not tell case.
    pickled = max((member.file_size for member in members if member.filename.lower().endswith(".pkl")), default=0)
    if pickled > MAX_PICKLE:
        raise CheckpointError(
            f"{str(path)[:300]} holds a pickle of {pickled:,} bytes; at most {MAX_PICKLE:,} are read: save "
            "model.state_dict() only"
        )
    return True


def _refused(said: str) -> str:
    """What torch's reader objected to, without its advice to trust the file."""
    found = (
        said.partition("Unsupported global: GLOBAL ")[2].split()[:1]
        or said.partition("Unsupported class ")[2].split()[:1]
    )
    what = f"needs {short(found[0])}" if found else "is damaged, or holds more than tensors and plain values"
    return f"{what}: opening it might run code. Load it where you trust it, and save model.state_dict() only"


def _digest(path: Path) -> str:
    """SHA-256 of a regular file.

    Raises:
        CheckpointError: it cannot be read, or is larger than :data:`MAX_BYTES`.
    """
    found = hashlib.sha256()
    with open_regular(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
            raise CheckpointError(f"{str(path)[:300]} holds {size:,} bytes; at most {MAX_BYTES:,} are read")
        while chunk := file.read(2**20):
            found.update(chunk)
    return found.hexdigest()
