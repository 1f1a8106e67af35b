"""The folder of the uploads: how much is in it, and what goes when."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from shutil import disk_usage
from threading import Lock

from gradio.utils import get_upload_folder

#: Seconds between two looks at how much is in the folder; in between what comes in is added up.
LOOK = 10.0

#: Seconds that a file may be ahead of the clock: more, and the clock has been set back.
AHEAD = 60.0


class Room:
    """Whether there is room for another upload.

    Args:
        most: bytes of all uploads. spare: bytes of the disk that they leave free.
    """

    def __init__(self, most: int, spare: int) -> None:
        self._most, self._spare = most, spare
        self._lock = Lock()
        self._bytes, self._looked = 0, -LOOK

    def has(self, more: int) -> bool:
        """Whether so many bytes may come in; if so they count from now on."""
        folder = _existing(get_upload_folder())
        with suppress(OSError):
            if disk_usage(folder).free < self._spare + more:
                return False
        with self._lock:
            if time.monotonic() - self._looked >= LOOK:
                self._bytes, self._looked = (
                    sum(size for _, size, _ in files(Path(get_upload_folder()))),
                    time.monotonic(),
                )
            if self._bytes + more > self._most:
                return False
            self._bytes += more
        return True


def files(folder: Path) -> Iterator[tuple[Path, int, float]]:
    """All files of uploads: path, bytes, and when it was last used. Links are not followed."""
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it has gone meanwhile
                found = os.lstat(os.path.join(where, name))
                yield Path(where) / name, found.st_size, found.st_mtime


def sweep(folder: Path, age: float, kept: Collection[str] = ()) -> None:
    """Remove files that were not used for ``age`` seconds, and empty folders as old.

    Gradio removes only what this very process took in. What lies ahead of the clock, which was set back, is dated anew.

    Args:
        folder: of the uploads. age: in seconds. kept: files that stay, such as Gradio's copies of the examples.
    """
    now, staying = time.time(), {os.path.abspath(path) for path in kept}
    for path, _, used in files(folder):
        if os.path.abspath(path) in staying:
            continue
        with suppress(OSError):  # somebody else's
            if used > now + AHEAD:
                os.utime(path)
            elif now - used > age and (path.parent != folder or path.name.startswith("tmp")):
                path.unlink()
    for each in sorted(folder.glob("*/**/"), reverse=True):
        with suppress(OSError):  # it is not empty, or somebody else's
            if not each.is_symlink() and abs(now - each.stat().st_mtime) > age:
                each.rmdir()


def _existing(folder: str) -> Path:
    """The folder, or the nearest above it that exists: that of the uploads is made for the first of them."""
    path = Path(folder).absolute()
    return next(each for each in (path, *path.parents) if each.exists())
