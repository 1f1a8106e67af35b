"""Time and memory of the three attentions, side by side in one run: ``python -m benchmarks.attention [--threads N]``.

Input ``(2, N, 384)``, 6 heads, float32, on CPU threads, inference. The attentions take turns, so a machine that slows
down slows them all; each time is the median of the rounds. Absolute times move with the machine: quote the ratios.
The floor of a layer is the time of its matrix products alone, the same ones into memory that is there already: what no
other arrangement of the same arithmetic can go below; "floors" is DSP's over PolaFormer's.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dsp_attention import DynamicSpectralPolarityAttention, PolaFormerAttention, SoftmaxAttention

DIM, HEADS, BATCH = 384, 6, 2
SIZES = {196: 15, 784: 9, 3136: 5, 12544: 3}  # tokens: rounds

NAMES = ("dsp", "polaformer", "softmax")


def build(name: str, N: int) -> nn.Module:
    torch.manual_seed(0)
    if name == "dsp":
        return DynamicSpectralPolarityAttention(DIM, HEADS, spectral_modes=16, num_scales=3)
    return PolaFormerAttention(DIM, N, HEADS) if name == "polaformer" else SoftmaxAttention(DIM, HEADS)


def rounds(runs: dict[str, Callable[[], object]], count: int) -> dict[str, float]:
    """Median milliseconds of each run; the runs take turns, after one turn that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(count + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that any operator returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for item in out if isinstance(out, tuple | list) else [out]:
            if isinstance(item, Tensor):
                self.elements = max(self.elements, item.numel())
        return out


class Products(TorchDispatchMode):
    """Remembers the matrix products that run, to run them again; a product with a sum counts as one."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Tensor], Tensor, Tensor, Tensor]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        aten = torch.ops.aten
        plain = {aten.mm: torch.mm, aten.addmm: torch.mm, aten.bmm: torch.bmm, aten.baddbmm: torch.bmm}
        if run := plain.get(func.overloadpacket):
            self.calls.append((run, *args[-2:], torch.empty_like(out)))
        return out

    def again(self) -> None:
        """Only these products."""
        for run, a, b, out in self.calls:
            run(a, b, out=out)


def floor(layer: nn.Module, x: Tensor) -> Callable[[], None]:
    """What runs the matrix products of a layer, and nothing else."""
    # In inference mode a linear layer would be one operation, not a product.
    with torch.inference_mode(False), torch.no_grad(), Products() as products:
        layer(x.clone())
    return products.again


def peak(name: str, N: int) -> tuple[float, int]:
    """Resident peak of one forward in MiB above what was resident before, and the largest tensor. Linux only.

    Runs in a process of its own, so that no earlier peak hides this one.
    """
    layer, x = build(name, N).eval(), torch.randn(BATCH, N, DIM)
    with torch.inference_mode():
        layer(x[:, :49].contiguous())  # thread pools and kernels are set up
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is resident now
        before = resident("VmRSS")
        layer(x)
        after = resident("VmHWM")
        with LargestTensor() as watch:
            layer(x)
    return after - before, watch.elements


def resident(key: str) -> float:
    """An entry of this process's memory status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key + ":")) / 2**10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peak", nargs=2, metavar=("NAME", "N"), help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak:
        print(*peak(args.peak[0], int(args.peak[1])))
        return

    told = f"torch {torch.__version__}, {args.threads} thread(s), {torch.backends.cpu.get_cpu_capability()}"
    print(f"{told}; ({BATCH}, N, {DIM}), {HEADS} heads, float32, forward, ms (median)")
    columns = ["N", "DSP", "PolaFormer", "softmax", "DSP/PolaFormer", "DSP/softmax", "DSP/floor", "floors"]
    print(f"| {' | '.join(columns)} | growth per 4× tokens, same order |")
    print("|---|---|---|---|---|---|---|---|---|")
    previous: dict[str, float] = {}
    for N, count in SIZES.items():
        x = torch.randn(BATCH, N, DIM)
        layers = {name: build(name, N).eval() for name in NAMES}
        with torch.inference_mode():
            runs = {name: lambda layer=layer, x=x: layer(x) for name, layer in layers.items()}
            floors = {f"{name} floor": floor(layers[name], x) for name in ("dsp", "polaformer")}
            ms = rounds(runs | floors, count)
        growth = " ".join(f"{ms[n] / previous[n]:.2f}×" for n in NAMES if previous)
        row = [f"{ms[n]:.1f}" for n in NAMES]
        ratios = [f"{ms['dsp'] / ms[other]:.2f}" for other in ("polaformer", "softmax", "dsp floor")]
        ratios.append(f"{ms['dsp floor'] / ms['polaformer floor']:.2f}")
        print("|", " | ".join([str(N), *row, *ratios, growth]), "|", flush=True)
        previous = ms

    def step(layer: nn.Module, x: Tensor) -> None:
        layer(x).square().mean().backward()

    x = torch.randn(BATCH, 196, DIM)
    layers = {name: build(name, 196) for name in NAMES}
    ms = rounds({name: lambda layer=layer: step(layer, x) for name, layer in layers.items()}, 15)
    print(
        f"\nforward + backward at N = 196: {', '.join(f'{n} {ms[n]:.1f} ms' for n in NAMES)}; "
        f"DSP/PolaFormer {ms['dsp'] / ms['polaformer']:.2f}"
    )

    if not Path("/proc/self/clear_refs").exists():
        print("\npeak memory is measured only on Linux")
        return
    print("\n| N | peak MiB above the input: DSP | PolaFormer | softmax | largest tensor of DSP / N² |")
    print("|---|---|---|---|---|")
    for N in SIZES:
        cells = []
        for name in NAMES:
            command = [sys.executable, "-m", "benchmarks.attention", "--peak", name, str(N)]
            mib, elements = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            cells.append(f"{float(mib):.0f}")
            if name == "dsp":
                share = int(elements) / N**2
        print("|", " | ".join([str(N), *cells, f"{share:.3g}"]), "|", flush=True)


if __name__ == "__main__":
    main()
