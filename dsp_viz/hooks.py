"""Read and replace inputs and outputs of named submodules, within a context. Nothing here depends on attention.

Hooks are registered once per module and stay: each does nothing unless the current context asks for it. What a context
asks for lives in a ``ContextVar``, so threads and tasks that run the same model never see each other's tensors or
changes, and nothing outlives the context, whatever happens in it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import signature
from threading import Lock
from typing import Any, NamedTuple

from torch import Tensor, nn

from .submodules import submodules

#: All positional inputs of a call, as a tuple.
ALL = -1


class Point(NamedTuple):
    """A place in a model: a submodule's output, or its positional input of that index (:data:`ALL`: all of them)."""

    path: str
    input: int | None = None


#: Turns a tensor at a point into what takes its place; it is given the call's inputs, too.
Change = Callable[[Tensor, tuple[Any, ...]], Tensor]

#: What was read at each point, call by call.
Calls = dict[Point, list[Any]]

_Key = tuple[nn.Module, int | None]
_reads: ContextVar[Mapping[nn.Module, Sequence[tuple[int | None, list[Any]]]] | None] = ContextVar(
    "dsp_viz_reads", default=None
)
_changes: ContextVar[Mapping[_Key, Sequence[Change]] | None] = ContextVar("dsp_viz_changes", default=None)
_installing = Lock()


def _before(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
    changes, reads = _changes.get(), (_reads.get() or {}).get(module, ())
    if not changes and not reads:
        return None
    inputs, named = _positional(module, inputs, named)
    if changes:
        inputs = tuple(_changed(changes.get((module, i), ()), value, inputs) for i, value in enumerate(inputs))
    # What is read is what the model goes on with.
    for which, kept in reads:
        if which is not None:
            kept.append(inputs if which == ALL else inputs[which])
    return (inputs, named) if changes else None


def _after(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> Any:
    changes = (_changes.get() or {}).get((module, None), ())
    if changes:
        output = _changed(changes, output, _positional(module, inputs, named)[0])
    for which, kept in (_reads.get() or {}).get(module, ()):
        if which is None:
            kept.append(output)
    return output


def _positional(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Inputs that were given by name, by position, as far as the module's ``forward`` lets them be."""
    if not named:
        return inputs, named
    bound = signature(module.forward).bind(*inputs, **named)
    return bound.args, bound.kwargs


def _changed(changes: Sequence[Change], value: Any, inputs: tuple[Any, ...]) -> Any:
    for change in changes:
        value = change(value, inputs)
    return value


def _install(module: nn.Module) -> None:
    # Looked up on the modules themselves, so that a deep copy of a model, which carries its hooks, is not hooked twice.
    with _installing:
        if _after not in module._forward_hooks.values():
            module.register_forward_pre_hook(_before, with_kwargs=True)
            module.register_forward_hook(_after, with_kwargs=True)


@contextmanager
def reading(model: nn.Module, points: Sequence[Point]) -> Iterator[Calls]:
    """Read at some points while the body runs, only in this context. Contexts nest: an outer one goes on reading.

    Yields:
        What is read, call by call, filled while the body runs: inputs when a submodule is called, outputs when it
        returns; empty where it was not called.
    """
    calls: Calls = {point: [] for point in points}
    wanted = {module: list(outer) for module, outer in (_reads.get() or {}).items()}
    known = submodules(model)
    for point, kept in calls.items():
        module = known[point.path] if point.path in known else model.get_submodule(point.path)
        _install(module)
        wanted.setdefault(module, []).append((point.input, kept))
    token = _reads.set(wanted)
    try:
        yield calls
    finally:
        _reads.reset(token)


def changing() -> bool:
    """Whether anything is changed in this context."""
    return bool(_changes.get())


@contextmanager
def changed(model: nn.Module, changes: Mapping[Point, Sequence[Change]]) -> Iterator[None]:
    """Run what the body runs with changes at some points, only in this context.

    Contexts nest: an inner one's changes act on the outer one's result.
    """
    every = dict(_changes.get() or {})
    for point, more in changes.items():
        module = model.get_submodule(point.path)
        _install(module)
        every[module, point.input] = [*every.get((module, point.input), ()), *more]
    token = _changes.set(every)
    try:
        yield
    finally:
        _changes.reset(token)
