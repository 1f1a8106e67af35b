"""Results that browsers fetch piece by piece, bounded in bytes."""

import secrets
from collections import OrderedDict
from threading import Lock


class Store:
    """Pieces of results under unguessable tokens; the least recently used result goes first when bytes run out.

    Args:
        max_bytes: of all pieces together. A result larger than this is kept alone.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._results: OrderedDict[str, tuple[dict[str, bytes], object]] = OrderedDict()
        self._lock = Lock()

    def put(self, pieces: dict[str, bytes], result: object = None) -> str:
        """Keep the pieces of one result, and whatever small thing goes with them; returns their token."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._results[token] = (pieces, result)
            while len(self._results) > 1 and self.size() > self.max_bytes:
                self._results.popitem(last=False)
        return token

    def get(self, token: str, piece: str) -> bytes | None:
        """A piece, or None if its result is unknown or gone."""
        with self._lock:
            if token not in self._results:
                return None
            self._results.move_to_end(token)
            return self._results[token][0].get(piece)

    def result(self, token: str) -> tuple[dict[str, bytes], object] | None:
        """All pieces of a result and what was kept with them, or None if it is unknown or gone."""
        with self._lock:
            if token not in self._results:
                return None
            self._results.move_to_end(token)
            return self._results[token]

    def size(self) -> int:
        """Bytes of all pieces."""
        return sum(len(data) for pieces, _ in self._results.values() for data in pieces.values())
