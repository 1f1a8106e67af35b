"""Does a map tell the truth: what the score does as tokens are taken away, or given back, in the order of a map.

Deletion and insertion curves (Petsiuk et al. 2018, arXiv 1806.07421): tokens are replaced by the mean colour, the most
relevant first, or given back to a picture of mean colour in that order. An order that knows what matters gives a small
area under the deletion curve and a large one under the insertion curve; random order shows what knowing nothing gives.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Protocol

import torch
from torch import Tensor, nn

from .device import device_of
from .relevance import batch_size, class_index, relevance_steps
from .steps import Step, Steps, finish

#: Points of a curve after the first: shares 1/10, …, 1 of all tokens.
POINTS = 10

#: How many random orders the level of random order is estimated from.
RANDOM = 6

#: Level of every interval.
LEVEL = 0.95


@dataclass(frozen=True)
class Curves:
    """Score of the class against the share of tokens, from 0 to 1 in :data:`POINTS` steps.

    Attributes:
        deletion, insertion: ``(orders, POINTS + 1)``, within 0 and 1.
    """

    deletion: Tensor
    insertion: Tensor

    def areas(self) -> tuple[Tensor, Tensor]:
        """Areas under both, by the trapezoidal rule, ``(orders,)`` each, within 0 and 1."""
        deletion, insertion = (torch.trapezoid(c, dx=1 / (c.shape[-1] - 1)) for c in (self.deletion, self.insertion))
        return deletion, insertion


def curves(score: Callable[[Tensor], Tensor], x: Tensor, orders: Tensor, grid: tuple[int, int]) -> Curves:
    """Deletion and insertion curves of some orders of the tokens of one picture.

    Args:
        score: of pictures ``(n, 3, height, width)``, ``(n,)``. x: ``(1, 3, height, width)``, 0 is the mean colour.
        orders: ``(orders, N)``: indices of the tokens, row-major on the grid, the most relevant first.
        grid: ``(H, W)`` tokens, among which the pixels are divided evenly.

    Returns:
        See :class:`Curves`. The two ends of a curve, which no order changes, are computed once.
    """
    return finish(curve_steps(score, x, orders, grid))


@torch.no_grad()
def curve_steps(
    score: Callable[[Tensor], Tensor],
    x: Tensor,
    orders: Tensor,
    grid: tuple[int, int],
    *,
    areas: list[tuple[float, float]] | None = None,
) -> Steps[Curves]:
    """:func:`curves`, batch by batch; ``areas``: is given those of each order as soon as they are known."""
    H, W = grid
    N = H * W
    orders = orders.to(x.device)
    rank = torch.empty_like(orders).scatter_(1, orders, torch.arange(N, device=orders.device).expand_as(orders))
    counts = [round(N * i / POINTS) for i in range(1, POINTS)]
    inner = torch.stack([rank < count for count in counts], 1)  # (orders, POINTS - 1, N): those among the first
    ends = torch.tensor([[False], [True]], device=x.device).expand(2, N)
    each = 2 * len(counts)  # pictures of an order: some taken away, some given back
    kept = torch.cat([ends, torch.stack([~inner, inner], 1).flatten(0, 2)])
    scores = torch.empty(0)
    for part in kept.split(batch_size(N)):
        mask = nn.functional.interpolate(part.view(-1, 1, H, W).to(x), x.shape[2:])
        scores = torch.cat([scores, score(x * mask).cpu()])
        if areas is not None:
            some = _curves(scores[: 2 + (len(scores) - 2) // each * each], len(counts))
            deletion, insertion = (own[len(areas) :].tolist() for own in some.areas())
            areas += zip(deletion, insertion, strict=True)
        yield Step(len(scores), len(kept), "pictures")
    return _curves(scores, len(counts))


def _curves(scores: Tensor, inner: int) -> Curves:
    """Of scores of an empty and of a full picture, and of ``inner`` for deletion and as many for insertion each order."""
    without, within = scores[2:].view(-1, 2, inner).unbind(1)
    nothing, all_of_it = (scores[i].expand(len(without), 1) for i in (0, 1))
    return Curves(torch.cat([all_of_it, without, nothing], 1), torch.cat([nothing, within, all_of_it], 1))


@dataclass(frozen=True)
class Trust:
    """Curves of one picture.

    Attributes:
        target: index of the class whose score is followed.
        relevance: by name, ``(H, W)``, see :func:`dsp_viz.relevance.relevances`.
        curves: of these, in their order, and after them of :data:`RANDOM` random orders.
    """

    target: int
    relevance: dict[str, Tensor]
    curves: Curves

    def random_band(self) -> tuple[Curves, Curves]:
        """Lower and upper curves between which one more random order would lie, with :data:`LEVEL`, at each point.

        ``mean ± t·s·√(1 + 1/n)`` of the ``n`` random orders at hand, within 0 and 1.
        """
        spread = _students_t(RANDOM - 1) * math.sqrt(1 + 1 / RANDOM)

        def edge(curves: Tensor, sign: int) -> Tensor:
            random = curves[-RANDOM:]
            return (random.mean(0) + sign * spread * random.std(0)).clamp(0, 1)

        both = (self.curves.deletion, self.curves.insertion)
        low, high = (Curves(*(edge(c, sign) for c in both)) for sign in (-1, 1))
        return low, high

    def areas(self) -> dict[str, tuple[float, float]]:
        """Areas under the deletion and the insertion curve by name; ``random order`` is a mean."""
        deletion, insertion = self.curves.areas()
        count = len(self.relevance)
        result = {name: (float(deletion[i]), float(insertion[i])) for i, name in enumerate(self.relevance)}
        return result | {"random order": (float(deletion[count:].mean()), float(insertion[count:].mean()))}

    def rise(self) -> dict[str, float]:
        """Change of the score when the first tenth of the tokens is taken away, by name; ``random order`` is a mean."""
        change = self.curves.deletion[:, 1] - self.curves.deletion[:, 0]
        count = len(self.relevance)
        result = {name: float(change[i]) for i, name in enumerate(self.relevance)}
        return result | {"random order": float(change[count:].mean())}


@dataclass
class SoFar:
    """What is known while a picture is judged; it is filled step by step.

    Attributes:
        relevance: by name, as of :class:`Trust`. areas: under the deletion and the insertion curve, of random orders,
            and after them of each of ``relevance`` in its order, as far as they are known.
    """

    relevance: dict[str, Tensor] = field(default_factory=dict)
    areas: list[tuple[float, float]] = field(default_factory=list)

    def known(self) -> dict[str, tuple[float, float]]:
        """The areas by name; ``random order`` is a mean, and comes first."""
        if len(self.areas) < RANDOM:
            return {}
        deletion, insertion = zip(*self.areas[:RANDOM], strict=True)
        each = zip(self.relevance, self.areas[RANDOM:], strict=False)
        return {"random order": (fmean(deletion), fmean(insertion)), **dict(each)}


def trust(model: nn.Module, x: Tensor, *, target: int | None = None, seed: int = 0) -> Trust:
    """How well each relevance tells the truth about one picture.

    Args:
        model: a classifier with attention that is known here. x: ``(1, 3, height, width)``, on any device.
        target: index of the class whose score is followed, by default the most probable one.
        seed: of the random orders.

    Raises:
        ValueError: the model has no attention that is known here, or no such class.
    """
    return finish(trust_steps(model, x, target=target, seed=seed))


def trust_steps(
    model: nn.Module, x: Tensor, *, target: int | None = None, seed: int = 0, so_far: SoFar | None = None
) -> Steps[Trust]:
    """:func:`trust`, step by step; ``so_far``: an empty one, to be filled."""
    so_far = SoFar() if so_far is None else so_far
    x = x.to(device_of(model))
    with torch.no_grad():
        target = class_index(model(x)[0], target)
    relevance = yield from relevance_steps(model, x, target, found=so_far.relevance)
    generator = torch.Generator().manual_seed(seed)
    grid = next(iter(relevance.values())).shape
    N = grid.numel()
    random = [torch.randperm(N, generator=generator) for _ in range(RANDOM)]
    orders = torch.stack([*random, *(r.flatten().argsort(descending=True) for r in relevance.values())])

    def score(pictures: Tensor) -> Tensor:
        return torch.softmax(model(pictures).float(), -1)[:, target]

    found = yield from curve_steps(score, x, orders, (grid[0], grid[1]), areas=so_far.areas)
    # Random orders come first there: whoever watches has something to compare with.
    last = Curves(found.deletion.roll(-RANDOM, 0), found.insertion.roll(-RANDOM, 0))
    return Trust(target, relevance, last)


class Judged(Protocol):
    """What the table needs of a picture: :class:`Trust`, or what was kept of one."""

    def areas(self) -> dict[str, tuple[float, float]]:
        """See :meth:`Trust.areas`."""

    def rise(self) -> dict[str, float]:
        """See :meth:`Trust.rise`."""


def table(found: Sequence[Judged]) -> str:
    """Means over pictures as Markdown, with 95 % intervals of the mean, and differences from random order.

    A difference is paired by picture; it is bold where its interval leaves out zero. Intervals are those of single
    comparisons: of twenty that are tested, one may be bold by chance.
    """
    lines = [
        "| order of tokens | deletion area | minus random | insertion area | minus random "
        "| first tenth taken away | minus random |",
        "|---|---|---|---|---|---|---|",
    ]
    measures = [
        {name: (*areas, rises[name]) for name, areas in each.areas().items()}
        for each in found
        for rises in [each.rise()]
    ]

    def column(name: str, which: int) -> list[float]:
        return [m[name][which] for m in measures]

    def difference(name: str, other: str, which: int) -> str:
        pairs = zip(column(name, which), column(other, which), strict=True)
        return interval([a - b for a, b in pairs], mark=True)

    for name in measures[0]:
        cells = []
        for which in range(3):
            cells.append(interval(column(name, which), sign=which == 2))
            cells.append("" if name == "random order" else difference(name, "random order", which))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if {"received opposite", "received same"} <= set(measures[0]):
        signed = difference("received opposite", "received same", 2)
        lines += ["", f"First tenth taken away, opposite-signed minus same-signed: {signed}."]
    return "\n".join(lines)


def interval(values: list[float], *, mark: bool = False, sign: bool = False) -> str:
    """Mean and half-width of its 95 % interval, ``t·s/√n`` (Student's t); one value has none.

    With ``mark`` it is signed, and bold if 0 lies without.
    """
    mean, n = fmean(values), len(values)
    text = f"{mean:{'+' if mark or sign else ''}.3f}"
    if n < 2:
        return text
    half = _students_t(n - 1) * stdev(values) / math.sqrt(n)
    text += f" ± {half:.3f}"
    return f"**{text}**" if mark and abs(mean) > half else text


def _students_t(degrees: int) -> float:
    """Half-width of the interval of :data:`LEVEL`, in standard errors."""
    from scipy.stats import t  # takes half a second, and only this needs it

    return float(t.ppf((1 + LEVEL) / 2, degrees))
