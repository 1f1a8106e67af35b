"""What each open page asked for last. Only a help: a page that is forgotten here still sends what it shows."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from .kept import Source


@dataclass
class Page:
    """What a page is about once all that it asked for is answered; None where nothing was asked for yet.

    Attributes:
        looked: what else was chosen when it asked: the tab, and what it shows of the result.
    """

    source: Source | None = None
    looked: tuple[Any, ...] | None = None
    turn: Lock = field(default_factory=Lock)


class Pages:
    """The pages by their session; when there are many, the least recently used are forgotten.

    Somebody who picks a picture and then a size, before the picture is there, means the new picture: the page sends
    what it shows, which is the old one. So what a page asks for is answered in turn, each knowing what the last was.
    """

    #: How many are remembered.
    LIMIT = 2000

    def __init__(self) -> None:
        self._pages: OrderedDict[str, Page] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def turn(self, session: str | None) -> Iterator[Page]:
        """The page of a session, for its next request only."""
        with self._lock:
            page = self._pages.setdefault(session or "", Page())
            self._pages.move_to_end(session or "")
            while len(self._pages) > self.LIMIT:
                self._pages.popitem(last=False)
        with page.turn:
            yield page
