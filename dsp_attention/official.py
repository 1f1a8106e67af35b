"""Official PolaFormer weights as this package names them: a mapping of tensors, which reads no file.

Names and shapes are those of github.com/ZacharyMeng/PolaFormer at 44cdd39e. The architecture is found from them.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from .backbones import BACKBONES

#: Buffers of the official Swin that follow from the window and the grid.
DERIVED = ("attn.relative_position_index", "attn_mask")

#: What the official PVT keeps and never uses.
UNUSED = ("norm.weight", "norm.bias")

#: Range of the powers in all published models. It is in no tensor.
ALPHA = 4.0

#: Keys that only PolaFormer's models have: any of these tells that it is one.
PVT = ("block1.0.attn.qg.weight", "block1.0.attn.power")
SWIN = ("layers.0.blocks.0.attn.qkvg.weight", "layers.0.blocks.0.attn.power")

#: Most stages; the published ones have 4.
STAGES = 6

#: How many faults and keys an error names, and how much of a key.
SHOWN, KEY = 3, 100

Shapes = dict[str, tuple[int, ...]]


def from_official(
    tensors: Mapping[str, Tensor], alpha: float | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What an official PolaFormer-PVT or -Swin is here.

    Swin's ``qkvg``, rows ``[q | k | v | g]``, becomes PVT's ``qg`` and ``kv``. Buffers that can be derived are left
    out, and the last norm of PVT (:data:`UNUSED`) whether it is there or not.

    Args:
        tensors: the official state dict, its keys with or without ``module.`` before them.
        alpha: range of the powers, as its config says; by default 4, as in all published models.

    Returns:
        Arguments of :class:`HierarchicalClassifier`, all values of JSON, and the tensors that it loads, strictly.

    Raises:
        ValueError: ``alpha`` is not positive, or the tensors are not those of an official model: says what they are, if
            it can be told, or the first keys that are missing, unexpected, or of another shape.
    """
    if alpha is not None and not 0 < alpha < math.inf:
        raise ValueError(f"alpha={alpha}: the range of the power must be positive and finite")
    for key, tensor in tensors.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise ValueError(f"{str(key)[:KEY]!r} holds {type(tensor).__name__}: a state dict holds tensors by name")
    found = {key.removeprefix("module."): t for key, t in tensors.items() if not key.endswith(DERIVED)}
    if (miss := _near_miss(found)) is not None:
        raise ValueError(miss)
    if pvt := not found.keys().isdisjoint(PVT):
        found = {key: t for key, t in found.items() if key not in UNUSED}
    shapes = {key: tuple(t.shape) for key, t in found.items()}
    arguments = _pvt(shapes) if pvt else _swin(shapes)
    _check(_pvt_table(arguments) if pvt else _swin_table(arguments), found)
    arguments["alpha"] = ALPHA if alpha is None else float(alpha)
    return arguments, _split({_renamed(key): t for key, t in found.items()})


def published(arguments: Mapping[str, Any]) -> str | None:
    """Which of :data:`BACKBONES` these arguments of :func:`from_official` are, whatever the classes, if one."""
    shared = {"qkv_bias": True, "alpha": ALPHA, "kernel_size": 5}
    for name, known in BACKBONES.items():
        if all(arguments.get(key) == value for key, value in (known | shared).items()):
            return name
    return None


