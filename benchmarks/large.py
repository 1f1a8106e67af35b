"""Pictures of many tokens, where linear attention is made for: ``python -m benchmarks.large [NAME…]``.

For each model and side of the picture, on one CPU thread: seconds of a plain forward pass, of the whole analysis (the
picture read, the pass traced, the maps proved) and of one exact map of one query, the largest resident memory of the
process, and how far the maps were off from what the layers put out. A model stops where its next pass would take longer
than ``--most`` seconds, if time goes on growing as it did last.
"""

import argparse
import subprocess
import sys
import time

import torch

import dsp_viz
from dsp_viz import images, maps

from .app import EXAMPLES
from .attention import resident

SIDES = (256, 512, 1024, 2048)


def measure(name: str, side: int) -> str:
    """A row of the table, and behind it the seconds of the plain pass again."""
    model, picture = dsp_viz.load(name), EXAMPLES[0]
    cut, _ = images.fit(images.read_image(picture), side=side, patch=model.preparation.patch)
    x = model.preparation.tensor(cut)
    with torch.inference_mode():
        start = time.perf_counter()
        model(x)
        plain = time.perf_counter() - start
    start = time.perf_counter()
    result = dsp_viz.analyse(model, picture, side=side)
    whole = time.perf_counter() - start
    H, W = result.grid
    stream = result.trace.blocks[0].streams[0].name
    start = time.perf_counter()
    maps.query_map(result.trace, block=0, scale=0, head=0, stream=stream, query=(H // 2, W // 2))
    one = time.perf_counter() - start
    row = f"| {name} | {side} | {H * W:,} | {plain:.2f} | {whole:.2f} | {whole / plain:.2f} | {1e3 * one:.0f} | "
    return f"{row}{resident('VmHWM') / 2**10:.1f} | {result.verified:.1e} |{plain}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="NAME", help="default: dsp_tiny and softmax_tiny")
    parser.add_argument("--most", type=float, default=90.0, help="seconds of a pass (default: %(default)s)")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "SIDE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.one:
        print(measure(args.one[0], int(args.one[1])))
        return
    print("| model | side, px | tokens | plain s | analysis s | / plain | a map, ms | peak, GiB | maps off by |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in args.models or ["dsp_tiny", "softmax_tiny"]:
        before = next_one = 0.0
        for side in SIDES:
            if next_one > args.most:
                print(f"{name} stops before {side} px: its pass would take some {next_one:.0f} s.")
                break
            # In a process of its own, so that no earlier peak hides this one.
            command = [sys.executable, "-m", "benchmarks.large", "--one", name, str(side)]
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            row, _, told = said.rstrip().rpartition("|")
            print(f"{row}|", flush=True)
            plain = float(told)
            next_one = plain * (plain / before if before else 4.0)  # as it grew last
            before = plain


if __name__ == "__main__":
    main()
