"""``python -m dsp_viz trust DIR``: maps judged by deletion and insertion."""

import argparse
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..files import CheckpointError
from ..images import ImageError
from ..trust import table, trust
from .options import add_common, chosen, count

#: Endings of the files that ``trust`` reads as pictures.
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})


def add(commands: Any) -> None:
    """Enter the command."""
    command = commands.add_parser(
        "trust",
        help="judge maps by deletion and insertion over many pictures",
        description="Print a table: areas under the deletion and insertion curves of each account of relevance, with "
        "95 % intervals, and their differences from random order, paired by picture.",
    )
    command.set_defaults(run=run, parser=command)
    command.add_argument("folder", type=Path, metavar="DIR", help="folder of pictures, and of folders of them")
    command.add_argument(
        "--limit", type=count, default=200, metavar="N", help="pictures, spread over the folder (default %(default)s)"
    )
    add_common(command)


def run(args: argparse.Namespace) -> int:
    """Print the table; 1 if a picture could not be read."""
    try:
        model, side = chosen(args)
        if not model.classes:
            raise ValueError(f"{model.name} has no classes: relevance is that for a class")
        if not args.folder.is_dir():
            raise ValueError(f"{args.folder} is no folder")
        files = sorted(p for p in args.folder.rglob("*") if p.is_file() and p.suffix.lower() in PICTURES)
        if not files:
            raise ValueError(f"{args.folder} holds no picture ({', '.join(sorted(PICTURES))})")
    except (CheckpointError, ValueError) as error:
        args.parser.error(str(error))
    some = [files[i * len(files) // args.limit] for i in range(args.limit)] if args.limit < len(files) else files
    found, status = [], 0
    for number, path in enumerate(tqdm(some, desc="judging maps", unit="picture", disable=None)):
        try:
            x = model.prepare(path, side=side, whole=args.whole).input
        except ImageError as error:
            tqdm.write(f"{path}: {error}", file=sys.stderr)
            status = 1
            continue
        found.append(trust(model, x, seed=number))
    if found:
        count = f"{len(found)} picture{'s' * (len(found) > 1)}"
        print(f"{count}, {model.name} (weights {model.digest}); means and 95 % intervals\n")
        print(table(found))
    return status
