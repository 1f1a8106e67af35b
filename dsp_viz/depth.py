"""What a model's own head would say after each block: an extrapolation, since it was trained on the last one's output.

The logit lens (nostalgebraist 2020), for vision transformers Vilas et al. (NeurIPS 2023, arXiv 2310.18969): what a
block puts out goes to the last norm and the head at once. In a pyramid it would not fit them, so here it takes the same
way in every model: all later blocks pass on what they are given, and what lies between them stays, such as
downsamplings. In a plain transformer both are one and the same.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .device import device_of
from .hooks import ALL, Change, Point, changed, reading
from .kinds import layers
from .steps import Step, Steps, finish


@dataclass(frozen=True)
class Depth:
    """What the head says, depth by depth.

    Attributes:
        blocks: module paths of the blocks, in the order in which they run.
        probabilities: ``(1 + blocks, classes)``, float64 on the CPU, each row the softmax of the logits: with none of
            the blocks, with the first alone, …, with all of them, which is what the model says.
    """

    blocks: tuple[str, ...]
    probabilities: Tensor


def by_depth(model: nn.Module, x: Tensor) -> Depth:
    r"""Leave out all blocks, then all but the first, and so on to none.

    .. math:: p_b = \mathrm{softmax}\,\mathrm{head}\bigl(x_0 + \textstyle\sum_{l \le b} g_l(x_{l-1})\bigr)

    in a model of residual blocks ``x_l = x_{l-1} + g_l(x_{l-1})``; a block that is left out has ``g_l = 0``.

    A block is the nearest module around an attention layer, or the layer itself, that is one of a list of modules
    (``blocks.3`` of ``blocks.3.attn``). That it is residual is not believed but tested in one pass: with the outputs of
    all layers within set to 0 it has to pass on what it is given, bit by bit.

    Args:
        model: a classifier with attention that is known here. x: one picture as the model takes it,
            ``(1, 3, height, width)``, on any device.

    Returns:
        See :class:`Depth`. It costs a forward pass for each block and two more.

    Raises:
        ValueError: the model has no attention that is known here, or a block of it is not residual; the message says
            which, and why. Or ``x`` holds more than one picture.
    """
    return finish(depth_steps(model, x))


@torch.inference_mode()
def depth_steps(model: nn.Module, x: Tensor) -> Steps[Depth]:
    """:func:`by_depth`, depth by depth."""
    if len(x) != 1:
        raise ValueError(f"x holds {len(x)} pictures; one is needed")
    x = x.to(device_of(model))
    blocks = _residual(model, x)
    found = []
    for depth in range(len(blocks) + 1):
        with changed(model, {Point(path): [_passed_on] for path in blocks[depth:]}):
            found.append(torch.softmax(model(x)[0].cpu().double(), -1))
        yield Step(depth + 1, len(blocks) + 1, "depths")
    return Depth(tuple(blocks), torch.stack(found))


def _passed_on(output: Tensor, inputs: tuple[Any, ...]) -> Tensor:
    given: Tensor = inputs[0]
    return given


def _residual(model: nn.Module, x: Tensor) -> list[str]:
    """Paths of the blocks in the order in which they run, each of which passes on what it is given if it adds nothing.

    Raises:
        ValueError: one does not.
    """
    paths = list(dict.fromkeys(_block(model, path) for path in layers(model)))
    order: list[str] = []
    silenced: dict[Point, list[Change]] = {Point(path): [_noted(order, path)] for path in paths}
    for path in paths:
        for inner, module in model.get_submodule(path).named_modules():
            # What has no parameters, such as an identity on the residual path, or a GELU, makes no 0 something else.
            if next(module.children(), None) is None and next(module.parameters(), None) is not None:
                silenced.setdefault(Point(f"{path}.{inner}".strip(".")), []).append(_silent)
    given, put_out = ([Point(path, which) for path in paths] for which in (ALL, None))
    with reading(model, given) as inputs, reading(model, put_out) as outputs, changed(model, silenced):
        model(x)
    for path, before, after in zip(paths, given, put_out, strict=True):
        if path not in order:
            continue
        if order.count(path) > 1:
            raise ValueError(f"by depth: {path} runs {order.count(path)} times in one pass; blocks have to run once")
        start, end = (inputs[before][0] or (None,))[0], outputs[after][0]
        if not (isinstance(start, Tensor) and isinstance(end, Tensor) and start.shape == end.shape):
            raise ValueError(f"by depth: {path} cannot be left out: it makes another shape of what it is given")
        if not torch.equal(start, end):
            raise ValueError(
                f"by depth: {path} is no residual block: with nothing added it does not pass on what it is given, so "
                "the model cannot go on without it"
            )
    return order


def _block(model: nn.Module, layer: str) -> str:
    """The module that is left out with an attention layer."""
    parts = layer.split(".")
    for end in range(len(parts), 0, -1):
        if isinstance(model.get_submodule(".".join(parts[: end - 1])), nn.ModuleList | nn.Sequential):
            return ".".join(parts[:end])
    raise ValueError(f"by depth: {layer or 'the attention'} is in no list of blocks, so no block can be left out")


def _noted(order: list[str], path: str) -> Change:
    def change(output: Any, _: tuple[Any, ...]) -> Any:
        order.append(path)
        return output

    return change


def _silent(output: Any, _: tuple[Any, ...]) -> Any:
    """0 in place of each tensor that a layer puts out."""
    if isinstance(output, Tensor):
        return torch.zeros_like(output)
    if isinstance(output, tuple | list):
        return type(output)(_silent(each, ()) for each in output)
    return output
