"""How good a model is on a validation split: ``python -m training.evaluate --model NAME --data DIR``.

Prints the confusion matrix, the calibration error, and the top-1 accuracy last.
"""

import argparse

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as TF
from tqdm import tqdm

from dsp_viz.checkpoint import load
from dsp_viz.files import CheckpointError
from dsp_viz.memory import keep_freed_memory

from .data import DataError, Split, read_split, resolve


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


def top1(scores: Tensor, labels: Tensor) -> float:
    """Percentage of rows whose largest entry is the label's."""
    return 100.0 * (scores.argmax(1) == labels).double().mean().item()


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """Counts ``(classes, classes)``: rows the label, columns the largest score."""
    classes = scores.shape[1]
    return torch.bincount(labels * classes + scores.argmax(1), minlength=classes**2).view(classes, classes)


def calibration_error(scores: Tensor, labels: Tensor, bins: int = 15) -> float:
    r"""Expected calibration error, within 0 and 1 (Guo et al., ICML 2017, arXiv 1706.04599).

    .. math:: \sum_b \frac{n_b}{n} \lvert \mathrm{accuracy}_b - \mathrm{confidence}_b \rvert

    over equally wide bins of the largest probability.
    """
    confidence, best = scores.double().softmax(1).max(1)
    index = (confidence * bins).long().clamp(max=bins - 1)
    # n_b cancels: what is left is the difference of the sums in each bin.
    gaps = torch.zeros(bins, dtype=torch.double).index_add_(0, index, (best == labels).double() - confidence)
    return gaps.abs().sum().item() / len(labels)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="dsp_tiny", help="name in pretrained/, or path of a .safetensors file")
    parser.add_argument("--data", required=True, help="folder with train/ and val/, or 'imagenette' to download it")
    args = parser.parse_args(arguments)
    keep_freed_memory()
    try:
        model = load(args.model)
        config = model.config
        split = read_split(resolve(args.data), "val", config.image_size)
    except (CheckpointError, DataError) as error:
        raise SystemExit(f"error: {error}") from error
    if split.directories != config.directories:
        raise SystemExit(
            f"error: the data's classes {list(split.directories)} are not the model's {list(config.directories)}"
        )
    scores = logits(model, split, config.image_size, torch.tensor(config.mean), torch.tensor(config.std))
    width = max(map(len, config.classes))
    print("rows: label, columns: answer, in the same order")
    for name, row in zip(config.classes, confusion(scores, split.labels).tolist(), strict=True):
        print(f"{name:>{width}} " + " ".join(f"{count:4d}" for count in row))
    print(f"calibration error {calibration_error(scores, split.labels):.4f}")
    print(f"top1 {top1(scores, split.labels):.2f} (n={len(split.labels)})")


if __name__ == "__main__":
    main()
