"""Errors about what came from outside, and its values cut short enough for the sentence of one."""

import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .subject import Subject

#: Characters of a foreign value that an error repeats.
SHOWN = 60

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = SHOWN


class InterventionError(ValueError):
    """An intervention that is unknown, or that the model has no part for; the message says what is allowed."""


class ModelError(ValueError):
    """A model that fails on a picture as it was asked to see it; the message says how, and what to do."""


@contextmanager
def running(model: "Subject", side: int, *, whole: bool = False) -> Iterator[None]:
    """Where a model runs: somebody's own network may raise anything.

    Args:
        model: that runs. side, whole: of the picture, see :meth:`dsp_viz.subject.Subject.prepare`.

    Raises:
        ModelError: in place of what is raised within, but for a ValueError or OSError.
    """
    try:
        yield
    except (ValueError, OSError):
        raise
    except Exception as error:
        raise ModelError(failure(model, side, error, whole=whole)) from error


def failure(model: "Subject", side: int, error: Exception, *, whole: bool) -> str:
    """What to say of a model that failed: how, and what to do."""
    said = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])[:240]
    usual = model.preparation.side
    size = " of the whole picture" if whole else ""
    remedy = f" It was made for {usual} px of a picture's middle: choose these." if whole or side != usual else ""
    return f"{model.name} fails at {side} px{size} ({said}).{remedy}"


def short(value: object) -> str:
    """What a value looks like, in at most :data:`SHOWN` characters; of a large one only the start is looked at."""
    try:
        return _repr.repr(value)[:SHOWN]
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return f"a {type(value).__name__} too large to be written"


def place(parts: Iterable[int | str]) -> str:
    """Where in a document something is, such as ``0.restrict.grid``, in at most :data:`SHOWN` characters."""
    return ".".join(str(part)[:SHOWN] for part in parts)[:SHOWN]
