"""Layers that do not know where their tokens lie: a module around them does.

Attention of a ViT gets a list of tokens. Which of them come first without a place, and which grid the others form, only
the network around it knows. A reader of such a module says so; readers of the layers within it ask :func:`tokens`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from torch import nn

from ..hooks import Point
from ..layer import Grid, Layer
from .kind import Entries, Kind, Seen, Unreadable

#: The path by which a reader asks for what is around its layer.
AROUND = ".."


class Tokens(NamedTuple):
    """Where the tokens of the layers within a module lie: first its prefix, then the cells of a grid; of a pyramid
    ``later`` are those of its later stages."""

    grid: Grid
    prefix: tuple[str, ...] = ()
    later: tuple[Grid, ...] = ()


class Around(Protocol):
    """A reader of a module around attention layers. A module of functions is one."""

    def points(self, module: Any, /) -> list[Point]:
        """Where to look, by paths within the module; see :meth:`dsp_viz.kinds.kind.Kind.points`."""
        ...

    def read(self, module: Any, seen: Seen, /) -> Tokens:
        """What was seen, ``seen(path)`` for each of the points."""
        ...


@dataclass(frozen=True)
class Within:
    """A kind for a layer that lies within such a module; itself a :class:`~dsp_viz.kinds.kind.Kind`.

    Attributes:
        kind: of the layer. around: reader of the module. path: of the module.
        module: it, held weakly: what depends on a kind is remembered by kind, and must not keep a model alive.
    """

    kind: Kind
    around: Around
    path: str
    module: Callable[[], nn.Module | None] = field(compare=False, repr=False)

    def points(self, layer: nn.Module, /) -> list[Point]:
        """See :class:`dsp_viz.kinds.kind.Kind`."""
        around = self.around.points(self.module())
        return [*self.kind.points(layer), *(point._replace(path=self._absolute(point.path)) for point in around)]

    def read(self, name: str, layer: nn.Module, seen: Seen, /) -> Layer:
        """See :class:`dsp_viz.kinds.kind.Kind`."""

        def beyond(path: str, call: int = -1) -> Any:
            if path != AROUND:
                return seen(path, call)
            return self.around.read(self.module(), lambda inner, call=-1: seen(self._absolute(inner), call))

        return self.kind.read(name, layer, beyond)

    def values(self, layer: nn.Module, /) -> list[Entries]:
        """See :class:`dsp_viz.kinds.kind.Kind`."""
        return self.kind.values(layer)

    def output(self, layer: nn.Module, /) -> Entries:
        """See :class:`dsp_viz.kinds.kind.Kind`."""
        return self.kind.output(layer)

    def _absolute(self, path: str) -> str:
        return "/" + f"{self.path}.{path}".strip(".")


def tokens(seen: Seen) -> Tokens:
    """Where the tokens of a layer lie, for its reader.

    Raises:
        Unreadable: no module around it is known to say.
    """
    try:
        found: Tokens = seen(AROUND)
    except LookupError as error:
        raise Unreadable(
            "no module around it is known that says where its tokens lie; docs/extending.md says how to make one "
            "known, in dsp_viz.kinds.AROUND"
        ) from error
    return found


def placed(seen: Seen, rows: int, columns: int) -> Grid:
    """The grid of a layer that knows its rows and columns: of a pyramid that of such a stage, else all of the
    picture."""
    grid = Grid(rows, columns)
    try:
        around = tokens(seen)
    except Unreadable:
        return grid
    return next((found for found in (around.grid, *around.later) if found.size == grid.size), grid)
