"""Answers of the API, kept by what they are of: the same file, asked the same way, is not computed again."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from ..interventions import to_json
from .kept import Source


class Answers:
    """The latest answers, by the bytes of the file and all else that they depend on.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, dict[str, Any]] = OrderedDict()
        self._lock = Lock()

    def of(self, source: Source, digest: str, make: Callable[[Source], dict[str, Any]]) -> dict[str, Any]:
        """The answer of a source, made where it is not kept; ``digest``: of its model's weights.

        Raises:
            Exception: whatever ``make`` raises; that is not kept.
        """
        try:
            key = hashlib.sha256(Path(source.path).read_bytes())
        except OSError:  # whoever reads the picture says what is wrong
            return make(source)
        how = (source.side, source.whole, source.model, digest, source.stretch, to_json(source.interventions))
        key.update(repr(how).encode())
        asked = key.digest()
        with self._lock:
            if asked in self._kept:
                self._kept.move_to_end(asked)
                return self._kept[asked]
        answer = make(source)
        with self._lock:
            self._kept[asked] = answer
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return answer
