"""A module of one's own as a subject."""

import hashlib
import importlib
import logging
import os
import re
import sys
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..config import distinct
from ..faults import short
from ..files import CheckpointError
from ..framing import SQUARE, Fitting
from ..kinds import layers
from ..subject import MAX_SIDE, Preparation, Subject
from ..trace import trace

_log = logging.getLogger("dsp_viz")


def wrap(
    module: nn.Module,
    *,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    classes: Sequence[str] | None = None,
    name: str | None = None,
    patch: int | None = None,
    fitting: Fitting = SQUARE,
) -> Subject:
    """A classifier of pictures as a subject, for :func:`dsp_viz.analyse`, :func:`dsp_viz.explore` and all else.

    The module is used as it is, not copied: it is put into evaluation mode, and its parameters need no gradients from
    now on. It is run once here, on noise, and the maps of its attention layers are checked, see :mod:`dsp_viz.proof`.

    Args:
        module: takes ``(B, 3, height, width)``, gives logits ``(B, classes)``; has at least one attention layer that
            is known, see :func:`dsp_viz.register`. It gets pictures in the type of its parameters.
        size: side in pixels of the square pictures that it was made for.
        mean, std: of red, green and blue, in units where white is 1; its input is ``(value - mean) / std``. A mean is
            within 0 and 1, a deviation within 0.0001 and 10.
        classes: their names, in the order of the logits, each once; by default "class 1", "class 2", …; ``()``
            where the module gives features ``(B, C)`` instead: it has maps then, and no prediction.
        name: what people call it; by default the name of its class.
        patch: what sides of other pictures have to be multiples of; None: it takes squares of ``size`` pixels only.
        fitting: how a picture is cut and resized, see :class:`dsp_viz.framing.Fitting`; by default its middle square.

    Returns:
        The subject, where the module is.

    Raises:
        TypeError: ``module`` is no module, or a subject already; ``size`` or ``patch`` is no whole number.
        ValueError: an argument is out of range; the module does not run on such a picture or gives no logits; there are
            more or fewer names than logits, or they are not finite; no attention layer is known, or none has maps that
            are true.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module={short(module)}: must be a torch.nn.Module, an instance and not its class")
    if isinstance(module, Subject):
        raise TypeError(f"module is a subject already, {short(module.name)}: use it as it is, or give its network")
    called = name or type(module).__name__
    for key, number in (("size", size), ("patch", patch)):
        if number is not None and not isinstance(number, int):
            raise TypeError(f"{key}={short(number)}: must be a whole number of pixels, one for both sides")
    if not 1 <= size <= MAX_SIDE or (patch is not None and (patch < 1 or size % patch)):
        raise ValueError(
            f"size={size}, patch={patch}: size must be within 1 and {MAX_SIDE} pixels, and a multiple of patch"
        )
    how = Preparation(
        size,
        size if patch is None else patch,
        _three("mean", mean, 0, 1),
        _three("std", std, 1e-4, 10),
        fitting,
        fixed=patch is None,
    )
    layers(module)  # before it runs
    subject = Subject(module, how, classes=(), name=called, digest=digest(module))
    noise = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(subject.device)
    count = _logits(subject, noise).shape[1]
    subject.classes = _names(classes, count, called)
    prove(subject, noise)
    return subject


def _three(key: str, numbers: Sequence[float], least: float, most: float) -> tuple[float, float, float]:
    try:
        red, green, blue = map(float, numbers)
    except (TypeError, ValueError):
        raise ValueError(f"{key}={short(numbers)}: 3 numbers are needed, for red, green and blue") from None
    if not all(least <= number <= most for number in (red, green, blue)):  # NaN is not either
        raise ValueError(
            f"{key}={(red, green, blue)}: each must be within {least} and {most}, in units where white is 1; where "
            "white is 255, divide by it"
        )
    return red, green, blue


def digest(module: nn.Module) -> str:
    """Of all that a file of its weights would hold: names, shapes and numbers."""
    found = hashlib.sha256()
    for key, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor):
            continue  # what a module's get_extra_state gives may be anything
        found.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()[:12]


def _logits(subject: Subject, x: Tensor) -> Tensor:
    shape, dtype = tuple(x.shape), subject.dtype
    try:
        with torch.inference_mode():
            out = subject.network(x.to(dtype))
    except Exception as error:  # code of others
        advice = "" if dtype == torch.float32 else f". It is in {dtype}: give module.float()"
        raise ValueError(
            f"{subject.name} does not run on a picture {shape}: {type(error).__name__}: {str(error)[:300]}{advice}"
        ) from error
    if isinstance(out, Tensor) and out.dim() == 2 and len(out) == 1:
        return out
    given = f"a tensor {tuple(out.shape)}" if isinstance(out, Tensor) else f"a {type(out).__name__}"
    raise ValueError(
        f"{subject.name} gives {given} for a picture {shape}, not logits (1, classes): put it into a module "
        "whose forward returns those, such as self.model(x).logits"
    )


def _names(classes: Sequence[str] | None, count: int, called: str) -> tuple[str, ...]:
    if classes is None:
        return numbered(count)
    if not isinstance(classes, str) and not len(classes):
        return ()
    if isinstance(classes, str) or len(classes) != count:
        raise ValueError(
            f"classes holds {1 if isinstance(classes, str) else len(classes)}, {called} gives {count} logits: "
            "one name for each, in their order"
        )
    return distinct(tuple(map(str, classes)))


def prove(subject: Subject, x: Tensor) -> None:
    """Run a subject once, so that the maps of its attention layers are checked.

    Raises:
        ValueError: none has maps that are true, or what comes out is not finite.
    """
    if not torch.isfinite(trace(subject, x).output).all():
        raise ValueError(
            f"{subject.name} gives numbers that are not finite for a picture {tuple(x.shape)}: check its weights"
        )


def numbered(count: int) -> tuple[str, ...]:
    """Names of classes that have none."""
    return tuple(f"class {i + 1}" for i in range(count))


def is_function(text: str) -> bool:
    """Whether that is ``package.module:function``."""
    return re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", text) is not None


def made_by(text: str) -> Subject:
    """What ``package.module:function`` returns, or is, if it is a subject itself.

    Modules in the folder that the program was started in are found, as with ``python -m``.

    Raises:
        CheckpointError: there is no such module or function, it fails, or returns no subject.
    """
    place, _, function = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(place), function)
        made = found if isinstance(found, Subject) else found()
    except Exception as error:  # code of others
        _log.warning("%s failed", text, exc_info=True)
        raise CheckpointError(f"{type(error).__name__}: {str(error)[:300]}") from error
    if isinstance(made, Subject):
        return made
    advice = "dsp_viz.wrap(model, size=…, mean=…, std=…)"
    raise CheckpointError(f"it gives a {type(made).__name__}, not a subject: let it return {advice}")
