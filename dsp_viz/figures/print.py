"""Arrays → matplotlib figures for paper: white, laid out in inches; never pyplot, which keeps figures alive; no torch.

The colours, units and limits are those of :mod:`dsp_viz.figures.screen`. Sizes are fixed rather than fitted to the
page, so that a token has the same size in every figure of a paper.
"""

import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from ..accounts import UNIFORM, Account
from ..layer import Grid, Role, Stream
from .screen import COVERED, ONLY, OPPOSITE, SAME, Array, density, shared_limit

#: Text stays text: SVG asks for the reader's fonts, PDF holds TrueType. The same figure gives the same bytes.
_STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "dsp_viz", "pdf.fonttype": 42}
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}

#: matplotlib's settings are the process's.
_writing = Lock()

_WHITE = (1.0, 1.0, 1.0)
_COLOURS: dict[Role, tuple[int, int, int]] = {"same": SAME, "opposite": OPPOSITE, "only": ONLY}
_INKS = {role: tuple(part / 255 for part in colour) for role, colour in _COLOURS.items()}
_INK, _FAINT, _EDGE = "#1f2933", "#66717d", "#c9d0d7"

# All in inches. A map of 16 tokens is 1.28 wide, 12 pixels a token at 150 dpi: no token is a pixel wider than another.
_MAP, _PICTURE, _STRIPE = 1.28, 3.36, 0.11
_MARGIN, _HEADER, _LINE, _FOOTER, _ROW_NAMES = 0.24, 0.98, 0.17, 0.92, 0.3
_GAP, _SCALE_GAP, _GUTTER = 0.08, 0.24, 0.3
#: What the names of columns and rows need, however narrow the maps are.
_LEAST_WIDTH, _LEAST_HEIGHT = 0.92, 0.6


def maps_sheet(
    picture: Image.Image,
    maps: list[Array],
    query: tuple[int, int] | None,
    *,
    grid: tuple[int, int],
    keys: Sequence[tuple[Grid, int]],
    streams: Sequence[Stream],
    signed: bool,
    title: str,
    caption: tuple[str, ...],
) -> "PrintFigure":
    """The picture with the query framed, beside all maps of one block on one colour scale.

    Args:
        picture: RGB, as the model saw it.
        maps: for each scale ``(streams, h, H_keys, W_keys)``.
        query: ``(row, column)`` on ``grid``, or None for the average over all queries.
        grid: ``(H, W)`` tokens of the picture. keys: of each scale the grid, and how many tokens a key pools.
        streams: of each map. signed: whether maps may be negative.
        title: of the figure. caption: lines of small print under it: what it is of; a line on the colours is added.
            Both are plain text: no ``$`` starts a formula.

    Returns:
        A row a head, a column a scale and stream. White is 0; what lies above the shared limit keeps the end's colour,
        and the colour bar says so.
    """
    heads = maps[0].shape[1]
    height, width = (_MAP * tokens / max(grid) for tokens in grid)
    picture_height, picture_width = (_PICTURE * tokens / max(grid) for tokens in grid)
    row, column = max(height, _LEAST_HEIGHT) + _GAP, max(width, _LEAST_WIDTH) + _GAP
    panels_left = _MARGIN + _PICTURE + _GUTTER + _ROW_NAMES
    group = len(streams) * column - _GAP
    panels_width = len(maps) * (group + _SCALE_GAP) - _SCALE_GAP
    top = _HEADER + len(caption) * _LINE
    body = max(heads * row - _GAP, picture_height + _FOOTER)
    sheet = _Sheet(panels_left + panels_width + _MARGIN, top + body + _MARGIN)

    limit = shared_limit(maps)
    exceeded = max(float(np.abs(density(m)).max()) for m in maps) > limit
    sheet.text(_MARGIN, 0.34, title, size=13, weight="bold")
    end = f"{'≥ ' * exceeded}{limit:.3g} × uniform"
    law = f"white is 0, full colour is {end}" + (" either way, orange is negative" if signed else "")
    for i, line in enumerate((*caption, law)):
        sheet.text(_MARGIN, 0.58 + i * _LINE, line, size=8.5, color=_FAINT)
    stage = sheet.axes(_MARGIN, top, picture_width, picture_height)
    stage.imshow(picture, extent=(-0.5, grid[1] - 0.5, grid[0] - 0.5, -0.5), interpolation="bicubic", aspect="auto")
    _frame(stage, query, bold=True)

    for s, (scale, (where, pooled)) in enumerate(zip(maps, keys, strict=True)):
        left = panels_left + s * (group + _SCALE_GAP)
        size = f"{where.rows}×{where.columns} keys"
        name = f"scale {pooled}×  ({size})" if len(keys) > 1 else size
        sheet.text(left + group / 2, top - 0.26, name, size=10, ha="center")
        for t, stream in enumerate(streams):
            middle = left + t * column + (column - _GAP) / 2
            style = {"color": _INKS[stream.role], "weight": "bold"}
            sheet.text(middle, top - 0.08, stream.name, size=9, ha="center", **style)
            for head in range(heads):
                axes = sheet.axes(middle - width / 2, top + head * row, width, height)
                axes.imshow(
                    density(scale[t, head]),
                    cmap=_ramp(stream.role, signed=signed),
                    vmin=-limit if signed else 0,
                    vmax=limit,
                    interpolation="none",
                    aspect="auto",
                    extent=_extent(where, grid),
                )
                axes.set(xlim=(-0.5, grid[1] - 0.5), ylim=(grid[0] - 0.5, -0.5))
                _frame(axes, query, bold=False)
    for head in range(heads):
        y = top + head * row + height / 2
        sheet.text(panels_left - 0.1, y, f"head {head + 1}", size=10, ha="center", va="center", rotation=90)
    bar = sheet.axes(_MARGIN, top + picture_height + 0.28, _PICTURE, 2 * _STRIPE)
    _draw_bar(bar, streams, limit, exceeded=exceeded, signed=signed)
    return sheet.figure


