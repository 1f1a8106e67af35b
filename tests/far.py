"""A device that this machine need not have: its tensors say that they are on a GPU, and obey a GPU's rules.

Each holds an ordinary tensor, on which operations really run. What a GPU refuses is refused: numpy does not see such a
tensor, and an operation does not mix it with one on the CPU. As on Apple's GPUs there is no float64. ``Tensor.to`` and
``Tensor.cpu`` go there and back; single numbers can be read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

M = TypeVar("M", bound=nn.Module)

FAR = torch.device("meta")

#: Operations that may take tensors of both sides: copies, and indices, which a GPU fetches by itself.
CROSSING = ("copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_")

#: Views that only set a bit, which the values would carry and the tensor around them not.
LAZY = {
    torch.ops.aten._conj.default: torch.ops.aten.conj_physical.default,
    torch.ops.aten._neg_view.default: torch.ops.aten.neg.default,
}


class FarTensor(Tensor):
    """A tensor on the device; ``near`` holds its values."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> "FarTensor":
        if near.dtype in (torch.float64, torch.complex128):
            raise TypeError(f"the device has no {near.dtype}")
        layout = (near.shape, near.stride(), near.storage_offset())
        with torch.inference_mode(near.is_inference()):  # a view of a parameter is none, even in inference mode
            made = Tensor._make_wrapper_subclass(cls, *layout, dtype=near.dtype, device=FAR)
        made.near = near
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    far = any(isinstance(t, FarTensor) for t in tensors)
    name = func.overloadpacket.__name__
    assert not any(t.is_meta and not isinstance(t, FarTensor) for t in tensors), f"{name}: values were lost on the way"
    if name == "to":  # whole in inference mode, elsewhere what it is made of
        with _Dispatch():
            made = func.decompose(*args, **kwargs)
        return torch.ops.aten.alias.default(made) if made is args[0] else made
    if far and name not in CROSSING and any(t.dim() for t in tensors if not isinstance(t, FarTensor)):
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, found {FAR} and cpu")
    asked = kwargs.get("device")
    stays = far if asked is None else torch.device(asked).type == FAR.type
    args_near, kwargs_near = tree_map(lambda a: a.near if isinstance(a, FarTensor) else a, (args, kwargs))
    made = LAZY.get(func, func)(*args_near, **kwargs_near | ({} if asked is None else {"device": "cpu"}))
    if func._schema.is_mutable:
        return args[0]
    return tree_map(lambda m: FarTensor(m) if stays and isinstance(m, Tensor) else m, made)


class _Dispatch(TorchDispatchMode):
    """For what makes a tensor there: no argument of it is one yet."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Function(TorchFunctionMode):
    """For those that fill a tensor below the dispatcher: first here, then there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is Tensor.new_tensor:
            own, values = args
            return torch.tensor(values, **{"dtype": own.dtype, **kwargs}).to(own.device)
        if func is Tensor.__setitem__ and isinstance(args[2], int | float):
            own, where, value = args
            places = where if isinstance(where, tuple) else (where,)
            where = tuple(torch.tensor(place) if isinstance(place, list) else place for place in places)
            args = own, where, torch.tensor(value, dtype=own.dtype).to(own.device)
        return func(*args, **kwargs)


_real_autocast = torch.autocast


def _autocast(device_type: str, **options: Any) -> torch.autocast:
    return _real_autocast("cpu" if device_type == FAR.type else device_type, **options)


@contextmanager
def far_device() -> Iterator[torch.device]:
    """The device, for as long as the body runs."""
    with patch.object(torch, "autocast", _autocast), _Function(), _Dispatch():
        yield FAR


def moved(model: M) -> M:
    """The model, with its parameters and buffers on the device."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(FarTensor(parameter.detach()), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = FarTensor(buffer)
    return model
