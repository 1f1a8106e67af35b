r"""Statistics over the pictures of a survey: how a number is distributed, and what of it goes with classes.

Arrays are ``(pictures, *cells)``: a cell is one head, scale and stream of a layer. NaN is a picture that lacks the
number; it counts nowhere. Sums are float64, of deviations from the mean.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

#: A number whose standard deviation over pictures is below this is called constant. Coefficients lie within 0 and 2,
#: shares, entropies and mixing weights within 0 and 1.
CONSTANT = 0.01

#: One of whose variance classes explain more than this, is called so: "large" in Cohen (1988), Statistical Power
#: Analysis, §8.2, which gives it for ``η²``.
BY_CLASS = 0.14

#: Level of every interval.
LEVEL = 0.95

#: Pictures that a group, and what is outside, need at least for an interval.
ENOUGH = 5


class Sums(NamedTuple):
    """Of each class; the last row is that of pictures without one.

    Attributes:
        n: pictures that have the number, ``(classes + 1, *cells)`` int64. total: ``Σ (x − centre)``.
        squares: ``Σ (x − centre)²``. centre: mean over all pictures, ``(*cells)``; 0 where none has the number.
    """

    n: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    centre: np.ndarray


class Moments(NamedTuple):
    """Mean and standard deviation, ``√(Σ (x − mean)² / n)``, each ``(*cells)``; NaN where ``n`` is 0."""

    mean: np.ndarray
    std: np.ndarray
    n: np.ndarray


class Effect(NamedTuple):
    """How a group of pictures differs from all others, each ``(*cells)``.

    Attributes:
        d: ``(mean inside − mean outside) / std over all pictures``: Cohen's d, but for that std. NaN where it is 0.
        low, high: ends of its 95 % interval (Welch's, the std over all pictures taken as known); NaN where inside or
            outside are fewer than :data:`ENOUGH`.
        n: pictures inside that have the number.
    """

    d: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray


def sums(values: np.ndarray, classes: np.ndarray, count: int) -> Sums:
    """Sums of each class, from which all else follows.

    Args:
        values: ``(pictures, *cells)``. classes: of the pictures, within 0 and ``count`` − 1, or −1: none.
        count: of classes.
    """
    cells = values.shape[1:]
    placed = np.where(classes < 0, count, classes)
    order = np.argsort(placed, kind="stable")
    exact = values[order].astype(np.float64)
    there = np.isfinite(exact)
    exact[~there] = 0
    centre = exact.sum(0) / np.maximum(there.sum(0), 1)
    exact -= centre
    exact[~there] = 0
    n = np.zeros((count + 1, *cells), np.int64)
    total, squares = np.zeros((2, count + 1, *cells))
    if len(values):
        present, starts = np.unique(placed[order], return_index=True)
        n[present] = np.add.reduceat(there, starts, axis=0, dtype=np.int64)
        total[present] = np.add.reduceat(exact, starts, axis=0)
        exact *= exact
        squares[present] = np.add.reduceat(exact, starts, axis=0)
    return Sums(n, total, squares, centre)


def moments(of: Sums) -> Moments:
    """Over all pictures."""
    n = of.n.sum(0)
    some = np.maximum(n, 1)
    off = of.total.sum(0) / some  # of rounding only
    variance = np.maximum(of.squares.sum(0) / some - off**2, 0)
    mean, std = (np.where(n > 0, value, np.nan) for value in (of.centre + off, np.sqrt(variance)))
    return Moments(mean, std, n)


def omega_squared(of: Sums) -> np.ndarray:
    r"""Share of the variance that lies between classes, corrected for chance, ``(*cells)``.

    ``ω² = (SS_between − (k − 1)·MS_within) / (SS_total + MS_within)``, Hays (1963), Statistics for Psychologists: 0 on
    average where classes mean nothing (``η² = SS_between / SS_total`` is not, least of all with many small classes), 1
    where nothing else matters. Of pictures with a class; NaN where there are no two classes, no class has two, or
    nothing varies.
    """
    n, total, squares = of.n[:-1], of.total[:-1], of.squares[:-1]
    k, every = (n > 0).sum(0), n.sum(0)
    own = total**2 / np.maximum(n, 1)
    between = own.sum(0) - total.sum(0) ** 2 / np.maximum(every, 1)
    within = np.maximum((squares - own).sum(0), 0)
    chance = within / np.maximum(every - k, 1)
    whole = between + within + chance
    known = (k > 1) & (every > k) & (between + within > 0)
    return np.where(known, (between - (k - 1) * chance) / np.where(known, whole, 1), np.nan)


def effect(of: Sums, inside: np.ndarray) -> Effect:
    """How the pictures of some classes differ from all others, those without a class among them.

    Args:
        of: see :func:`sums`. inside: of each class whether it belongs to the group, ``(classes,)`` bool.
    """
    chosen = np.append(inside, False)
    n, mean, variance = zip(*(_sample(of, rows) for rows in (chosen, ~chosen)), strict=True)
    std = moments(of).std
    some = (n[0] > 0) & (n[1] > 0) & (std > 0)
    unit = np.where(some, std, 1)
    d = np.where(some, (mean[0] - mean[1]) / unit, np.nan)
    parts = [v / np.maximum(m, 1) for v, m in zip(variance, n, strict=True)]
    error = parts[0] + parts[1]
    freedom = error**2 / np.maximum(sum(p**2 / np.maximum(m - 1, 1) for p, m in zip(parts, n, strict=True)), 1e-300)
    enough = some & (n[0] >= ENOUGH) & (n[1] >= ENOUGH)
    half = np.where(enough, stdtrit(np.maximum(freedom, 1), (1 + LEVEL) / 2) * np.sqrt(error) / unit, np.nan)
    return Effect(d, d - half, d + half, n[0])


def _sample(of: Sums, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number, mean (from the centre) and unbiased variance of the pictures of some classes."""
    n, total, squares = of.n[rows].sum(0), of.total[rows].sum(0), of.squares[rows].sum(0)
    mean = total / np.maximum(n, 1)
    return n, mean, np.maximum(squares - n * mean**2, 0) / np.maximum(n - 1, 1)


def kind(std: float, omega: float) -> str:
    """What a number depends on: ``constant``, ``by class`` or ``by picture``.

    Args:
        std: over pictures, see :data:`CONSTANT`. omega: see :func:`omega_squared` and :data:`BY_CLASS`; NaN: unknown.
    """
    if std < CONSTANT:
        return "constant"
    return "by class" if omega > BY_CLASS else "by picture"


def histograms(values: np.ndarray, low: float, high: float, bins: int) -> np.ndarray:
    """Pictures in each of ``bins`` equal parts of ``low`` … ``high``, the last with its upper end, ``(bins, *cells)``.

    What lies beyond counts in the first or the last.
    """
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    there, cells = np.isfinite(flat), flat.shape[1]
    with np.errstate(invalid="ignore"):  # what is not there is left out below
        place = (flat - np.float64(low)) * (bins / (high - low) if high > low else 0)
        place = np.clip(place, 0, bins - 1).astype(np.int64)
    place *= cells
    place += np.arange(cells)
    flat_place = place.ravel() if there.all() else place[there]
    return np.bincount(flat_place, minlength=bins * cells).reshape(bins, *values.shape[1:])


def ends(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the lowest and of the highest pictures, the outermost first; of equal ones the first. None is in both.

    Args:
        values: ``(pictures,)``. count: at most so many of each.
    """
    known = np.flatnonzero(np.isfinite(values))
    lowest = known[np.argsort(values[known], kind="stable")]
    highest = known[np.argsort(-values[known], kind="stable")]
    few = min(count, -(-len(known) // 2))
    taken = set(lowest[:few].tolist())
    return lowest[:few], np.array([i for i in highest[: count + few] if i not in taken][:count], np.int64)
