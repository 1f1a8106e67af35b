"""A data set in shards: which pictures, which file each shard goes to, and what is still to be done.

A shard is a run of the sorted list of pictures, and goes to one file, which is there whole or not at all. So work can
be stopped at any time, begun again, and shared by any number of processes that know nothing of one another.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .files import write_atomically

T = TypeVar("T")

#: Endings of the files that are taken for pictures.
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})


class Done(NamedTuple):
    """Some pictures more are done.

    Attributes:
        pictures: how many. errors: of those that could not be used, path and sentence.
        notes: what else whoever waits should know.
    """

    pictures: int
    errors: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


#: Yields how far it is, and returns what the file of a shard is to hold.
Making = Generator[Done, None, bytes]


@dataclass(frozen=True)
class Plan:
    """Pictures, and where what is found of them goes.

    Attributes:
        folder: of the pictures. files: their paths in it, with ``/``, sorted.
        target: folder of the files that are written. of: all that what is written depends on.
        size: pictures of a shard. name: of a shard's file, by its number.
    """

    folder: Path
    files: tuple[str, ...]
    target: Path
    of: dict[str, Any]
    size: int
    name: Callable[[int], str]

    @property
    def count(self) -> int:
        """Shards."""
        return -(-len(self.files) // self.size)

    def part(self, shard: int) -> tuple[str, ...]:
        """The pictures of a shard."""
        return self.files[shard * self.size : (shard + 1) * self.size]

    def path(self, shard: int) -> Path:
        """The file of a shard."""
        return self.target / self.name(shard)

    def own(self, part: tuple[int, int]) -> list[int]:
        """The shards of one of several processes, ``(which, of how many)``, which from 0."""
        return list(range(part[0], self.count, part[1]))

    def missing(self, shards: Iterable[int]) -> list[int]:
        """Those of some shards that are not written."""
        return [n for n in shards if not self.path(n).exists()]


def pictures(folder: Path, limit: int | None = None) -> tuple[str, ...]:
    """Paths of the pictures of a folder, and of those in it, relative to it, with ``/``, sorted.

    Args:
        limit: that many at most, spread over the list.

    Raises:
        ValueError: it is no folder, or holds none.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    files = sorted(path.relative_to(folder).as_posix() for path in paths)
    if not files:
        raise ValueError(f"{folder} holds no picture ({', '.join(sorted(ENDINGS))})")
    count = len(files) if limit is None else min(limit, len(files))
    return tuple(files[i * len(files) // count] for i in range(count))


def plan(
    folder: Path, files: tuple[str, ...], out: Path, *, settings: dict[str, Any], size: int, name: Callable[[int], str]
) -> Plan:
    """Where the shards of some pictures go: a folder in ``out`` whose name is the hash of all that they depend on.

    Args:
        folder, files: see :func:`pictures`. settings: what else they depend on, as JSON can hold it.
        size, name: see :class:`Plan`.
    """
    found = hashlib.sha256()
    for file in files:
        # Other pictures under the same names are others, as far as that shows without reading them.
        found.update(f"{file}\0{(folder / file).stat().st_size}\n".encode("utf-8", "surrogateescape"))
    of = settings | {"count": len(files), "pictures": found.hexdigest()}
    digest = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:12]
    return Plan(folder, files, out / digest, of, size, name)


def work(
    parts: Iterable[tuple[Path, Sequence[str]]],
    prepare: Callable[[str], T],
    make: Callable[[Iterator[T]], Making],
    *,
    workers: int,
    ahead: int,
) -> Iterator[Done]:
    """Make shards, one after the other, while the pictures of the next are prepared.

    Args:
        parts: of each shard its file and its pictures. prepare: makes a picture ready, in another thread.
        make: makes what a file is to hold of pictures that are ready.
        workers: threads that prepare. ahead: pictures that are ready, or on their way, at most.
    """
    parts = list(parts)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="picture")
    try:
        ready = _ahead(pool, prepare, (file for _, files in parts for file in files), ahead)
        for path, files in parts:
            write_atomically(path, (yield from make(islice(ready, len(files)))))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _ahead(
    pool: ThreadPoolExecutor, prepare: Callable[[str], T], files: Iterator[str], ahead: int
) -> Generator[T, None, None]:
    """In their order."""
    waiting: deque[Future[T]] = deque(pool.submit(prepare, file) for file in islice(files, ahead))
    while waiting:
        found = waiting.popleft().result()
        waiting.extend(pool.submit(prepare, file) for file in islice(files, 1))
        yield found


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
