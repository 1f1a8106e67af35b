"""Keeps results that browsers fetch piece by piece, within a number of bytes."""

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


def new_token() -> str:
    """A name that nobody can guess."""
    return secrets.token_urlsafe(16)


class Store(Generic[T]):
    """Pieces of results, and a small thing that goes with each; the least recently used go first when bytes run out.

    Args:
        max_bytes: of all pieces together. A larger result is kept, and nothing beside it.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._results: OrderedDict[str, tuple[Mapping[str, bytes], T]] = OrderedDict()
        self._lock = Lock()

    def put(self, token: str, pieces: Mapping[str, bytes], result: T) -> None:
        """Keep a result: its pieces, and whatever small thing goes with them."""
        with self._lock:
            self._results[token] = (pieces, result)
            while len(self._results) > 1 and self.size() > self.max_bytes:
                self._results.popitem(last=False)

    def get(self, token: str) -> tuple[Mapping[str, bytes], T] | None:
        """The pieces of a result and what goes with them; None if it is unknown or gone."""
        with self._lock:
            if token not in self._results:
                return None
            self._results.move_to_end(token)
            return self._results[token]

    def size(self) -> int:
        """Bytes of all pieces."""
        return sum(len(data) for pieces, _ in self._results.values() for data in pieces.values())
