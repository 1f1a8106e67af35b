"""Models in repositories of the Hugging Face hub: a pair of safetensors and JSON, as :mod:`.checkpoint` reads it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from ..config import MAX_BYTES, read_config
from ..faults import short
from ..files import CheckpointError
from ..subject import Subject
from . import checkpoint


class Address(NamedTuple):
    """``hf-hub:user/name``, or with a file of the repository behind it.

    Attributes:
        repository: ``user/name``. file: its path within, or "".
    """

    repository: str
    file: str


def address(text: str) -> Address:
    """What an address means.

    Raises:
        CheckpointError: it is none.
    """
    found = re.fullmatch(r"hf-hub:([\w.-]+/[\w.-]+)(?:/([\w./-]+))?", text, re.ASCII)
    if found is None:
        raise CheckpointError(f"{short(text)} is no address: give hf-hub:user/name, or hf-hub:user/name/FILE")
    return Address(found[1], found[2] or "")


class Repository(NamedTuple):
    """A repository of the hub.

    Attributes:
        name: ``user/name``. sizes: bytes of its files, by path; 0 where a mirror does not tell.
        reached: whether the hub was; if not, its files are those that were fetched before.
    """

    name: str
    sizes: Mapping[str, int]
    reached: bool


def load_hub(text: str) -> Subject:
    """The model of an address; it is called as its repository is.

    The config is fetched first, and the weights only where they are not larger than what it describes.

    Raises:
        CheckpointError: no such repository or file, no network and nothing kept; or as of :func:`checkpoint.load`.
    """
    repository, file = _found(text, (".safetensors",))
    beside = f"{file.removesuffix('.safetensors')}.json"
    if beside not in repository.sizes:
        raise CheckpointError(f"{repository.name} has no file {beside}: {_wanted(repository)}")
    config = read_config(_fetched(repository, beside, MAX_BYTES))
    subject = checkpoint.load(_fetched(repository, file, checkpoint.most_bytes(config.shapes().state_dict())))
    subject.name = repository.name.rpartition("/")[2]
    return subject


def fetch(text: str, endings: tuple[str, ...], most: int) -> Path:
    """A file of a repository, in the hub's cache on this machine; without a network what was fetched before.

    Args:
        text: an address. endings: of files that may be meant. most: bytes that it may hold.

    Raises:
        CheckpointError: there is none such, several may be meant, it is larger, or the hub cannot be reached.
    """
    return _fetched(*_found(text, endings), most)


def _found(text: str, endings: tuple[str, ...]) -> tuple[Repository, str]:
    """The repository of an address, and the path of the file in it that is meant.

    Raises:
        CheckpointError: there is none such, or several may be meant.
    """
    name, file = address(text)
    repository = _listed(name)
    meant = [path for path in repository.sizes if path.endswith(endings)]
    if file:
        if file in meant:
            return repository, file
        if file in repository.sizes:
            raise CheckpointError(f"{file} of {name} does not end in {' or '.join(endings)}: {_wanted(repository)}")
        there = f"it has {', '.join(meant[:5])}" if meant else _wanted(repository)
        raise CheckpointError(f"{name} has no file {file}: {there}")
    if len(meant) != 1:
        listed = f"{len(meant)} files ({', '.join(meant[:5])})" if meant else "no file"
        raise CheckpointError(
            f"{name} has {listed} that end in {' or '.join(endings)}: give one, as hf-hub:{name}/FILE"
        )
    return repository, meant[0]


def _wanted(repository: Repository) -> str:
    return (
        "a model is NAME.safetensors with NAME.json beside it; official files are converted, by "
        f"`python -m dsp_viz convert hf-hub:{repository.name}/FILE --out NAME.safetensors`"
    )


def _fetched(repository: Repository, file: str, most: int) -> Path:
    """
    Raises:
        CheckpointError: it is larger than that, and nothing of it was fetched; or the hub cannot be reached.
    """
    if (size := repository.sizes[file]) > most:
        raise CheckpointError(f"{file} of {repository.name} holds {size:,} bytes; at most {most:,} are fetched")
    endpoint = os.environ.get("HF_ENDPOINT")
    try:
        return Path(hf_hub_download(repository.name, file, endpoint=endpoint, local_files_only=not repository.reached))
    except Exception as error:  # its HTTP library, which changed between releases, has its own
        raise _told(repository.name, error) from error


def _listed(name: str) -> Repository:
    """
    Raises:
        CheckpointError: there is no such repository, or the hub cannot be reached and nothing was fetched before.
    """
    try:
        found = HfApi(endpoint=os.environ.get("HF_ENDPOINT")).model_info(name, files_metadata=True)
        return Repository(name, {file.rfilename: file.size or 0 for file in found.siblings or []}, True)
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise _told(name, error) from error
    except Exception as error:  # as above
        try:
            kept = Path(snapshot_download(name, local_files_only=True))
        except LocalEntryNotFoundError:
            raise _told(name, error) from error
        sizes = {path.relative_to(kept).as_posix(): path.stat().st_size for path in kept.rglob("*") if path.is_file()}
        return Repository(name, sizes, False)


def _told(repository: str, error: Exception) -> CheckpointError:
    """A sentence for what went wrong at the hub."""
    if isinstance(error, GatedRepoError):
        return CheckpointError(f"{repository} asks for permission: accept its terms at the hub, then `hf auth login`")
    if isinstance(error, RepositoryNotFoundError):
        return CheckpointError(
            f"the hub has no repository {repository} that you may read: check its name; for a private one `hf auth "
            "login`"
        )
    if isinstance(error, HFValidationError):
        return CheckpointError(f"{short(repository)} is no name of a repository: give hf-hub:user/name")
    return CheckpointError(
        f"{repository} cannot be fetched from the hub ({type(error).__name__}): check the network, or fetch its files "
        "elsewhere and give the path of NAME.safetensors with NAME.json beside it"
    )
