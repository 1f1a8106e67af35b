"""What the heads of a model do over a data set, as tables: ``python -m benchmarks.heads SURVEY [--model NAME]``.

Prints the tables of ``docs/what-heads-do.md`` from what ``python -m dsp_viz survey --worth`` has written; with the
model also what its filters do, which no picture changes. ± is the half-width of a 95 % interval of the mean over
pictures (Student's t).
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

import dsp_viz
from dsp_viz import atlas
from dsp_viz.files import CheckpointError
from dsp_viz.kinds.dsp import dsp_layers
from dsp_viz.spectrum import Character, characters
from dsp_viz.survey import Survey, SurveyError, open_survey
from dsp_viz.trust import interval
from dsp_viz.ui.atlas_classes import Classes, classes_of
from dsp_viz.ui.stages import block_names

#: Coefficients below and above these use little of their range from 0 to 2.
NEARLY_0, NEARLY_2 = 0.1, 1.9

#: Heads at each end of the order by worth.
SHOWN = 6


class Numbers:
    """The rows of a survey that have no error, and what its pictures are of."""

    def __init__(self, survey: Survey, folder: Path | None) -> None:
        self.survey, self.names = survey, block_names(survey.layers)
        self.used = np.array([error is None for error in survey.errors])
        classes = classes_of(survey, folder)
        self.classes = Classes(classes.names, classes.of[self.used], classes.groups)

    def of(self, quantity: str) -> Iterator[tuple[int, np.ndarray]]:
        """Layers that have it, and ``(pictures, h, S, T)``."""
        layers = [layer.index for layer in self.survey.layers if quantity in layer.quantities]
        for layer, array in zip(layers, self.survey.of_layers(quantity, layers), strict=True):
            yield layer, array[self.used].astype(np.float64)

    def sums(self, array: np.ndarray) -> atlas.Sums:
        return atlas.sums(array, self.classes.of, len(self.classes.names))


def layers(numbers: Numbers) -> Iterator[str]:
    """How far and how widely heads look: mean over pictures, scales and streams; in brackets the heads' extremes."""
    wanted = {
        "distance": "distance",
        "entropy": "entropy of a row",
        "self_share": "share of the own place",
        "same_share": "same-signed share",
    }
    found = {
        quantity: {layer: np.nanmean(array, (0, 2, 3)) for layer, array in numbers.of(quantity)} for quantity in wanted
    }
    yield from _head("block", *wanted.values())
    for layer, name in enumerate(numbers.names):
        cells = [_spread(found[quantity].get(layer, np.array([]))) for quantity in wanted]
        yield _row(name, *cells)


def coefficients(numbers: Numbers) -> Iterator[str]:
    """How dynamic the dynamic coefficients are."""
    yield from _head(
        "block", "mean", "SD over pictures", "ω² of classes", "constant", "by class", "by picture", "< 0.1", "> 1.9"
    )
    for layer, array in numbers.of("coefficient"):
        of = numbers.sums(array)
        mean, std, _ = atlas.moments(of)
        omega = atlas.omega_squared(of)
        kinds = Counter(atlas.kind(s, o) for s, o in zip(std.flat, omega.flat, strict=True))
        counts = [str(kinds[kind]) for kind in ("constant", "by class", "by picture")]
        low, high = (f"{100 * share:.1f} %" for share in ((array < NEARLY_0).mean(), (array > NEARLY_2).mean()))
        yield _row(numbers.names[layer], _spread(mean), _spread(std), _spread(omega), *counts, low, high)


def scales(numbers: Numbers) -> Iterator[str]:
    """What each scale is worth: its keys are squares of so many tokens."""
    weights, distances, worths = (dict(numbers.of(name)) for name in ("weight", "distance", "worth"))
    yield from _head("block", "tokens of a key", "mixing weight", "distance", "worth")
    for layer in numbers.survey.layers:
        for scale, pooled in enumerate(layer.pooled):
            worth = worths[layer.index][:, :, scale].sum((1, 2))
            yield _row(
                numbers.names[layer.index],
                f"{pooled}×{pooled}",
                _spread(weights[layer.index][:, :, scale].mean((0, 2))),
                _spread(np.nanmean(distances[layer.index][:, :, scale], (0, 2))),
                interval(worth.tolist(), mark=True),
            )


def streams(numbers: Numbers) -> Iterator[str]:
    """What the streams of both signs are worth; differences are paired by picture."""
    values, worths = dict(numbers.of("coefficient")), dict(numbers.of("worth"))
    names = numbers.survey.layers[0].streams
    told = [f"{what}, {name}" for what in ("coefficient", "worth") for name in names]
    yield from _head("block", *told, f"worth, {names[0]} − {names[1]}")
    for layer in numbers.survey.layers:
        worth = worths[layer.index].sum((1, 2))
        yield _row(
            numbers.names[layer.index],
            *(interval(column.tolist()) for column in values[layer.index].mean((1, 2)).T),
            *(interval(column.tolist(), mark=True) for column in worth.T),
            interval((worth[:, 0] - worth[:, 1]).tolist(), mark=True),
        )


