"""Probabilities that come true, and when to say "not sure": ``python -m training.calibrate --model NAME --data DIR``.

Fits a temperature and a threshold on one half of the validation split, reports both on the other half, and writes them
into the model's config.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS
from tqdm import tqdm

from dsp_viz.config import read_config, to_json
from dsp_viz.files import CheckpointError, write_atomically
from dsp_viz.images import ImageError
from dsp_viz.memory import keep_freed_memory
from dsp_viz.sources.checkpoint import find
from dsp_viz.subject import Subject

from .data import DataError
from .evaluate import alike, calibration_error, hits, validation

#: Share of right ones among the answers that a model is sure of, where none is given.
RIGHT = 0.8

#: Temperatures that are tried, as far as a config allows.
COLDEST, HOTTEST = 0.01, 100.0


def halves(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the pictures of two halves, every class in both as evenly as can be; the same at each call."""
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    return by_class[::2], by_class[1::2]


def likelihood(logits: Tensor, labels: Tensor, weights: Tensor, temperature: float) -> float:
    """Negative log-likelihood of the labels, in nats, at a temperature.

    Args:
        logits: ``(n, classes)``. labels: ``(n,)``. weights: of the pictures, sum 1, ``(n,)``. temperature: above 0.
    """
    losses = torch.nn.functional.cross_entropy(logits / temperature, labels, reduction="none")
    return float((losses * weights).sum())


