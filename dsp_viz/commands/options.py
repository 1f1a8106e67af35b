"""What commands that run a model share: which model, where, and how pictures become its input."""

import argparse
import re

from ..device import DEVICES, resolve_device
from ..sources import load
from ..subject import Subject


def add_common(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    command.add_argument(
        "--model",
        default="dsp_tiny",
        metavar="NAME",
        help="name in pretrained/, path of a .safetensors file, hf-hub:user/name, timm/NAME, or "
        "package.module:function that gives a subject (default: %(default)s)",
    )
    command.add_argument(
        "--side",
        type=count,
        metavar="PIXELS",
        help="longer side of the model's input, a multiple of its patch (default: what it was trained for)",
    )
    command.add_argument("--whole", action="store_true", help="keep all of a picture, instead of its middle square")
    command.add_argument(
        "--device", default="auto", choices=DEVICES, help="where the model runs (default: a GPU where there is one)"
    )


def chosen(args: argparse.Namespace) -> tuple[Subject, int]:
    """The model on its device and the side of its input; ValueError where there is none such."""
    model = load(args.model, device=resolve_device(args.device))
    return model, model.preparation.checked(args.side, whole=args.whole)


def count(text: str) -> int:
    """A whole number, 1 or more."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 1 or more")
    return int(text)
