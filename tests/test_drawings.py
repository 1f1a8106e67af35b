"""Figures of a model are drawn once, and kept within bounds."""

import json

import plotly.graph_objects as go

from dsp_viz.ui.tabs.drawings import Drawings


def test_drawn_once_until_bytes_run_out() -> None:
    drawn: list[int] = []

    def figure(number: int) -> go.Figure:
        drawn.append(number)
        return go.Figure(go.Bar(y=[number] * 100), layout=go.Layout(template=None))

    size = len(figure(1).to_json())
    drawn.clear()
    drawings = Drawings(max_bytes=2 * size + 1)
    first = drawings.of(("gain", 1), lambda: figure(1))
    assert drawings.of(("gain", 1), lambda: figure(1)) is first
    assert json.loads(first.plot)["data"][0]["type"] == "bar"
    for number in (2, 1, 3, 1, 2):
        drawings.of(("gain", number), lambda number=number: figure(number))
    assert drawn == [1, 2, 3, 2]  # the second was used longest ago when the third came
