"""``python -m dsp_viz analyse PICTURES… --out DIR``: numbers and figures of pictures."""

import argparse
import csv
import io
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from .. import export
from ..analysis import Analysis, analyse
from ..faults import running
from ..files import CheckpointError, numbered, replacing, write_atomically
from ..interventions import Intervention, InterventionError, applied, from_json
from ..maps import Query
from ..shards import pictures
from ..trace import shown, trace
from .options import add_common, chosen

if TYPE_CHECKING:
    from ..figures.print import PrintFigure

#: Formats of figures.
FIGURES = ("png", "svg", "pdf")

#: The table of all pictures, and how many of its best classes each has there.
TABLE, BEST = "pictures.csv", 5


def add(commands: Any) -> None:
    """Enter the command."""
    command = commands.add_parser(
        "analyse",
        help="write numbers and figures of pictures",
        description="For each picture write DIR/STEM.json (settings, coefficients, mixing weights), STEM.npz (all "
        "arrays) and figures, STEM.png and STEM.svg by default (the maps of one block for one query). Of a folder "
        f"it writes DIR/{TABLE} too, a row for each picture: its best classes, the model and its weights.",
    )
    command.set_defaults(run=run, parser=command)
    command.add_argument(
        "pictures",
        nargs="+",
        type=Path,
        metavar="PICTURE",
        help="picture file, or a folder: all pictures in it, and in the folders within",
    )
    command.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write to, made if missing")
    command.add_argument("--block", type=_block, metavar="N", help="block in the figure, from 1 (default: the third)")
    command.add_argument(
        "--query",
        type=_query,
        metavar="ROW,COL",
        help="token in the figure, both from 1, or 'all' for the average (default: the centre, 9,9 of 16×16)",
    )
    command.add_argument(
        "--figures",
        type=_figures,
        default=("png", "svg"),
        metavar="FORMATS",
        help="any of png, svg and pdf, such as png,pdf (default: png,svg)",
    )
    command.add_argument(
        "--dpi",
        type=_dpi,
        default=export.DPI,
        metavar="N",
        help="pixels per inch of PNG, and of the picture within PDF (default %(default)s)",
    )
    command.add_argument(
        "--interventions",
        default="[]",
        metavar="JSON",
        help="what to change in the pass: a list, or the path of a file with one, see dsp_viz.interventions.schema()",
    )
    command.add_argument("--force", action="store_true", help="overwrite files that exist")
    add_common(command)


def run(args: argparse.Namespace) -> int:
    """Write the files of each picture; 1 if one could not be read, or its files not be written."""
    try:
        model, side = chosen(args)
        interventions = _interventions(args.interventions)
        if not args.whole and (interventions or args.block is not None or isinstance(args.query, tuple)):
            # Every picture has the same grid and the same layers then, so what does not fit is told before any is read.
            x = torch.zeros(1, 3, side, side, device=model.device)
            with running(model, side), applied(model, interventions, shown(model, x)):
                found = trace(model, x)
            _block_of(model.name, args.block, len(found.blocks))
            _query_of(args.query, found.grid.size)
        files = _files(args.pictures, args.out)
        table = args.out / TABLE if files != args.pictures else None
        targets = _targets(files, args.out)
        if not args.force:
            _refuse_existing(targets, args.figures, table)
        args.out.mkdir(parents=True, exist_ok=True)
    except (CheckpointError, ValueError) as error:
        args.parser.error(str(error))
    except OSError as error:
        args.parser.error(f"--out {args.out} is no folder that can be made ({error.strerror}): give another")

    status = 0
    rows: list[list[object]] = []
    pairs = list(zip(files, targets, strict=True))
    for picture, target in tqdm(pairs, desc="analysing", unit="picture", disable=None):
        try:
            with running(model, side, whole=args.whole):
                result = analyse(model, picture, side=side, whole=args.whole, interventions=interventions)
            block = _block_of(model.name, args.block, len(result.trace.blocks))
            query = _query_of(args.query, result.grid)
            figure = export.maps_figure(result, block=block, query=query)
            _write(result, target, picture=picture, figure=figure, formats=args.figures, dpi=args.dpi)
            rows.append(_row(picture, result, side))
        except ValueError as error:  # of the picture, the model, the interventions or the query
            fault = str(error)
        except OSError as error:
            fault = f"{error.filename or target} cannot be written ({error.strerror or error})."
        else:
            continue
        status = 1
        # Through tqdm, so that the sentence does not end up within its bar.
        tqdm.write(f"{picture}: {fault}", file=sys.stderr)
    if table is not None:
        try:
            write_atomically(table, _table(rows))
        except CheckpointError as error:
            print(error, file=sys.stderr)
            status = 1
    return status


def _figures(text: str) -> tuple[str, ...]:
    formats = tuple(dict.fromkeys(text.lower().split(",")))
    if not set(formats) <= set(FIGURES):
        raise argparse.ArgumentTypeError(f"{text!r} must be formats among {', '.join(FIGURES)}, joined by commas")
    return formats


