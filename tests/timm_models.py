"""Small models of timm with random weights: no number of them is 0, so that nothing holds by chance."""

from typing import Any

import timm
import torch
from torch import Tensor, nn

_VIT = {"embed_dim": 24, "num_heads": 3, "depth": 2}
_SWIN = {"window_size": (2, 3), "embed_dim": 12, "depths": (2, 2), "num_heads": (2, 3)}

#: Name and size of the input in pixels, and what is built smaller than it is.
MODELS: dict[str, tuple[str, tuple[int, int], dict[str, Any]]] = {
    "vit": ("vit_tiny_patch16_224", (48, 80), _VIT | {"img_size": (48, 80)}),
    "vit with normed queries": ("vit_tiny_patch16_224", (48, 80), _VIT | {"img_size": (48, 80), "qk_norm": True}),
    "vit with normed maps": ("vit_tiny_patch16_224", (48, 80), _VIT | {"img_size": (48, 80), "scale_attn_norm": True}),
    "deit": ("deit_tiny_distilled_patch16_224", (48, 80), _VIT | {"img_size": (48, 80)}),
    "dinov2": ("vit_small_patch14_reg4_dinov2", (42, 70), _VIT | {"img_size": 42, "dynamic_img_size": True}),
    "eva": ("eva02_tiny_patch14_224", (42, 70), _VIT | {"img_size": (42, 70)}),
    "eva of parts": ("eva02_base_patch14_224", (42, 70), _VIT | {"img_size": (42, 70)}),
    "dinov3": ("vit_small_patch16_dinov3", (48, 80), _VIT | {"img_size": (48, 80)}),
    "perception": ("vit_pe_core_tiny_patch16_384", (48, 80), _VIT | {"img_size": (48, 80)}),
    "swin": ("swin_tiny_patch4_window7_224", (32, 48), _SWIN | {"img_size": (32, 48)}),
    "swin v2": ("swinv2_tiny_window8_256", (32, 48), _SWIN | {"img_size": (32, 48)}),
    "pvt": ("pvt_v2_b0", (64, 96), {"depths": (1, 1, 1, 1)}),
    "linear pvt": ("pvt_v2_b2_li", (64, 96), {"depths": (1, 1, 1, 1), "embed_dims": (16, 16, 32, 32), "num_heads": 2}),
    "efficientvit": ("efficientvit_b0", (96, 160), {}),
    "coat": (
        "coat_tiny",
        (32, 64),
        {"img_size": (32, 64), "embed_dims": [16] * 4, "serial_depths": [2, 1, 1, 1], "parallel_depth": 1},
    ),
    "mobilevit": ("mobilevitv2_050", (64, 96), {}),
    "mobilevit, stretched": ("mobilevitv2_050", (72, 96), {}),
}


def build(key: str, **more: Any) -> nn.Module:
    """One of :data:`MODELS`; of EfficientViT in float32, in which its layers work, of the others in float64."""
    name, _, options = MODELS[key]
    network = randomised(timm.create_model(name, pretrained=False, **options | more))
    return network if key == "efficientvit" else network.double()


def randomised(network: nn.Module) -> nn.Module:
    """With noise on every parameter."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            width = parameter[0].numel() if parameter.ndim > 1 else 9
            parameter.add_(0.5 * torch.randn_like(parameter) / width**0.5)
    return network.eval().requires_grad_(False)


def pictures(key: str, count: int = 1) -> Tensor:
    """Random inputs of a model."""
    dtype = torch.float if key == "efficientvit" else torch.double
    return torch.randn(count, 3, *MODELS[key][1], dtype=dtype, generator=torch.Generator().manual_seed(1))
