"""``python -m dsp_viz trust DIR``: maps judged by deletion and insertion."""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from .. import __version__
from ..faults import running
from ..files import CheckpointError
from ..images import ImageError
from ..shards import Done, Making, Plan, pictures, plan, work
from ..subject import Subject
from ..trust import table, trust
from .options import add_common, add_shard, chosen, count, own_part
from .progress import STOPPED, follow, tell

#: Version of the files. Pictures of one: each takes seconds, and a stop loses those of an unfinished one.
FORMAT, SHARD = 1, 4


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
    command.add_argument(
        "--target",
        metavar="CLASS",
        help="class whose score is followed: its name, or its index from 0 (default: each picture's most probable)",
    )
    command.add_argument(
        "--out", type=Path, metavar="OUT", help="keep what is found in a folder, so that the same command can go on"
    )
    add_shard(command)
    add_common(command)


def run(args: argparse.Namespace) -> int:
    """Print the table; 1 if a picture could not be read, 130 where it was stopped."""
    try:
        if args.shard and args.out is None:
            raise ValueError("--shard: give --out, where the parts of all processes come together")
        files = pictures(args.folder, args.limit)
        model, side = chosen(args)
        if not model.classes:
            raise ValueError(f"{model.name} has no classes: relevance is that for a class")
        target = _target(args.target, model.classes)
    except (CheckpointError, ValueError) as error:
        args.parser.error(str(error))
    settings = {
        "trust": FORMAT,
        "version": __version__,
        "model": model.name,
        "digest": model.digest,
        "temperature": model.temperature,
        "side": side,
        "whole": args.whole,
        "preparation": asdict(model.preparation),
        "target": target,
    }
    with ExitStack() as stack:
        out = args.out or Path(stack.enter_context(TemporaryDirectory()))
        try:
            shared = plan(args.folder, files, out, settings=settings, size=SHARD, name=_name)
            shared.target.mkdir(parents=True, exist_ok=True)
            own = shared.own(own_part(args.shard) if args.out else (0, 1))
            _, stopped = follow(
                _judged(model, shared, own, target, side, whole=args.whole), shared, own, "judging maps"
            )
            found = [row for n in range(shared.count) if shared.path(n).exists() for row in _read(shared.path(n))]
        except (CheckpointError, ValueError) as error:
            args.parser.error(str(error))
        except OSError as error:
            args.parser.error(f"{error.filename or out}: {error.strerror or error}")
        if args.out:
            tell(shared, own)
    if good := [row for row in found if row.error is None]:
        number = f"{len(good)} picture{'s' * (len(good) > 1)}"
        followed = "" if target is None else f", for {model.classes[target]}"
        print(f"{number}, {model.name} (weights {model.digest}){followed}; means and 95 % intervals\n")
        print(table(good))
    return STOPPED if stopped else int(len(good) < len(found))


@dataclass(frozen=True)
class Kept:
    """What is kept of a picture: what :func:`dsp_viz.trust.table` needs, or why there is nothing."""

    path: str
    error: str | None
    found: dict[str, tuple[float, float, float]]

    def areas(self) -> dict[str, tuple[float, float]]:
        """See :meth:`dsp_viz.trust.Trust.areas`."""
        return {name: (deletion, insertion) for name, (deletion, insertion, _) in self.found.items()}

    def rise(self) -> dict[str, float]:
        """See :meth:`dsp_viz.trust.Trust.rise`."""
        return {name: rise for name, (_, _, rise) in self.found.items()}


def _judged(
    model: Subject, shared: Plan, own: list[int], target: int | None, side: int, *, whole: bool
) -> Iterator[Done]:
    seeds = {file: number for number, file in enumerate(shared.files)}

    def prepare(file: str) -> tuple[str, Tensor | str]:
        try:
            return file, model.prepare(shared.folder / file, side=side, whole=whole).input
        except ImageError as error:
            return file, str(error)

    def judge(file: str, x: Tensor | str) -> Kept:
        if isinstance(x, str):
            return Kept(file, x, {})
        with running(model, side, whole=whole):
            result = trust(model, x, target=target, seed=seeds[file])
        rises = result.rise()
        return Kept(file, None, {name: (*areas, rises[name]) for name, areas in result.areas().items()})

    parts = [(shared.path(n), shared.part(n)) for n in shared.missing(own)]
    return work(parts, prepare, lambda ready: _made(ready, judge), workers=1, ahead=2)


def _made(ready: Iterator[tuple[str, Tensor | str]], judge: Callable[[str, Tensor | str], Kept]) -> Making:
    rows = []
    for file, x in ready:
        row = judge(file, x)
        rows.append(asdict(row))
        yield Done(1, () if row.error is None else ((row.path, row.error),))
    return json.dumps(rows, indent=1).encode()


def _read(path: Path) -> list[Kept]:
    """
    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        return [Kept(row["path"], row["error"], row["found"]) for row in json.loads(path.read_bytes())]
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged: delete it and start again") from error


def _name(shard: int) -> str:
    return f"trust-{shard:06d}.json"


def _target(text: str | None, classes: tuple[str, ...]) -> int | None:
    """Index of a class by its name, or by its index where no class has that for a name."""
    if text is None:
        return None
    if text in classes:
        return classes.index(text)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    raise ValueError(
        f"--target {text[:60]}: must be a class, such as {', '.join(classes[:5])}, or its index, 0…{len(classes) - 1}"
    )
