"""Passes of the models for all visitors: in fair turns, and pictures that wait at the same time in one pass."""

import logging
from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple
from weakref import WeakKeyDictionary

from ..analysis import Analysis, analyse_prepared, analyse_together
from ..interventions import Intervention
from ..subject import Prepared, Subject
from .turns import Turns

_log = logging.getLogger("dsp_viz")

#: Pixels of the pictures that one pass takes: eight of 128 × 128. More gain nothing, and take memory.
PIXELS = 8 * 128 * 128

#: How far the logits of a picture among others may be from those that it has alone, as a share of the largest.
LIMIT = 1e-4


class _Picture(NamedTuple):
    prepared: Prepared
    name: str


class Passes:
    """Analyses of pictures, asked for by many threads at once.

    Args:
        turns: of whoever runs a model.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        #: Of each model whether its pictures run together as they do alone.
        self._apart: WeakKeyDictionary[Subject, bool] = WeakKeyDictionary()
        self._lock = Lock()

    def analysed(
        self, model: Subject, prepared: Prepared, interventions: tuple[Intervention, ...], name: str
    ) -> Analysis:
        """See :func:`dsp_viz.analysis.analyse_prepared`, and its errors."""
        if interventions:
            with self._turns.turn():
                return analyse_prepared(model, prepared, interventions=interventions, name=name)
        height, width = prepared.input.shape[-2:]
        most = max(1, PIXELS // (height * width))
        return self._turns.together(
            (id(model), height, width),
            _Picture(prepared, name),
            lambda pictures: self._run(model, pictures),
            most=most if self._known(model) is not False else 1,
        )

    def _known(self, model: Subject) -> bool | None:
        with self._lock:
            return self._apart.get(model)

    def _run(self, model: Subject, pictures: Sequence[_Picture]) -> list[Analysis]:
        known = self._known(model)
        if len(pictures) == 1 or known is False:
            return [analyse_prepared(model, one.prepared, name=one.name) for one in pictures]
        found = analyse_together(model, [one.prepared for one in pictures], names=[one.name for one in pictures])
        if known:
            return found
        # A network of somebody's own may mix its samples: once, each is asked alone too.
        alone = [analyse_prepared(model, one.prepared, name=one.name) for one in pictures]
        same = all(_gap(a, b) <= LIMIT for a, b in zip(alone, found, strict=True))
        with self._lock:
            self._apart[model] = same
        if not same:
            _log.warning("%s gives a picture another answer among others: its pictures run one by one", model.name)
        return alone


def _gap(alone: Analysis, together: Analysis) -> float:
    """The largest difference between two logits, as a share of the largest."""
    want, got = alone.trace.output, together.trace.output
    return float((want - got).abs().max() / want.abs().max().clamp_min(1e-12))
