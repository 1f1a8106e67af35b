"""Attentions that have no map of tokens that could be shown, and why."""

from collections.abc import Mapping

from torch import nn

from ..submodules import qualified, submodules

_CHANNELS = "it attends from channel to channel, so there is no map over the picture"
_CLASS = "only its class token asks, and what the others are given is not attention's"
_HEADS = "it mixes the maps of its heads before and after the softmax, so none is a product of two thin factors"

#: By the qualified name of a layer's class.
REFUSED: Mapping[str, str] = {
    "timm.models.xcit.XCA": _CHANNELS,
    "timm.models.davit.ChannelAttention": _CHANNELS,
    "timm.models.davit.ChannelAttentionV2": _CHANNELS,
    "timm.models.cait.ClassAttn": _CLASS,
    "timm.models.cait.TalkingHeadAttn": _HEADS,
}


def refused(model: nn.Module) -> dict[str, str]:
    """A sentence for each such class of layers in a model, by the path of its first layer."""
    found: dict[str, list[str]] = {}
    for path, module in submodules(model).items():
        if name := next((name for name in qualified(type(module)) if name in REFUSED), ""):
            found.setdefault(name, []).append(path)
    return {paths[0]: _sentence(name.rsplit(".", 1)[-1], paths, REFUSED[name]) for name, paths in found.items()}


def _sentence(name: str, paths: list[str], reason: str) -> str:
    others = f" and {len(paths) - 1} more of its class" if len(paths) > 1 else ""
    return f"{paths[0]}{others}, {name}, cannot be shown: {reason}"
