"""What a config can build: arguments of the models, each within bounds that keep building it cheap."""

from collections.abc import Callable
from typing import Annotated, Any, Required, final

import torch
from pydantic import ConfigDict, Field, with_config
from torch.overrides import TorchFunctionMode
from typing_extensions import TypedDict

from dsp_attention import DSPImageClassifier, HierarchicalClassifier

#: Most parameters of a model, and most blocks of a pyramid.
MAX_PARAMETERS = 500_000_000
MAX_BLOCKS = 100

#: What can be built.
Network = DSPImageClassifier | HierarchicalClassifier

# Strict: "128", 128.0 and true are not whole numbers.
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Rate = Annotated[float, Field(strict=True, ge=0, lt=1)]
Text = Annotated[str, Field(max_length=60)]
Flag = Annotated[bool, Field(strict=True)]


def size(most: int) -> Any:
    """A whole number within 1 and ``most``."""
    return Field(strict=True, ge=1, le=most)


@final
@with_config(ConfigDict(extra="forbid"))
class Build(TypedDict, total=False):
    """Arguments of :class:`dsp_attention.DSPImageClassifier`, each within bounds that keep building it cheap."""

    image_size: Annotated[int, size(4096)]
    patch: Annotated[int, size(256)]
    dim: Annotated[int, size(8192)]
    num_heads: Annotated[int, size(256)]
    depth: Annotated[int, size(128)]
    num_classes: Required[Annotated[int, size(65_536)]]
    attention: Text
    mlp_ratio: Annotated[float, Field(strict=True, gt=0, le=64)]
    qkv_bias: Flag
    attn_drop: Rate
    proj_drop: Rate
    alpha: Annotated[float, Field(strict=True, gt=0, le=100)]
    kernel_size: Annotated[int, size(63)]
    spectral_modes: Annotated[int, size(256)]
    num_scales: Annotated[int, size(8)]
    adaptive_beta: Share


#: One entry for each stage of a pyramid.
Stages = Field(min_length=1, max_length=6)


@final
@with_config(ConfigDict(extra="forbid"))
class Pyramid(TypedDict, total=False):
    """Arguments of :class:`dsp_attention.HierarchicalClassifier`, each within bounds that keep building it cheap."""

    image_size: Annotated[int, size(4096)]
    dims: Required[Annotated[list[Annotated[int, size(8192)]], Stages]]
    depths: Required[Annotated[list[Annotated[int, size(64)]], Stages]]
    num_heads: Required[Annotated[list[Annotated[int, size(256)]], Stages]]
    mlp_ratios: Required[Annotated[list[Annotated[float, Field(strict=True, gt=0, le=64)]], Stages]]
    attention: Text | Annotated[list[Text], Stages]
    num_classes: Required[Annotated[int, size(65_536)]]
    patches: Annotated[list[Annotated[int, size(256)]], Stages] | None
    stem: Text
    downsampling: Text
    position_embedding: Flag
    final_norm: Flag
    norm_eps: Annotated[float, Field(strict=True, gt=0, le=1)]
    window: Annotated[int, size(32)]  # memory grows with its fourth power
    qkv_bias: Flag
    alpha: Annotated[float, Field(strict=True, gt=0, le=100)]
    kernel_size: Annotated[int, size(63)]
    spectral_modes: Annotated[int, size(256)] | Annotated[list[Annotated[int, size(256)]], Stages]
    num_scales: Annotated[int, size(8)] | Annotated[list[Annotated[int, size(8)]], Stages]


def kind_of(build: Any) -> str:
    """Which model arguments are of, ``"single"`` or ``"pyramid"``: that has some which the other has not."""
    own = Pyramid.__annotations__.keys() - Build.__annotations__.keys()
    return "single" if not isinstance(build, dict) or own.isdisjoint(build) else "pyramid"


def network_of(build: Build | Pyramid) -> Network:
    """The model of these arguments, with random weights."""
    return HierarchicalClassifier(**build) if "dims" in build else DSPImageClassifier(**build)


def shapes_of(build: Build | Pyramid) -> Network:
    """The model without numbers: its parameters are on the meta device and take no memory.

    Raises:
        ValueError, TypeError: no such model can be built, or it would be too large.
    """
    if "dims" in build and (blocks := sum(build["depths"])) > MAX_BLOCKS:
        raise ValueError(f"it would have {blocks} blocks; at most {MAX_BLOCKS} are built")
    with _Shapes():
        model = network_of(build)
    parameters = sum(p.numel() for p in model.parameters())
    if parameters > MAX_PARAMETERS:
        raise ValueError(f"it would have {parameters:,} parameters; at most {MAX_PARAMETERS:,} are built")
    return model


class _Shapes(TorchFunctionMode):
    """New tensors are on the meta device, and stay without values.

    ``with torch.device("meta")`` would do; but there ``normal_`` and ``arange`` import SymPy, which takes seconds.
    """

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.normal_, torch.Tensor.uniform_):
            return args[0]
        device = {"device": "meta"} if func in (torch.empty, torch.zeros, torch.ones, torch.full) else {}
        return func(*args, **(kwargs or {}) | device)
