"""Gradio without the stub files that it writes for editors.

At each import Gradio parses the source of each component twice and compares a ``.pyi`` file beside it: a second and a
half of the start, and files in folders that may not be ours to write to.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

#: The module that writes them, and its function.
MODULE, FUNCTION = "gradio.component_meta", "create_or_modify_pyi"


def leave_out() -> None:
    """From now on no stubs are made for the components of Gradio and of this package; others keep theirs."""
    if module := sys.modules.get(MODULE):
        _patch(module)
    else:
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Lets the one module be found as always, and patches it before anything uses it."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_patch(module: ModuleType) -> None:
                execute(module)
                _patch(module)

            setattr(spec.loader, "exec_module", execute_and_patch)  # noqa: B010 (a method, for this one instance)
        return spec


def _patch(module: ModuleType) -> None:
    write = getattr(module, FUNCTION, None)
    if write is None:  # another release, which has no such function
        return

    def write_others(component_class: type, *rest: Any) -> None:
        if component_class.__module__.partition(".")[0] not in ("gradio", "dsp_viz"):
            write(component_class, *rest)

    setattr(module, FUNCTION, write_others)
