"""Where a subject comes from: files of ours, the hub, timm, a module of one's own; official files are converted first.

One address for each, see :func:`load`. What needs a library that not everybody has, or a network, is imported when it
is asked for.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import torch

from ..files import CheckpointError
from ..subject import Subject
from . import checkpoint, own


def load(name_or_path: str | Path, *, device: str | torch.device = "cpu") -> Subject:
    """Load a model that is ready to run.

    Args:
        name_or_path: one of

            - a name in ``pretrained/``, such as ``"dsp_tiny"``, see :func:`available`;
            - the path of a ``.safetensors`` file with its ``.json`` beside it (what has a folder or an ending is one);
            - ``"hf-hub:user/name"`` or ``"hf-hub:user/name/FILE.safetensors"``: such a pair in a repository of the hub;
            - ``"timm/NAME"``: a model of timm, with its weights from the hub;
            - ``"package.module:function"``: what that function, called without arguments, returns, a :class:`Subject`
              as :func:`dsp_viz.wrap` makes one. This runs its code.
        device: where the model is to be.

    Returns:
        The model in evaluation mode, without gradients.

    Raises:
        CheckpointError: no such model, an unreadable file, tensors that do not fit (the first keys are named), no
            network; the sentence says what to do.
        ValueError: there is no such device here.
    """
    target = checkpoint.device_of_name(device)
    text = os.fspath(name_or_path)
    if text.startswith("hf-hub:"):
        from . import hub

        return hub.load_hub(text).to(target)
    if text.startswith("timm/"):
        from .timm import load_timm

        return load_timm(text.removeprefix("timm/"), device=target)
    if own.is_function(text):
        return own.made_by(text).to(target)
    return checkpoint.load(name_or_path).to(target)


def load_all(names: Iterable[str], *, device: str | torch.device = "cpu") -> tuple[list[Subject], list[str]]:
    """Those of several models that can be loaded, and of each other one a sentence that says why not.

    Args:
        names: see :func:`load`. device: where they are to be.
    """
    subjects: list[Subject] = []
    faults = []
    for name in names:
        try:
            subject = load(name, device=device)
        except ValueError as error:  # a CheckpointError is one
            faults.append(f"{name}: {error}")
            continue
        if subject.name in (known.name for known in subjects):
            faults.append(f"{name}: another model is called {subject.name} too: rename one of them")
        else:
            subjects.append(subject)
    return subjects, faults


__all__ = ["CheckpointError", "load", "load_all"]
