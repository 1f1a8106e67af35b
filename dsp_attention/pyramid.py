"""Hierarchical image classifiers: stages of blocks on grids that get coarser, attention chosen for each stage.

PVT (Wang et al., ICCV 2021, arXiv 2102.12122) and Swin (Liu et al., ICCV 2021, arXiv 2103.14030) are special cases,
both as PolaFormer's official models have them.
"""

from collections.abc import Sequence
from itertools import accumulate
from operator import mul
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .attention import DynamicSpectralPolarityAttention
from .baselines import PolaFormerAttention, SoftmaxAttention
from .downsampling import PatchConvolution, PatchMerging
from .grid import as_image, as_tokens, lift
from .model import ATTENTIONS, DSPTransformerBlock, PatchEmbedding
from .optim import Role
from .spectral import kept_frequencies
from .window import WindowAttention

#: Attentions that a stage can have.
STAGE_ATTENTIONS = (*ATTENTIONS, "window")

#: How pictures become the tokens of the first stage, and how those of a stage become those of the next.
STEMS = ("patch", "convolutions")
DOWNSAMPLINGS = ("patch", "merging")

#: Whole cells along a side that the coarsest scale of a stage has at least, where a stage chooses how many it has.
COARSEST = 4


class HierarchicalClassifier(nn.Module):
    """Image classifier of several stages, each on a coarser grid than the one before.

    ``image → stage 1 → … → stage n → norm → mean over tokens → head``; a stage is a downsampling, position embedding,
    and blocks (:class:`DSPTransformerBlock`). Pictures of any size can be classified: sides are padded at the right and
    the bottom to whole patches, encodings are interpolated. All arguments are values of JSON.

    Attributes:
        num_features: channels of the last stage. num_classes: of the head.
        feature_info: of each stage ``num_chs``, ``reduction`` (pixels along the side of a token), ``module``.
        patch: pixels along the side of a token of the last stage: what sides are multiples of is not padded.

    Args:
        image_size: side in pixels of the pictures that encodings, windows, modes and scales are made for.
        dims: ``C`` of each stage. depths: blocks. num_heads: ``h``. mlp_ratios: hidden width of the MLPs in units of
            ``C``.
        attention: of each stage ``"dsp"``, ``"polaformer"``, ``"softmax"`` or ``"window"``; one name for all.
        num_classes: of the head; with 0 the features themselves come out.
        patches: tokens of the stage before, pixels for the first, along the side of a token. By default 4, 2, 2, ….
        stem: ``"patch"``: a convolution as large as its stride, then a norm. ``"convolutions"``: 3×3 convolutions, as
            small networks take that are trained from nothing (:class:`dsp_attention.model.PatchEmbedding`).
        downsampling: between stages, ``"patch"`` (PVT), or ``"merging"`` (Swin), for patches of 2.
        position_embedding: whether each stage learns one; interpolated bilinearly to other grids.
        final_norm: whether the tokens are normed before their mean.
        norm_eps: of the norms in blocks and of the last one; the others have 1e-5.
        window: side of windows in tokens; every other block of such a stage is shifted by half of it. A stage whose
            grid at ``image_size`` is smaller is built for windows of its grid.
        qkv_bias: bias of the QKV projections.
        alpha: range of the powers. kernel_size: side of the smallest convolution of the values; for DSP-Attention and
            PolaFormer's.
        spectral_modes: of DSP-Attention; a number is the most that a stage gets: it has those that its filters keep on
            its grid at ``image_size``, ``⌈side/2⌉`` at most. A list says it for each stage.
        num_scales: likewise; a number is the most: a stage has as many as leave 4 whole cells along a side at the
            coarsest scale, at least 1.

    Raises:
        ValueError: an argument is outside its range, or not one for each stage.
    """

    def __init__(
        self,
        *,
        image_size: int = 224,
        dims: Sequence[int],
        depths: Sequence[int],
        num_heads: Sequence[int],
        mlp_ratios: Sequence[float],
        attention: str | Sequence[str] = "dsp",
        num_classes: int = 1000,
        patches: Sequence[int] | None = None,
        stem: str = "patch",
        downsampling: str = "patch",
        position_embedding: bool = True,
        final_norm: bool = True,
        norm_eps: float = 1e-5,
        window: int = 7,
        qkv_bias: bool = True,
        alpha: float = 4.0,
        kernel_size: int = 5,
        spectral_modes: int | Sequence[int] = 16,
        num_scales: int | Sequence[int] = 3,
    ) -> None:
        super().__init__()
        stages = len(dims)
        if stages < 1:
            raise ValueError("dims is empty: at least 1 stage is needed")
        if isinstance(attention, str):
            attention = [attention] * stages
        if patches is None:
            patches = [4, *[2] * (stages - 1)]
        _one_for_each(stages, depths=depths, num_heads=num_heads, mlp_ratios=mlp_ratios)
        _one_for_each(stages, attention=attention, patches=patches)
        _check_choices(stem, downsampling, attention, patches)
        if min(image_size, *dims, *depths, *patches, window) < 1 or num_classes < 0:
            raise ValueError(
                f"image_size={image_size}, dims={[*dims]}, depths={[*depths]}, patches={[*patches]}, window={window}: "
                f"each must be 1 or more; num_classes={num_classes}: 0 or more"
            )
        reductions = list(accumulate(patches, mul))
        sides = [image_size]
        for patch in patches:
            sides.append(-(-sides[-1] // patch))
        modes = _most(stages, spectral_modes, "spectral_modes", [kept_frequencies(s, s) for s in sides[1:]])
        scales = _most(stages, num_scales, "num_scales", [_scales(side) for side in sides[1:]])

        self.patch = reductions[-1]
        self.num_features = dims[-1]
        self.num_classes = num_classes
        self.feature_info = [
            {"num_chs": dims[i], "reduction": reductions[i], "module": f"stages.{i}"} for i in range(stages)
        ]
        self.stages = nn.ModuleList()
        for i, (dim, side) in enumerate(zip(dims, sides[1:], strict=True)):
            options: dict[str, Any] = {"qkv_bias": qkv_bias}
            if attention[i] == "window":
                options |= {"window": min(window, side)}
            if attention[i] in ("dsp", "polaformer"):
                options |= {"alpha": alpha, "kernel_size": kernel_size}
            if attention[i] == "dsp":
                options |= {"spectral_modes": modes[i], "num_scales": scales[i]}
            layers = [_layer(attention[i], dim, num_heads[i], side, j, options) for j in range(depths[i])]
            self.stages.append(
                Stage(
                    _embedding(i, dims[i - 1] if i else 3, dim, patches[i], stem, downsampling),
                    [DSPTransformerBlock(layer, dim, mlp_ratio=mlp_ratios[i], eps=norm_eps) for layer in layers],
                    dim,
                    side if position_embedding else None,
                )
            )
        self.norm = nn.LayerNorm(dims[-1], norm_eps) if final_norm else nn.Identity()
        self.reset_classifier(num_classes)

    def reset_classifier(self, num_classes: int) -> None:
        """A new head, not trained yet; with ``num_classes=0`` none, and the features themselves come out."""
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of pictures ``(B, 3, height, width)``, in the model's dtype or autocast's.

        Raises:
            ValueError: not a batch of RGB pictures.
        """
        features = self.norm(as_tokens(self.forward_features(image)[-1])).mean(1)
        logits: Tensor = self.head(features)
        return logits

    def forward_features(self, image: Tensor) -> list[Tensor]:
        """What each stage puts out, ``(B, C_i, H_i, W_i)``, finest first: before the last norm, as detectors take it.

        With patches of 4, 2, 2, 2 a cell of the four maps spans 4, 8, 16 and 32 pixels; at the right and the bottom it
        may reach beyond the picture.

        Raises:
            ValueError: not a batch of RGB pictures.
        """
        if image.dim() != 4 or image.shape[1] != 3 or min(image.shape[2:]) < 1:
            raise ValueError(f"image has shape {tuple(image.shape)}; expected (B, 3, height, width)")
        maps = [image]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


class Stage(nn.Module):
    """One stage: a downsampling, a position embedding, blocks.

    Args:
        embed: ``(B, C_before, height, width) -> (B, C, H, W)``. blocks: called with tokens and ``H, W``. dim: ``C``.
        side: of the grid that the position embedding is made for; None: there is none.
    """

    roles: ClassVar[dict[str, Role]] = {"positions": "exempt"}

    def __init__(self, embed: nn.Module, blocks: list[DSPTransformerBlock], dim: int, side: int | None) -> None:
        super().__init__()
        self.embed = embed
        self.side = side
        self.positions = None if side is None else nn.Parameter(torch.empty(1, side**2, dim).normal_(std=0.02))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C_before, height, width) -> (B, C, H, W)``, channels-last."""
        x = self.embed(x)
        H, W = x.shape[2:]
        x = as_tokens(x)
        if self.positions is not None and self.side is not None:
            x = x + lift(self.positions, (self.side, self.side), (H, W))
        for block in self.blocks:
            x = block(x, H, W)
        return as_image(x, H, W)


def _layer(kind: str, dim: int, num_heads: int, side: int, block: int, options: dict[str, Any]) -> nn.Module:
    """The attention of one block, for a grid of ``side × side``."""
    if kind == "dsp":
        return DynamicSpectralPolarityAttention(dim, num_heads, **options)
    if kind == "polaformer":
        return PolaFormerAttention(dim, side**2, num_heads, **options)
    if kind == "softmax":
        return SoftmaxAttention(dim, num_heads, **options)
    return WindowAttention(dim, num_heads, shift=options["window"] // 2 if block % 2 else 0, **options)


def _embedding(stage: int, width: int, dim: int, patch: int, stem: str, downsampling: str) -> nn.Module:
    if stage == 0 and stem == "convolutions":
        return PatchEmbedding(dim, patch)
    if stage > 0 and downsampling == "merging":
        return PatchMerging(width, dim)
    return PatchConvolution(width, dim, patch)


def _scales(side: int) -> int:
    """Most scales that leave at least :data:`COARSEST` whole cells along a side, at least 1."""
    scales = 1
    while side // 2**scales >= COARSEST:
        scales += 1
    return scales


def _most(stages: int, asked: int | Sequence[int], name: str, held: list[int]) -> list[int]:
    """One number for each stage: those asked for, or the most asked for, as far as the grids hold it."""
    if isinstance(asked, int):
        return [min(asked, most) for most in held]
    _one_for_each(stages, **{name: asked})
    return list(asked)


def _one_for_each(stages: int, **lists: Sequence[object]) -> None:
    for name, values in lists.items():
        if len(values) != stages:
            raise ValueError(f"{name}={[*values]}: must have one entry for each of the {stages} stages of dims")


def _check_choices(stem: str, downsampling: str, attention: Sequence[str], patches: Sequence[int]) -> None:
    for name, value, allowed in (
        ("stem", stem, STEMS),
        ("downsampling", downsampling, DOWNSAMPLINGS),
        *(("attention", one, STAGE_ATTENTIONS) for one in attention),
    ):
        if value not in allowed:
            raise ValueError(f"{name}={value!r}: must be one of {', '.join(allowed)}")
    if stem == "convolutions" and (patches[0] < 2 or patches[0] & (patches[0] - 1)):
        raise ValueError(f"patches[0]={patches[0]}: must be a power of two, 2 or more, with stem='convolutions'")
    if downsampling == "merging" and any(patch != 2 for patch in patches[1:]):
        raise ValueError(f"patches={[*patches]}: all but the first must be 2 with downsampling='merging'")
