"""A small pyramid for tests of the screen: stages of other grids, heads, and attentions."""

import torch
from torch import Tensor, nn

import dsp_viz
from dsp_attention import DSPTransformerBlock, DynamicSpectralPolarityAttention, PolaFormerAttention, SoftmaxAttention
from dsp_viz.subject import Preparation


class Stage(nn.Module):
    """A convolution that makes the grid coarser, and blocks."""

    def __init__(self, before: int, dim: int, stride: int, layers: list[nn.Module]) -> None:
        super().__init__()
        self.merge = nn.Conv2d(before, dim, stride, stride)
        self.blocks = nn.ModuleList(DSPTransformerBlock(layer, dim, mlp_ratio=1) for layer in layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self.merge(x)
        H, W = x.shape[2:]
        tokens = x.flatten(2).mT
        for block in self.blocks:
            tokens = block(tokens, H, W)
        return tokens.mT.unflatten(2, (H, W))


class Pyramid(nn.Module):
    """PolaFormer, DSP and softmax attention in three stages of 1, 2 and 4 heads, of 2, 2 and 1 blocks."""

    def __init__(self, patch: int, width: int, tokens: int, classes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stages = nn.Sequential(
            Stage(3, width, patch, [PolaFormerAttention(width, tokens, 1) for _ in range(2)]),
            Stage(width, 2 * width, 2, [DynamicSpectralPolarityAttention(2 * width, 2, num_scales=s) for s in (1, 2)]),
            Stage(2 * width, 4 * width, 2, [SoftmaxAttention(4 * width, 4)]),
        )
        self.head = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(x).mean((2, 3)))


def subject(side: int = 64, patch: int = 4, width: int = 8) -> dsp_viz.Subject:
    """Grids of ``side / patch`` tokens a side, and of a half and a quarter of them."""
    return dsp_viz.Subject(
        Pyramid(patch, width, (side // patch) ** 2, 10),
        Preparation(side, 4 * patch, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        classes=tuple(f"class {i}" for i in range(10)),
        name="pyramid",
        digest="0" * 12,
    )
