"""Which attentions are known, and where a model has them: one dictionary, one small reader for each.

A reader says where in a layer to look, makes a :class:`~dsp_viz.layer.Layer` of what was seen, and says where the
values lie. All else (rows, bytes, figures, relevance) follows from the record. docs/extending.md adds one step by step.
"""

import weakref
from collections.abc import Mapping
from typing import TypeVar

from torch import nn

from ..hooks import Point
from ..submodules import qualified, submodules
from . import coat, dsp, lite_mla, mobilevit, polaformer, pvt, rope, softmax, stages, swin, vit, vit_tokens, window
from .around import Around, Within
from .kind import Entries, Kind
from .refused import refused

T = TypeVar("T")

#: Every kind that is known, by the qualified name of the layer's class, so that no library is imported to know it.
KINDS: dict[str, Kind] = {
    "dsp_attention.attention.DynamicSpectralPolarityAttention": dsp,
    "dsp_attention.baselines.PolaFormerAttention": polaformer,
    "dsp_attention.baselines.SoftmaxAttention": softmax,
    "dsp_attention.window.WindowAttention": window,
    "timm.layers.attention.Attention": vit,
    "timm.layers.attention.AttentionRope": rope,
    "timm.models.coat.FactorAttnConvRelPosEnc": coat,
    "timm.models.efficientvit_mit.LiteMLA": lite_mla,
    "timm.models.eva.EvaAttention": rope,
    "timm.models.mobilevit.LinearSelfAttention": mobilevit,
    "timm.models.pvt_v2.Attention": pvt,
    "timm.models.swin_transformer.SwinTransformerBlock": swin.Swin(),
    "timm.models.swin_transformer_v2.SwinTransformerV2Block": swin.SwinV2(),
    "timm.models.vision_transformer.Attention": vit,
}

#: Modules that know where the tokens of the layers within them lie, by the qualified name of their class.
AROUND: dict[str, Around] = {
    "dsp_attention.pyramid.HierarchicalClassifier": stages,
    "timm.models.eva.Eva": vit_tokens,
    "timm.models.mobilevit.MobileVitV2Block": mobilevit.Patches(),
    "timm.models.vision_transformer.VisionTransformer": vit_tokens,
}


def register(layer: str | type[nn.Module], kind: Kind) -> None:
    """Make an attention known, for all models from now on.

    Args:
        layer: the class of its layers, or the qualified name of that, such as ``"mine.InLineAttention"``; subclasses
            are known with it. A reader that was there before is replaced.
        kind: its reader, see :class:`dsp_viz.kinds.kind.Kind` and docs/extending.md.

    Raises:
        TypeError: ``layer`` is neither, or ``kind`` lacks one of a reader's functions.
    """
    name = f"{layer.__module__}.{layer.__qualname__}" if isinstance(layer, type) else layer
    if not isinstance(name, str) or "." not in name:
        raise TypeError(f"layer={name!r}: give the layers' class, or its qualified name as 'package.module.Class'")
    missing = [part for part in ("points", "read", "values", "output") if not callable(getattr(kind, part, None))]
    if missing:
        raise TypeError(f"kind={type(kind).__name__} has no {missing[0]}(): a reader has points, read, values, output")
    KINDS[name] = kind


def kind_of(module: nn.Module) -> Kind | None:
    """The reader of a layer; a subclass has that of its nearest base. None where there is none."""
    return _entry(KINDS, module)


def _entry(entries: Mapping[str, T], module: nn.Module) -> T | None:
    return next((entries[name] for name in qualified(type(module)) if name in entries), None)


def layers(model: nn.Module) -> dict[str, tuple[nn.Module, Kind]]:
    """The attention layers of a model with their readers, by module path, in the order in which they were defined.

    Raises:
        ValueError: there is none that is known.
    """
    found: dict[str, tuple[nn.Module, Kind]] = {}
    around: dict[str, tuple[nn.Module, Around]] = {}
    for name, module in submodules(model).items():
        if (reader := _entry(AROUND, module)) is not None:
            around[name] = module, reader
        if (kind := kind_of(module)) is not None:
            found[name] = module, _within(kind, name, around)
    if not found:
        if known := refused(model):
            raise ValueError("; ".join(known.values()))
        names = ", ".join(dict.fromkeys(name.rsplit(".", 1)[-1] for name in KINDS))
        raise ValueError(
            f"{type(model).__name__} has no attention layer that is known here; known are {names}. "
            "docs/own-model.md says how to make another known, with dsp_viz.register"
        )
    return found


def _within(kind: Kind, name: str, around: dict[str, tuple[nn.Module, Around]]) -> Kind:
    """The kind as one that can ask the nearest module around the layer that knows where tokens lie."""
    path = next((path for path in reversed(around) if not path or name.startswith(f"{path}.")), None)
    if path is None:
        return kind
    module, reader = around[path]
    return Within(kind, reader, path, weakref.ref(module))


def joined(path: str, inner: str) -> str:
    """A path within a layer as one of the model that holds the layer at ``path``; one that begins with a slash is of
    the model already."""
    return inner[1:] if inner.startswith("/") else f"{path}.{inner}".strip(".")


def absolute(path: str, point: Point) -> Point:
    """A point within a layer as one of the model that holds the layer at ``path``."""
    return Point(joined(path, point.path), point.input)


def values(model: nn.Module) -> dict[str, list[Entries]]:
    """Where the values of each layer come from, by the layer's path; points are those of the model."""
    return {
        name: [entries._replace(point=absolute(name, entries.point)) for entries in kind.values(layer)]
        for name, (layer, kind) in layers(model).items()
    }
