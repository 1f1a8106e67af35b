"""Weights as safetensors beside a JSON config; no pickle is ever loaded.

``NAME.safetensors`` holds the tensors, ``NAME.json`` how to build the model and how to feed it. Both are written to a
temporary file first, so a full disk or a kill leaves the last good pair. A checkpoint may come from anyone: nothing is
built or read that is larger than its files account for.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ..config import Config, read_config, to_json
from ..faults import SHOWN, short
from ..files import CheckpointError, read_regular, write_atomically
from ..framing import Fitting
from ..history import read_history
from ..subject import Preparation, Subject

#: Where the models that ship with the project lie.
PRETRAINED = Path(__file__).resolve().parents[2] / "pretrained"

#: Endings of files that run code when they are opened.
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl")

#: How a parameter or a count may be stored.
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COUNTS = (torch.int64,)


def available() -> list[str]:
    """Names of the models that ship with the project, in alphabetical order."""
    return sorted(p.stem for p in PRETRAINED.glob("*.safetensors"))


def load(name_or_path: str | Path) -> Subject:
    """A model of ours, on the CPU in float32; its ``network`` is what its config describes, see
    :class:`dsp_viz.config.Config`.

    Args:
        name_or_path: a name in ``pretrained/`` (such as ``"dsp_tiny"``), or the path of a ``.safetensors`` file
            with its ``.json`` beside it. What has a folder or an ending is a path.

    Raises:
        CheckpointError: no such model, an unreadable file, or tensors that do not fit (the first keys are named).
    """
    path = find(name_or_path)
    config = read_config(path.with_suffix(".json"))
    shapes = config.shapes()
    expected = shapes.state_dict()
    data = read_regular(path, most_bytes(expected))
    try:
        tensors = load_tensors(data)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path} is no readable safetensors file: {str(error)[:200]}") from error
    check_fit(expected, tensors, path)
    history = read_history(path.with_suffix(".snapshots.npz"), shapes)
    network = config.network()
    network.load_state_dict(tensors)
    return Subject(
        network,
        Preparation(config.image_size, network.patch, config.mean, config.std, Fitting(**config.fit)),
        classes=config.classes,
        name=path.stem,
        digest=hashlib.sha256(data).hexdigest()[:12],
        history=history,
        config=config,
        temperature=config.temperature,
        unsure=config.unsure,
    )


def most_bytes(expected: Mapping[str, Tensor]) -> int:
    """Bytes that a file of such tensors may hold: at most 8 for a number, and 1,024 for a name and shape."""
    return 2**16 + sum(1024 + 8 * t.numel() for t in expected.values())


def device_of_name(device: str | torch.device) -> torch.device:
    """A device that torch has here; ValueError where there is none such."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch built without CUDA: an AssertionError
        raise ValueError(
            f"device={short(str(device))}: there is no such device here, for this torch; cpu always is"
        ) from error


def find(name_or_path: str | Path) -> Path:
    """Where the weights lie that :func:`load` reads; the config is beside them.

    Raises:
        CheckpointError: nowhere; says what was looked for.
    """
    text, path = os.fspath(name_or_path), Path(name_or_path)
    known = f"give one of {', '.join(available()) or '(none shipped)'}, or the path of a .safetensors file"
    if os.sep not in text and not path.suffix:
        if text in available():
            return PRETRAINED / f"{text}.safetensors"
        raise CheckpointError(
            f"no model {short(text)}: {known} with its .json beside it, such as ./{text[:SHOWN]}.safetensors"
        )
    told = repr(text[:300])
    if path.suffix in PICKLES:
        raise CheckpointError(
            f"no model is read from {told}: opening a pickle runs the code in it. Load it where you trust it, and save "
            "it with dsp_viz.sources.checkpoint.save, as safetensors with a .json beside it"
        )
    if path.suffix != ".safetensors":
        raise CheckpointError(f"no model {told}: the path does not end in .safetensors; {known}")
    if not os.path.exists(path):
        raise CheckpointError(f"no model {told}: there is no such file; {known} with its .json beside it")
    return path


def save(path: Path, network: torch.nn.Module, config: Config, *, dtype: torch.dtype = torch.float16) -> None:
    """Write ``path`` (``.safetensors``) and its ``.json``.

    Args:
        path: of the weights. network, config: what is kept. dtype: of what is float: float16 halves the file, and moves
            logits by about a thousandth.

    Raises:
        CheckpointError: the files cannot be written; what was there before is untouched.
    """
    tensors = {
        name: (t.to(dtype) if t.is_floating_point() else t).contiguous().cpu()
        for name, t in network.state_dict().items()
    }
    write_atomically(path, save_tensors(tensors))
    write_atomically(path.with_suffix(".json"), to_json(config))


def check_fit(expected: dict[str, Tensor], tensors: dict[str, Tensor], path: Path) -> None:
    """Refuse tensors that do not fit.

    Args:
        expected: what they have to be like; only shapes and dtypes matter. tensors: what was read. path: where.

    Raises:
        CheckpointError: names the first keys that are missing, unexpected, of another shape or dtype, or not finite.
    """
    faults = [f"missing {k}" for k in expected if k not in tensors]
    faults += [f"unexpected {k[:SHOWN]}" for k in tensors if k not in expected]
    for key in expected.keys() & tensors.keys():
        want, tensor = expected[key], tensors[key]
        if tensor.shape != want.shape:
            faults.append(f"{key} is {str(tuple(tensor.shape))[:SHOWN]}, expected {tuple(want.shape)}")
        elif tensor.dtype not in (allowed := FLOATS if want.is_floating_point() else COUNTS):
            faults.append(f"{key} is {tensor.dtype}, expected one of {', '.join(map(str, allowed))}")
        elif not torch.isfinite(tensor.to(want.dtype)).all():
            faults.append(f"{key} holds values that are not finite")
        elif key.endswith("running_var") and (tensor < 0).any():
            faults.append(f"{key} holds negative variances")
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise CheckpointError(
            f"{path} does not fit its config: {'; '.join(sorted(faults)[:3])}{more}{_prefix_hint(expected, tensors)}"
        )


def _prefix_hint(expected: dict[str, Tensor], tensors: dict[str, Tensor]) -> str:
    """What to do if the keys are right but for a prefix, as wrappers of a model put before them."""
    first = next(iter(expected))
    prefix = next((key.removesuffix(first) for key in tensors if key.endswith(f".{first}")), "")
    if not prefix:
        return ""
    within = f", those of model.{prefix}state_dict()" if prefix != "state_dict." else ""
    return f". Its keys start with {short(prefix)}: save them without it{within}"
