"""Which event of the page asks for what."""

from typing import TYPE_CHECKING, Any

import gradio as gr

if TYPE_CHECKING:
    from .layout import Screen

#: Options of events that may run a model. Many at a time: while one decodes its picture another may run the model.
BUSY: dict[str, Any] = {"concurrency_id": "pictures", "concurrency_limit": 16}

#: Which block and head the view of the maps shows, as it says itself. Gradio (6.31) gives an event that waited for
#: another the data of that other one, so what the event brought cannot be trusted.
LOOKED = """() => {
  const detail = { said: {} };
  document.dispatchEvent(new CustomEvent('dsp:describe', { detail }));
  return [detail.said.block, detail.said.head, String(Math.random())];
}"""

#: Asks for something to be said or drawn anew: any value but the last.
ANEW = "() => String(Math.random())"

#: Asks once more for what did not come, as a server that is busy may turn one question away.
AGAIN = """async (asked) => {
  if (asked === window.dspAgain) return asked;
  await new Promise((done) => setTimeout(done, 1000));
  return (window.dspAgain = String(Math.random()));
}"""


def listen(screen: "Screen", demo: gr.Blocks, places: dict[str, gr.Tab]) -> None:
    """Connect what somebody does on the page with what the screen makes of it.

    Args:
        screen: with all its components. demo: the Blocks that are being built. places: the tabs, by their names.
    """
    rail, state = screen.rail, [screen.source, screen.block, screen.head]  # the view says block and head, nobody else
    made = [screen.opened, screen.all, *(c for tab in screen.tabs.values() for c in tab.outputs)]
    inputs = {*state, screen.opened, *rail.inputs, *(c for tab in screen.tabs.values() for c in tab.inputs)}
    outputs = [screen.source, *rail.outputs, screen.view, screen.fitting, *made]
    # Gradio drops what happens while the last of its kind is answered, also after `then`, unless told otherwise.
    redraw: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", **BUSY}
    redraw |= {"trigger_mode": "always_last"}
    waiting = [rail.predicted, screen.view, screen.overview.view, screen.comparison.view]
    latest = redraw | {"show_progress": "minimal", "show_progress_on": waiting}
    asked = {*inputs, screen.address}
    loaded = demo.load(None, None, screen.address, js="() => window.location.hash.slice(1)")
    choices = [c.input for c in (rail.model, rail.side, rail.whole, rail.stretch)]
    for asking in (
        loaded.then(screen.arrive, asked, outputs, **latest),
        screen.address.input(screen.arrive, asked, outputs, **latest),
        rail.picture.input(screen.run, {*inputs, rail.picture}, outputs, **latest),
        rail.gallery.select(screen.offer, inputs, outputs, **latest | {"trigger_mode": "multiple"}),
        gr.on(choices, screen.change, inputs, outputs, **latest),
        screen.several.view.choose(screen.choose, inputs, outputs, **latest | {"trigger_mode": "multiple"}),
    ):
        asking.then(screen.settle, inputs, [*outputs, screen.stale, screen.picked], **redraw)
    rail.target.input(None, None, screen.picked, js=ANEW)
    screen.picked.change(screen.explain, inputs, [rail.predicted], **redraw)
    for lost in (screen.view.lost, screen.overview.view.lost):
        lost(screen.change, inputs, outputs, **latest)
    drawing = screen.stale.change(screen.redraw, inputs, made, **redraw)
    drawing.failure(None, screen.stale, screen.stale, js=AGAIN)
    screen.view.pick(None, None, [screen.block, screen.head, screen.stale], js=LOOKED)
    for name, place in places.items():
        opened = place.select(None, None, screen.opened, js=f"() => '{name}'")
        if name in screen.tabs:
            opened.then(None, None, screen.stale, js=ANEW)
    for told in (screen.history.epoch.input, screen.comparison.view.lost, *(c.input for c in screen.comparison.inputs)):
        told(None, None, screen.stale, js=ANEW)
    screen.whatif.listen(screen.source, rail.target, BUSY)
    screen.relevance.listen(screen.source, rail.target)
