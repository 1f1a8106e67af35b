"""The floors of the house: each room imports only from those below it.

Read from the source, without running it: imports within functions count too, those for type checkers only do not.
"""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("dsp_attention", "dsp_viz", "training", "benchmarks", "tests", "app", "pretrained")

#: Which of our packages each package may import, besides itself.
BELOW: dict[str, set[str]] = {
    "dsp_attention": set(),
    "dsp_viz": {"dsp_attention"},
    "training": {"dsp_viz", "dsp_attention"},
    "benchmarks": {"training", "dsp_viz", "dsp_attention"},
    "app": {"dsp_viz"},
}

#: Where a library may be imported: rooms (a module, or a package and all within), none for those that all of dsp_viz
#: and what stands on it may use, such as numpy.
ONLY_IN: dict[str, tuple[str, ...]] = {
    "gradio": ("dsp_viz.ui", "app", "benchmarks"),
    "fastapi": ("dsp_viz.ui",),
    "starlette": ("dsp_viz.ui",),
    "uvicorn": ("dsp_viz.ui",),
    "prometheus_client": ("dsp_viz.ui.watching",),
    "anyio": ("dsp_viz.ui",),
    "plotly": ("dsp_viz.figures", "dsp_viz.ui"),
    "matplotlib": ("dsp_viz.figures",),
    "captum": ("dsp_viz.relevance",),
    "scipy": ("dsp_viz.trust", "dsp_viz.atlas", "training"),
    "pyarrow": ("dsp_viz.survey",),
    "ray": ("dsp_viz.survey.cluster",),
    "safetensors": ("dsp_viz.sources", "training.teach"),
    "huggingface_hub": ("dsp_viz.sources",),
    "timm": ("dsp_viz.sources",),
    "torchvision": ("training",),
    "accelerate": ("training",),
    "tensorboard": ("training",),
    "playwright": ("benchmarks",),
}

#: What a room may not import, though the floors above would let it: figures are made of arrays, files of a picture are
#: decoded without torch, a survey is read without it, and below the screen nothing knows it.
NEVER = {
    "dsp_viz.figures": ("torch", "dsp_attention"),
    "dsp_viz.decode_worker": ("torch", "dsp_attention"),
    "dsp_viz.reading": ("torch", "dsp_attention"),
    "dsp_viz.structure": ("torch", "dsp_attention"),
    "dsp_viz.framing": ("torch", "dsp_attention"),
    "dsp_viz.survey.format": ("torch", "dsp_attention"),
    "dsp_viz.survey.reading": ("torch", "dsp_attention"),
}

#: Where the screen is opened from below, within functions: what is imported is not loaded before.
DOORS = {("dsp_viz.exploring", "dsp_viz.ui.program"), ("dsp_viz.analysis", "dsp_viz.ui.takeaway")}

#: Edges (importer, imported) that the search for circles leaves out: an analysis draws itself in a notebook when asked.
LEFT_OUT = {("dsp_viz.analysis", "dsp_viz.export"), ("dsp_viz.analysis", "dsp_viz.ui.takeaway")}


def _files() -> dict[str, Path]:
    """All modules of ours by name."""
    paths = [path for package in BELOW for path in (ROOT / package).rglob("*.py")] + [ROOT / "app.py"]
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths)
    return dict(zip(names, paths, strict=True))


FILES = _files()


def _imports(module: str, source: str, *, package: bool = False) -> Iterator[str]:
    """Full names of what a module imports: modules where they are ours, else as they are written."""
    parents = module.split(".") if package else module.split(".")[:-1]
    for node in _nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = parents[: len(parents) + 1 - node.level] if node.level else []
            origin = ".".join([*around, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield inner if inner in FILES else origin


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            continue
        yield node
        yield from _nodes(node)


IMPORTS = {
    module: set(_imports(module, path.read_text(), package=path.name == "__init__.py"))
    for module, path in FILES.items()
}


def _within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def _faults(module: str, imported: str) -> Iterator[str]:
    package, top = module.split(".")[0], imported.split(".")[0]
    if top in OURS:
        if top != package and top not in BELOW[package]:
            yield f"{module} imports {imported}: {package} stands on {', '.join(sorted(BELOW[package])) or 'nothing'}"
    elif package == "dsp_attention" and top != "torch" and top not in sys.stdlib_module_names:
        yield f"{module} imports {imported}: dsp_attention needs torch only"
    if top in ONLY_IN and not any(_within(module, room) for room in ONLY_IN[top]):
        yield f"{module} imports {imported}: only {', '.join(ONLY_IN[top])} may"
    below = _within(module, "dsp_viz") and not _within(module, "dsp_viz.ui")
    if below and _within(imported, "dsp_viz.ui") and (module, imported) not in DOORS:
        yield f"{module} imports {imported}: nothing below the screen knows it"
    for room, refused in NEVER.items():
        if _within(module, room) and top in refused:
            yield f"{module} imports {imported}: {room} may not"


def test_each_room_imports_only_from_those_below_it() -> None:
    assert [
        fault for module, names in IMPORTS.items() for name in sorted(names) for fault in _faults(module, name)
    ] == []


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("dsp_attention.model", "numpy"),
        ("dsp_attention.model", "dsp_viz"),
        ("dsp_viz.trace", "gradio.utils"),
        ("dsp_viz.trace", "dsp_viz.ui.theme"),
        ("dsp_viz.trace", "training.recipe"),
        ("dsp_viz.kinds.swin", "timm.models"),
        ("dsp_viz.figures.screen", "torch"),
        ("training.run", "gradio"),
        ("app", "training"),
    ],
)
def test_what_the_floors_refuse(module: str, imported: str) -> None:
    assert list(_faults(module, imported))


@pytest.mark.parametrize("package", ["dsp_attention", "dsp_viz", "training"])
def test_no_imports_go_in_a_circle(package: str) -> None:
    """The package itself is left out: what a module takes from it, its version, is there before any module is."""
    graph = {
        module: {name for name in names if name in FILES and name != package and (module, name) not in LEFT_OUT}
        for module, names in IMPORTS.items()
        if module.startswith(f"{package}.")
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"imports go in a circle: {' → '.join(error.args[1])}")


def test_imports_are_read_from_the_source() -> None:
    source = """
from typing import TYPE_CHECKING
import torch.nn as nn
from .. import __version__, maps
from ..maps import Query

def late():
    if nn:
        from . import theme

if TYPE_CHECKING:
    import captum
"""
    found = {"typing", "torch.nn", "dsp_viz", "dsp_viz.maps", "dsp_viz.ui.theme"}
    assert set(_imports("dsp_viz.ui.layout", source)) == found
    assert set(_imports("dsp_viz.ui", source, package=True)) == found
