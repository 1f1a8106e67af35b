"""Models in repositories of the Hugging Face hub: a pair of safetensors and JSON, as :mod:`.checkpoint` reads it."""

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

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


def load_hub(text: str) -> Subject:
    """The model of an address; it is called as its repository is.

    Raises:
        CheckpointError: no such repository or file, no network and nothing kept; or as of :func:`checkpoint.load`.
    """
    path = fetch(text, (".safetensors",), beside=".json")
    subject = checkpoint.load(path)
    subject.name = address(text).repository.rpartition("/")[2]
    return subject


def fetch(text: str, endings: Collection[str], *, beside: str = "") -> Path:
    """A file of a repository, in the hub's cache on this machine; without a network what was fetched before.

    Args:
        text: an address. endings: of files that may be meant where it names none.
        beside: ending of a file of the same name that is needed too, and will lie beside it.

    Raises:
        CheckpointError: there is none such, several may be meant, or the hub cannot be reached.
    """
    repository, file = address(text)
    names, reached = _names(repository)
    if not file:
        meant = [name for name in names if name.endswith(tuple(endings))]
        if len(meant) != 1:
            listed = f"{len(meant)} files ({', '.join(meant[:5])})" if meant else "no file"
            raise CheckpointError(
                f"{repository} has {listed} that end in {' or '.join(endings)}: give one, as hf-hub:{repository}/FILE"
            )
        file = meant[0]
    wanted = [file, *([f"{file.removesuffix(Path(file).suffix)}{beside}"] if beside else [])]
    for name in wanted:
        if name not in names:
            raise CheckpointError(
                f"{repository} has no file {name}: a model is NAME.safetensors with NAME.json beside it; official "
                f"files are converted, by `python -m dsp_viz convert hf-hub:{repository}/FILE --out NAME.safetensors`"
            )
    endpoint = os.environ.get("HF_ENDPOINT")
    try:
        path, *_ = [
            hf_hub_download(repository, name, endpoint=endpoint, local_files_only=not reached) for name in wanted
        ]
    except Exception as error:  # its HTTP library, which changed between releases, has its own
        raise _told(repository, error) from error
    return Path(path)


def _names(repository: str) -> tuple[list[str], bool]:
    """Files of a repository, and whether the hub was reached; if not, files that were fetched before.

    Raises:
        CheckpointError: there is no such repository, or the hub cannot be reached and nothing was fetched before.
    """
    try:
        found = HfApi(endpoint=os.environ.get("HF_ENDPOINT")).model_info(repository)
        return [sibling.rfilename for sibling in found.siblings or []], True
    except (HFValidationError, RepositoryNotFoundError) as error:
        raise _told(repository, error) from error
    except Exception as error:  # as above
        try:
            kept = Path(snapshot_download(repository, local_files_only=True))
        except LocalEntryNotFoundError:
            raise _told(repository, error) from error
        return [path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()], False


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
