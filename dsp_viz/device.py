"""Where a model runs. What comes out of it, a :class:`dsp_viz.trace.Trace` and all numbers, lies on the CPU."""

import torch
from torch import nn

#: Names of devices that may be asked for.
DEVICES = ("auto", "cpu", "cuda", "mps")


def resolve_device(name: str = "auto") -> torch.device:
    """The device of a name.

    Args:
        name: one of :data:`DEVICES`; ``"auto"`` is an NVIDIA or AMD GPU (``"cuda"``) where there is one, else Apple's
            (``"mps"``), else the CPU.

    Raises:
        ValueError: an unknown name, or a device that this machine or this torch lacks; those at hand are listed.
    """
    available = [
        *(["cuda"] if torch.cuda.is_available() else []),
        *(["mps"] if torch.backends.mps.is_available() else []),
        "cpu",
    ]
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        fault = "is not available here" if name in DEVICES else "is no device"
        raise ValueError(f"device {name!r} {fault}: give auto or one of {', '.join(available)}")
    return torch.device(name)


def device_of(model: nn.Module) -> torch.device:
    """The device on which a model's parameters lie."""
    return next(model.parameters()).device
