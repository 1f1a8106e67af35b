"""How good a model is on a validation split: ``python -m training.evaluate --model NAME --data DIR``.

Prints the confusion matrix, or the most frequent confusions of many classes; then a table of the groups of classes, of
parts of the split, and of all of it; and the top-1 accuracy last. With ``--examples DIR`` also what it says of each
picture there.
"""

import argparse
import csv
import io
import json
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as TF
from tqdm import tqdm

from dsp_viz.analysis import analyse
from dsp_viz.files import CheckpointError, write_atomically
from dsp_viz.images import ImageError
from dsp_viz.memory import keep_freed_memory
from dsp_viz.sources.checkpoint import load
from dsp_viz.subject import Subject, probabilities

from .data import DataError, Split, read_split, resolve

#: Classes whose confusion matrix is printed; of more, :data:`PAIRS` are.
SHOWN = 20

#: Confusions that are printed of many classes, the most frequent first.
PAIRS = 15


@torch.inference_mode()
def logits(model: nn.Module, split: Split, size: int, mean: Tensor, std: Tensor, *, batch: int = 128) -> Tensor:
    """Logits of every picture of a split, resized to ``size``, ``(n, num_classes)``."""
    outputs = []
    for images in tqdm(split.images.split(batch), desc="evaluating", leave=False, disable=None):
        outputs.append(model(preprocess(images, size, mean, std)))
    return torch.cat(outputs)


def preprocess(images: Tensor, size: int, mean: Tensor, std: Tensor) -> Tensor:
    """Square pictures uint8 → model input of side ``size``; ``mean`` and ``std`` per channel, white is 1."""
    if images.shape[-1] != size:
        images = TF.resize(images, [size, size], antialias=True)
    return TF.normalize(TF.to_dtype(images, torch.float32, scale=True), mean.tolist(), std.tolist())


def validation(name: str, data: str) -> tuple[Subject, Split, Tensor]:
    """A model of a checkpoint, a validation split, and its logits there in float64, ``(n, classes)``.

    Raises:
        CheckpointError, DataError: one of them cannot be read, or their classes differ.
    """
    model = load(name)
    config = model.config
    assert config is not None  # it has a file
    split = read_split(resolve(data), "val", config.image_size)
    if split.directories != config.directories:
        raise DataError(
            f"the data's {len(split.directories)} classes are not the model's {len(config.directories)}: "
            f"{', '.join(sorted(set(split.directories) ^ set(config.directories))[:5]) or 'another order'}; "
            "choose another --model or --data"
        )
    scores = logits(model, split, config.image_size, torch.tensor(config.mean), torch.tensor(config.std))
    return model, split, scores.double()


def hits(scores: Tensor, labels: Tensor, count: int = 1) -> Tensor:
    """Whether the label is among the ``count`` largest entries of each row ``(n, classes)``, ``(n,)`` bool."""
    return (scores.topk(min(count, scores.shape[1])).indices == labels[:, None]).any(1)


def top1(scores: Tensor, labels: Tensor) -> float:
    """Percentage of rows whose largest entry is the label's."""
    return 100.0 * (scores.argmax(1) == labels).double().mean().item()


def alike(labels: Tensor) -> Tensor:
    """Weights of pictures with which each class that is there counts alike, sum 1, ``(n,)`` float64."""
    counts = labels.bincount()
    return 1 / (counts[labels] * (counts > 0).sum()).double()


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """Counts ``(classes, classes)``: rows the label, columns the largest score."""
    classes = scores.shape[1]
    return torch.bincount(labels * classes + scores.argmax(1), minlength=classes**2).view(classes, classes)


def calibration_error(shares: Tensor, labels: Tensor, *, bins: int = 15, weights: Tensor | None = None) -> float:
    r"""Expected calibration error, within 0 and 1 (Guo et al., ICML 2017, arXiv 1706.04599).

    .. math:: \sum_b w_b \lvert \mathrm{accuracy}_b - \mathrm{confidence}_b \rvert

    over equally wide bins of the largest probability, which weigh what their pictures do.

    Args:
        shares: probabilities ``(n, classes)``. labels: ``(n,)``. bins: how many.
        weights: of the pictures, sum 1, ``(n,)``; by default all alike.
    """
    confidence, best = shares.double().max(1)
    index = (confidence * bins).long().clamp(max=bins - 1)
    # The weight of a bin cancels: what is left is the difference of the sums in it.
    gaps = ((best == labels).double() - confidence) * (1 / len(labels) if weights is None else weights)
    return torch.zeros(bins, dtype=torch.double).index_add_(0, index, gaps).abs().sum().item()


def groups(root: Path, split: Split) -> dict[str, Tensor]:
    """Which pictures are of each group of classes, by the ``group`` of the classes in ``root/classes.json``; none where
    that says nothing of groups."""
    listing = root / "classes.json"
    if not listing.is_file():
        return {}
    entries = json.loads(listing.read_text())["classes"]  # read with the split, so it is a list of classes
    grouped = {entry.get("directory", entry.get("dir")): entry["group"] for entry in entries if "group" in entry}
    of_class = [grouped.get(directory) for directory in split.directories]
    return {
        name: torch.tensor([group == name for group in of_class])[split.labels]
        for name in dict.fromkeys(grouped.values())
    }


def parts(asked: Sequence[str], split: Split) -> dict[str, Tensor]:
    """Which pictures each part holds.

    Args:
        asked: ``NAME=GLOB`` each, of ``CLASS/FILE``; without ``NAME=`` it is called like the glob.

    Raises:
        DataError: a part holds nothing.
    """
    found = {}
    for text in asked:
        name, _, glob = text.rpartition("=")
        found[name or glob] = torch.tensor([fnmatchcase(file, glob) for file in split.files])
        if not found[name or glob].any():
            raise DataError(f"--part {text}: of {len(split.files)} files, such as {split.files[0]}, none is like that")
    return found


