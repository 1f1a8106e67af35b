"""Computations that go step by step, so that whoever drives them can show how far they are, or stop."""

from collections.abc import Generator
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Step(NamedTuple):
    """How much is done, of how much, and what is counted."""

    done: int
    total: int
    what: str


#: Yields how far it is and returns its result.
Steps = Generator[Step, None, T]


def finish(steps: Steps[T]) -> T:
    """The result of a computation that goes step by step."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
