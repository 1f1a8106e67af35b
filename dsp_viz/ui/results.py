"""Results of pictures: computed once, kept for the browsers while there is room."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import torch

from ..analysis import analyse
from ..checkpoint import LoadedModel
from ..interventions import Intervention
from ..store import Store
from . import views

#: Threads of one operation that torch takes by itself; the program then halves them, see ``app.py``.
_THREADS = torch.get_num_threads()


class Source(NamedTuple):
    """What a result is of: path of the picture, longer side in pixels, whether all of it is kept, name of the model,
    and what is changed in the pass."""

    path: str
    side: int
    whole: bool
    model: str
    interventions: tuple[Intervention, ...] = ()


class Results:
    """What the tabs show of a picture, and the manifest that lets the browser fetch the rest.

    Args:
        models: that can be asked for. examples: pictures whose results a link can always restore.
        store: where the pieces of results are kept.
    """

    #: How many results are remembered by what they are of. The store bounds what they hold.
    REMEMBERED = 64

    def __init__(self, models: Sequence[LoadedModel], examples: Sequence[Path], store: Store) -> None:
        self.models = {model.name: model for model in models}
        self.examples = {path.stem: str(path) for path in examples}
        self._store = store
        self._tokens: OrderedDict[Source, str] = OrderedDict()
        #: Held by whoever runs a model. What takes long lets go of it between its steps, so that others wait for one.
        self.turn = Lock()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """A turn for a batch of pictures, which has enough to share out among all threads, where a single one has not.

        The number is the process's, so it may be changed by whoever has the turn alone.
        """
        with self.turn:
            usual = torch.get_num_threads()
            torch.set_num_threads(_THREADS)
            try:
                yield
            finally:
                torch.set_num_threads(usual)

    def of(self, source: Source) -> tuple[views.Kept, dict[str, Any]]:
        """The result of a source, from the store if it is still there.

        Returns:
            What the tabs show, and the manifest: ``token`` under which the pieces lie; ``blocks``, how many; ``grid``
            ``[H, W]``; ``name`` of the picture, ``example`` (or None), ``model``, ``attention``, ``side``, ``whole``:
            how it came about; ``best``: most probable class and its probability; ``changed``: whether
            anything was intervened on.

        Raises:
            ImageError: the picture cannot be read.
            InterventionError: the model has no such part.
        """
        kept = self.alive(self._tokens.get(source, ""))
        if kept is not None:
            return kept[0], kept[2]
        model = self.models[source.model]
        with self.turn:
            full = analyse(model, source.path, side=source.side, whole=source.whole, interventions=source.interventions)
        name = Path(source.path).stem
        manifest = {
            "blocks": len(full.trace.blocks),
            "grid": full.frame.grid,
            "name": name,
            "example": name if self.examples.get(name) == source.path else None,
            "model": full.model,
            "attention": model.config.model.get("attention", "dsp"),
            "side": source.side,
            "whole": source.whole,
            "best": full.top(1)[0],
            "changed": bool(source.interventions),
        }
        small = views.keep(full, model)
        token = self._store.put(views.pieces(full), (small, source, manifest))
        self._tokens[source] = token
        while len(self._tokens) > self.REMEMBERED:
            self._tokens.popitem(last=False)
        return small, manifest | {"token": token}

    def alive(self, token: str) -> tuple[views.Kept, Source, dict[str, Any]] | None:
        """What the tabs show of a token's result, what it is of, and its manifest; None if it is not kept."""
        found: Any = self._store.result(token)
        if found is None:
            return None
        kept, source, manifest = found[1]
        return kept, source, manifest | {"token": token}
