"""Where the tokens of timm's ViTs lie: ``VisionTransformer`` (ViT, DeiT, DINOv2) and ``Eva`` (EVA-02, DINOv3)."""

from typing import Any

from ..hooks import Point
from ..layer import Grid
from .around import Tokens
from .kind import Seen


def points(module: Any) -> list[Point]:
    """See :class:`dsp_viz.kinds.around.Around`."""
    return [Point("patch_embed", 0)]


def read(module: Any, seen: Seen) -> Tokens:
    """See :class:`dsp_viz.kinds.around.Around`."""
    height, width = seen("patch_embed").shape[-2:]
    rows, columns = module.patch_embed.dynamic_feat_size((height, width))
    tall, wide = module.patch_embed.feat_ratio(as_scalar=False)
    # Padding, where the network does that, is at the bottom and on the right.
    return Tokens(Grid(rows, columns, (0.0, 0.0, rows * tall / height, columns * wide / width)), _prefix(module))


def _prefix(module: Any) -> tuple[str, ...]:
    names = [n for n, token in (("class", "cls_token"), ("distillation", "dist_token")) if _has(module, token)]
    return (*names, *(f"register {i + 1}" for i in range(module.num_prefix_tokens - len(names))))


def _has(module: Any, token: str) -> bool:
    return getattr(module, token, None) is not None
