"""Other outputs for named submodules, in one context: what interventions are made of.

As in :mod:`dsp_viz.trace`, hooks are registered once per model and do nothing unless the current context asks for it,
so requests that run at the same time never see each other's changes, and nothing outlives one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

from torch import Tensor, nn

#: Turns the output of a submodule, given its inputs, into what takes its place.
Change = Callable[[Tensor, tuple[Any, ...]], Tensor]

_current: ContextVar[Mapping[nn.Module, Sequence[Change]]] = ContextVar("dsp_viz_changes")
_installing = Lock()


def _replace(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
    """A forward hook that replaces an output where the current context asks for it."""
    changes = _current.get({}).get(module)
    if changes is None:
        return None
    for change in changes:
        output = change(output, inputs)
    return output


@contextmanager
def changed(model: nn.Module, changes: Mapping[str, Sequence[Change]]) -> Iterator[None]:
    """Run what the body runs with changes of named submodules' outputs, in this context alone.

    Contexts nest: an inner one's changes act on the outer one's result.
    """
    every = dict(_current.get({}))
    with _installing:
        for name, more in changes.items():
            module = model.get_submodule(name)
            every[module] = [*every.get(module, ()), *more]
            if _replace not in module._forward_hooks.values():
                # Before the hooks that record: what they see is what the model went on with.
                module.register_forward_hook(_replace, prepend=True)
    token = _current.set(every)
    try:
        yield
    finally:
        _current.reset(token)
