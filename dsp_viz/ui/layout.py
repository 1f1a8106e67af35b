"""The whole screen: its components, its tabs, and what happens when somebody does something."""

import filecmp
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs
from uuid import uuid4

import gradio as gr
from gradio.data_classes import _StaticFiles
from starlette.routing import Route

from ..faults import ModelError
from ..images import ImageError
from ..interventions import InterventionError, from_json, to_json
from ..store import Store
from ..subject import Subject
from . import api, atlas_routes, several_routes, views
from .blocks import Blocks
from .events import BUSY, listen
from .kept import Kept, Source
from .limits import USUAL, Limits
from .links import Links
from .maps_view import MapsView
from .pages import Page, Pages
from .rail import SHOWN, Rail
from .results import MOST_PROBABLE, Results
from .tabs import Shown, Tab, Values, together
from .tabs.atlas import Atlas
from .tabs.compare import Comparison
from .tabs.history import History
from .tabs.overview import Overview
from .tabs.parts import Coefficients, Filters, Weights
from .tabs.relevance import Relevance
from .tabs.several import Several
from .tabs.whatif import WhatIf
from .watching import health

if TYPE_CHECKING:  # it needs pyarrow, which few have
    from .surveyed import Surveyed

_log = logging.getLogger("dsp_viz")

T = TypeVar("T", bound=Tab)

MASTHEAD = """<div id="masthead"><button type="button" id="copy-link" aria-live="polite"
title="Copy an address that opens what is on the screen">Copy link</button><h1>DSP-Attention explorer</h1>
<p>See where each patch of a picture looks. <span class="more">Every map, of linear and of softmax attention, is rebuilt
exactly, in your browser, from two thin factors. In polarity-aware attention, <b class="same">same-signed</b> maps weigh
keys that agree with the query, <b class="opposite">opposite-signed</b> maps those that disagree; both are
positive.</span></p></div>"""

#: The first tab, which is always there.
MAPS = "maps"


def build(
    models: Sequence[Subject],
    examples: list[Path],
    store: Store[Kept],
    surveyed: "Surveyed | None" = None,
    limits: Limits = USUAL,
) -> Blocks:
    """The whole app.

    Args:
        models: to choose from, see :func:`dsp_viz.load`; the first is the one that the page opens with.
        examples: pictures to offer; the first is analysed when the page opens.
        store: where the pieces of results are kept for the browsers.
        surveyed: what the tab Atlas shows; None: there is no such tab.
        limits: of the server, see :func:`dsp_viz.ui.mount`.

    Returns:
        Blocks that are ready to be served, see :mod:`dsp_viz.ui.server`.
    """
    results = Results(models, examples, store, surveyed, limits)
    # Served from where they lie: copies among the uploads would go as these do, or with another process of that folder.
    # `gr.set_static_paths` would follow links, to names that no page asks for.
    _StaticFiles.all_paths += [path.absolute() for path in examples]
    with Blocks(
        title="DSP-Attention explorer", analytics_enabled=False, delete_cache=(900, 3600), fill_width=True
    ) as demo:
        Screen(results, examples, demo)
    demo.more_routes = [several_routes.route(results)]
    demo.more_routes.append(Route("/healthz", health(demo, results.turns, list(results.models))))
    if surveyed:
        demo.more_routes += atlas_routes.routes(surveyed, results.decoder)
    return demo


