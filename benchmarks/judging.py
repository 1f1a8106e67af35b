"""What judging a picture's maps costs beside the passes that it consists of: ``python -m benchmarks.judging``.

Everything takes turns on one CPU thread: judging; as many forward passes, in batches as judging makes them; and the
same with the backward passes of the gradients, which judging cannot be faster than.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import dsp_viz
from dsp_viz.relevance import batch_size, differentiable
from dsp_viz.trust import trust

from .attention import rounds

PHOTO = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.jpg"))[0]


class Passes:
    """Counts the pictures that go through a model, and the batches of those that a gradient comes back from."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.forward, self.backward = 0, list[int]()
        self._handle = model.register_forward_hook(self._count)

    def _count(self, _module: torch.nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self.forward += len(inputs[0])
        if output.requires_grad:
            output.register_hook(lambda gradient: self.backward.append(len(gradient)))

    def close(self) -> None:
        """Count no more."""
        self._handle.remove()


def row(name: str, count: int) -> str:
    """Of one model: how many passes judging takes, and the medians of so many turns."""
    model = dsp_viz.load(name)
    x = model.prepare(PHOTO).input
    passes = Passes(model)
    trust(model, x)
    passes.close()
    size = batch_size(math.prod(dsp_viz.trace.trace(model, x).grid.size))
    differentiated = sum(passes.backward)

    def forwards(left: int) -> None:
        with torch.no_grad():
            for at in range(0, left, size):
                model(x.expand(min(size, left - at), -1, -1, -1))

    def both() -> None:
        for batch in passes.backward:
            with differentiable():
                given = x.clone().expand(batch, -1, -1, -1).requires_grad_()
                torch.autograd.grad(model(given)[:, 0].sum(), given)
        forwards(passes.forward - differentiated)

    runs = {"judged": lambda: trust(model, x), "forward": lambda: forwards(passes.forward), "both": both}
    judged, forward, least = (ms / 1e3 for ms in rounds(runs, count).values())
    times = [f"{each:.2f}" for each in (judged, forward, least, judged / forward, least / forward)]
    return f"| {' | '.join([name, str(passes.forward), str(differentiated), *times])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns, of which the medians are shown (default: 3)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | forward | backward | judged s | forward s | both s | judged/forward | both/forward |")
    print("|---|---|---|---|---|---|---|---|")
    for name in ("dsp_everyday", "dsp_tiny"):
        print(row(name, args.rounds), flush=True)


if __name__ == "__main__":
    main()