def table(shares: Tensor, labels: Tensor, rows: dict[str, Tensor], threshold: float) -> Iterator[str]:
    """A line for each set of pictures: percentages, but for the calibration error.

    Args:
        shares: probabilities ``(n, classes)``. labels: ``(n,)``. rows: by name, which pictures it holds, ``(n,)`` bool.
        threshold: below which the largest probability is not sure.
    """
    width = max(map(len, rows))
    yield f"{'':{width}}      n   top-1   top-5  mean over classes  calibration error  not sure"
    for name, held in rows.items():
        if not held.any():
            continue
        p, label = shares[held], labels[held]
        right = hits(p, label).double()
        yield (
            f"{name:{width}} {len(p):6d}  {100 * right.mean():6.2f}  {100 * hits(p, label, 5).double().mean():6.2f}  "
            f"{100 * (right * alike(label)).sum():17.2f}  {calibration_error(p, label):17.4f}  "
            f"{100 * (p.amax(1) < threshold).double().mean():8.2f}"
        )


def confusions(counts: Tensor, classes: Sequence[str]) -> Iterator[str]:
    """The whole matrix of few classes, the most frequent pairs of many; ``counts`` as of :func:`confusion`."""
    if len(classes) <= SHOWN:
        width = max(map(len, classes))
        yield "rows: label, columns: answer, in the same order"
        for name, row in zip(classes, counts.tolist(), strict=True):
            yield f"{name:>{width}} " + " ".join(f"{count:4d}" for count in row)
        return
    wrong = counts.clone().fill_diagonal_(0).flatten()
    yield "most frequent confusions: count, of how many of that label, label → answer"
    for index in wrong.argsort(descending=True, stable=True)[:PAIRS].tolist():
        label, answer = divmod(index, len(classes))
        if wrong[index]:
            yield f"{wrong[index]:4d} of {counts[label].sum():4d}  {classes[label]} → {classes[answer]}"


def write_confusion(path: Path, counts: Tensor, classes: Sequence[str]) -> None:
    """Write a confusion matrix as CSV: a row for each label, a column for each answer.

    Raises:
        CheckpointError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["label", *classes])
    writer.writerows([name, *row] for name, row in zip(classes, counts.tolist(), strict=True))
    write_atomically(path, text.getvalue().encode())


def examples(model: Subject, folder: Path) -> Iterator[str]:
    """What a model says of each picture of a folder, and how many it has right.

    ``folder/labels.json`` names the classes that are right for each file. Where the model has none of them, it is right
    to say that it is not sure.

    Raises:
        DataError: there is no such list, or a picture cannot be read.
    """
    right = _right_answers(folder / "labels.json")
    width, verdicts = max(map(len, right)), []
    for file, names in right.items():
        try:
            result = analyse(model, folder / file)
        except ImageError as error:
            raise DataError(f"{folder / file} cannot be read: {error}") from error
        best, p = result.top(1)[0]
        known = [name for name in names if name in model.classes]
        verdicts.append(best in known and not result.unsure if known else result.unsure)
        wanted = " or ".join(known) or "not sure, as none of its classes fits"
        said = f"{'not sure: ' * result.unsure}{best} {100 * p:.1f} %"
        yield f"{file:{width}}  {'right' if verdicts[-1] else 'WRONG'}  {said}{f' ({wanted})' * (not verdicts[-1])}"
    yield f"examples right: {sum(verdicts)} of {len(verdicts)}"


def _right_answers(listing: Path) -> dict[str, list[str]]:
    try:
        found = json.loads(listing.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f'{listing} is no list of right answers, {{"FILE": ["CLASS", …], …}}: {error}') from error
    if not found or not isinstance(found, dict) or not all(isinstance(names, list) for names in found.values()):
        raise DataError(f'{listing} is no list of right answers, {{"FILE": ["CLASS", …], …}}')
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="dsp_everyday", help="name in pretrained/, or path of a .safetensors file")
    parser.add_argument("--data", required=True, help="folder with train/ and val/, or 'imagenette' to download it")
    parser.add_argument(
        "--part",
        action="append",
        default=[],
        metavar="NAME=GLOB",
        help="judge these pictures also by themselves: those whose CLASS/FILE is like this; may be given repeatedly",
    )
    parser.add_argument("--confusion", type=Path, metavar="FILE", help="write the confusion matrix as CSV")
    parser.add_argument("--examples", type=Path, metavar="DIR", help="pictures with a labels.json, such as examples/")
    args = parser.parse_args(arguments)
    keep_freed_memory()
    try:
        model, split, scores = validation(args.model, args.data)
        shares = probabilities(model, scores)
        counts = confusion(scores, split.labels)
        every = {"all": torch.ones(len(scores), dtype=torch.bool)}
        rows = groups(resolve(args.data), split) | parts(args.part, split) | every
        if args.confusion is not None:
            write_confusion(args.confusion, counts, model.classes)
        if args.examples is not None:
            print(*examples(model, args.examples), "", sep="\n")
    except (CheckpointError, DataError) as error:
        raise SystemExit(f"error: {error}") from error
    print(*confusions(counts, model.classes), "", *table(shares, split.labels, rows, model.unsure), sep="\n")
    print(f"temperature {model.temperature:g}, not sure below {model.unsure:g}")
    print(f"top1 {top1(scores, split.labels):.2f} (n={len(split.labels)})")


if __name__ == "__main__":
    main()
