"""The files of a checkpoint: only regular files of limited size are read, and a file is written whole or not at all."""

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or does not fit the model its config describes."""


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """A file to be read, never waited for: a named pipe, a device or a folder is refused.

    Raises:
        CheckpointError: it is missing, no regular file, or cannot be read.
    """
    told = str(path)[:300]
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CheckpointError(f"{told} is no regular file: a folder, a pipe or a device is not read")
            yield file
    except OSError as error:
        raise CheckpointError(f"{told} cannot be read: {error.strerror or error}") from error


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a regular file; no more than it says it holds are read.

    Args:
        path: of the file. most: bytes that it may hold.

    Raises:
        CheckpointError: as of :func:`open_regular`, or it is larger than that.
    """
    told = str(path)[:300]
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise CheckpointError(f"{told} holds {size:,} bytes; at most {most:,} are read")
        data = file.read(size + 1)
    if len(data) != size:
        raise CheckpointError(f"{told} changed while it was read: try again")
    return data


def _without_waiting(path: str, flags: int) -> int:
    """Opening a named pipe would else wait for whoever writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary file to write to, which then gets its name: whole or not at all, whoever else writes the same file.

    Raises:
        OSError: the file cannot be written; what was there before is untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # before it has its name: a name that is there stands for a file that is whole
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file as :func:`replacing` does.

    Raises:
        CheckpointError: the file cannot be written; what was there before is untouched.
    """
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        told = f"cannot write {path}: {error.strerror}; the last good file is untouched"
        raise CheckpointError(told) from error


def numbered(paths: Iterable[Path]) -> list[str]:
    """The stems of files; equal ones are numbered, also where only case differs."""
    taken: set[str] = set()
    names = []
    for path in paths:
        name, number = path.stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names