def _dpi(text: str) -> int:
    if not re.fullmatch(r"[0-9]{2,3}", text) or not 20 <= int(text) <= 600:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number within 20 and 600")
    return int(text)


def _block(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, counted from 1")
    return int(text)


def _query(text: str) -> Query:
    """``"ROW,COL"``, from 1, → ``(row, column)``, from 0."""
    if text == "all":
        return text
    if not re.fullmatch(r"[0-9]{1,9},[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} must be ROW,COL, both counted from 1, such as 8,10; or all")
    row, column = text.split(",")
    return int(row) - 1, int(column) - 1


def _block_of(name: str, block: int | None, depth: int) -> int:
    """Block from 0 of those that are shown, the default where none was given; ValueError where there is none such."""
    if block is None:
        return export.default_view(depth, (1, 1))[0]
    if not 1 <= block <= depth:
        raise ValueError(f"--block {block}: {name} has blocks 1…{depth}")
    return block - 1


def _query_of(query: Query | None, grid: tuple[int, int]) -> Query:
    """Query from 0, the default where none was given; ValueError where it lies outside the grid."""
    H, W = grid
    if query is None:
        return export.default_view(1, grid)[1]
    if query != "all" and not (0 <= int(query[0]) < H and 0 <= int(query[1]) < W):
        asked = f"{int(query[0]) + 1},{int(query[1]) + 1}"
        raise ValueError(f"--query {asked}: the grid has rows 1…{H} and columns 1…{W}")
    return query


def _interventions(text: str) -> tuple[Intervention, ...]:
    """Interventions from JSON or a file of it."""
    try:
        path = Path(text)
        if text.lstrip().startswith(("[", "{")):
            content: str | bytes = text
        elif path.is_file():
            content = path.read_bytes()
        else:
            raise InterventionError(f"--interventions {text[:60]}: neither a file nor a JSON list")
    except OSError as error:
        raise InterventionError(f"--interventions {text[:60]}: cannot be read ({error.strerror})") from error
    return from_json(content)


def _files(named: list[Path], out: Path) -> list[Path]:
    """The pictures, and in place of a folder those in it; not what was written there before, into ``out``.

    Raises:
        ValueError: a folder holds none, or all that it holds lies in ``out``.
    """
    files: list[Path] = []
    for path in named:
        if not path.is_dir():
            files.append(path)
            continue
        found = [path / name for name in pictures(path)]
        kept = [file for file in found if not file.resolve().is_relative_to(out.resolve())]
        if not kept:
            raise ValueError(f"--out {out}: all pictures of {path} lie in it, and count as its figures: give another")
        files += kept
    return files


def _row(picture: Path, result: Analysis, side: int) -> list[object]:
    """Of the table, as :func:`_table` names its columns."""
    best: list[object] = [value for pair in result.top(BEST) for value in pair]
    best += [""] * (2 * BEST - len(best))
    return [picture, *best, "true" if result.unsure else "false", result.model, result.digest, side]


def _table(rows: list[list[object]]) -> bytes:
    """CSV; its columns are those of the table that the tab Several pictures saves, less the map."""
    file = io.StringIO()
    best = [name for i in range(1, BEST + 1) for name in (f"class {i}", f"probability {i}")]
    csv.writer(file).writerows([["name", *best, "unsure", "model", "weights", "side"], *rows])
    return file.getvalue().encode("utf-8", "backslashreplace")  # a file's name need not be UTF-8


def _targets(pictures: list[Path], out: Path) -> list[Path]:
    """Where each picture's files go, without their ending."""
    return [out / name for name in numbered(pictures)]


def _file(target: Path, ending: str) -> Path:
    return target.with_name(target.name + ending)  # not with_suffix: "view.2" keeps its ".2"


def _refuse_existing(targets: list[Path], figures: tuple[str, ...], table: Path | None) -> None:
    endings = (".json", ".npz", *(f".{kind}" for kind in figures))
    existing = [path for target in targets for ending in endings if (path := _file(target, ending)).exists()]
    existing += [table] if table is not None and table.exists() else []
    if existing:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise ValueError(f"{existing[0]}{more} exists already: give --force to overwrite, or another --out")


def _write(
    result: Analysis, target: Path, *, picture: Path, figure: "PrintFigure", formats: tuple[str, ...], dpi: int
) -> None:
    summary = {
        "picture": str(picture),
        **export.settings(result),
        "coefficients": [b.coefficients[0].tolist() for b in result.trace.blocks],
        "mixing_weights": [b.weights[0].tolist() for b in result.trace.blocks],
    }
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    # A file's name need not be UTF-8. The bytes that Python could not decode become escapes, as in JSON.
    with replacing(_file(target, ".json")) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
    export.save_npz(result, _file(target, ".npz"))
    for kind in formats:
        with replacing(_file(target, f".{kind}")) as file:
            figure.savefig(file, format=kind, dpi=dpi)