def relevance_sheet(
    picture: Image.Image,
    accounts: Sequence[tuple[str, Account, Array, tuple[float, float]]],
    random: tuple[float, float],
    *,
    title: str,
    caption: tuple[str, ...],
) -> "PrintFigure":
    """Accounts of relevance beside the picture, each with its colour bar and its areas.

    Args:
        picture: RGB, as the model saw it.
        accounts: name, what it is, ``(H, W)`` in its unit, and the areas under its deletion and insertion curve.
        random: those of random order. title, caption: see :func:`maps_sheet`.

    Returns:
        The picture and the maps, four in a row. Those whose unit is a share of the whole have one scale together.
    """
    across, side, gap, head, foot = 4, 1.9, 0.36, 0.5, 0.86
    H, W = accounts[0][2].shape
    height, width = side * H / max(H, W), side * W / max(H, W)
    rows, top = -(-(len(accounts) + 1) // across), 0.62 + len(caption) * _LINE
    sheet = _Sheet(
        2 * _MARGIN + across * side + (across - 1) * gap, top + rows * (head + height + foot) + _MARGIN - 0.2
    )
    sheet.text(_MARGIN, 0.34, title, size=13, weight="bold")
    areas = "areas under the deletion curve (small is good) and the insertion curve (large is good); random order "
    areas += f"{random[0]:.3f} and {random[1]:.3f}"
    for i, line in enumerate((*caption, areas)):
        sheet.text(_MARGIN, 0.58 + i * _LINE, line, size=8.5, color=_FAINT)
    shares = [values for _, account, values, _ in accounts if account.unit == UNIFORM]
    for i in range(len(accounts) + 1):
        left = _MARGIN + i % across * (side + gap)
        y = top + _LINE + i // across * (head + height + foot)
        stage = sheet.axes(left, y + head - _LINE, width, height)
        if i == 0:
            sheet.text(left, y + head - _LINE - 0.08, "the picture", size=9)
            stage.imshow(picture, extent=(-0.5, W - 0.5, H - 0.5, -0.5), interpolation="bicubic", aspect="auto")
            continue
        name, account, values, own = accounts[i - 1]
        limit = _end(shares if account.unit == UNIFORM else [values])
        low, ramp = (
            -limit if account.signed else 0.0,
            _ramp("same" if account.signed else account.role, signed=account.signed),
        )
        sheet.text(left, y + head - _LINE - 0.08, name + " (approximation)" * bool(account.approximate), size=9)
        stage.imshow(values, cmap=ramp, vmin=low, vmax=limit, interpolation="none", aspect="auto")
        bar = sheet.axes(left, y + head - _LINE + height + 0.08, width, _STRIPE)
        bar.imshow(np.linspace(0, 1, 256)[None], cmap=ramp, extent=(low, limit, 0, 1), aspect="auto")
        ticks = [low, (low + limit) / 2, limit]
        beyond = "≥ " * bool(values.max() > limit)
        bar.set_xticks(ticks, [f"{t:.3g}" for t in ticks[:2]] + [f"{beyond}{limit:.3g}"], fontsize=7, color=_INK)
        bar.tick_params(color=_EDGE, length=2)
        bar.set_xlabel(account.unit, fontsize=7, color=_INK, labelpad=2)
        told = f"deletion {own[0]:.3f}, insertion {own[1]:.3f}"
        sheet.text(left, y + head - _LINE + height + 0.62, told, size=8)
    return sheet.figure


def _end(maps: Sequence[Array]) -> float:
    """End of a colour scale that covers almost all values."""
    sizes = np.abs(np.concatenate([m.ravel() for m in maps]))
    return float(np.quantile(sizes, COVERED, method="higher")) or 1.0


def _extent(keys: Grid, grid: tuple[int, int]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top edge of the keys, in tokens whose middles are whole numbers."""
    top, left, bottom, right = keys.box
    return left * grid[1] - 0.5, right * grid[1] - 0.5, bottom * grid[0] - 0.5, top * grid[0] - 0.5


def _ramp(role: Role, *, signed: bool) -> LinearSegmentedColormap:
    if signed:  # orange is negative, so what is positive has another colour
        ends = [_INKS["opposite"], _WHITE, _INKS["same" if role == "opposite" else role]]
    else:
        ends = [_WHITE, _INKS[role]]
    return LinearSegmentedColormap.from_list(role, ends)


class PrintFigure(Figure):
    """A figure whose files are fit for print, whatever matplotlib is set to."""

    def savefig(self, fname: Any, **options: Any) -> None:
        """As matplotlib's; SVG and PDF keep text as text, and no file holds the time at which it was written."""
        named = Path(fname).suffix[1:].lower() if isinstance(fname, str | PathLike) else ""
        options = {"metadata": _UNDATED.get(options.get("format", named)), **options}
        with _writing, matplotlib.rc_context(_STYLE), warnings.catch_warnings():
            # A name in a script that matplotlib's own font lacks: boxes in PNG and PDF, the name itself in SVG.
            warnings.filterwarnings("ignore", "Glyph .* missing from")
            super().savefig(fname, **options)


class _Sheet:
    """A figure whose places are given in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = PrintFigure(figsize=(width, height), facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        box = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=_EDGE, linewidth=0.6)
        return axes

    def text(self, x: float, y: float, words: str, *, color: Any = _INK, **style: Any) -> None:
        # What no font shows, such as a line's end or bytes that are not UTF-8, is not XML either.
        plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)
        self.figure.text(x / self.width, 1 - y / self.height, plain, color=color, parse_math=False, **style)


def _frame(axes: Axes, query: tuple[int, int] | None, *, bold: bool) -> None:
    """Frame the query's token: white within black, which shows on any picture, or a thin line on a map."""
    if query is None:
        return
    corner = (query[1] - 0.5, query[0] - 0.5)
    for colour, width in (("black", 3.2), ("white", 1.6)) if bold else ((_INK, 0.8),):
        frame = Rectangle(corner, 1, 1, fill=False, edgecolor=colour, linewidth=width, joinstyle="miter")
        frame.set(clip_on=False, zorder=3)  # a token on the edge keeps its line, above that of the map
        axes.add_patch(frame)


def _draw_bar(axes: Axes, streams: Sequence[Stream], limit: float, *, exceeded: bool, signed: bool) -> None:
    """The streams' ramps, the first uppermost, above one axis of numbers."""
    height, low = 1 / len(streams), -limit if signed else 0.0
    for i, stream in enumerate(reversed(streams)):
        extent = (low, limit, i * height, (i + 1) * height)
        axes.imshow(np.linspace(0, 1, 256)[None], cmap=_ramp(stream.role, signed=signed), extent=extent, aspect="auto")
    ticks = np.linspace(low, limit, 5)
    labels = [f"{t:.3g}" for t in ticks]
    labels[-1] = ("≥ " if exceeded else "") + labels[-1]
    axes.set(xlim=(low, limit), ylim=(0, 1))
    axes.set_xticks(ticks, labels, fontsize=8.5, color=_INK)
    axes.tick_params(color=_EDGE, length=3)
    axes.set_xlabel("attention weight, × uniform", fontsize=8.5, color=_INK, labelpad=3)
