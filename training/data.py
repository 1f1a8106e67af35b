"""A folder of pictures as uint8 tensors, and the augmentation that runs on them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torchvision.datasets import ImageFolder, Imagenette
from torchvision.transforms import v2
from tqdm import tqdm

from dsp_viz.images import ImageError, read_image

#: Where ``--data imagenette`` is downloaded to.
CACHE = Path.home() / ".cache" / "dsp-attention"


class DataError(ValueError):
    """A data folder that cannot be used; the message names the folder or the file."""


@dataclass(frozen=True)
class Split:
    """Pictures ``(n, 3, size, size)`` uint8, labels ``(n,)`` int64, folder names and display names of the classes."""

    images: Tensor
    labels: Tensor
    directories: tuple[str, ...]
    classes: tuple[str, ...]

    def to(self, device: torch.device) -> "Split":
        return Split(self.images.to(device), self.labels.to(device), self.directories, self.classes)


def resolve(data: str) -> Path:
    """The root of a data set: a folder with ``train/`` and ``val/``, or ``imagenette``, which is downloaded.

    Raises:
        DataError: the folder lacks ``train/`` or ``val/``.
    """
    if data == "imagenette":
        return _downloaded()
    root = Path(data)
    for split in ("train", "val"):
        if not (root / split).is_dir():
            raise DataError(f"{root} has no folder {split}/; expected {root}/train/CLASS/… and {root}/val/CLASS/…")
    return root


def _downloaded() -> Path:
    """Imagenette in the cache: downloaded and extracted elsewhere first, so that what lies there is complete."""
    root = CACHE / "imagenette2-160"
    if not root.is_dir():
        make_folder(CACHE)
        with TemporaryDirectory(dir=CACHE) as partial:
            Imagenette(partial, split="val", size="160px", download=True)
            try:
                (Path(partial) / root.name).rename(root)
            except OSError:
                if not root.is_dir():  # or else another process was faster
                    raise
    return root


def make_folder(path: Path) -> None:
    """Make a folder, and those above it.

    Raises:
        DataError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path} is no folder that can be made ({error.strerror}): give another") from error


def read_split(root: Path, split: str, size: int) -> Split:
    """Decode ``root/split/CLASS/*`` once: shorter side to ``size``, centre crop.

    Raises:
        DataError: no pictures, or one that cannot be decoded (it is named).
    """
    try:
        folder = ImageFolder(root / split)
    except FileNotFoundError as error:
        raise DataError(f"{root / split}: {error}") from error
    fit = v2.Compose([v2.Resize(size), v2.CenterCrop(size), v2.PILToTensor()])
    images = torch.empty(len(folder), 3, size, size, dtype=torch.uint8)
    for i, (path, _) in enumerate(tqdm(folder.samples, desc=f"reading {split}", leave=False, disable=None)):
        try:
            images[i] = fit(read_image(path))
        except ImageError as error:
            raise DataError(f"{path} cannot be read: {error}") from error
    return Split(images, torch.tensor(folder.targets), tuple(folder.classes), _names(root, folder.classes))


def read_splits(root: Path, size: int) -> tuple[Split, Split]:
    """``train`` and ``val`` of a data folder, see :func:`read_split`.

    Raises:
        DataError: as there, or the two hold different classes.
    """
    train, val = read_split(root, "train", size), read_split(root, "val", size)
    if train.directories != val.directories:
        raise DataError(f"{root}: train/ and val/ hold different classes")
    return train, val


def _names(root: Path, directories: list[str]) -> tuple[str, ...]:
    listing = root / "classes.json"
    if listing.is_file():
        try:
            named = {entry["dir"]: entry["name"] for entry in json.loads(listing.read_text())["classes"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f'{listing} is no list of classes, {{"classes": [{{"dir": …, "name": …}}, …]}}: '
                f"{type(error).__name__}: {error}"
            ) from error
    else:
        named = {wnid: names[0] for wnid, names in Imagenette._WNID_TO_CLASS.items()}
    return tuple(named.get(d, d) for d in directories)


class Augmentation:
    """Random crops of at least 35 % of the picture, and flips.

    More would be right for long runs. In short runs for a CPU, of some twenty epochs, TrivialAugment with MixUp and
    CutMix cost six points of accuracy (docs/design.md).

    Pictures are cropped one by one on a CPU; on a GPU, where launches dominate, ``group`` pictures share a draw.

    Args:
        mean, std: per channel, white is 1. group: pictures that share a draw.
    """

    def __init__(self, mean: Tensor, std: Tensor, *, group: int) -> None:
        self.group = group
        self.normalise = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean.tolist(), std.tolist())])

    def batches(
        self, split: Split, size: int, batch: int, share: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in a random order: normalised pictures ``(batch, 3, size, size)`` and their labels ``(batch,)``.

        Draws from torch's global generator, so a seed set before fixes the epoch. A last partial batch is left out.
        With ``share = (index, count)`` a process yields its part of each batch, and augments with draws of its own.
        """
        index, count = share
        crop = v2.Compose([v2.RandomResizedCrop(size, scale=(0.35, 1.0), antialias=True), v2.RandomHorizontalFlip()])
        order = torch.randperm(len(split.labels)).to(split.labels.device)
        if index:
            torch.manual_seed(torch.initial_seed() + index)
        for chosen in order.split(batch):
            if len(chosen) < batch:
                return
            chosen = chosen.tensor_split(count)[index]
            groups = split.images[chosen].split(self.group)
            yield self.normalise(torch.cat([crop(g) for g in groups])), split.labels[chosen]
