"""``python -m dsp_viz survey DIR --out OUT``: what every head does with every picture of a data set."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ..files import CheckpointError
from .options import add_common, add_shard, chosen, count, own_part

if TYPE_CHECKING:
    from ..survey.shards import Done, Plan

#: Exit status after Ctrl-C, as shells have it.
STOPPED = 130


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
        "--batch", type=count, default=64, metavar="N", help="pictures that the model gets at a time (default: 64)"
    )
    command.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="work on a Ray cluster, all nodes of which see DIR and OUT under these paths: its address, or nothing for "
        "all cores and GPUs of this machine",
    )
    add_shard(command)
    add_common(command)


def run(args: argparse.Namespace) -> int:
    """Write the shards that are missing; 130 where that was stopped."""
    try:
        from ..survey import engine, shards
    except ModuleNotFoundError as error:
        args.parser.error(str(error))
    try:
        if args.ray and args.shard:
            raise ValueError("--ray and --shard: Ray shares the work out by itself, so give one of them")
        files = shards.pictures(args.folder, args.limit)
        model, side = chosen(args)
        plan = engine.planned(model, args.folder, files, args.out, side=side, whole=args.whole)
        settings = engine.begin(model, plan, batch=args.batch)
        own = plan.own((0, 1) if args.ray else own_part(args.shard))
        if args.ray:
            from ..survey import cluster

            found = cluster.survey(args.ray, args.model, args.device, plan, plan.missing(own), settings, model.digest)
        else:
            parts = [(plan.path(n), plan.part(n)) for n in plan.missing(own)]
            found = engine.survey(model, args.folder, parts, settings)
        return followed(found, plan, own, "surveying")
    except (CheckpointError, ValueError, ModuleNotFoundError) as error:
        args.parser.error(str(error))
    except OSError as error:
        args.parser.error(f"{error.filename or args.out}: {error.strerror or error}")


def followed(found: Iterable["Done"], plan: "Plan", own: list[int], doing: str) -> int:
    """Do the work, showing how far it is, and say what there is in the end.

    Args:
        found: does it. plan: of all shards. own: those of this process. doing: what people read beside the bar.
    """
    sizes = {n: len(plan.part(n)) for n in own}
    there = sum(sizes.values()) - sum(sizes[n] for n in plan.missing(own))
    bad, told, stopped = 0, set[str](), False
    with tqdm(total=sum(sizes.values()), initial=there, desc=doing, unit="picture", disable=None) as bar:
        try:
            for done in found:
                bar.update(done.pictures)
                bad += len(done.errors)
                notes = [note for note in done.notes if note not in told]
                told.update(notes)
                for line in (*(f"{path}: {error}" for path, error in done.errors), *notes):
                    tqdm.write(line, file=sys.stderr)
        except KeyboardInterrupt:
            stopped = True
    missing = plan.missing(own)
    if bad:
        print(f"{bad} of these pictures could not be used: the rows say why.", file=sys.stderr)
    if missing:
        print(f"{len(own) - len(missing)} of {len(own)} shards are done. Start it again to go on.", file=sys.stderr)
    if others := len(plan.missing(range(plan.count))) - len(missing):
        print(f"{others} of all {plan.count} shards are still to be done by other processes.", file=sys.stderr)
    print(plan.target)
    return STOPPED if stopped else 0
