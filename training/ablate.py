"""What each part of DSP-Attention is worth: ``python -m training.ablate --data DIR --out DIR``.

Trains the whole, the whole without each part and without all parts, both baselines, and the baselines widened to the
whole's number of parameters. All have the same recipe and several seeds; the result is one CSV. A finished run is
skipped, so the command continues where it was stopped. Machines can share the work: give each its ``--seeds``, put
their folders into one, and run the command on that with all seeds; it then only writes the CSV and prints the table.
``--rows`` trains some of them only; of pyramids all but those without a part can be. The CSV keeps the others' runs.
``--table CSV`` prints the table of a CSV that is there, as those of the model card in ``pretrained/logs``.
"""

import argparse
import csv
import io
import json
import math
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock
from scipy.stats import t as students_t

from dsp_viz.builds import shapes_of
from dsp_viz.files import write_atomically
from dsp_viz.memory import keep_freed_memory

from .data import DataError, make_folder, read_splits, resolve
from .recipe import HEADS, PARTS, PATCH, Recipe
from .run import Run
from .teach import read_lessons
from .train import add_settings, settings

#: What is trained, by the name of its row.
ROWS: dict[str, dict[str, Any]] = {
    "dsp": {},
    **{f"dsp-without-{part}": {"without": (part,)} for part in PARTS},
    "dsp-without-all": {"without": tuple(PARTS)},
    "polaformer": {"attention": "polaformer"},
    "softmax": {"attention": "softmax"},
    "polaformer-wide": {"attention": "polaformer"},
    "softmax-wide": {"attention": "softmax"},
}

#: Columns of ``ablation.csv``.
COLUMNS = ("row", "seed", "size", "dim", "depth", "epochs", "parameters", "top1", "seconds")


def widened(recipe: Recipe, num_classes: int) -> Recipe:
    """The recipe with the fewest more channels that give DSP-Attention's number of parameters, or more.

    Channels of all layers; in a pyramid, whose stages would grow by unlike steps, the hidden ones of its MLPs.
    """
    least = _parameters(replace(recipe, attention="dsp"), num_classes)
    while _parameters(recipe, num_classes) < least:
        more = {"mlp_ratio": recipe.mlp_ratio + 1 / 16} if recipe.pyramid else {"dim": recipe.dim + HEADS}
        recipe = replace(recipe, **more)
    return recipe


def _parameters(recipe: Recipe, num_classes: int) -> int:
    return sum(p.numel() for p in shapes_of(recipe.build(num_classes)).parameters())


def table(results: list[dict[str, Any]]) -> str:
    """The grid in numbers, as Markdown.

    Args:
        results: a dict for each run, with ``row``, ``seed``, ``parameters`` and ``top1``.

    Returns:
        A line for each row: mean and standard deviation over the seeds, of top-1 and of its difference from ``dsp``
        under the same seed; and the 95 % interval of that difference's mean, ``d ± t·s/√n`` (Student's t), bold where
        it leaves out zero.
    """
    whole = {r["seed"]: r["top1"] for r in results if r["row"] == "dsp"}
    lines = [
        "| row | parameters | seeds | top-1 % | minus dsp | interval |",
        "|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        own = [r for r in results if r["row"] == row]
        if own:
            top1 = [r["top1"] for r in own]
            paired = [r["top1"] - whole[r["seed"]] for r in own if r["seed"] in whole and row != "dsp"]
            size = f"{own[0]['parameters'] / 1e3:.0f} k"
            cells = (row, size, str(len(own)), _spread(top1), _spread(paired, sign="+"), _interval(paired))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: list[float], *, sign: str = "") -> str:
    if len(values) < 2:
        return f"{values[0]:{sign}.2f}" if values else ""
    return f"{statistics.mean(values):{sign}.2f} ± {statistics.stdev(values):.2f}"


def _interval(values: list[float]) -> str:
    n = len(values)
    if n < 2:
        return ""
    mean = statistics.mean(values)
    half = float(students_t.ppf(0.975, n - 1)) * statistics.stdev(values) / math.sqrt(n)
    text = f"{mean - half:+.2f} … {mean + half:+.2f}"
    return f"**{text}**" if abs(mean) > half else text


def read_results(path: Path) -> list[dict[str, Any]]:
    """The runs in a CSV that the grid wrote.

    Raises:
        DataError: the file cannot be read, or is not such a CSV.
    """
    return [
        {"row": run["row"], "seed": int(run["seed"]), "parameters": int(run["parameters"]), "top1": float(run["top1"])}
        for run in _read(path)
    ]


def _read(path: Path) -> list[dict[str, str]]:
    """The lines, as they stand there."""
    try:
        with path.open(newline="") as file:
            runs = list(csv.DictReader(file))
        for run in runs:
            _ = list(ROWS).index(run["row"]), int(run["seed"]), int(run["parameters"]), float(run["top1"])
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path} is not the ablation.csv of a grid, with row, seed, parameters and top1: "
            f"{type(error).__name__}: {error}"
        ) from error
    return runs


