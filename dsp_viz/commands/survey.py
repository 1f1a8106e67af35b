"""``python -m dsp_viz survey DIR --out OUT``: what every head does with every picture of a data set."""

import argparse
import sys
from pathlib import Path
from typing import Any

from ..files import CheckpointError
from ..memory import keep_freed_memory
from ..shards import pictures
from .options import add_common, add_shard, chosen, count, own_part
from .progress import STOPPED, follow, tell


def add(commands: Any) -> None:
    """Enter the command."""
    command = commands.add_parser(
        "survey",
        help="keep what every head does with every picture of a data set",
        description="Write numbers of all heads, and the most probable classes, of all pictures of a folder as Parquet "
        "files, 256 pictures each, to a folder within OUT. Begun again, it goes on with what is missing. A picture "
        "that cannot be read is a row with its error.",
    )
    command.set_defaults(run=run, parser=command)
    command.add_argument("folder", type=Path, metavar="DIR", help="folder of pictures, and of folders of them")
    command.add_argument("--out", required=True, type=Path, metavar="OUT", help="folder to write to, made if missing")
    command.add_argument("--limit", type=count, metavar="N", help="pictures, spread over the folder (default: all)")
    command.add_argument(
        "--batch",
        type=count,
        default=64,
        metavar="N",
        help="pictures that the model gets at a time, as memory allows (default: %(default)s)",
    )
    command.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="work on a Ray cluster whose nodes all see DIR and OUT under these paths: its address, or nothing for "
        "all GPUs, or else cores, of this machine",
    )
    command.add_argument(
        "--worth",
        action="store_true",
        help="add what each head, scale and stream is worth for the class: a backward pass more for each picture",
    )
    add_shard(command)
    add_common(command)


def run(args: argparse.Namespace) -> int:
    """Write the shards that are missing; 130 where that was stopped."""
    keep_freed_memory()
    try:
        from ..survey import engine  # needs pyarrow, which not everybody has

        if args.ray and args.shard:
            raise ValueError("--ray and --shard: Ray shares the work out by itself, so give one of them")
        if args.ray:
            from ..survey import cluster
        files = pictures(args.folder, args.limit)
        model, side = chosen(args)
        plan = engine.planned(model, args.folder, files, args.out, side=side, whole=args.whole, worth=args.worth)
        settings = engine.begin(model, plan, batch=args.batch)
        own = plan.own((0, 1) if args.ray else own_part(args.shard))
        missing = plan.missing(own)
        if args.ray:
            job = cluster.Job(args.model, model.digest, args.device, args.folder.resolve(), settings)
            found = cluster.survey(args.ray, job, plan, missing)
        else:
            parts = [(plan.path(n), plan.part(n)) for n in missing]
            found = engine.survey(model, args.folder, parts, settings)
        errors, stopped = follow(found, plan, own, "surveying")
    except (CheckpointError, ValueError, ModuleNotFoundError) as error:
        args.parser.error(str(error))
    except OSError as error:
        args.parser.error(f"{error.filename or args.out}: {error.strerror or error}")
    if errors:
        print(f"{errors} of these pictures could not be used: their rows say why.", file=sys.stderr)
    if tell(plan, own):
        print(f"{len(files)} pictures: {plan.target}")
    return STOPPED if stopped else 0
