"""Weights as safetensors beside a JSON config; no pickle is ever loaded.

``NAME.safetensors`` holds the tensors (float16 for what is float), ``NAME.json`` how to build the model and how to
feed it. Both are written to a temporary file first, so a full disk or a kill leaves the last good pair.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from dsp_attention import DSPImageClassifier

#: Where the models that ship with the project lie.
PRETRAINED = Path(__file__).resolve().parent.parent / "pretrained"


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or does not fit the model its config describes."""


@dataclass(frozen=True)
class Config:
    """How to build a model and how to feed it.

    Attributes:
        model: arguments of :class:`dsp_attention.DSPImageClassifier`.
        image_size: side in pixels that pictures are resized to.
        mean, std: per-channel statistics, in units where white is 1, that pictures are normalised with.
        classes: names, in the order of the logits.
        directories: the classes' folder names in the data set, same order.
        card: what people should know: data and its terms, accuracy, time, hardware.
    """

    model: dict[str, Any]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: tuple[str, ...]
    directories: tuple[str, ...]
    card: dict[str, Any] = field(default_factory=dict)


class LoadedModel(torch.nn.Module):
    """A classifier in evaluation mode, with its config, name and hash: what :func:`load` returns.

    Attributes:
        classifier: the network. config: see :class:`Config`. name: file name without its ending.
        digest: first 12 hex digits of the SHA-256 of the weights file. history: how filters, coefficients and mixing
        weights evolved in training, an array each with the epochs first (see :func:`pretrained.snapshots.snapshot`);
        empty where ``NAME.snapshots.npz`` does not lie beside the weights.
    """

    def __init__(
        self,
        classifier: DSPImageClassifier,
        config: Config,
        name: str,
        digest: str,
        history: dict[str, np.ndarray] | None = None,
    ) -> None:
        super().__init__()
        self.history = history or {}
        self.classifier = classifier
        self.config = config
        self.name = name
        self.digest = digest
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of normalised pictures ``(B, 3, height, width)``."""
        return self.classifier(image)


def available() -> list[str]:
    """Names of the models that ship with the project, in alphabetical order."""
    return sorted(p.stem for p in PRETRAINED.glob("*.safetensors"))


def load(name_or_path: str | Path) -> LoadedModel:
    """Load a model that is ready to run.

    Args:
        name_or_path: a name in ``pretrained/`` (such as ``"dsp_tiny"``), or the path of a ``.safetensors`` file
            with its ``.json`` beside it.

    Returns:
        The model in float32, in evaluation mode, without gradients.

    Raises:
        CheckpointError: no such model, an unreadable file, or tensors that do not fit (the first keys are named).
    """
    given = Path(name_or_path)
    path = given if given.suffix == ".safetensors" else PRETRAINED / f"{given.name}.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"no model {str(name_or_path)!r}: give one of {', '.join(available()) or '(none shipped)'}, "
            "or the path of a .safetensors file with its .json beside it"
        )
    config = read_config(path.with_suffix(".json"))
    try:
        classifier = DSPImageClassifier(**config.model)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path.with_suffix('.json')} describes no model: {error}") from error
    data = path.read_bytes()
    try:
        tensors = load_tensors(data)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is no readable safetensors file: {error}") from error
    check_fit(classifier, tensors, path)
    classifier.load_state_dict(tensors)
    history = read_history(path.with_suffix(".snapshots.npz"))
    return LoadedModel(classifier, config, path.stem, hashlib.sha256(data).hexdigest()[:12], history)


def save(path: Path, classifier: torch.nn.Module, config: Config) -> None:
    """Write ``path`` (``.safetensors``, float16) and its ``.json``.

    Raises:
        CheckpointError: the files cannot be written; what was there before is untouched.
    """
    tensors = {
        name: (t.half() if t.is_floating_point() else t).contiguous().cpu()
        for name, t in classifier.state_dict().items()
    }
    text = json.dumps(asdict(config), indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, save_tensors(tensors))
    write_atomically(path.with_suffix(".json"), text.encode())


def write_atomically(path: Path, data: bytes) -> None:
    """Write to a temporary file, then rename it.

    Raises:
        CheckpointError: the file cannot be written; what was there before is untouched.
    """
    temporary = path.with_name(path.name + ".partial")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write {path}: {error.strerror}; the last good file is untouched") from error


def read_config(path: Path) -> Config:
    """Read a config file.

    Raises:
        CheckpointError: it is missing, no JSON, or lacks a field (the field is named).
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        sequences = {key: tuple(raw[key]) for key in ("mean", "std", "classes", "directories")}
        config = Config(**{**raw, **sequences})
        complete = len(config.mean) == len(config.std) == 3 and len(config.classes) == config.model["num_classes"]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is no readable model config: {type(error).__name__}: {error}") from error
    if not complete:
        raise CheckpointError(f"{path}: mean and std need 3 numbers each, classes one name for each class")
    return config


def read_history(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of snapshots; none if there is no such file.

    Raises:
        CheckpointError: it cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        # Opened here: np.load leaves a file it cannot read open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {key: file[key].astype(np.float32) for key in ("filters", "coefficients", "spread", "weights")}
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise CheckpointError(f"{path} holds no readable snapshots: {type(error).__name__}: {error}") from error


def check_fit(classifier: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Refuse tensors that do not fit.

    Raises:
        CheckpointError: names the first keys that are missing, unexpected, of another shape, or not finite.
    """
    expected = classifier.state_dict()
    faults = [f"missing {k}" for k in expected if k not in tensors]
    faults += [f"unexpected {k}" for k in tensors if k not in expected]
    for key in expected.keys() & tensors.keys():
        if tensors[key].shape != expected[key].shape:
            faults.append(f"{key} is {tuple(tensors[key].shape)}, expected {tuple(expected[key].shape)}")
        elif not torch.isfinite(tensors[key]).all():
            faults.append(f"{key} holds values that are not finite")
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise CheckpointError(f"{path} does not fit its config: {'; '.join(sorted(faults)[:3])}{more}")
