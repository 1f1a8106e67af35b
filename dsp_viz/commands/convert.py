"""``python -m dsp_viz convert FILE --out NAME.safetensors``: weights of other forms as safetensors and JSON."""

import argparse
from pathlib import Path
from typing import Any

import torch

from ..files import CheckpointError
from ..sources import official
from ..sources.checkpoint import save


def add(commands: Any) -> None:
    """Enter the command."""
    command = commands.add_parser(
        "convert",
        help="make official weights, or those of a training run, readable",
        description="Write NAME.safetensors and NAME.json of official weights of a PolaFormer-PVT or -Swin (.pth or "
        ".safetensors), whose architecture is found from the file; or, with --config, of weights that training here "
        "wrote, such as its state.pt. Nothing in the file is executed.",
    )
    command.set_defaults(run=run, parser=command)
    command.add_argument("file", metavar="FILE", help="path of the weights, or hf-hub:user/name/FILE")
    command.add_argument("--out", required=True, type=Path, metavar="NAME.safetensors", help="where to write to")
    command.add_argument(
        "--config",
        type=Path,
        metavar="JSON",
        help="config that training wrote beside its weights, for files of this project; official ones need none",
    )
    command.add_argument("--force", action="store_true", help="overwrite files that exist")


def run(args: argparse.Namespace) -> int:
    """Convert one file."""
    try:
        if args.out.suffix != ".safetensors":
            raise ValueError(f"--out {args.out}: must end in .safetensors")
        for path in (args.out, args.out.with_suffix(".json")):
            if path.exists() and not args.force:
                raise ValueError(f"{path} exists already: give --force to overwrite, or another --out")
        network, config = official.convert(args.file, args.config)
        # As exact as they came: the logits are to be those of the original.
        save(args.out, network, config, dtype=torch.float32)
    except (CheckpointError, ValueError) as error:
        args.parser.error(str(error))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"{args.out}: {parameters:,} parameters, {len(config.classes)} classes, for {config.image_size} px.")
    print(f"Look at it: python app.py --model {args.out}")
    return 0
