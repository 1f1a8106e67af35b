"""Train an image classifier: ``python -m pretrained.train --data DIR --out DIR [--resume]``.

Progressive resizing, AdamW with warm-up and a cosine, exponential moving average of the weights. Everything random in
an epoch is drawn from ``(seed, epoch)``, so a run that is killed and resumed repeats the epoch it lost exactly.
"""

import argparse
import csv
import ctypes
import io
import math
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from dsp_attention.model import ATTENTIONS, DSPImageClassifier, parameter_groups
from dsp_viz.checkpoint import CheckpointError, Config, save, write_atomically

from .data import Augmentation, DataError, Split, read_split, resolve
from .evaluate import logits, preprocess, top1
from .snapshots import snapshot, write

COLUMNS = ("epoch", "size", "lr", "loss", "top1", "seconds")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run's outcome, but the data.

    Attributes:
        sizes: side in pixels of each epoch. attention: see ``ATTENTIONS``. batch: pictures per step.
        lr: peak learning rate. structure_rate: see :func:`dsp_attention.model.parameter_groups`.
        weight_decay: of matrices and kernels. warmup: epochs of linear warm-up.
        ema: decay of the averaged weights per step. smoothing: label smoothing. seed: of everything random.
    """

    sizes: tuple[int, ...]
    attention: str = "dsp"
    batch: int = 64
    lr: float = 1.5e-3
    structure_rate: float = 1.0
    weight_decay: float = 0.05
    warmup: float = 1.0
    ema: float = 0.998
    smoothing: float = 0.05
    seed: int = 0

    def rate(self, epoch: float) -> float:
        """Learning rate after ``epoch`` epochs: linear warm-up, then a cosine to a hundredth."""
        if epoch < self.warmup:
            return self.lr * epoch / self.warmup
        done = (epoch - self.warmup) / (len(self.sizes) - self.warmup)
        return self.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * min(done, 1.0))) / 2)


class Run:
    """A training run: model, optimiser, averaged weights, and where they are kept.

    Args:
        recipe: see :class:`Recipe`. train, val: splits on ``device``. out: folder of the run. name: of the weights.
    """

    def __init__(self, recipe: Recipe, train: Split, val: Split, out: Path, *, name: str, device: torch.device) -> None:
        self.recipe, self.train, self.val, self.out, self.name, self.device = recipe, train, val, out, name, device
        torch.manual_seed(recipe.seed)
        self.build: dict[str, Any] = {
            "image_size": max(recipe.sizes),
            "patch": 8,
            "dim": 128,
            "num_heads": 4,
            "depth": 6,
            "num_classes": len(train.classes),
            "attention": recipe.attention,
        }
        if recipe.attention == "dsp":
            self.build |= {"spectral_modes": 8, "num_scales": 3}
        self.model = DSPImageClassifier(**self.build).to(device)
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True).eval()
        groups = parameter_groups(self.model, recipe.weight_decay, structure_rate=recipe.structure_rate)
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.lr)
        sample = train.images[:: max(1, len(train.images) // 1000)].double() / 255
        self.mean, self.std = sample.mean((0, 2, 3)).float().cpu(), sample.std((0, 2, 3)).float().cpu()
        self.log: list[dict[str, Any]] = []
        self.snapshots: list[dict[str, torch.Tensor]] = []

    @property
    def state_file(self) -> Path:
        return self.out / "state.pt"

    def resume(self) -> None:
        """Continue from the last finished epoch, if there is one.

        Raises:
            CheckpointError: the kept state is of another recipe.
        """
        if not self.state_file.is_file():
            return
        state = torch.load(self.state_file, map_location=self.device, weights_only=True)
        if state["build"] != self.build:
            raise CheckpointError(f"{self.state_file} holds a model built with {state['build']}, not {self.build}")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.log, self.snapshots = state["log"], state["snapshots"]

    def epochs(self) -> None:
        """Run every epoch that is not done yet; keep state, log and weights after each."""
        augmentation = Augmentation(
            len(self.train.classes), self.mean, self.std, group=1 if self.device.type == "cpu" else 16
        )
        with SummaryWriter(str(self.out / "tensorboard")) as board:
            for epoch in range(len(self.log), len(self.recipe.sizes)):
                start = time.perf_counter()
                torch.manual_seed(self.recipe.seed * 100_003 + epoch + 1)
                size = self.recipe.sizes[epoch]
                loss = self._epoch(epoch, size, augmentation)
                scores = logits(self.average.module, self.val, size, self.mean, self.std)
                row = {
                    "epoch": epoch,
                    "size": size,
                    "lr": round(self.optimizer.param_groups[0]["lr"], 7),
                    "loss": round(loss, 4),
                    "top1": round(top1(scores, self.val.labels), 2),
                    "seconds": round(time.perf_counter() - start, 1),
                }
                self.log.append(row)
                if self.recipe.attention == "dsp":
                    self.snapshots.append(self._snapshot(size))
                board.add_scalar("train/loss", loss, epoch)
                board.add_scalar("val/top1", row["top1"], epoch)
                self._keep()
                print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)

    def _epoch(self, epoch: int, size: int, augmentation: Augmentation) -> float:
        recipe = self.recipe
        steps = len(self.train.labels) // recipe.batch
        total = torch.zeros((), device=self.device)
        self.model.train()
        batches = augmentation.batches(self.train, size, recipe.batch)
        for step, (images, labels) in enumerate(
            tqdm(batches, total=steps, desc=f"epoch {epoch + 1}/{len(recipe.sizes)} at {size} px", disable=None)
        ):
            for group in self.optimizer.param_groups:
                group["lr"] = recipe.rate(epoch + step / steps) * group["rate"]
            # bfloat16 where it is fast; on a CPU float32 trained as fast for a model of this width.
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                loss = nn.functional.cross_entropy(self.model(images), labels, label_smoothing=recipe.smoothing)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.average.update_parameters(self.model)
            total += loss.detach()
        return total.item() / steps

    def _snapshot(self, size: int) -> dict[str, torch.Tensor]:
        images = self.val.images[:: max(1, len(self.val.images) // 64)]  # spread over the classes
        return snapshot(self.average.module, preprocess(images, size, self.mean, self.std))

    def _keep(self) -> None:
        buffer = io.BytesIO()
        torch.save(
            {
                "build": self.build,
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "log": self.log,
                "snapshots": self.snapshots,
            },
            buffer,
        )
        write_atomically(self.state_file, buffer.getvalue())
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(self.log)
        write_atomically(self.out / f"{self.name}.csv", text.getvalue().encode())
        if self.snapshots:
            write(self.out / f"{self.name}.snapshots.npz", self.snapshots)
        config = Config(
            model=self.build,
            image_size=self.log[-1]["size"],
            mean=_triple(self.mean),
            std=_triple(self.std),
            classes=self.train.classes,
            directories=self.train.directories,
            card={
                "epochs": len(self.log),
                "top1": self.log[-1]["top1"],
                "seconds": round(sum(row["seconds"] for row in self.log)),
                "hardware": _hardware(self.device),
                "recipe": {key: value for key, value in vars(self.recipe).items() if key != "sizes"},
                "sizes": [row["size"] for row in self.log],
            },
        )
        save(self.out / f"{self.name}.safetensors", self.average.module, config)


def keep_freed_memory() -> None:
    """Make glibc reuse large freed blocks instead of handing them back: 0.7 times the step time at 128 px on 2 cores.

    The kernel clears each page it hands out again, which costs as much as an elementwise operation. Elsewhere nothing
    happens.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except OSError:
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # names of mallopt(3)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 2**28)
    mallopt(mmap_max, 0)


