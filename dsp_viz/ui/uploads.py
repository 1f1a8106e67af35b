"""The folder of the uploads: how much is in it, and what goes when."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from shutil import disk_usage
from tempfile import gettempdir, mkdtemp
from threading import Lock

import gradio as gr
from gradio.utils import get_upload_folder

#: Seconds between two looks at how much is in the folder; in between what comes in is added up.
LOOK = 10.0

#: Seconds that a file may be ahead of the clock: more, and the clock has been set back.
AHEAD = 60.0


#: What Gradio calls the folder of a file: its SHA-256; and we that of what a link shows. Nothing else is removed: the
#: folder of uploads may be one that other programs use too.
_OWN = re.compile(r"[0-9a-f]{64}|dsp-viz-\w{8}")

#: What Gradio calls an upload that is on its way, and what one that broke off leaves.
_COMING = re.compile(r"tmp\w{8}")


def new_folder() -> Path:
    """A folder within that of the uploads, which goes as they do."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return Path(mkdtemp(prefix="dsp-viz-", dir=folder))


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


def _folders(folder: Path) -> Iterator[Path]:
    """Those of uploads, not links to others."""
    for each in folder.glob("*/"):
        if _OWN.fullmatch(each.name) and not each.is_symlink():
            yield each


def files(folder: Path) -> Iterator[tuple[Path, int, float]]:
    """All files of uploads: path, bytes, and when it was last used. Links are not followed."""
    found = [Path(where) / name for own in _folders(folder) for where, _, names in os.walk(own) for name in names]
    # In the folder that all programs share, a file of such a name may be anybody's.
    if folder.absolute() != Path(gettempdir()).absolute():
        found += [path for path in folder.glob("tmp*") if _COMING.fullmatch(path.name) and path.is_file()]
    for path in found:
        with suppress(OSError):  # it has gone meanwhile
            about = os.lstat(path)
            yield path, about.st_size, about.st_mtime


def sweep(folder: Path, age: float) -> None:
    """Remove uploads that were not used for ``age`` seconds, and their folders once they are empty and as old.

    Gradio removes only what this very process took in. What lies ahead of the clock, which was set back, is dated anew.

    Args:
        folder: of the uploads. age: in seconds.
    """
    now = time.time()
    for path, _, used in files(folder):
        with suppress(OSError):  # somebody else's
            if used > now + AHEAD:
                os.utime(path)
            elif now - used > age:
                path.unlink()
    for own in _folders(folder):
        for each in sorted((own, *own.glob("**/")), reverse=True):
            with suppress(OSError):  # it is not empty, or somebody else's
                if not each.is_symlink() and abs(now - each.stat().st_mtime) > age:
                    each.rmdir()


def _existing(folder: str) -> Path:
    """The folder, or the nearest above it that exists: that of the uploads is made for the first of them."""
    path = Path(folder).absolute()
    return next(each for each in (path, *path.parents) if each.exists())


def forget_gone(demo: gr.Blocks) -> None:
    """Gradio keeps the names of all files that it would remove at the end: those that are gone may go."""
    for names in demo.temp_file_sets:
        # At once, in C: others add to it meanwhile.
        names.difference_update([name for name in tuple(names) if not Path(name).exists()])