def _near_miss(found: Mapping[str, Tensor]) -> str | None:
    """What the tensors are, if they are not PolaFormer's."""

    def has(*parts: str) -> bool:
        return all(any(part in f".{key}" for key in found) for part in parts)

    refused = "the official PolaFormer-PVT and -Swin are read here"
    if has(".attn.power", ".attn.sr."):
        return f"this PolaFormer reduces keys (attn.sr), as no published one does: {refused}, built with sr_ratios of 1"
    if not found.keys().isdisjoint(PVT + SWIN):
        return None
    if has(".stages.0.blocks.0.attn.power"):
        return f"these tensors have this package's own names already: {refused}, as their code saves them"
    for first in PVT + SWIN:
        for key in found:
            if key.endswith("." + first):
                return f"the keys start with {key.removesuffix(first)[:KEY]!r}: give the tensors without it"
    known = (
        ((".attn.dwc.",), "FLatten's weights, which pages of PolaFormer linked by mistake: attn.dwc, no attn.power"),
        ((".mlp.dwconv.",), "a PVT v2 (mlp.dwconv)"),
        ((".pos_embed1", ".block1.0.attn.q."), "a PVT v1 (attn.q and attn.kv)"),
        ((".attn.logit_scale",), "a Swin v2 (attn.logit_scale)"),
        ((".layers.0.downsample.", ".attn.relative_position_bias_table"), "Microsoft's Swin, windows in all stages"),
        ((".layers.1.downsample.", ".attn.relative_position_bias_table"), "timm's Swin, windows in all stages"),
        ((".blocks.0.attn.qkv.",), "a plain vision transformer (ViT, DeiT)"),
    )
    for parts, name in known:
        if has(*parts):
            return f"these are {name}: {refused}"
    return f"no PolaFormer: {refused}; the first keys are {_listed(found) or 'none'}"


def _pvt(shapes: Shapes) -> dict[str, Any]:
    """The architecture of a PVT, from one tensor for each size."""
    stages = range(1, 1 + _staged(shapes, r"patch_embed(\d+)\."))
    embeddings = [_shape(shapes, f"patch_embed{i}.proj.weight", 4) for i in stages]
    first = [f"block{i}.0" for i in stages]
    return _arguments(shapes, first, embeddings[0], attention=["polaformer"] * len(first)) | {
        "dims": [shape[0] for shape in embeddings],
        "depths": [_counted(shapes, rf"block{i}\.(\d+)\.") for i in stages],
        "patches": [shape[2] for shape in embeddings],
        "downsampling": "patch",
        "position_embedding": True,
        "final_norm": False,
        "norm_eps": 1e-6,
    }


