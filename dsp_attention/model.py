"""Transformers built from the attentions: blocks, a token classifier, an image classifier."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .attention import DynamicSpectralPolarityAttention
from .baselines import PolaFormerAttention, SoftmaxAttention
from .grid import as_tokens, check_tokens, resize_positions
from .optim import Role

#: Attentions that a model can be built with.
ATTENTIONS = ("dsp", "polaformer", "softmax")


class DSPTransformerBlock(nn.Module):
    """Pre-norm transformer block: ``x + attn(norm1(x))``, then ``x + mlp(norm2(x))``.

    Args:
        attn: any layer ``(x, H, W) -> (B, N, C)``.
        dim: ``C``.
        mlp_ratio: hidden width of the MLP in units of ``C``.
        eps: of the norms.

    Raises:
        ValueError: ``mlp_ratio`` leaves no hidden unit.
    """

    roles: ClassVar[dict[str, Role]] = {"mlp": "hidden"}

    def __init__(self, attn: nn.Module, dim: int, *, mlp_ratio: float = 4.0, eps: float = 1e-5) -> None:
        super().__init__()
        hidden = int(dim * mlp_ratio)
        if hidden < 1:
            raise ValueError(f"mlp_ratio={mlp_ratio}: leaves {hidden} hidden units, at least 1 is needed")
        self.norm1 = nn.LayerNorm(dim, eps)
        self.attn = attn
        self.norm2 = nn.LayerNorm(dim, eps)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor, H: int, W: int) -> Tensor:
        """``(B, N, C) -> (B, N, C)`` in the dtype of ``x``, which is that of the block.

        Under autocast the residual path keeps the dtype of ``x`` if that is float32.
        """
        x = x + self.attn(self.norm1(x), H, W)
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


class DSPModel(nn.Module):
    """Transformer over tokens: ``(B, N, C)`` → logits ``(B, num_classes)``, by the mean over tokens.

    Args:
        dim: ``C``. num_heads: ``h``. depth: number of blocks. num_classes: of the last layer.
        mlp_ratio: hidden width of the MLPs in units of ``C``.
        attention: ``"dsp"``, ``"polaformer"`` or ``"softmax"``.
        num_tokens: ``N`` that PolaFormer's positional encodings are built for; the others ignore it.
        options: further arguments of the attention layer, such as ``spectral_modes``.

    Raises:
        ValueError: an unknown ``attention``, a size below 1, or an argument outside its range.
        TypeError: an option that the attention does not have.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        depth: int,
        num_classes: int,
        mlp_ratio: float = 4.0,
        attention: str = "dsp",
        num_tokens: int = 196,
        **options: Any,
    ) -> None:
        super().__init__()
        if attention not in ATTENTIONS:
            raise ValueError(f"attention={attention!r}: must be one of {', '.join(ATTENTIONS)}")
        if depth < 1 or num_classes < 1:
            raise ValueError(f"depth={depth}, num_classes={num_classes}: must be 1 or more")
        self.dim = dim

        def layer() -> nn.Module:
            if attention == "dsp":
                return DynamicSpectralPolarityAttention(dim, num_heads, **options)
            if attention == "polaformer":
                return PolaFormerAttention(dim, num_tokens, num_heads, **options)
            return SoftmaxAttention(dim, num_heads, **options)

        self.blocks = nn.ModuleList([DSPTransformerBlock(layer(), dim, mlp_ratio=mlp_ratio) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, x: Tensor, H: int | None = None, W: int | None = None) -> Tensor:
        """Logits ``(B, num_classes)`` of tokens ``(B, N, C)``, in their dtype, which is that of the model.

        Under autocast the logits have autocast's dtype.

        Raises:
            ValueError: ``x`` is not ``(B, N, C)`` or does not fit the grid.
        """
        H, W = check_tokens(x, self.dim, H, W)
        for block in self.blocks:
            x = block(x, H, W)
        logits: Tensor = self.head(self.norm(x.mean(1)))
        return logits


class PatchEmbedding(nn.Module):
    """Convolutional stem: 3×3 convolutions halve the picture until a token spans ``patch`` pixels.

    Args:
        dim: ``C``. patch: side of a token in pixels, a power of two, 2 or more.
    """

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        steps = patch.bit_length() - 1
        layers: list[nn.Module] = []
        width = 3
        for i in range(steps - 1):
            wider = max(8, dim >> (steps - 1 - i))
            layers += [nn.Conv2d(width, wider, 3, 2, 1, bias=False), nn.BatchNorm2d(wider), nn.GELU()]
            width = wider
        layers.append(nn.Conv2d(width, dim, 3, 2, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        """``(B, 3, height, width) -> (B, C, H, W)``."""
        features: Tensor = self.layers(image.contiguous(memory_format=torch.channels_last))
        return features


class DSPImageClassifier(nn.Module):
    """Image classifier: convolutional patch embedding, position embedding, :class:`DSPModel`.

    The position embedding is interpolated, so any picture whose sides are multiples of ``patch`` can be classified.

    Args:
        image_size: side in pixels that the position embedding is built for, a multiple of ``patch``.
        patch: side of a token in pixels, a power of two.
        dim: ``C``. num_heads: ``h``. depth: blocks. num_classes: classes.
        attention: ``"dsp"``, ``"polaformer"`` or ``"softmax"``.
        options: further arguments of :class:`DSPModel` or of the attention layer.

    Raises:
        ValueError: an argument is outside its range.
    """

    roles: ClassVar[dict[str, Role]] = {"positions": "exempt"}

    def __init__(
        self,
        *,
        image_size: int = 128,
        patch: int = 8,
        dim: int = 128,
        num_heads: int = 4,
        depth: int = 6,
        num_classes: int = 10,
        attention: str = "dsp",
        **options: Any,
    ) -> None:
        super().__init__()
        if patch < 2 or patch & (patch - 1):
            raise ValueError(f"patch={patch}: must be a power of two, 2 or more")
        if image_size < patch or image_size % patch:
            raise ValueError(f"image_size={image_size}: must be a multiple of patch={patch}")
        self.patch = patch
        self.side = image_size // patch
        self.embed = PatchEmbedding(dim, patch)
        self.positions = nn.Parameter(torch.empty(1, self.side**2, dim).normal_(std=0.02))
        self.model = DSPModel(
            dim,
            num_heads,
            depth=depth,
            num_classes=num_classes,
            attention=attention,
            num_tokens=self.side**2,
            **options,
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of pictures ``(B, 3, height, width)``; dtypes as for :class:`DSPModel`.

        Raises:
            ValueError: not a batch of RGB pictures, or a side is not a multiple of ``patch``.
        """
        sides = image.shape[2:]
        if image.dim() != 4 or image.shape[1] != 3 or any(side < 1 or side % self.patch for side in sides):
            raise ValueError(
                f"image has shape {tuple(image.shape)}; expected (B, 3, height, width) with height and width "
                f"multiples of {self.patch}"
            )
        x = self.embed(image)
        H, W = x.shape[2:]
        x = as_tokens(x) + resize_positions(self.positions, (self.side, self.side), (H, W))
        logits: Tensor = self.model(x, H, W)
        return logits