def _triple(t: torch.Tensor) -> tuple[float, float, float]:
    r, g, b = (round(value, 4) for value in t.tolist())
    return r, g, b


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads, {platform.machine()} CPU"


def _sizes(text: str) -> tuple[int, ...]:
    sizes: list[int] = []
    for part in text.split(","):
        size, _, epochs = part.partition("x")
        sizes += [int(size)] * int(epochs or 1)
    return tuple(sizes)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with train/ and val/, or 'imagenette' to download it")
    parser.add_argument("--out", required=True, type=Path, help="folder for weights, log and state")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument("--attention", choices=ATTENTIONS, default="dsp")
    parser.add_argument("--sizes", type=_sizes, default="64x14,96x3,128x2", help="SIDExEPOCHS,… (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = Recipe(sizes=args.sizes, attention=args.attention, seed=args.seed)
    try:
        root = resolve(args.data)
        train, val = (read_split(root, split, max(recipe.sizes)).to(device) for split in ("train", "val"))
        if train.directories != val.directories:
            raise DataError(f"{root}: train/ and val/ hold different classes")
        args.out.mkdir(parents=True, exist_ok=True)
        run = Run(recipe, train, val, args.out, name=f"{args.attention}_tiny", device=device)
        if args.resume:
            run.resume()
        elif run.state_file.exists():
            raise CheckpointError(f"{args.out} already holds a run: add --resume to continue it, or choose another")
        run.epochs()
    except (DataError, CheckpointError) as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
