"""Figures of a model, drawn once instead of anew for every picture."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

import plotly.graph_objects as go
from gradio.components.plot import PlotData


class Drawings:
    """Figures as the text that browsers get; the least recently used go first when bytes run out.

    Args:
        max_bytes: of all of them together.
    """

    def __init__(self, max_bytes: int = 16 * 2**20) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, PlotData] = OrderedDict()
        self._lock = Lock()

    def of(self, key: Hashable, draw: Callable[[], go.Figure]) -> PlotData:
        """The figure of this key, drawn if it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = PlotData(type="plotly", plot=draw().to_json())
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > 1 and sum(len(each.plot) for each in self._kept.values()) > self._max_bytes:
                self._kept.popitem(last=False)
        return made
