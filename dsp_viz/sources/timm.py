"""Models of timm by name: their weights, classes and preparation as timm's own configuration has them.

Weights come from the hub, on the machine of whoever asks; what was fetched before is found without a network.
"""

import logging
from collections import Counter
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import torch

from ..config import distinct
from ..faults import short
from ..files import CheckpointError
from ..framing import Fitting
from ..kinds import layers
from ..subject import MAX_SIDE, Preparation, Subject
from .own import digest, numbered, prove

_log = logging.getLogger("dsp_viz")

#: Modules of timm with ViTs, whose grid follows the picture if they are told so.
_ANY_SIZE = ("deit", "eva", "vision_transformer", "vision_transformer_hybrid")


def load_timm(name: str, *, device: str | torch.device = "cpu", pretrained: bool = True) -> Subject:
    """A model of timm, ready to run.

    It is run once here, on noise, and the maps of its attention layers are checked, see :mod:`dsp_viz.proof`. A ViT
    takes pictures of any size; a model that has no classes, such as DINOv2, gives features: it has maps only.

    Args:
        name: of the model with its weights, such as ``"vit_small_patch14_dinov2.lvd142m"``; without what is behind the
            dot, those that timm takes by default. device: where it is to be.
        pretrained: fetch its weights; otherwise they are random.

    Returns:
        The subject; it is called ``timm/name``.

    Raises:
        CheckpointError: timm is not installed; it knows no such model (the nearest names are given); its weights cannot
            be fetched; or it takes inputs other than square colour pictures.
        ValueError: it has no attention layer that is known here, or none whose maps are true; or what it gives is not
            finite.
    """
    timm = _timm()
    _check(timm, name, pretrained=pretrained)
    network = _network(timm, name, pretrained=pretrained)
    layers(network)
    subject = Subject(
        network, _preparation(timm, name, network), classes=_classes(timm, network), name=f"timm/{name}", digest=""
    )
    subject.digest = digest(network)
    subject.to(device)
    side = subject.preparation.side
    prove(subject, torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(subject.device))
    return subject


def _timm() -> ModuleType:
    try:
        import timm
        import timm.data
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"models of timm need {error.name}, which is not installed: pip install 'dsp-attention[models]'"
        ) from error
    return timm


def _check(timm: ModuleType, name: str, *, pretrained: bool) -> None:
    """
    Raises:
        CheckpointError: there is no such model, or it has no such weights.
    """
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = get_close_matches(architecture, timm.list_models(), 5, 0.6)
        advice = f"near are {', '.join(near)}" if near else "timm.list_models() gives all"
        raise CheckpointError(f"timm {timm.__version__} has no model {short(architecture)}: {advice}")
    if tag or pretrained:
        known = [full for full in timm.list_pretrained(f"{architecture}*") if full.split(".")[0] == architecture]
        if not known or (tag and name not in known):
            there_are = f"there are {', '.join(known[:8])}" if known else "there are none"
            raise CheckpointError(f"timm {timm.__version__} has no weights {short(name)}: {there_are}")


def _network(timm: ModuleType, name: str, *, pretrained: bool) -> Any:
    """
    Raises:
        CheckpointError: its weights cannot be fetched, or do not fit.
    """
    family = timm.models.model_entrypoint(name.partition(".")[0]).__module__.rpartition(".")[2]
    options = {"dynamic_img_size": True} if family in _ANY_SIZE else {}
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except Exception as error:  # of timm, the hub and its HTTP library, which each have their own
        _log.debug("timm/%s cannot be made", name, exc_info=True)
        raise CheckpointError(
            f"timm/{name} cannot be loaded ({type(error).__name__}: {str(error)[:200]}). Its weights come from the "
            "hub, once: check the network, or fetch them where there is one and copy the hub's cache"
        ) from error


def _preparation(timm: ModuleType, name: str, network: Any) -> Preparation:
    """
    Raises:
        CheckpointError: it takes inputs other than square colour pictures.
    """
    told: dict[str, Any] = timm.data.resolve_model_data_config(network)
    channels, height, width = told["input_size"]
    if channels != 3 or height != width or height > MAX_SIDE:
        raise CheckpointError(
            f"timm/{name} takes inputs of {channels}×{height}×{width}: only square colour pictures of up to {MAX_SIDE} "
            "pixels are prepared here"
        )
    red, green, blue = told["mean"]
    deviations = told["std"]
    strict = getattr(getattr(network, "patch_embed", None), "strict_img_size", False)
    fixed = strict or (
        network.pretrained_cfg.get("fixed_input_size") and not getattr(network, "dynamic_img_size", False)
    )
    return Preparation(
        height,
        height if fixed else _patch(network),
        (red, green, blue),
        (deviations[0], deviations[1], deviations[2]),
        # "border" keeps all of a picture between bars: here its middle is cut out, as of the others.
        Fitting(
            "squash" if told["crop_mode"] == "squash" else "shorter",
            told["crop_pct"],
            told["interpolation"] if told["interpolation"] in ("lanczos", "bilinear") else "bicubic",
        ),
        fixed=bool(fixed),
    )


def _patch(network: Any) -> int:
    """What sides are multiples of: pixels to a token of the coarsest grid."""
    return max(stage["reduction"] for stage in network.feature_info)


def _classes(timm: ModuleType, network: Any) -> tuple[str, ...]:
    """ImageNet's names where it has as many classes as one of ImageNet's sets; none where it has no head."""
    count = network.num_classes
    subset = timm.data.infer_imagenet_subset(network) if count else None
    if subset is None:
        return numbered(count)
    info = timm.data.ImageNetInfo(subset)
    synsets, long = info.label_names(), info.label_descriptions()
    short_names = [text.split(",")[0] for text in long]
    # "crane" is a bird and a machine: the first word, all of them, or with the number that WordNet has for it.
    once, all_once = Counter(short_names), Counter(long)
    return distinct(
        tuple(
            brief if once[brief] == 1 else text if all_once[text] == 1 else f"{text} ({synset})"
            for brief, text, synset in zip(short_names, long, synsets, strict=True)
        )
    )
