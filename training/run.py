"""A training run: model, optimiser, averaged weights, and everything that is kept of it.

Everything random in an epoch is drawn from ``(seed, epoch)``, batch by batch, so a run that is killed and resumed goes
on exactly as it would have. Under ``accelerate launch`` each process takes its share of every batch.
"""

import csv
import io
import platform
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from dsp_attention.optim import parameter_groups
from dsp_viz.builds import network_of
from dsp_viz.config import Config, told
from dsp_viz.files import CheckpointError, write_atomically
from dsp_viz.kinds.dsp import dsp_layers
from dsp_viz.sources.checkpoint import save

from .data import Augmentation, DataError, Lessons, Split
from .evaluate import logits, preprocess, top1
from .muon import Muon
from .recipe import Recipe, stem, take_away
from .snapshots import snapshot, write

COLUMNS = ("epoch", "size", "lr", "loss", "top1", "seconds")

#: Seconds between two times that the state is kept within an epoch.
KEPT_EVERY = 240.0


class Run:
    """A training run: model, optimiser, averaged weights, and where they are kept.

    Args:
        recipe: see :class:`Recipe`. train, val: splits. out: folder of the run. name: of the weights.
        lessons: of a teacher on the training pictures, where the recipe asks for them.

    Raises:
        DataError: fewer training pictures than a batch holds, or what no config of a model allows, such as pictures
            that are all of one colour.
    """

    def __init__(
        self, recipe: Recipe, train: Split, val: Split, out: Path, *, name: str, lessons: Lessons | None = None
    ) -> None:
        if len(train.labels) < recipe.batch:
            raise DataError(f"{len(train.labels)} training pictures: at least {recipe.batch}, one batch, are needed")
        cuda = torch.cuda.is_available()
        # bfloat16 where it is fast. Few CPUs have it: there it is asked for, by ACCELERATE_MIXED_PRECISION=bf16.
        self.accelerator = Accelerator(cpu=not cuda, mixed_precision="bf16" if cuda else None)
        self.device = self.accelerator.device
        self.recipe, self.out, self.name = recipe, out, name
        self.train, self.val = train.to(self.device), val.to(self.device)
        torch.manual_seed(recipe.seed)
        self.of = [train.digest, val.digest]
        self.build = recipe.build(len(train.classes))
        self.model = network_of(self.build).to(self.device)
        take_away(self.model, recipe.without)
        self.average = AveragedModel(self.model, multi_avg_fn=_averaging(recipe.ema), use_buffers=True).eval()
        matrices, *others = parameter_groups(
            self.model, recipe.weight_decay, matrix_rate=recipe.matrix_rate, structure_rate=recipe.structure_rate
        )
        # Orthogonalised steps for the matrices of the blocks: three points more than AdamW's (docs/design.md).
        self.trained, *self.optimizers = self.accelerator.prepare(
            self.model, torch.optim.AdamW(others, lr=recipe.lr), Muon([matrices], lr=recipe.lr)
        )
        sample = train.images[:: max(1, len(train.images) // 1000)].double() / 255
        self.mean, self.std = sample.mean((0, 2, 3)).float().cpu(), sample.std((0, 2, 3)).float().cpu()
        try:  # now, not after the first epoch
            self.config = Config(
                model=self.build,
                image_size=max(recipe.sizes),
                mean=_triple(self.mean),
                std=_triple(self.std),
                classes=self.train.classes,
                directories=self.train.directories,
            )
        except ValidationError as error:
            raise DataError(f"no model can be made of these pictures: {told(error)}") from error
        self.augmentation = Augmentation(
            self.mean,
            self.std,
            aspect=recipe.aspect,
            balance=recipe.balance,
            lessons=lessons if recipe.taught else None,
            together=cuda,
        )
        self.done, self.total, self.seconds = 0, 0.0, 0.0  # of the epoch under way: steps, their losses, time
        self.log: list[dict[str, Any]] = []
        self.snapshots: list[dict[str, torch.Tensor]] = []

    @property
    def state_file(self) -> Path:
        return self.out / "state.pt"

    def resume(self, *, replan: bool = False) -> None:
        """Continue where the state was kept last, if it was.

        Args:
            replan: whether the epochs not yet begun may be others than were planned.

        Raises:
            CheckpointError: the kept state cannot be read, or is of another recipe or of other pictures.
        """
        if not self.state_file.is_file():
            return
        try:
            # To the CPU: what belongs on the device is copied there below, and the snapshots stay.
            state = torch.load(self.state_file, map_location="cpu", weights_only=True)
            if not (isinstance(state, dict) and {"recipe", "model", "optimizers", "log", "epoch"} <= state.keys()):
                raise EOFError("it is no state of a run")
        except Exception as error:  # torch raises whatever comes up in a file that is none of its own
            raise CheckpointError(f"{self.state_file} cannot be read ({error}): remove it to start anew") from error
        begun = len(state["log"]) + (state["epoch"][0] > 0) if replan else None
        defaults = {field.name: field.default for field in fields(Recipe)}  # what an older state does not say
        recipe = defaults | state["recipe"]
        if _until(begun, recipe) != _until(begun, vars(self.recipe)):
            raise CheckpointError(f"{self.state_file} is of another recipe: {recipe}, not {vars(self.recipe)}")
        if state.get("of", self.of) != self.of:  # an older one does not say
            raise CheckpointError(f"{self.state_file} is of other pictures: give those, or another folder")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.log, self.snapshots = state["log"], state["snapshots"]
        self.done, self.total, self.seconds = state["epoch"]

    def epochs(self) -> None:
        """Run every epoch that is not done yet; keep state, log and weights after each, the state within them too."""
        first = self.accelerator.is_main_process
        with SummaryWriter(str(self.out / "tensorboard")) if first else nullcontext() as board:
            for epoch in range(len(self.log), len(self.recipe.sizes)):
                size = self.recipe.sizes[epoch]
                loss = self._epoch(epoch, size)
                start = time.perf_counter() - self.seconds
                self.done, self.total, self.seconds = 0, 0.0, 0.0  # in every process: each begins the next epoch
                if board is None:
                    continue
                scores = logits(self.average.module, self.val, size, self.mean, self.std)
                row = {
                    "epoch": epoch,
                    "size": size,
                    "lr": round(self.optimizers[0].param_groups[0]["lr"], 7),
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
        self.accelerator.wait_for_everyone()

    def _epoch(self, epoch: int, size: int) -> float:
        recipe = self.recipe
        steps = len(self.train.labels) // recipe.batch
        total = torch.tensor(self.total, device=self.device)
        self.model.train()
        torch.manual_seed(recipe.seed * 100_003 + epoch + 1)
        share = (self.accelerator.process_index, self.accelerator.num_processes)
        batches = self.augmentation.batches(self.train, size, recipe.batch, share, done=self.done)
        before, kept = self.seconds, time.perf_counter()
        start = kept
        name = f"epoch {epoch + 1}/{len(recipe.sizes)} at {size} px"
        for images, labels, shares in tqdm(batches, total=steps, initial=self.done, desc=name, disable=None):
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = recipe.rate(epoch + self.done / steps) * group["rate"]
            loss = self._loss(self.trained(images), labels, shares)
            self.model.zero_grad()
            self.accelerator.backward(loss)
            if epoch < recipe.held:
                self._hold()
            self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
            for optimizer in self.optimizers:
                optimizer.step()
            self._share_buffers()
            self.average.update_parameters(self.model)
            total += loss.detach()
            self.done += 1
            if time.perf_counter() - kept > KEPT_EVERY and self.accelerator.is_main_process:
                # Of several processes each goes on with the losses of the first: they are for the log alone.
                self.total, self.seconds = total.item(), before + time.perf_counter() - start
                self._keep_state()
                kept = time.perf_counter()
        self.seconds = before + time.perf_counter() - start
        self._settle(size)
        return self.accelerator.reduce(total, "mean").item() / steps

    def _hold(self) -> None:
        """No step for the coefficients: their gradients are computed, as several processes ask for, and dropped."""
        for layer in dsp_layers(self.model).values():
            for parameter in layer.context.parameters():
                parameter.grad = None

    def _loss(self, scores: Tensor, labels: Tensor, shares: Tensor | None) -> Tensor:
        """Cross-entropy with the labels and, in the recipe's proportion, with what a teacher says."""
        loss = nn.functional.cross_entropy(scores, labels, label_smoothing=self.recipe.smoothing)
        if shares is None:
            return loss
        return torch.lerp(loss, nn.functional.cross_entropy(scores, shares), self.recipe.taught)

    def _settle(self, size: int) -> None:
        """Batch statistics of the averaged stem from whole training pictures, as it will meet them, all classes mixed.

        In training it meets crops, enlarged and so less sharp; with their statistics it loses three points of accuracy
        (docs/design.md). Touvron et al., NeurIPS 2019, arXiv 1906.06423; Wu and Johnson, arXiv 2105.07576.
        """
        images = self.train.images[:: max(1, len(self.train.images) // 1000)]  # spread over the classes
        count = max(1, len(images) // 100)
        batches = (preprocess(images[i::count], size, self.mean, self.std) for i in range(count))
        update_bn(batches, stem(self.average.module))

    def _share_buffers(self) -> None:
        """Running statistics and tracked gradients, averaged over the processes: all of the batch counts."""
        if self.accelerator.num_processes > 1:
            for buffer in self.model.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self.accelerator.reduce(buffer, "mean"))

    def _snapshot(self, size: int) -> dict[str, torch.Tensor]:
        images = self.val.images[:: max(1, len(self.val.images) // 64)]  # spread over the classes
        return snapshot(self.average.module, preprocess(images, size, self.mean, self.std))

    def _keep(self) -> None:
        config = replace(
            self.config,
            image_size=self.log[-1]["size"],
            card={
                "epochs": len(self.log),
                "top1": self.log[-1]["top1"],
                "seconds": round(sum(row["seconds"] for row in self.log)),
                "hardware": _hardware(self.device, self.accelerator.num_processes),
                "recipe": {key: value for key, value in vars(self.recipe).items() if key != "sizes"},
                "sizes": [row["size"] for row in self.log],
            },
        )
        save(self.out / f"{self.name}.safetensors", self.average.module, config)
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(self.log)
        write_atomically(self.out / f"{self.name}.csv", text.getvalue().encode())
        if self.snapshots:
            write(self.out / f"{self.name}.snapshots.npz", self.snapshots)
        # Last: where something above fails or is killed, resuming repeats the epoch, and writes all of it.
        self._keep_state()

    def _keep_state(self) -> None:
        buffer = io.BytesIO()
        torch.save(
            {
                "recipe": vars(self.recipe),
                "of": self.of,
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "log": self.log,
                "snapshots": self.snapshots,
                "epoch": (self.done, self.total, self.seconds),
            },
            buffer,
        )
        write_atomically(self.state_file, buffer.getvalue())


def _until(epoch: int | None, recipe: dict[str, Any]) -> dict[str, Any]:
    """What of a recipe decides all epochs (before this one); a model of one grid has a position for each token."""
    sizes = tuple(recipe["sizes"])
    return recipe | {"sizes": sizes[:epoch], "grid": not recipe["pyramid"] and max(sizes)}


def _averaging(decay: float) -> Callable[..., None]:
    """Exponential moving average that forgets its start: after ``n`` steps at most ``(1 + n)/(10 + n)`` is kept."""

    @torch.no_grad()
    def update(averaged: list[torch.Tensor], current: list[torch.Tensor], steps: torch.Tensor | int) -> None:
        n = int(steps)
        kept = min(decay, (1 + n) / (10 + n))
        if torch.is_floating_point(averaged[0]):
            torch._foreach_lerp_(averaged, current, 1 - kept)
        else:
            torch._foreach_copy_(averaged, current)

    return update


def _triple(t: torch.Tensor) -> tuple[float, float, float]:
    r, g, b = (round(value, 4) for value in t.tolist())
    return r, g, b


def _hardware(device: torch.device, processes: int) -> str:
    """Of the process that goes on last: a run may be begun on one machine and ended on another."""
    cpu = f"{torch.get_num_threads()} threads, {platform.machine()} CPU"
    one = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return one if processes == 1 else f"{processes} processes, each {one}"
