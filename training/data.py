"""A folder of pictures as uint8 tensors, and the augmentation that runs on them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torchvision.datasets import ImageFolder, Imagenette
from torchvision.transforms import v2
from tqdm import tqdm

from dsp_viz.images import ImageError, read_image

from .cropping import cropped, cropped_together

#: Where ``--data imagenette`` is downloaded to.
CACHE = Path.home() / ".cache" / "dsp-attention"

#: Shares of a picture's area that a crop may take.
SCALE = (0.35, 1.0)


class DataError(ValueError):
    """A data folder that cannot be used; the message names the folder or the file."""


@dataclass(frozen=True)
class Split:
    """Pictures of some classes.

    Attributes:
        images: ``(n, 3, size, size)`` uint8. labels: ``(n,)`` int64.
        directories: names of the classes' folders. classes: what people call them.
        files: where each picture lies, ``CLASS/FILE``.
    """

    images: Tensor
    labels: Tensor
    directories: tuple[str, ...]
    classes: tuple[str, ...]
    files: tuple[str, ...] = ()

    def to(self, device: torch.device) -> "Split":
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    @property
    def digest(self) -> str:
        """Of the names of its files: what was made of these pictures says so by it."""
        return hashlib.sha256("\n".join(self.files).encode()).hexdigest()


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
    """Imagenette in the cache: downloaded and extracted elsewhere first, so that what lies there is complete.

    Raises:
        DataError: it cannot be downloaded.
    """
    root = CACHE / "imagenette2-160"
    if not root.is_dir():
        make_folder(CACHE)
        with TemporaryDirectory(dir=CACHE) as partial:
            try:
                Imagenette(partial, split="val", size="160px", download=True)
            except (OSError, RuntimeError) as error:  # no network, no room, or other bytes than were expected
                raise DataError(
                    f"Imagenette cannot be downloaded ({error}): try again, or get its 160 px archive another way, "
                    "extract it, and give that folder"
                ) from error
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
    files = tuple(Path(path).relative_to(root / split).as_posix() for path, _ in folder.samples)
    return Split(images, torch.tensor(folder.targets), tuple(folder.classes), _names(root, folder.classes), files)


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
            entries = json.loads(listing.read_text())["classes"]
            named = {entry.get("directory", entry.get("dir")): entry["name"] for entry in entries}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f'{listing} is no list of classes, {{"classes": [{{"directory": …, "name": …}}, …]}}: '
                f"{type(error).__name__}: {error}"
            ) from error
    else:
        named = {wnid: names[0] for wnid, names in Imagenette._WNID_TO_CLASS.items()}
    return tuple(named.get(d, d) for d in directories)


@dataclass(frozen=True)
class Lessons:
    """What a teacher says of some crops of every training picture, see :mod:`training.teach`.

    Attributes:
        boxes: top, left, height and width of each crop as shares of the picture, ``(n, crops, 4)`` float32.
        shares: its probabilities, ``(n, crops, classes)`` float16.
    """

    boxes: Tensor
    shares: Tensor


class Augmentation:
    """Random crops of at least 35 % of the picture, and flips.

    More would be right for long runs. In short runs for a CPU, of some twenty epochs, TrivialAugment with MixUp and
    CutMix cost six points of accuracy (docs/design.md).

    Args:
        mean, std: per channel, white is 1.
        aspect: of a crop: its width is at most this many times its height, or the other way round.
        balance: how even the draw of the classes is: a class of ``n`` pictures is drawn in proportion to
            ``n^(1 − balance)``; with 0 every picture is drawn once.
        lessons: the crops that are taken, where a teacher has seen them; else they are drawn anew each time.
        together: whether a batch is cropped at once, which is faster on a GPU and slower on a CPU.
    """

    def __init__(
        self,
        mean: Tensor,
        std: Tensor,
        *,
        aspect: float = 4 / 3,
        balance: float = 0.0,
        lessons: Lessons | None = None,
        together: bool = False,
    ) -> None:
        self.balance, self.lessons, self.together = balance, lessons, together
        self.normalise = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean.tolist(), std.tolist())])
        self.crop = v2.RandomResizedCrop(1, scale=SCALE, ratio=(1 / aspect, aspect))  # only its draws are used

    def batches(
        self, split: Split, size: int, batch: int, share: tuple[int, int] = (0, 1), *, done: int = 0
    ) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """One epoch in a random order: normalised pictures ``(batch, 3, size, size)``, their labels ``(batch,)``, and
        what a teacher says of them ``(batch, classes)``.

        Draws from torch's global generator, so a seed set before fixes the epoch, and each batch whatever was drawn for
        those before. A last partial batch is left out. With ``share = (index, count)`` a process yields its part of
        each batch, and augments with draws of its own. The first ``done`` batches are left out.
        """
        index, count = share
        order = self._order(split.labels)
        batches = order.split(batch)[: len(order) // batch]
        seeds = torch.randint(2**62, (len(batches),)).tolist()
        for chosen, seed in list(zip(batches, seeds, strict=True))[done:]:
            torch.manual_seed(seed + index)
            chosen = chosen.tensor_split(count)[index]
            images, told = self._seen(split, chosen, size)
            yield self.normalise(images), split.labels[chosen], told

    def _order(self, labels: Tensor) -> Tensor:
        if not self.balance:
            return torch.randperm(len(labels)).to(labels.device)
        near = labels.cpu()
        weights = near.bincount().double().clamp_min(1) ** -self.balance
        return torch.multinomial(weights[near], len(near), replacement=True).to(labels.device)

    def _seen(self, split: Split, chosen: Tensor, size: int) -> tuple[Tensor, Tensor | None]:
        images, told = split.images[chosen], None
        if self.lessons is None:
            boxes, flips = map(torch.stack, zip(*(self._drawn(images) for _ in range(len(images))), strict=True))
        else:
            rows = chosen.cpu()
            which = torch.randint(self.lessons.boxes.shape[1], (len(rows),))
            boxes, flips = self.lessons.boxes[rows, which], torch.rand(len(rows)) < 0.5
            told = self.lessons.shares[rows, which].to(images.device, torch.float32)
        boxes, flips = boxes.to(images.device), flips.to(images.device)
        if self.together:
            crops = cropped_together(images, boxes, size)
        else:
            crops = torch.stack([cropped(image, box, size) for image, box in zip(images, boxes, strict=True)])
        return torch.where(flips[:, None, None, None], crops.flip(-1), crops), told

    def _drawn(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """A box for one of these pictures, and whether it is flipped."""
        H, W = images.shape[-2:]
        made = self.crop.make_params([images])
        box = torch.tensor([made["top"] / H, made["left"] / W, made["height"] / H, made["width"] / W])
        return box, torch.rand(()) < 0.5
