"""Top-1 accuracy of a model on a validation split: ``python -m pretrained.evaluate --model NAME --data DIR``."""

import argparse

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as TF
from tqdm import tqdm

from dsp_viz.checkpoint import CheckpointError, load

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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="dsp_tiny", help="name in pretrained/, or path of a .safetensors file")
    parser.add_argument("--data", required=True, help="folder with train/ and val/, or 'imagenette' to download it")
    args = parser.parse_args(arguments)
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
    print(f"top1 {top1(scores, split.labels):.2f} (n={len(split.labels)})")


if __name__ == "__main__":
    main()
