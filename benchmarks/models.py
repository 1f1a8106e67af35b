"""The image classifiers side by side: accuracy as logged, size, work, time: ``python -m benchmarks.models [NAME…]``.

Inference of one picture and of 64, and a training step on 64, float32, one CPU thread. Then, of published sizes
(``--backbones``), each attention without trained weights: inference of one picture and of 8. The models take turns, so
a machine that slows down slows them all; each time is the median of the rounds. Quote the ratios.
"""

import argparse
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import dsp_viz
from dsp_attention import create_dsp_model
from dsp_attention.backbones import BACKBONES
from dsp_attention.model import ATTENTIONS
from dsp_viz import Subject
from dsp_viz.memory import keep_freed_memory

from .attention import rounds


def _products(a: Tensor, b: Tensor, *_: Any, out_val: Tensor, **__: Any) -> int:
    # A complex product takes four real ones.
    return 2 * a.numel() * b.shape[-1] * (4 if a.is_complex() else 1)


def _lstm(x: Tensor, _state: Any, weights: list[Tensor], *_: Any, **__: Any) -> int:
    return 2 * x.shape[0] * x.shape[1] * sum(w.numel() for w in weights if w.dim() == 2)


def _lstm_direction(x: Tensor, inward: Tensor, recurrent: Tensor, *_: Any, **__: Any) -> int:
    return 2 * x.shape[0] * x.shape[1] * (inward.numel() + recurrent.numel())


def _softmax_attention(q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> int:
    return 2 * q.shape[:-1].numel() * k.shape[-2] * (k.shape[-1] + v.shape[-1])


for _count in (_products, _lstm, _lstm_direction, _softmax_attention):
    _count._get_raw = True  # type: ignore[attr-defined]


def multiplications(model: nn.Module, x: Tensor) -> float:
    """Multiply-accumulates of all matrix products and convolutions, in millions; elementwise work is not counted."""
    aten = torch.ops.aten
    known = {  # what torch's own counter leaves out; an LSTM is one call or, in some releases, one for each direction
        aten.mm: _products,
        aten.bmm: _products,
        aten.lstm: _lstm,
        aten.mkldnn_rnn_layer: _lstm_direction,
        aten._scaled_dot_product_flash_attention_for_cpu: _softmax_attention,
    }
    with torch.inference_mode(), FlopCounterMode(display=False, custom_mapping=known) as counter:
        model(x)
    return float(counter.get_total_flops()) / 2e6


def _step(model: nn.Module, x: Tensor, labels: Tensor) -> None:
    model.zero_grad()
    nn.functional.cross_entropy(model(x), labels).backward()


@torch.inference_mode()
def _infer(model: nn.Module, x: Tensor) -> None:
    model(x)


def table(models: list[Subject], turns: int) -> str:
    """The comparison as Markdown; ratios are to the last model."""
    side = models[0].preparation.side
    one, many, labels = torch.randn(1, 3, side, side), torch.randn(64, 3, side, side), torch.arange(64) % 10
    single = rounds({m.name: lambda m=m: _infer(m, one) for m in models}, 4 * turns)  # type: ignore[misc]
    batch = rounds({m.name: lambda m=m: _infer(m, many) for m in models}, turns)  # type: ignore[misc]
    work = {m.name: multiplications(m, one) for m in models}
    for m in models:
        m.train().requires_grad_(True)
    step = rounds({m.name: lambda m=m: _step(m, many, labels) for m in models}, turns)  # type: ignore[misc]
    last = models[-1].name
    lines = [
        "| model | top-1 % | parameters | MACs | training s | inference ms, 1 | inference ms, 64 | "
        f"training step ms, 64 | training throughput / {last} |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for m in models:
        card, size = m.config.card if m.config else {}, sum(p.numel() for p in m.parameters())
        lines.append(
            f"| {m.name} | {card.get('top1', math.nan):.2f} | {size / 1e6:.2f} M | {work[m.name]:.0f} M | "
            f"{card.get('seconds', math.nan):.0f} | {single[m.name]:.1f} | {batch[m.name]:.0f} | {step[m.name]:.0f} | "
            f"{step[last] / step[m.name]:.2f} |"
        )
    return "\n".join(lines)


def backbones(names: list[str], turns: int) -> str:
    """The published sizes with each attention, as Markdown; ratios are to PolaFormer's."""
    lines = [
        "| backbone | attention | parameters | MACs | inference ms, 1 | ratio | inference ms, 8 | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        models = {kind: create_dsp_model(backbone=name, attention=kind).eval() for kind in ATTENTIONS}
        side = BACKBONES[name]["image_size"]
        inputs = {count: torch.randn(count, 3, side, side) for count in (1, 8)}
        single, batch = (
            rounds({kind: partial(_infer, m, inputs[count]) for kind, m in models.items()}, turns * times)
            for count, times in ((1, 3), (8, 1))
        )
        for kind, m in models.items():
            cells = [
                name,
                kind,
                f"{sum(p.numel() for p in m.parameters()) / 1e6:.2f} M",
                f"{multiplications(m, inputs[1]):,.0f} M",
                *(f"{ms[kind]:.0f} | {ms[kind] / ms['polaformer']:.2f}" for ms in (single, batch)),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="NAME", help="names or paths (default: all in pretrained/)")
    parser.add_argument(
        "--backbones",
        nargs="*",
        metavar="NAME",
        choices=BACKBONES,
        default=["pvt_tiny", "swin_tiny"],
        help=f"any of {', '.join(BACKBONES)} (default: pvt_tiny swin_tiny; none: leave them out)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="of the slower measurements (default %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    print(table([dsp_viz.load(name) for name in args.models or dsp_viz.available()], args.rounds))
    if args.backbones:
        print()
        print(backbones(args.backbones, args.rounds))


if __name__ == "__main__":
    main()
