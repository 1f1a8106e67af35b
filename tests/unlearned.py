"""Models with random weights for pictures of the screen, for ``--model unlearned:windows``."""

import timm
import torch
from timm_models import randomised

import dsp_viz
from dsp_attention import create_dsp_model
from dsp_viz.sources.official import MEAN, STD

_IMAGENET = {"mean": MEAN, "std": STD}


def windows() -> dsp_viz.Subject:
    """PolaFormer-Swin-T: softmax within windows in its third and fourth stage."""
    torch.manual_seed(0)
    network = create_dsp_model(backbone="swin_tiny", attention="polaformer")
    classes = tuple(f"class {i}" for i in range(1000))
    return dsp_viz.wrap(
        randomised(network), classes=classes, size=224, patch=32, name="PolaFormer-Swin-T, random weights", **_IMAGENET
    )


def registers() -> dsp_viz.Subject:
    """DINOv2-S with its class token and four registers."""
    torch.manual_seed(0)
    network = timm.create_model("vit_small_patch14_reg4_dinov2", pretrained=False, dynamic_img_size=True)
    return dsp_viz.wrap(
        randomised(network), classes=(), size=518, patch=14, name="DINOv2-S with registers, random weights", **_IMAGENET
    )
