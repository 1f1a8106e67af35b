"""The pictures of a survey: by their names only, and small."""

import io
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from ..decoding import Decoder

T = TypeVar("T")

#: What links call a picture of the survey: this, and its path within the survey's folder.
PREFIX = "survey/"

#: Longer side of a thumbnail in pixels: twice that of the screen. Bytes of them that are kept.
LONGEST, THUMBNAILS = 192, 16 * 2**20


class Recent(Generic[T]):
    """Values by name; the least recently used go first when bytes run out."""

    def __init__(self, max_bytes: int, size: Callable[[T], int]) -> None:
        self._max, self._size = max_bytes, size
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = Lock()

    def get(self, name: Hashable, make: Callable[[], T]) -> T:
        """The value of a name, made where it is not kept."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        made = make()
        with self._lock:
            self._kept[name] = made
            while len(self._kept) > 1 and sum(map(self._size, self._kept.values())) > self._max:
                self._kept.popitem(last=False)
        return made


class Pictures:
    """Those of a survey, as far as they are still in its folder; nobody can name any other file.

    Args:
        paths: relative to the folder, with ``/``. folder: None: nobody knows where it is.
    """

    def __init__(self, paths: Sequence[str], folder: Path | None) -> None:
        self.folder = None if folder is None else folder.resolve()
        self._paths = paths
        self._indices = {path: i for i, path in enumerate(paths)}
        self._thumbnails = Recent[bytes](THUMBNAILS, len)

    @cached_property
    def there(self) -> np.ndarray:
        """Which of them lay in the folder when this was first asked, by their indices."""
        if self.folder is None:
            return np.zeros(len(self._paths), bool)
        # Only looked at here, and by their names: what is sent is checked by :meth:`file`.
        return np.array([os.path.isfile(os.path.join(self.folder, path)) for path in self._paths], bool)

    def path_of(self, name: str) -> str | None:
        """The file of a picture by what links call it; None where the survey has no such, or it is gone."""
        index = self._indices.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
        return None if index is None else self.file(index)

    def name_of(self, path: str) -> str | None:
        """What links call a file, if it is a picture of the survey."""
        if self.folder is None or not Path(path).is_relative_to(self.folder):
            return None
        relative = Path(path).relative_to(self.folder).as_posix()
        return PREFIX + relative if relative in self._indices and self.path_of(PREFIX + relative) else None

    def file(self, index: int) -> str | None:
        """The file of a picture by its index; None where it is gone, or lies elsewhere."""
        if self.folder is None:
            return None
        try:
            path = self.folder / self._paths[index]
            # A survey may come from anywhere: what its paths lead to must be an ordinary file of its folder.
            return str(path) if path.resolve().is_relative_to(self.folder) and path.is_file() else None
        except (OSError, ValueError):
            return None

    def thumbnail(self, index: int, decoder: Decoder) -> bytes | None:
        """A picture as a small JPEG; None where the survey has no such, or it is gone.

        Raises:
            ImageError: it cannot be read.
        """
        path = self.file(index) if 0 <= index < len(self._paths) else None
        return None if path is None else self._thumbnails.get(index, lambda: _small(path, decoder))


def _small(path: str, decoder: Decoder) -> bytes:
    file = io.BytesIO()
    decoder.preview(path, LONGEST).picture.save(file, "JPEG", quality=80)
    return file.getvalue()
