"""Pictures of many tokens, where linear attention is made for: ``python -m benchmarks.large [NAME…]``.

For each model and side of the picture, on one CPU thread: seconds of a plain forward pass, of the whole analysis (the
picture read, the pass traced, the maps proved) and of one exact map of one query, the largest resident memory of the
process, and how far the maps were off from what the layers put out. Before, a pass that is not counted. A model stops
where its next pass would take longer than :data:`MOST` seconds, if time goes on growing as it did last.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import torch

import dsp_viz
from dsp_viz import images, maps

from .app import EXAMPLES
from .attention import resident

T = TypeVar("T")

SIDES = (256, 512, 1024, 2048)

#: Seconds of the longest plain pass.
MOST = 90.0


def timed(work: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measure(name: str, side: int) -> str:
    """A row of the table."""
    model, picture = dsp_viz.load(name), EXAMPLES[0]
    cut, _ = images.fit(images.read_image(picture), side=side, patch=model.preparation.patch)
    x = model.preparation.tensor(cut)
    with torch.inference_mode():
        model(x)  # the memory is there, and the threads
        plain, _ = timed(lambda: model(x))
    whole, result = timed(lambda: dsp_viz.analyse(model, picture, side=side))
    H, W = result.grid
    stream = result.trace.blocks[0].streams[0].name
    query = H // 2, W // 2
    one, _ = timed(lambda: maps.query_map(result.trace, block=0, scale=0, head=0, stream=stream, query=query))
    cells = [name, side, f"{H * W:,}", f"{plain:.2f}", f"{whole:.2f}", f"{whole / plain:.2f}", f"{1e3 * one:.0f}"]
    cells += [f"{resident('VmHWM') / 2**10:.1f}", f"{result.verified:.1e}"]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="NAME", help="default: dsp_everyday and softmax_everyday")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "SIDE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.one:
        print(measure(args.one[0], int(args.one[1])))
        return
    print("| model | side, px | tokens | plain s | analysis s | / plain | a map, ms | peak, GiB | maps off by |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in args.models or ["dsp_everyday", "softmax_everyday"]:
        before = next_one = 0.0
        for side in SIDES:
            if next_one > MOST:
                print(f"{name} stops before {side} px: its pass would take some {next_one:.0f} s.")
                break
            # In a process of its own, so that no earlier peak hides this one.
            command = [sys.executable, "-m", "benchmarks.large", "--one", name, str(side)]
            row = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.rstrip()
            print(row, flush=True)
            plain = float(row.split("|")[4])
            next_one = plain * (plain / before if before else 4.0)  # as it grew last
            before = plain


if __name__ == "__main__":
    main()