def fit_temperature(logits: Tensor, labels: Tensor, weights: Tensor) -> float:
    r"""The temperature with the smallest negative log-likelihood (Guo et al., ICML 2017, arXiv 1706.04599).

    .. math:: \min_T \sum_i w_i \Bigl(\log \sum_c e^{y_{ic}/T} - y_{i\ell_i}/T\Bigr)

    It is convex in ``1/T``, so there is one minimum; it is searched for over ``log T``.

    Args:
        logits: ``(n, classes)``. labels: ``(n,)``. weights: of the pictures, sum 1, ``(n,)``.

    Returns:
        Within 0.01 and 100, four decimals.

    Raises:
        DataError: every answer is right: then the colder, the better, and nothing can be fitted.
    """
    if hits(logits, labels).all():
        raise DataError(f"all of {len(labels)} answers are right: no temperature can be fitted to them")
    found = minimize_scalar(
        lambda u: likelihood(logits, labels, weights, math.exp(u)),
        bounds=(math.log(COLDEST), math.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return min(max(round(math.exp(found.x), 4), COLDEST), HOTTEST)


def choose_threshold(confidence: Tensor, right: Tensor, weights: Tensor, share: float) -> float:
    """The smallest threshold with which a stated share of the answers is right that the model is sure of.

    This is selective classification (Geifman and El-Yaniv, NeurIPS 2017, arXiv 1705.08500) by the largest probability
    (Hendrycks and Gimpel, ICLR 2017, arXiv 1610.02136), without their bound: :func:`main` judges the threshold on
    pictures that it was not chosen on. A share can be told in a sentence, and a better model is seldom unsure with it.
    The threshold that best tells right answers from wrong ones (Youden's index) lies at the model's own accuracy where
    probabilities come true: a model that is right in 90 % of cases would be unsure at 85 %. Pictures of other things
    have no part in the choice: those at hand are not those that people will show.

    Args:
        confidence: the largest probability of each picture, ``(n,)``. right: whether it is the label's, ``(n,)`` bool.
        weights: of the pictures, sum 1, ``(n,)``. share: within 0 and 1.

    Returns:
        Within 0 and 1, four decimals, rounded down; 0 where all answers together are right that often.

    Raises:
        DataError: the answers are nowhere right that often.
    """
    order = confidence.argsort(descending=True, stable=True)
    sure = weights[order].cumsum(0)
    reached = (weights * right)[order].cumsum(0) / sure
    last = torch.cat([confidence[order].diff() != 0, torch.tensor([True])])  # of those that are equally confident
    enough = (last & (reached >= share)).nonzero()
    if not len(enough):
        raise DataError(
            f"--right {share:g}: of the surest answers at most {float(reached[last].max()):.2f} are right, give less"
        )
    index = int(enough[-1])
    return 0.0 if index == len(order) - 1 else math.floor(float(confidence[order[index]]) * 1e4) / 1e4


def folder_logits(model: Subject, folder: Path, *, batch: int = 32) -> Tensor:
    """Logits of all pictures of a folder tree, fitted as the app fits them, ``(n, classes)`` float64.

    Raises:
        DataError: it holds none, or one that cannot be read.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMG_EXTENSIONS)
    if not files:
        raise DataError(f"{folder} holds no picture: {', '.join(IMG_EXTENSIONS)}")
    inputs, outputs = [], []
    for i, path in enumerate(tqdm(files, desc="other things", leave=False, disable=None), 1):
        try:
            inputs.append(model.prepare(path).input)
        except ImageError as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        if len(inputs) == batch or i == len(files):
            outputs.append(model(torch.cat(inputs)))
            inputs.clear()
    return torch.cat(outputs).double()


def report(
    logits: Tensor, labels: Tensor, temperature: float, threshold: float, other: Tensor | None = None
) -> Iterator[str]:
    """What a temperature and a threshold do on pictures that they were not chosen on, each class counting alike.

    Args:
        logits: ``(n, classes)``. labels: ``(n,)``. temperature, threshold: as they were chosen.
        other: logits of pictures of none of the classes.
    """
    weights = alike(labels)
    shares = (logits / temperature).softmax(1)
    loss, better = (likelihood(logits, labels, weights, T) for T in (1.0, temperature))
    error, smaller = (calibration_error(p, labels, weights=weights) for p in (logits.softmax(1), shares))
    yield f"negative log-likelihood {loss:.4f} → {better:.4f}, calibration error {error:.4f} → {smaller:.4f}"
    right, unsure = hits(shares, labels), shares.amax(1) < threshold

    def share(of: Tensor, among: Tensor) -> str:
        held = weights * among
        return f"{100 * (held * of).sum() / held.sum():.1f} %" if among.any() else "none"

    yield (
        f"right: {share(right, right | ~right)} of all answers, {share(right, ~unsure)} of those that it is sure of, "
        f"{share(right, unsure)} of the rest"
    )
    yield f"not sure: {share(unsure, right)} of the right answers, {share(unsure, ~right)} of the wrong ones"
    if other is not None:
        missed = ((other / temperature).softmax(1).amax(1) < threshold).double().mean()
        yield f"not sure: {100 * missed:.1f} % of {len(other)} pictures of other things"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="name in pretrained/, or path of a .safetensors file")
    parser.add_argument("--data", required=True, help="folder with train/ and val/, or 'imagenette' to download it")
    parser.add_argument("--others", type=Path, metavar="DIR", help="pictures of none of its classes, for the report")
    parser.add_argument(
        "--right",
        type=float,
        default=RIGHT,
        metavar="SHARE",
        help="of the answers that it is sure of this share is to be right (default %(default)s)",
    )
    args = parser.parse_args(arguments)
    if not 0 < args.right < 1:
        parser.error(f"--right {args.right:g}: must be above 0 and below 1")
    keep_freed_memory()
    try:
        model, split, logits = validation(args.model, args.data)
        path = find(args.model).with_suffix(".json")
        other = None if args.others is None else folder_logits(model, args.others)
        fitted, judged = halves(split.labels)
        labels, weights = split.labels[fitted], alike(split.labels[fitted])
        temperature = fit_temperature(logits[fitted], labels, weights)
        shares = (logits[fitted] / temperature).softmax(1)
        threshold = choose_threshold(shares.amax(1), hits(shares, labels), weights, args.right)
        write_atomically(path, to_json(replace(read_config(path), temperature=temperature, unsure=threshold)))
    except (CheckpointError, DataError) as error:
        raise SystemExit(f"error: {error}") from error
    print(f"on {len(fitted)} validation pictures, each class counting alike:")
    print(f"temperature {temperature:g}; not sure below {threshold:g}: {args.right:.0%} right above")
    print(f"on the {len(judged)} others:")
    print(*report(logits[judged], split.labels[judged], temperature, threshold, other), sep="\n")
    print(f"both are in {path} now")


if __name__ == "__main__":
    main()
