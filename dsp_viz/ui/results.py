"""Results of pictures: computed once, kept for the browsers while there is room."""

import json
import logging
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from dsp_attention import DynamicSpectralPolarityAttention, PolaFormerAttention

from ..analysis import Analysis
from ..decoding import Decoder
from ..faults import ModelError, failure
from ..files import numbered
from ..interventions import InterventionError
from ..kinds import kind_of
from ..store import Store, new_token
from ..subject import MAX_SIDE, Prepared, Subject
from .kept import Kept, Manifest, Source, keep, pieces
from .limits import USUAL, Limits
from .passes import Passes
from .picture import uploaded
from .turns import Turns
from .uploads import new_folder

if TYPE_CHECKING:  # it needs pyarrow, which few have
    from .surveyed import Surveyed

_log = logging.getLogger("dsp_viz")

#: What the choice of a class says where none was picked.
MOST_PROBABLE = "the most probable"

#: Sides that are offered, in units of what a model was trained for.
SIZES = (1, 2, 4)

#: And, up to so many pixels, of models all of whose attention is linear: 16,384 tokens of 8 pixels, whose every map is
#: 1 GB if it is made, or 65,536 of 4, and 17 GB.
LARGE, LARGEST = 8, 1024


class Results:
    """What is kept of a picture, by what it is of.

    A page holds what its result is of, as text, and sends it along. So nothing of a visitor has to be remembered here,
    and whatever was forgotten is computed again.

    Args:
        models: that can be asked for. examples: pictures whose results a link can always restore.
        store: where the pieces of results are kept. surveyed: a survey whose pictures can be asked for, or None.
        limits: of the server.
    """

    #: How many results are remembered by what they are of: several pictures of several pages. The store bounds what
    #: they hold.
    REMEMBERED = 512

    def __init__(
        self,
        models: Sequence[Subject],
        examples: Sequence[Path],
        store: Store[Kept],
        surveyed: "Surveyed | None" = None,
        limits: Limits = USUAL,
    ) -> None:
        self.limits = limits
        self.models = {model.name: model for model in models}
        self._sides = {name: _sides_of(model, large=limits.large) for name, model in self.models.items()}
        self.examples = dict(zip(numbered(examples), map(str, examples), strict=True))
        self._names = {path: name for name, path in self.examples.items()}
        self.surveyed = surveyed
        self.decoder = Decoder()
        self._store = store
        self._tokens: OrderedDict[Source, str] = OrderedDict()
        #: Of whoever runs a model. What takes long lets go between its steps.
        self.turns = Turns()
        self._passes = Passes(self.turns)

    def sides(self, model: str) -> dict[str, int]:
        """Sides that are offered for a model, in pixels, by what the screen calls them."""
        return self._sides[model]

    def side_like(self, model: str, other: str, side: int) -> int:
        """The side of a model that stands for one of another model's: the same multiple of what it was made for."""
        sides, theirs = (list(self.sides(name).values()) for name in (model, other))
        return sides[min(theirs.index(side), len(sides) - 1)]

    def named(self, name: str) -> str | None:
        """The file of an example, or of a picture of the survey, by what links call it; None where there is none."""
        if name in self.examples:
            return self.examples[name]
        return None if self.surveyed is None else self.surveyed.pictures.path_of(name)

    def name_of(self, path: str) -> str | None:
        """What links call a file, if it is offered to everybody: an example, or a picture of the survey."""
        if path in self._names:
            return self._names[path]
        return None if self.surveyed is None else self.surveyed.pictures.name_of(path)

    def is_surveyed(self, path: str) -> bool:
        """Whether a file is a picture of the survey."""
        return self.surveyed is not None and self.surveyed.pictures.name_of(path) is not None

    def usual(self, source: Source) -> Source:
        """The same picture as its model was made to see it: at its own side, and the middle."""
        return source._replace(side=self.models[source.model].preparation.side, whole=False)

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
        path = source.path if self.name_of(source.path) is not None else uploaded(source.path)
        return source._replace(path=path, interventions=())

    def of(self, source: Source) -> Kept:
        """The result of a source, from the store if it is still there.

        Raises:
            ImageError: the picture cannot be read.
            InterventionError: the model has no such part.
            ModelError: the model fails.
        """
        kept = self.alive(self._tokens.get(source, ""))
        if kept is not None:
            return kept
        full, note = self.analysed(source)
        manifest = Manifest.of(
            full,
            token=new_token(),
            example=self.name_of(source.path),
            side=source.side,
            whole=source.whole,
            stretch=source.stretch,
            note=note,
        )
        kept = keep(full, self.models[source.model], source, manifest)
        self._store.put(manifest.token, pieces(full), kept)
        self._tokens[source] = manifest.token
        while len(self._tokens) > self.REMEMBERED:
            self._tokens.popitem(last=False)
        return kept

    def analysed(self, source: Source) -> tuple[Analysis, str]:
        """The analysis of a source, computed now, and a note on its file or ""; errors as for :meth:`of`."""
        prepared = self.prepared(source)  # in a process of its own, so others may have their turn meanwhile
        name, model = Path(source.path).name, self.models[source.model]
        try:
            return self._passes.analysed(model, prepared, source.interventions, name), prepared.note
        except InterventionError:
            raise
        except Exception as error:  # somebody's own network may raise anything
            _log.warning("%s failed at %s px: %s: %.300s", model.name, source.side, type(error).__name__, error)
            raise ModelError(failure(model, source.side, error, whole=source.whole)) from error

    def prepared(self, source: Source) -> Prepared:
        """The picture of a source as its model sees it; errors as for :meth:`of`."""
        model = self.models[source.model]
        whole = source.whole and not model.preparation.fixed  # a link, or another model's choice, may ask for it
        return model.prepare(source.path, side=source.side, whole=whole, stretch=source.stretch, decoder=self.decoder)

    def size(self, kept: Kept) -> int:
        """Bytes of the factors of a result; 0 where they are no longer kept."""
        pieces, _ = self._store.get(kept.manifest.token) or ({}, None)
        return sum(len(pieces.get(str(i), b"")) for i in range(kept.manifest.blocks))

    def room(self, kept: Kept) -> int:
        """How many results as large as this one a page may have at once, at least 1: they fill half of the store."""
        return max(1, self._store.max_bytes // max(1, 2 * self.size(kept)))

    def target(self, model: str, choice: str) -> int | None:
        """Index of the class that was picked; None for the most probable one, or where the model has none so named."""
        classes = self.models[model].classes
        return classes.index(choice) if choice in classes else None

    def linked(self, token: str) -> Source | None:
        """The source of a result that a link names, with what the model saw in place of the picture; None if not kept.

        The file that was uploaded, its metadata and what was cut off are the sender's only.
        """
        kept = self.alive(token)
        if kept is None:
            return None
        path = new_folder() / f"{kept.manifest.name}.png"
        kept.result.picture.save(path)
        return kept.source._replace(path=str(path), stretch=False, interventions=())

    def alive(self, token: str) -> Kept | None:
        """What is kept of a token's result; None if nothing is."""
        found = self._store.get(token)
        return None if found is None else found[1]


def _sides_of(model: Subject, *, large: bool) -> dict[str, int]:
    own, fixed = model.preparation.side, model.preparation.fixed
    linear = (DynamicSpectralPolarityAttention, PolaFormerAttention)
    known = [module for module in model.modules() if kind_of(module) is not None]
    if large and own * LARGE <= LARGEST and known and all(isinstance(layer, linear) for layer in known):
        factors: tuple[int, ...] = (*SIZES, LARGE)
    else:
        factors = SIZES
    sizes = [n * own for n in factors if n == 1 or (n * own <= MAX_SIDE and not fixed)]
    return {f"{size} px": size for size in sizes}