class Screen:
    """All components of the page, and what happens when somebody does something.

    Handlers take what the components hold, by component, and return what some of them shall hold (skip: none).

    Args:
        results: see :class:`Results`. examples: pictures to offer. demo: the Blocks that are being built.
    """

    def __init__(self, results: Results, examples: list[Path], demo: gr.Blocks) -> None:
        self._results, self._examples = results, examples
        self._pages, self._links = Pages(), Links(results, examples, demo)
        gr.HTML(MASTHEAD)
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=270, elem_id="rail"):
                self.rail = Rail(results, examples)
            with gr.Column(scale=4, min_width=320), gr.Tabs(selected=MAPS) as self.all:
                with gr.Tab("Attention maps", id=MAPS) as first:
                    self.view = MapsView(elem_id="view")
                self.tabs: dict[str, Tab] = {}
                places = {MAPS: first}

                def added(kind: type[T]) -> T:
                    with gr.Tab(kind.title, id=kind.name) as places[kind.name]:
                        tab = self.tabs[kind.name] = kind(results)
                    return tab

                self.overview = added(Overview)
                for part in (Filters, Coefficients, Weights):
                    added(part)
                self.history, self.comparison = added(History), added(Comparison)
                self.whatif, self.relevance = added(WhatIf), added(Relevance)
                self.several = added(Several)
                added(Atlas)
        self.fitting = gr.HTML(self._hiding(next(iter(results.models.values()))), elem_id="fitting")
        # What the page is about, kept by the page itself: the server may forget it, the page does not.
        self.source = gr.Textbox("", visible="hidden", elem_id="source", container=False)
        self.address = gr.Textbox("", visible="hidden", elem_id="address", container=False)
        self.opened = gr.Textbox(MAPS, visible="hidden", container=False)
        # Changed by all that wants the open tab drawn, or the picked class explained, anew: each is done by one event,
        # so that no answer overtakes a later one. What it is about is read when it runs, not when it is asked for.
        self.stale = gr.Textbox("", visible="hidden", container=False)
        self.picked = gr.Textbox("", visible="hidden", container=False)
        self.block = gr.Number(2, visible="hidden", precision=0, container=False)
        self.head = gr.Number(0, visible="hidden", precision=0, container=False)
        api.add(results, BUSY)
        listen(self, demo, places)

    def _hiding(self, model: Subject, kept: Kept | None = None) -> str:
        """What hides the tabs that have nothing to show: Gradio 6.31 cannot hide one later on. See :meth:`Tab.fits`.

        A style for those in the row; the script of the page hides those in the menu of a narrow page by their titles.
        """
        unfit = {name: tab.title for name, tab in self.tabs.items() if not tab.fits(model, kept)}
        hidden = ", ".join(f'[data-tab-id="{name}"]' for name in unfit)
        titles = escape(json.dumps(list(unfit.values())))
        return f'<style data-unfit="{titles}">:is({hidden}) {{ display: none !important; }}</style>'

    # What happens, each with what the components hold.

    def run(self, values: Values, request: gr.Request) -> Values:
        """A picture was put into the upload field, or taken out."""
        path = values[self.rail.picture]
        with self._turn(values, request) as page:
            # Removing a picture still sends it once, and Gradio keeps copies of files under names of its own.
            if path is None or (page.source is not None and _same(path, page.source.path)):
                return {self.rail.message: ""}
            return self._shown(self.rail.chosen(values | {self.rail.stretch: False}, path), values, page)

    def offer(self, values: Values, event: gr.SelectData, request: gr.Request) -> Values:
        """A click on an example puts it into the upload field too."""
        path = str(self._examples[min(max(int(event.index), 0), len(self._examples) - 1)])
        source = self.rail.chosen(values | {self.rail.stretch: False}, path)
        with self._turn(values, request) as page:
            return {self.rail.picture: path} | self._shown(source, values, page)

    def choose(self, values: Values, event: gr.EventData, request: gr.Request) -> Values:
        """A click on one of several pictures: the page shows it, as it was analysed there."""
        with self._turn(values, request) as page:
            source = self._results.asked(str(event._data.get("source", "")))
            if source is None:
                return gr.skip()
            told = {self.rail.picture: self.rail.field(source), **self.rail.controls(source)}
            return together(told, self._shown(source, values, page))

    def change(self, values: Values, request: gr.Request) -> Values:
        """Another model or size for the picture that is on the screen, whatever the upload field holds now; or the same
        again, as its result is no longer kept here."""
        with self._turn(values, request) as page:
            if page.source is None:
                self._results.asked(values[self.source])  # says why there is none
                return gr.skip()
            return self._shown(self.rail.chosen(values, page.source.path), values, page)

    def settle(self, values: Values, request: gr.Request) -> Values:
        """Questions may overtake one another: what the controls and the view say now is what is shown in the end."""
        with self._turn(values, request) as page:
            if page.source is None:
                return gr.skip()
            due = self.rail.chosen(values, page.source.path)
            if due != page.source:
                return self._shown(due, values, page)
            anew = uuid4().hex
            return gr.skip() if page.looked == self._looked(values) else {self.stale: anew, self.picked: anew}

    def explain(self, values: Values, request: gr.Request) -> Values:
        """Another class was picked; the tabs that explain it listen for that themselves."""
        with self._turn(values, request) as page:
            if page.source is None:
                return gr.skip()
            return {self.rail.predicted: self.rail.prediction(self._results.of(page.source), values[self.rail.target])}

    def redraw(self, values: Values, request: gr.Request) -> Values:
        """What the open tab shows is drawn anew."""
        if values[self.opened] not in self.tabs:
            return gr.skip()
        try:
            source = self._results.asked(values[self.source])
            told = self._drawn(source, values)[1] if source else {}
        except (gr.Error, ImageError, ModelError) as error:  # raised, it would take along what waits to be drawn next
            gr.Warning(error.message if isinstance(error, gr.Error) else str(error))
            return gr.skip()
        with self._turn(values, request) as page:  # another picture may have come meanwhile, and be drawn already
            return told if told and page.source == source else gr.skip()

    def arrive(self, values: Values, request: gr.Request) -> Values:
        """The page opens, or its address changes: show what the address asks for, else the first example."""
        asked = {key: found[0] for key, found in parse_qs(values[self.address]).items()}
        source, note = self._links.source(asked)
        told: Values = {self.rail.picture: self.rail.field(source)}
        opened = asked.get("tab", MAPS)
        if opened != MAPS and not (opened in self.tabs and self.tabs[opened].fits(self._results.models[source.model])):
            opened = MAPS
        told |= {self.rail.target: asked.get("class", MOST_PROBABLE)}
        for component, key in zip(self.comparison.inputs, ("pictureA", "pictureB", "modelA", "modelB"), strict=True):
            known = self._results.models if key.startswith("model") else self._results.examples
            told[component] = asked[key] if asked.get(key) in known else component.value
        try:
            told |= {self.whatif.controls.text: to_json(from_json(asked.get("interventions", "[]")))}
        except InterventionError:
            note = note or "The link's interventions cannot be read: they are left out."
        with self._turn(values, request) as page:
            before = page.source
            if values[self.source] or opened != MAPS:  # while a new page is empty, somebody may have opened a tab
                told |= {self.opened: opened, self.all: gr.Tabs(selected=opened)}
            shown = self._shown(source, values | told, page, view=values[self.address])
        if before is not None and self.source not in shown:
            return shown  # refused: all stays as it was
        told = together(told | self.rail.controls(source), shown)
        return told | ({self.rail.message: views.notice(note)} if note else {})

    @contextmanager
    def _turn(self, values: Values, request: gr.Request) -> Iterator[Page]:
        """The page that asks, in its turn, with what it is about; None also where that picture is gone."""
        with self._pages.turn(request.session_hash) as page:
            try:
                page.source = self._results.asked(page.source.text() if page.source else values[self.source])
            except gr.Error:
                page.source = None
            yield page

    # What is shown.

    def _shown(self, source: Source, values: Values, page: Page, view: str | None = None) -> Values:
        """Show a result everywhere. For a bad file, or a model that fails, say why and leave all else as it is; a page
        that shows nothing yet shows the picture as its model was made to see it."""
        last = page.source
        try:
            shown, drawn = self._drawn(
                source, values, moved=last is None or last.model != source.model or view is not None
            )
        except (ImageError, ModelError) as error:
            _log.warning("shown nothing: %.300s", error)
            refused: Values = {self.rail.message: views.notice(str(error))}
            if last is not None:
                refused |= {self.rail.stretch: last.stretch, self.rail.picture: self.rail.field(last)}
                return self.rail.controls(last) | refused
            usual = self._results.usual(source)
            if isinstance(error, ImageError) or usual == source:
                return refused
            return {**self._shown(usual, values, page, view=view), **self.rail.controls(usual), **refused}
        page.source, page.looked = source, self._looked(_after(values, drawn))
        told: Values = {
            self.source: source.text(),
            self.view: shown.kept.manifest.json(view=view),
            self.fitting: self._hiding(self._results.models[source.model], shown.kept),
            **self.rail.show(shown.kept, values),
            **drawn,
        }
        if source.path != (last.path if last else None) and Path(source.path).suffix.lower() not in SHOWN:
            told[self.rail.picture] = self.rail.field(source)
        return told

    def _looked(self, values: Values) -> tuple[Any, ...]:
        """What else decides what the page shows, and may change while an answer is on its way."""
        chosen = (self.opened, self.block, self.head, self.history.epoch, *self.comparison.inputs, self.rail.target)
        return tuple(values[component] for component in chosen)

    def _drawn(self, source: Source, values: Values, *, moved: bool = False) -> tuple[Shown, Values]:
        """What is shown of a source, and what the tabs make of it; ``moved``: it is of another model than the last."""
        kept = self._results.of(source)
        model = self._results.models[source.model]
        block = min(max(values[self.block] or 0, 0), kept.manifest.blocks - 1)
        heads = kept.result.trace.blocks[block].coefficients.shape[1]
        shown = Shown(kept, block, min(max(values[self.head] or 0, 0), heads - 1))
        told: Values = {}
        if moved:
            told = self.rail.follow(source, values)
            for tab in self.tabs.values():
                told |= tab.follow(model)
            values = _after(values, told)
        opened = self.tabs.get(str(values[self.opened]))
        if opened is None:
            return shown, told
        if not opened.fits(model, kept):
            return shown, told | {self.opened: MAPS, self.all: gr.Tabs(selected=MAPS)}
        return shown, together(told, opened.show(shown, values))


def _after(values: Values, told: Values) -> Values:
    """What the components hold once they were told so."""
    updates = {component: update for component, update in told.items() if isinstance(update, dict)}
    return values | {component: update["value"] for component, update in updates.items() if "value" in update}


def _same(one: str, other: str) -> bool:
    """Whether two files hold the same; not where one of them is gone."""
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False
