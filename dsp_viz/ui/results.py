"""Results of pictures: computed once, kept for the browsers while there is room."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from typing import Any, NamedTuple

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image
from torch import Tensor

from .. import images
from ..analysis import MAX_SIDE, Analysis, analyse_fitted, model_input
from ..checkpoint import LoadedModel
from ..decoding import Decoder
from ..interventions import Intervention
from ..store import Store
from . import views
from .picture import uploaded

#: Sides that are offered, in units of what a model was trained for.
SIZES = (1, 2, 4)


class Source(NamedTuple):
    """What a result is of: path of the picture, longer side in pixels, whether all of it is kept, name of the model,
    whether few values of many bits are stretched, and what is changed in the pass."""

    path: str
    side: int
    whole: bool
    model: str
    stretch: bool = False
    interventions: tuple[Intervention, ...] = ()

    def text(self) -> str:
        """What the page keeps of it; :meth:`Results.asked` reads it. Interventions are no part of it."""
        return json.dumps(self._asdict() | {"interventions": None})


class Results:
    """What the tabs show of a picture, and the manifest that lets the browser fetch the rest.

    A page holds what its result is of, as text, and sends it along. So nothing of a visitor has to be remembered here,
    and whatever was forgotten is computed again.

    Args:
        models: that can be asked for. examples: pictures whose results a link can always restore.
        store: where the pieces of results are kept.
    """

    #: How many results are remembered by what they are of. The store bounds what they hold.
    REMEMBERED = 64

    def __init__(self, models: Sequence[LoadedModel], examples: Sequence[Path], store: Store) -> None:
        self.models = {model.name: model for model in models}
        self.examples = {path.stem: str(path) for path in examples}
        self.decoder = Decoder()
        self._store = store
        self._tokens: OrderedDict[Source, str] = OrderedDict()
        #: Held by whoever runs a model. What takes long lets go of it between its steps, so that others wait for one.
        self.turn = Lock()

    def sides(self, model: str) -> dict[str, int]:
        """Sides that are offered for a model, in pixels, by what the screen calls them."""
        own = self.models[model].config.image_size
        sizes = [factor * own for factor in SIZES if factor == 1 or factor * own <= MAX_SIDE]
        return {f"{size} px": size for size in sizes}

    def side_like(self, model: str, other: str, side: int) -> int:
        """The side of a model that stands for one of another model's: the same multiple of what it was made for."""
        sides, theirs = (list(self.sides(name).values()) for name in (model, other))
        return sides[min(theirs.index(side), len(sides) - 1)]

    def asked(self, text: str) -> Source | None:
        """What a page says that its result is of; None where it has none.

        Raises:
            gradio.Error: the picture is gone, or the text is none of :meth:`Source.text`.
        """
        if not text:
            return None
        try:
            source = Source(**json.loads(text))
            kinds = tuple(type(value) for value in source[:5])
            known = kinds == (str, int, bool, str, bool) and source.side in self.sides(source.model).values()
        except (ValueError, TypeError, KeyError, RecursionError):
            known = False
        if not known:
            raise gr.Error("The page and the app do not match. Load the page again.", print_exception=False)
        path = source.path if source.path in self.examples.values() else uploaded(source.path)
        return source._replace(path=path, interventions=())

    def of(self, source: Source) -> tuple[views.Kept, dict[str, Any]]:
        """The result of a source, from the store if it is still there.

        Returns:
            What the tabs show, and the manifest: ``token`` under which the pieces lie; ``blocks``, how many; ``grid``
            ``[H, W]``; ``name`` of the picture, ``example`` (or None), ``model``, ``digest``, ``side``, ``whole``,
            ``stretch``: how it came about; ``verified`` and ``refused``: see :class:`dsp_viz.layer.Trace`; ``note`` on
            the file, or ""; ``best``: most probable class and its probability; ``changed``: whether anything was
            intervened on.

        Raises:
            ImageError: the picture cannot be read.
            InterventionError: the model has no such part.
        """
        kept = self.alive(self._tokens.get(source, ""))
        if kept is not None:
            return kept[0], kept[2]
        full, note = self.analysed(source)
        model = self.models[source.model]
        name = Path(source.path).stem
        manifest = {
            "blocks": len(full.trace.blocks),
            "grid": full.frame.grid,
            "name": name,
            "example": name if self.examples.get(name) == source.path else None,
            "model": full.model,
            "digest": full.digest,
            "verified": full.trace.verified,
            "refused": full.trace.refused,
            "side": source.side,
            "whole": source.whole,
            "stretch": source.stretch,
            "note": note,
            "best": full.top(1)[0],
            "changed": bool(source.interventions),
        }
        small = views.keep(full, model)
        token = self._store.put(views.pieces(full), (small, source, manifest))
        self._tokens[source] = token
        while len(self._tokens) > self.REMEMBERED:
            self._tokens.popitem(last=False)
        return small, manifest | {"token": token}

    def analysed(self, source: Source) -> tuple[Analysis, str]:
        """The analysis of a source, computed now, and a note on its file or ""; errors as for :meth:`of`."""
        cut, frame, note = self._fitted(source)  # in a process of its own, so others may have their turn meanwhile
        name, model = Path(source.path).name, self.models[source.model]
        with self.turn:
            return analyse_fitted(model, cut, frame, interventions=source.interventions, name=name), note

    def input(self, source: Source) -> Tensor:
        """What the model of a source takes."""
        return model_input(self.models[source.model], self._fitted(source)[0])

    def _fitted(self, source: Source) -> tuple[Image.Image, images.Frame, str]:
        patch = self.models[source.model].classifier.patch
        return self.decoder.fit(source.path, side=source.side, patch=patch, whole=source.whole, stretch=source.stretch)

    def linked(self, token: str) -> Source | None:
        """The source of a result that a link names, with what the model saw in place of the picture; None if not kept.

        The file that was uploaded, its metadata and what was cut off are the sender's only.
        """
        found = self.alive(token)
        if found is None:
            return None
        kept, source, manifest = found
        folder = Path(get_upload_folder())
        folder.mkdir(parents=True, exist_ok=True)
        path = Path(mkdtemp(dir=folder)) / f"{manifest['name']}.png"
        kept.result.picture.save(path)
        return source._replace(path=str(path), stretch=False, interventions=())

    def alive(self, token: str) -> tuple[views.Kept, Source, dict[str, Any]] | None:
        """What the tabs show of a token's result, what it is of, and its manifest; None if it is not kept."""
        found: Any = self._store.result(token)
        if found is None:
            return None
        kept, source, manifest = found[1]
        return kept, source, manifest | {"token": token}