class Grid:
    """The finished runs of a folder, in its ``ablation.csv``; what they have in common, in its ``grid.json``.

    Args:
        folder: what is there stays. common: of all runs: settings, as JSON has them, and the pictures' digests.

    Raises:
        CheckpointError, DataError: the files cannot be read or written, or hold a grid with something else in common.
    """

    def __init__(self, folder: Path, common: dict[str, Any]) -> None:
        self.path = folder / "ablation.csv"
        kept = folder / "grid.json"
        if kept.is_file():
            try:
                older = {"patch"} & common.keys()  # what an older one does not say
                before = dict.fromkeys(older, PATCH) | dict(json.loads(kept.read_text()))
            except (OSError, TypeError, ValueError) as error:
                raise DataError(f"{kept} is none of a grid ({error}): choose another --out") from error
            if other := [key for key in common | before if common.get(key) != before.get(key)]:
                raise DataError(f"{folder} holds another grid, of other {', '.join(other)}: choose another --out")
        write_atomically(kept, json.dumps(common, indent=1).encode())
        if self.path.is_file():
            _read(self.path)  # now, not after the first run

    def add(self, row: str, run: Run) -> None:
        """A run that is whole: its line is written, in place of one that was there."""
        line = {
            "row": row,
            "seed": run.recipe.seed,
            "size": run.recipe.sizes[-1],
            "dim": "" if run.recipe.pyramid else run.recipe.dim,
            "depth": "" if run.recipe.pyramid else run.recipe.depth,
            "epochs": len(run.recipe.sizes),
            "parameters": sum(p.numel() for p in run.model.parameters() if p.requires_grad),
            "top1": run.log[-1]["top1"],
            "seconds": round(sum(epoch["seconds"] for epoch in run.log), 1),
        }
        new = {key: str(value) for key, value in line.items()}
        with self._alone():
            others = _read(self.path) if self.path.is_file() else []
            others = [other for other in others if (other["row"], other["seed"]) != (new["row"], new["seed"])]
            runs = sorted([*others, new], key=lambda run: (int(run["seed"]), list(ROWS).index(run["row"])))
            text = io.StringIO()
            writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(runs)
            write_atomically(self.path, text.getvalue().encode())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Other processes that end a run wait meanwhile."""
        lock = FileLock(self.path.with_name(".ablation.csv.lock"))
        try:
            lock.acquire()
        except OSError as error:
            raise DataError(f"cannot lock {self.path}: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()


def _seeds(text: str) -> list[int]:
    return list(dict.fromkeys(int(seed) for seed in text.split(",")))


def _rows(text: str) -> list[str]:
    rows = list(dict.fromkeys(text.split(",")))
    if unknown := [row for row in rows if row not in ROWS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(ROWS)}")
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with train/ and val/, or 'imagenette' to download it")
    parser.add_argument("--out", type=Path, help="folder for the runs and ablation.csv")
    parser.add_argument(
        "--table", type=Path, metavar="CSV", help="print the table of an ablation.csv that is there, and train nothing"
    )
    add_settings(parser, sizes="64x6")
    parser.add_argument("--rows", type=_rows, metavar="ROW,…", help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--dim", type=int, default=64, help="channels (default %(default)s)")
    parser.add_argument("--depth", type=int, default=4, help="blocks (default %(default)s)")
    parser.add_argument("--patch", type=int, default=PATCH, help="side of a token in pixels (default %(default)s)")
    parser.add_argument(
        "--seeds", type=_seeds, default="0,1,2", help="one run of each row for each (default %(default)s)"
    )
    args = parser.parse_args(arguments)
    if args.table:
        try:
            print(table(read_results(args.table)))
        except DataError as error:
            raise SystemExit(f"error: {error}") from error
        return
    if not args.data or not args.out:
        parser.error("give --data and --out to run the grid, or --table to print what a grid has put out")
    # Parts are left out of models of one grid only.
    able = [row for row, options in ROWS.items() if not args.pyramid or "without" not in options]
    rows = args.rows or able
    if not set(rows) <= set(able):
        parser.error(f"the rows of pyramids are {', '.join(able)}")
    shape = {"dim": args.dim, "depth": args.depth, "patch": args.patch}  # of a pyramid it is fixed
    try:
        recipes = [
            (row, Recipe(seed=seed, **shape, **settings(args), **ROWS[row]))
            for seed in args.seeds  # outside: a grid that is stopped early is still paired
            for row in rows
        ]
    except ValueError as error:
        parser.error(str(error))
    keep_freed_memory()
    try:
        make_folder(args.out)
        train, val = read_splits(resolve(args.data), max(args.sizes))
        lessons = read_lessons(args.lessons, train) if args.lessons else None
        common = settings(args) | {"sizes": list(args.sizes), "pictures": [train.digest, val.digest]}
        common |= {} if args.pyramid else shape
        grid = Grid(args.out, common)
        for row, recipe in recipes:
            name = f"{row}-{recipe.seed}"
            folder = args.out / name
            make_folder(folder)
            if row.endswith("-wide"):
                recipe = widened(recipe, len(train.classes))
            run = Run(recipe, train, val, folder, name=name, lessons=lessons)
            run.resume()
            run.epochs()
            if run.accelerator.is_main_process:  # the log, and what follows from it, is the first process's
                grid.add(row, run)
        if run.accelerator.is_main_process:
            print(table(read_results(grid.path)))
    except ValueError as error:  # DataError and CheckpointError among them
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
