"""Errors about what came from outside, and its values cut short enough for the sentence of one."""

import reprlib
from collections.abc import Iterable

#: Characters of a foreign value that an error repeats.
SHOWN = 60

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = SHOWN


class InterventionError(ValueError):
    """An intervention that is unknown, or that the model has no part for; the message says what is allowed."""


def short(value: object) -> str:
    """What a value looks like, in at most :data:`SHOWN` characters; of a large one only the start is looked at."""
    try:
        return _repr.repr(value)[:SHOWN]
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return f"a {type(value).__name__} too large to be written"


def place(parts: Iterable[int | str]) -> str:
    """Where in a document something is, such as ``0.restrict.grid``, in at most :data:`SHOWN` characters."""
    return ".".join(str(part)[:SHOWN] for part in parts)[:SHOWN]
