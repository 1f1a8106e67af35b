"""What decides a run: sizes, rates, the model that is built, and the parts that an ablation takes away."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from dsp_attention import DSPImageClassifier
from dsp_viz.builds import Build, Pyramid
from dsp_viz.kinds.dsp import dsp_layers

#: Side of a token in pixels where nothing else is asked for, and attention heads, of models that are no pyramids.
PATCH, HEADS = 8, 4

#: Side of a token in pixels in each stage of a pyramid, in units of the one before.
PATCHES = (4, 2, 2, 2)

#: Parts of DSP-Attention that a run can do without, and what stands in their place.
PARTS = {
    "spectral": "filters of gain 1",
    "coefficients": "coefficients of 1",
    "scales": "one scale",
    "mixing": "the same weight for every scale",
    "kernels": "only the smallest convolution kernel",
}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run's outcome, but the data.

    Attributes:
        sizes: side in pixels of each epoch. attention: see ``ATTENTIONS``. dim: channels. depth: blocks.
        without: names of :data:`PARTS` to leave out, for ``attention="dsp"``. batch: pictures per step.
        lr: peak learning rate. matrix_rate, structure_rate: see :func:`dsp_attention.optim.parameter_groups`.
        weight_decay: of matrices and kernels. warmup: epochs of linear warm-up.
        ema: decay of the averaged weights per step, reached gradually. smoothing: label smoothing.
        seed: of everything random.
        pyramid: whether four stages are built, of tokens of 4, 8, 16 and 32 pixels, in place of one grid.
        mlp_ratio: of a pyramid: hidden channels of an MLP for each of its channels.
        aspect, balance: see :class:`training.data.Augmentation`; the crops of lessons have aspects of their own.
        taught: share of a teacher's answers in the loss, within 0 and 1; 0: there is none.
        held: epochs in which the coefficients of DSP-Attention do not learn, so stay at 1. On grids of few tokens, as
            the last stages of a pyramid have of small pictures, a convolution does all that attention can: coefficients
            learn to switch it off, and where they are all but 0 or 2 nothing teaches them better later.
        patch: side of a token in pixels, of a model that is no pyramid; a power of two.

    Raises:
        ValueError: a part is unknown, or is to be left out of another attention than DSP's; the patch is no power of
            two, a size is not a multiple of it, or ``dim`` is not one of the number of heads; there is no block; a
            share, an aspect or the seed is out of its range.
    """

    sizes: tuple[int, ...]
    attention: str = "dsp"
    dim: int = 128
    depth: int = 6
    without: tuple[str, ...] = ()
    batch: int = 64
    lr: float = 1.5e-3
    matrix_rate: float = 4.0
    structure_rate: float = 5.0
    weight_decay: float = 0.05
    warmup: float = 1.0
    ema: float = 0.998
    smoothing: float = 0.05
    seed: int = 0
    pyramid: bool = False
    mlp_ratio: float = 4.0
    aspect: float = 4 / 3
    balance: float = 0.0
    taught: float = 0.0
    held: int = 0
    patch: int = PATCH

    def __post_init__(self) -> None:
        unknown = [part for part in self.without if part not in PARTS]
        if unknown:
            raise ValueError(f"without={unknown[0]!r}: must be one of {', '.join(PARTS)}")
        if self.without and self.attention != "dsp":
            raise ValueError(f"without={','.join(self.without)}: {self.attention} attention has no such part")
        if self.patch < 2 or self.patch & (self.patch - 1):
            raise ValueError(f"patch={self.patch}: must be a power of two, 2 or more")
        patch = math.prod(PATCHES) if self.pyramid else self.patch
        if not self.sizes or any(size < patch or size % patch for size in self.sizes):
            raise ValueError(f"sizes={self.sizes}: one for each epoch is needed, each a multiple of {patch}")
        if self.pyramid and self.without:
            raise ValueError(f"without={','.join(self.without)}: parts are left out of models of one grid only")
        for name in ("balance", "taught"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: must lie within 0 and 1")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed={self.seed}: must lie within 0 and {2**32 - 1}")
        if not 1 <= self.aspect < math.inf:
            raise ValueError(f"aspect={self.aspect}: must be 1 or more, and finite, the longer side by the shorter one")
        if self.depth < 1:
            raise ValueError(f"depth={self.depth}: at least one block is needed")
        if self.dim < HEADS or self.dim % HEADS:
            raise ValueError(f"dim={self.dim}: must be a multiple of {HEADS}")

    def rate(self, epoch: float) -> float:
        """Learning rate after ``epoch`` epochs: linear warm-up, then a cosine to a hundredth."""
        if epoch < self.warmup:
            return self.lr * epoch / self.warmup
        done = (epoch - self.warmup) / (len(self.sizes) - self.warmup)
        return self.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * min(done, 1.0))) / 2)

    def build(self, num_classes: int) -> Build | Pyramid:
        """Arguments of the model, see :func:`dsp_viz.builds.network_of`."""
        if self.pyramid:
            return Pyramid(
                image_size=max(self.sizes),
                num_classes=num_classes,
                attention=self.attention,
                dims=[48, 96, 192, 256],
                depths=[1, 2, 4, 1],
                num_heads=[2, 4, 6, 8],
                mlp_ratios=[self.mlp_ratio] * len(PATCHES),
                patches=[*PATCHES],
                stem="convolutions",
                qkv_bias=False,
                spectral_modes=8,
            )
        common: Build = {
            "image_size": max(self.sizes),
            "patch": self.patch,
            "dim": self.dim,
            "num_heads": HEADS,
            "depth": self.depth,
            "num_classes": num_classes,
            "attention": self.attention,
        }
        if self.attention != "dsp":
            return common
        return common | {"spectral_modes": 8, "num_scales": 1 if "scales" in self.without else 3}


def stem(model: nn.Module) -> nn.Module:
    """The part of it that has running statistics."""
    return model.get_submodule("embed" if isinstance(model, DSPImageClassifier) else "stages.0.embed")


@torch.no_grad()
def take_away(model: nn.Module, parts: Iterable[str]) -> None:
    """Hold parts of DSP-Attention at the values that stand for their absence, see :data:`PARTS`.

    The parts keep their parameters, which no longer learn, so every variant has the same state and starts from the
    same draws. ``"scales"`` is not among what this does: it decides what is built.
    """
    for part in parts:
        for layer in dsp_layers(model).values():
            if part == "spectral":
                layer.spectral.filters.weight.requires_grad_(False).zero_()
            elif part == "coefficients":
                layer.context.requires_grad_(False)
                layer.context.out.weight.zero_()
                layer.context.out.bias.zero_()
            elif part == "mixing":
                layer.mixer.weights.theta.requires_grad_(False).zero_()
                layer.mixer.weights.adaptive_beta = 0.0
            elif part == "kernels":
                layer.convolution.mix.requires_grad_(False).zero_()[0] = 40.0  # its share is 1 in float32
                for kernel in list(layer.convolution.kernels)[1:]:
                    kernel.requires_grad_(False).zero_()