def heads(numbers: Numbers) -> Iterator[str]:
    """The heads that are worth most and least, scales and streams together."""
    distances = dict(numbers.of("distance"))
    found = []
    for layer, array in numbers.of("worth"):
        for head, worth in enumerate(array.sum((2, 3)).T):
            found.append((worth, f"{numbers.names[layer]} · head {head + 1}", distances[layer][:, head]))
    found.sort(key=lambda entry: -entry[0].mean())
    total = np.sum([worth for worth, *_ in found], 0)
    yield from _head("head", "worth", "above 0 in", "distance")
    for worth, name, distance in found if len(found) <= 2 * SHOWN else found[:SHOWN] + found[-SHOWN:]:
        positive = f"{100 * (worth > 0).mean():.0f} %"
        yield _row(name, interval(worth.tolist(), mark=True), positive, f"{np.nanmean(distance):.2f}")
    yield _row(f"all {len(found)}", interval(total.tolist(), mark=True), f"{100 * (total > 0).mean():.0f} %", "")


def groups(numbers: Numbers) -> Iterator[str]:
    """The coefficient that differs most between a group's pictures and all others, see :class:`dsp_viz.atlas.Effect`.

    Of those that are not constant, and of groups with enough pictures. ``d`` beyond 0.8 is "large" in Cohen (1988).
    """
    found = [(layer, numbers.sums(array)) for layer, array in numbers.of("coefficient")]
    dynamic = {layer: atlas.moments(of).std >= atlas.CONSTANT for layer, of in found}
    cells = sum(int(cell.sum()) for cell in dynamic.values())
    yield from _head("group", "pictures", f"largest of {cells}", "d", "95 % interval", "beyond 0.8")
    for group, inside in numbers.classes.groups.items():
        n = int(np.isin(numbers.classes.of, np.flatnonzero(inside)).sum())
        if n < atlas.ENOUGH:
            continue
        effects = [(layer, atlas.effect(of, inside)) for layer, of in found]
        sizes = {layer: np.where(dynamic[layer], np.abs(effect.d), 0) for layer, effect in effects}
        layer, effect = max(effects, key=lambda entry: sizes[entry[0]].max())
        at = np.unravel_index(sizes[layer].argmax(), effect.d.shape)
        place = f"head {at[0] + 1} · scale {at[1] + 1} · {numbers.survey.layers[layer].streams[at[2]]}"
        yield _row(
            group,
            str(n),
            f"{numbers.names[layer]} · {place}",
            f"{effect.d[at]:+.2f}",
            f"{effect.low[at]:+.2f} … {effect.high[at]:+.2f}",
            str(sum(int((size > 0.8).sum()) for size in sizes.values())),
        )


def filters(model: dsp_viz.Subject, names: Sequence[str]) -> Iterator[str]:
    """How many filters do what: of each block one for each head and sign, see :class:`dsp_viz.spectrum.Character`."""
    kinds = ("low", "high", "band", "stop", "mixed", "all")
    yield from _head("block", *kinds, "gain off 1, octaves", "stripes")
    for name, layer in zip(names, dsp_layers(model).values(), strict=True):
        found: list[Character] = [one for sign in characters(layer.spectral.filters().detach()) for one in sign]
        counts = Counter(one.passes for one in found)
        stripes = Counter(one.stripes for one in found if one.stripes)
        told = ", ".join(f"{count} {kind}" for kind, count in stripes.most_common()) or "none"
        off = _spread(np.array([one.deviation for one in found]))
        yield _row(name, *(str(counts[kind]) for kind in kinds), off, told)


def _spread(values: np.ndarray) -> str:
    """Mean, and the smallest and largest in brackets."""
    if not np.isfinite(values).any():
        return ""
    return f"{np.nanmean(values):.2f} ({np.nanmin(values):.2f} … {np.nanmax(values):.2f})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _head(*cells: str) -> Iterator[str]:
    yield _row(*cells)
    yield "|" + "---|" * len(cells)


#: Tables and their titles.
TABLES: dict[str, Callable[[Numbers], Iterator[str]]] = {
    "Distance and entropy by depth": layers,
    "Coefficients": coefficients,
    "Scales": scales,
    "Streams": streams,
    "Heads by worth": heads,
    "Groups of classes": groups,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("survey", type=Path, help="what --out named")
    parser.add_argument("--pictures", type=Path, help="the folder that was surveyed, for the groups of its classes")
    parser.add_argument("--model", help="that was surveyed, for its filters")
    args = parser.parse_args(arguments)
    try:
        survey = open_survey(args.survey)
        numbers = Numbers(survey, args.pictures or survey.pictures)
        if not any("worth" in layer.quantities for layer in numbers.survey.layers):
            raise SurveyError(f"{args.survey} does not say what heads are worth: survey with --worth")
        of = numbers.survey.settings["of"]
        model = dsp_viz.load(args.model) if args.model else None
        if model is not None and model.digest != of["digest"]:
            raise SurveyError(f"{args.survey} is of weights {of['digest']}, not of {args.model}'s, {model.digest}")
    except (SurveyError, CheckpointError) as error:
        parser.error(str(error))
    print(f"{of['model']} {of['digest']}: {int(numbers.used.sum())} pictures, {of['side']} px")
    for title, table in TABLES.items():
        print(f"\n## {title}\n", *table(numbers), sep="\n")
    if model is not None:
        print("\n## Filters\n", *filters(model, numbers.names), sep="\n")


if __name__ == "__main__":
    main()
