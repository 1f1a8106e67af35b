"""Train an image classifier: ``python -m training.train --data DIR --out DIR [--resume]``.

Progressive resizing, Muon for the matrices of the blocks and AdamW for the rest, warm-up and a cosine, exponential
moving average of the weights. The same command runs on several devices or machines under ``accelerate launch -m``, and
in several processes on a CPU under ``torchrun -m`` with ``ACCELERATE_USE_CPU=true``.
"""

import argparse
from pathlib import Path
from typing import Any

from dsp_attention.model import ATTENTIONS
from dsp_viz.files import CheckpointError
from dsp_viz.memory import keep_freed_memory

from .data import DataError, make_folder, read_splits, resolve
from .recipe import PARTS, Recipe
from .run import Run
from .teach import read_lessons


def _sizes(text: str) -> tuple[int, ...]:
    sizes: list[int] = []
    for part in text.split(","):
        size, _, epochs = part.partition("x")
        sizes += [int(size)] * int(epochs or 1)
    return tuple(sizes)


def _name(text: str) -> str:
    if Path(text).name != text:
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a file: give one without a folder")
    return text


def add_settings(parser: argparse.ArgumentParser, *, sizes: str) -> None:
    """The arguments that a run and a grid of runs have in common; ``sizes``: of the epochs, where none are given."""
    parser.add_argument("--sizes", type=_sizes, default=sizes, help="SIDExEPOCHS,… (default %(default)s)")
    parser.add_argument("--pyramid", action="store_true", help="four stages, tokens of 4, 8, 16 and 32 pixels")
    parser.add_argument(
        "--balance", type=float, default=0.0, help="0: each picture once; 1: each class as often (default %(default)s)"
    )
    parser.add_argument(
        "--aspect", type=float, default=4 / 3, help="of a crop, at most (default 4/3); lessons bring crops of their own"
    )
    parser.add_argument("--lessons", type=Path, metavar="FILE", help="of a teacher, see training.teach")
    parser.add_argument("--taught", type=float, default=0.5, help="their share of the loss (default %(default)s)")
    parser.add_argument(
        "--hold", type=int, default=0, metavar="N", help="epochs in which coefficients stay at 1 (default %(default)s)"
    )


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """What :func:`add_settings` asked for, as arguments of :class:`Recipe`."""
    return {
        "sizes": args.sizes,
        "pyramid": args.pyramid,
        "balance": args.balance,
        "aspect": args.aspect,
        "taught": args.taught if args.lessons else 0.0,
        "held": args.hold,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with train/ and val/, or 'imagenette' to download it")
    parser.add_argument("--out", required=True, type=Path, help="folder for weights, log and state")
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in --out, with --sizes as before or others from here on"
    )
    parser.add_argument("--attention", choices=ATTENTIONS, default="dsp")
    parser.add_argument("--dim", type=int, default=128, help="channels, a multiple of 4 (default %(default)s)")
    parser.add_argument(
        "--without", default="", metavar="PART,…", help=f"leave out parts of DSP-Attention: {', '.join(PARTS)}"
    )
    add_settings(parser, sizes="64x7,96x4,128x5")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", type=_name, help="of the weights (default: ATTENTION_tiny)")
    args = parser.parse_args(arguments)
    keep_freed_memory()
    try:
        recipe = Recipe(
            attention=args.attention,
            dim=args.dim,
            without=tuple(part for part in args.without.split(",") if part),
            seed=args.seed,
            **settings(args),
        )
    except ValueError as error:
        parser.error(str(error))
    try:
        root = resolve(args.data)
        train, val = read_splits(root, max(recipe.sizes))
        make_folder(args.out)
        lessons = read_lessons(args.lessons, train) if args.lessons else None
        run = Run(recipe, train, val, args.out, name=args.name or f"{args.attention}_tiny", lessons=lessons)
        if args.resume:
            run.resume(replan=True)
        elif run.state_file.exists():
            raise CheckpointError(f"{args.out} already holds a run: add --resume to continue it, or choose another")
        run.epochs()
    except (DataError, CheckpointError) as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
