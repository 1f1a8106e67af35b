"""What commands that run a model share: which model, where, and how pictures become its input."""

import argparse
import os
import re

import torch

from ..device import DEVICES, resolve_device
from ..sources import load
from ..subject import Subject


def add_common(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    command.add_argument(
        "--model",
        default="dsp_everyday",
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


def add_shard(command: argparse.ArgumentParser) -> None:
    """Add the option of those that several processes share."""
    command.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="do the I-th of N parts, from 1 (default: all; under torchrun or accelerate launch the part of each "
        "process)",
    )


def chosen(args: argparse.Namespace) -> tuple[Subject, int]:
    """The model on its device and the side of its input; ValueError where there is none such."""
    model = load(args.model, device=_device(args.device))
    return model, model.preparation.checked(args.side, whole=args.whole)


def own_part(shard: tuple[int, int] | None) -> tuple[int, int]:
    """Which part this process does, from 0, and of how many: as it was asked, or as a launcher says."""
    if shard is not None:
        return shard
    rank, world = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    return (int(rank), int(world)) if rank.isdecimal() and world.isdecimal() and int(rank) < int(world) else (0, 1)


def _device(name: str) -> torch.device:
    """Where a launcher started several processes on a machine, a GPU for each."""
    device, local = resolve_device(name), os.environ.get("LOCAL_RANK", "")
    if device.type != "cuda" or not local.isdecimal():
        return device
    return torch.device("cuda", int(local) % torch.cuda.device_count())


def _shard(text: str) -> tuple[int, int]:
    """``"I/N"``, from 1, → which, from 0, and of how many."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text)
    if not match or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} must be I/N, I within 1 and N, such as 1/8 and 8/8")
    return int(match[1]) - 1, int(match[2])


def count(text: str) -> int:
    """A whole number, 1 or more."""
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 1 or more")
    return int(text)
