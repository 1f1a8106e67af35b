"""Models by name: the published sizes of PVT and Swin, with any of the attentions."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, overload

from .model import DSPModel
from .pyramid import HierarchicalClassifier


def _pvt(depths: list[int]) -> dict[str, Any]:
    return {
        "image_size": 224,
        "dims": [64, 128, 320, 512],
        "depths": depths,
        "num_heads": [1, 2, 5, 8],
        "mlp_ratios": [8, 8, 4, 4],
        "patches": [4, 2, 2, 2],
        "downsampling": "patch",
        "position_embedding": True,
        "final_norm": False,
        "norm_eps": 1e-6,
        "attention": ["polaformer"] * 4,
    }


def _swin(width: int, third: int, image_size: int = 224, window: int = 7) -> dict[str, Any]:
    return {
        "image_size": image_size,
        "dims": [width * 2**i for i in range(4)],
        "depths": [2, 2, third, 2],
        "num_heads": [width // 32 * 2**i for i in range(4)],
        "mlp_ratios": [4] * 4,
        "patches": [4, 2, 2, 2],
        "downsampling": "merging",
        "position_embedding": False,
        "final_norm": True,
        "norm_eps": 1e-5,
        "attention": ["polaformer", "polaformer", "window", "window"],
        "window": window,
    }


#: The eight models that PolaFormer's code builds (github.com/ZacharyMeng/PolaFormer), as arguments of
#: :class:`HierarchicalClassifier`. Its PVT is linear in all stages, its Swin in the first two.
BACKBONES: dict[str, dict[str, Any]] = {
    "pvt_tiny": _pvt([2, 2, 2, 2]),
    "pvt_small": _pvt([3, 4, 6, 3]),
    "pvt_medium": _pvt([3, 4, 18, 3]),
    "pvt_large": _pvt([3, 8, 27, 3]),
    "swin_tiny": _swin(96, 6),
    "swin_small": _swin(96, 18),
    "swin_base": _swin(128, 18),
    "swin_base_384": _swin(128, 18, image_size=384, window=12),
}


def backbone_arguments(backbone: str, attention: str | Sequence[str] = "dsp") -> dict[str, Any]:
    """Arguments of :class:`HierarchicalClassifier` for a published size.

    With ``"polaformer"`` the model is exactly the published one, so Swin keeps its windows in stages 3 and 4. Any other
    name is the attention of all four stages; a list says it for each. Swin has no position embedding: its windows' bias
    and PolaFormer's encodings tell places apart. DSP-Attention and softmax attention have neither, so where a stage of
    Swin has one of these, each stage gets a position embedding, as in PVT.

    Args:
        backbone: one of :data:`BACKBONES`. attention: see :class:`HierarchicalClassifier`.

    Raises:
        ValueError: no such backbone.
    """
    if backbone not in BACKBONES:
        raise ValueError(f"backbone={backbone!r}: must be one of {', '.join(BACKBONES)}")
    arguments = deepcopy(BACKBONES[backbone])
    if attention == "polaformer":
        return arguments
    kinds = [attention] * len(arguments["dims"]) if isinstance(attention, str) else list(attention)
    placed = arguments["position_embedding"] or "dsp" in kinds or "softmax" in kinds
    return arguments | {"attention": kinds, "position_embedding": placed}


#: ``dim``, ``num_heads`` and ``depth`` of a model that has no backbone, unless others are given: those of DeiT-S.
_SIZES = (384, 6, 12)


@overload
def create_dsp_model(
    dim: int = ...,
    num_heads: int = ...,
    depth: int = ...,
    num_classes: int = ...,
    spectral_modes: int = ...,
    num_scales: int = ...,
    *,
    backbone: None = ...,
    **options: Any,
) -> DSPModel: ...


@overload
def create_dsp_model(
    dim: int = ...,
    num_heads: int = ...,
    depth: int = ...,
    num_classes: int = ...,
    spectral_modes: int | Sequence[int] = ...,
    num_scales: int | Sequence[int] = ...,
    *,
    backbone: str,
    attention: str | Sequence[str] = ...,
    **options: Any,
) -> HierarchicalClassifier: ...


def create_dsp_model(
    dim: int = _SIZES[0],
    num_heads: int = _SIZES[1],
    depth: int = _SIZES[2],
    num_classes: int = 1000,
    spectral_modes: int | Sequence[int] = 16,
    num_scales: int | Sequence[int] = 3,
    *,
    backbone: str | None = None,
    attention: str | Sequence[str] = "dsp",
    **options: Any,
) -> DSPModel | HierarchicalClassifier:
    """A model with DSP-Attention: over tokens, by default of the size of DeiT-S, or over pictures, with a backbone.

    Args:
        dim: ``C``. num_heads: ``h``. depth: blocks. A backbone has its own.
        num_classes: classes.
        spectral_modes: ``M``. num_scales: ``S``. Only DSP-Attention has them. With a backbone a number is the most that
            a stage gets, see :class:`HierarchicalClassifier`.
        backbone: None, or one of :data:`BACKBONES`, such as ``"pvt_tiny"``.
        attention: see :class:`DSPModel`, and :func:`backbone_arguments` for a backbone.
        options: further arguments of :class:`DSPModel` and its attention, or of :class:`HierarchicalClassifier`.

    Returns:
        A :class:`DSPModel`; with a backbone a :class:`HierarchicalClassifier`.

    Raises:
        ValueError: an argument is outside its range, no such backbone, or other sizes than the backbone's.
        TypeError: an option that the model does not have.
    """
    scales: dict[str, Any] = {"spectral_modes": spectral_modes, "num_scales": num_scales}
    if backbone is None:
        sizes: dict[str, Any] = {"depth": depth, "num_classes": num_classes, "attention": attention}
        return DSPModel(dim, num_heads, **sizes, **(scales if attention == "dsp" else {}), **options)
    if (dim, num_heads, depth) != _SIZES:
        raise ValueError(
            f"dim={dim}, num_heads={num_heads}, depth={depth}: backbone={backbone!r} has sizes of its own; give either"
        )
    arguments = backbone_arguments(backbone, attention) | scales | options
    return HierarchicalClassifier(num_classes=num_classes, **arguments)