def _swin(shapes: Shapes) -> dict[str, Any]:
    """The architecture of a Swin, from one tensor for each size."""
    stages = range(_staged(shapes, r"layers\.(\d+)\."))
    embedding = _shape(shapes, "patch_embed.proj.weight", 4)
    first = [f"layers.{i}.blocks.0" for i in stages]
    table = "attn.relative_position_bias_table"
    attention = ["window" if f"{block}.{table}" in shapes else "polaformer" for block in first]
    tables = [
        _shape(shapes, f"{block}.{table}", 2)[0]
        for block, kind in zip(first, attention, strict=True)
        if kind == "window"
    ]
    windows = {"window": max((math.isqrt(rows) + 1) // 2 for rows in tables)} if tables else {}
    return (
        _arguments(shapes, first, embedding, attention)
        | {
            "dims": [embedding[0] * 2**i for i in stages],
            "depths": [_counted(shapes, rf"layers\.{i}\.blocks\.(\d+)\.") for i in stages],
            "patches": [embedding[2], *[2] * (len(first) - 1)],
            "downsampling": "merging",
            "position_embedding": False,
            "final_norm": True,
            "norm_eps": 1e-5,
        }
        | windows
    )


def _arguments(shapes: Shapes, first: list[str], embedding: tuple[int, ...], attention: list[str]) -> dict[str, Any]:
    """What is read in the same way from both: ``first`` are the first blocks of the stages."""
    tokens = _shape(shapes, f"{first[0]}.attn.positional_encoding", 3)[1]
    side = math.isqrt(tokens)
    if side * side != tokens:
        raise ValueError(f"{first[0]}.attn.positional_encoding holds {tokens} tokens: must be a square")
    heads, ratios = [], []
    for block, kind in zip(first, attention, strict=True):
        name = "relative_position_bias_table" if kind == "window" else "power"
        heads.append(_shape(shapes, f"{block}.attn.{name}", 2 if kind == "window" else 4)[1])
        hidden, dim = _shape(shapes, f"{block}.mlp.fc1.weight", 2)
        ratios.append(_ratio(hidden, dim))
    return {
        "image_size": side * embedding[2],
        "num_heads": heads,
        "mlp_ratios": ratios,
        "attention": attention,
        "num_classes": _shape(shapes, "head.weight", 2)[0],
        "qkv_bias": any(f"{first[0]}.attn.{name}.bias" in shapes for name in ("qg", "qkvg")),
        "kernel_size": _shape(shapes, f"{first[0]}.attn.dwc.weight", 4)[2],
    }


def _ratio(hidden: int, dim: int) -> float:
    """The ratio of which the model makes ``int(dim·ratio)``, which has to be ``hidden``."""
    if hidden % dim == 0:
        return hidden // dim
    ratio = hidden / dim
    return ratio if int(dim * ratio) == hidden else math.nextafter(ratio, math.inf)


def _pvt_table(arguments: dict[str, Any]) -> Shapes:
    """Names and shapes of the official PVT."""
    table: Shapes = {}
    width, side = 3, arguments["image_size"]
    for i, (dim, patch) in enumerate(zip(arguments["dims"], arguments["patches"], strict=True)):
        side //= patch
        table[f"pos_embed{i + 1}"] = (1, side**2, dim)
        table[f"patch_embed{i + 1}.proj.weight"] = (dim, width, patch, patch)
        table |= {f"patch_embed{i + 1}.{name}": (dim,) for name in ("proj.bias", "norm.weight", "norm.bias")}
        for j in range(arguments["depths"][i]):
            rows = {"attn.qg": 2, "attn.kv": 2}
            table |= {f"block{i + 1}.{j}.{name}": s for name, s in _block_table(arguments, i, side, rows).items()}
        width = dim
    return table | _head_table(arguments)


def _swin_table(arguments: dict[str, Any]) -> Shapes:
    """Names and shapes of the official Swin, without :data:`DERIVED`."""
    dims, patch = tuple(arguments["dims"]), arguments["patches"][0]
    table: Shapes = {"patch_embed.proj.weight": (dims[0], 3, patch, patch)}
    table |= {f"patch_embed.{name}": (dims[0],) for name in ("proj.bias", "norm.weight", "norm.bias")}
    side = arguments["image_size"] // patch
    for i, dim in enumerate(dims):
        for j in range(arguments["depths"][i]):
            rows = {"attn.qkv": 3} if arguments["attention"][i] == "window" else {"attn.qkvg": 4}
            table |= {f"layers.{i}.blocks.{j}.{name}": s for name, s in _block_table(arguments, i, side, rows).items()}
        if i < len(dims) - 1:
            table |= {f"layers.{i}.downsample.norm.{name}": (4 * dim,) for name in ("weight", "bias")}
            table[f"layers.{i}.downsample.reduction.weight"] = (2 * dim, 4 * dim)
        side //= 2
    return table | {"norm.weight": dims[-1:], "norm.bias": dims[-1:]} | _head_table(arguments)


def _block_table(arguments: dict[str, Any], stage: int, side: int, rows: dict[str, int]) -> Shapes:
    """Of one block; ``rows`` are those of its input projections, in units of ``C``."""
    dim, heads = arguments["dims"][stage], arguments["num_heads"][stage]
    hidden, kernel = int(dim * arguments["mlp_ratios"][stage]), arguments["kernel_size"]
    linear = {name: (factor * dim, dim) for name, factor in rows.items()}
    linear |= {"attn.proj": (dim, dim), "mlp.fc1": (hidden, dim), "mlp.fc2": (dim, hidden)}
    biased = [name for name in linear if name not in rows or arguments["qkv_bias"]]
    table: Shapes = {f"{name}.weight": shape for name, shape in linear.items()}
    table |= {f"{name}.bias": linear[name][:1] for name in biased}
    table |= {f"{norm}.{name}": (dim,) for norm in ("norm1", "norm2") for name in ("weight", "bias")}
    if arguments["attention"][stage] == "window":
        window = min(arguments["window"], side)
        return table | {"attn.relative_position_bias_table": ((2 * window - 1) ** 2, heads)}
    return table | {
        "attn.power": (1, heads, 1, dim // heads),
        "attn.scale": (1, 1, dim),
        "attn.positional_encoding": (1, side**2, dim),
        "attn.dwc.weight": (dim // heads, 1, kernel, kernel),
        "attn.dwc.bias": (dim // heads,),
    }


def _head_table(arguments: dict[str, Any]) -> Shapes:
    dim, classes = arguments["dims"][-1], arguments["num_classes"]
    return {"head.weight": (classes, dim), "head.bias": (classes,)}


def _check(table: Shapes, found: Mapping[str, Tensor]) -> None:
    faults = [f"missing {key}" for key in table if key not in found]
    faults += [f"unexpected {key[:KEY]}" for key in found if key not in table]
    for key in table.keys() & found.keys():
        if tuple(found[key].shape) != table[key]:
            faults.append(f"{key} is {str(tuple(found[key].shape))[:KEY]}, expected {table[key]}")
        elif not found[key].is_floating_point():
            faults.append(f"{key} is {found[key].dtype}, expected a floating-point type")
    if faults:
        more = f" (and {len(faults) - SHOWN} more)" if len(faults) > SHOWN else ""
        raise ValueError(f"not as PolaFormer's code saves it: {'; '.join(sorted(faults)[:SHOWN])}{more}")


def _renamed(key: str) -> str:
    """An official key as this package has it."""

    for name, ours in (("pos_embed", "positions"), ("patch_embed", "embed"), ("block", "blocks")):
        key = re.sub(rf"^{name}(\d+)", lambda m, ours=ours: f"stages.{int(m[1]) - 1}.{ours}", key)  # type: ignore[misc]
    key = re.sub(r"^patch_embed\.", "stages.0.embed.", key)
    key = re.sub(r"^layers\.(\d+)\.downsample\.", lambda m: f"stages.{int(m[1]) + 1}.embed.", key)
    key = re.sub(r"^layers\.", "stages.", key)
    return key.replace(".mlp.fc1.", ".mlp.0.").replace(".mlp.fc2.", ".mlp.2.")


def _split(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Swin's ``qkvg`` as ``qg`` and ``kv``: rows are moved, nothing is computed."""
    split: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if ".attn.qkvg." in key:
            q, k, v, g = tensor.chunk(4)
            split[key.replace("qkvg", "qg")] = torch.cat([q, g])
            split[key.replace("qkvg", "kv")] = torch.cat([k, v])
        else:
            split[key] = tensor
    return split


def _shape(shapes: Shapes, key: str, axes: int) -> tuple[int, ...]:
    if key not in shapes:
        raise ValueError(f"not as PolaFormer's code saves it: missing {key}")
    if len(shapes[key]) != axes or 0 in shapes[key]:
        raise ValueError(f"{key} is {str(shapes[key])[:KEY]}, expected {axes} axes, each 1 or more")
    return shapes[key]


def _counted(shapes: Shapes, pattern: str) -> int:
    """How many numbers stand at the beginning of keys; that they are the first ones is checked with the names."""
    matches = (re.match(pattern, key) for key in shapes)
    return len({match[1] for match in matches if match})


def _staged(shapes: Shapes, pattern: str) -> int:
    if (count := _counted(shapes, pattern)) > STAGES:
        raise ValueError(f"not as PolaFormer's code saves it: {count} stages; at most {STAGES} are read")
    return count


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(key[:KEY] for key in list(keys)[:SHOWN])
