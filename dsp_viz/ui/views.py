"""What the screen and the API say in words and numbers."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from .. import spectrum
from ..analysis import UNSURE, Analysis
from ..kinds.dsp import dsp_layers
from ..subject import Subject
from ..trust import Trust

#: Names of classes that are all shown at once.
LISTED = 20


def prediction(result: Analysis, target: int | None = None) -> str:
    """The five best classes as bars, and how the numbers came about, as HTML; without classes a sentence for them.
    Where the model is not sure it says so first.

    ``target``: index of the class that somebody picked; it is shown below, with its rank.
    """
    rows = "".join(_row(name, p) for name, p in result.top(5))
    best = f'<div class="prediction" role="list" aria-label="five best classes">{rows}</div>'
    if result.unsure:
        why = f"The best is below its threshold of {100 * result.threshold:.0f}\u00a0%."
        best = f'<div class="unsure"><b>{UNSURE}</b> <span>{why}</span></div>{best}'
    if target is not None:
        best += picked(result, target)
    if not result.classes:
        best = '<div class="aside">This model has no classes: it gives features. It has maps, and no prediction.</div>'
    H, W = result.grid
    (width, height), (left, top, right, bottom) = result.frame.size, result.frame.box
    part = (
        "all"
        if (right - left, bottom - top) == (width, height)
        else f"the middle {right - left:.0f}×{bottom - top:.0f}"
    )
    return (
        f"{best}"
        # What was used of the original, drawn to scale.
        f'<div class="made"><svg class="crop" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{part} of {width}×{height} pixels"><rect width="{width}" height="{height}"/>'
        f'<rect class="used" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/></svg>'
        f'<div class="facts">{part} of {width}×{height} pixels · {escape(result.model)} · '
        f"weights {escape(result.digest)} · {_tokens(H, W)} · {1000 * result.seconds:.0f} ms</div></div>"
    )


def _tokens(rows: int, columns: int) -> str:
    if rows == columns:
        return f"{rows}×{columns} tokens"
    return f"{rows} rows × {columns} columns of tokens"


def picked(result: Analysis, target: int) -> str:
    """The class that is explained, its probability and its rank, as HTML."""
    name, p = result.classes[target], result.probabilities[target]
    rank = 1 + sum(other > p for other in result.probabilities)
    return (
        f'<div class="prediction picked" data-class="{escape(name)}"><div class="facts">explained: '
        f"{rank} of {len(result.classes)}</div>{_row(name, p, role='')}</div>"
    )


def _row(name: str, p: float, role: str = ' role="listitem"') -> str:
    return (
        f'<div class="row"{role}><span>{escape(name)}</span><span class="value">{100 * p:.1f} %</span>'
        f'<span class="bar"><i style="width:{100 * p:.2f}%"></i></span></div>'
    )


def notice(message: str) -> str:
    """A sentence that the person should read, as HTML."""
    return f'<div class="notice" role="alert">{escape(message)}</div>'


def left(again: str, was: Any = True, told: str = "") -> str:
    """Says that an answer was of another picture or class, as HTML; "" where there was none.

    Args:
        again: what to do. was: the answer that goes, or what stands for it. told: what is said by now.
    """
    note = f'<div class="aside">That was of another picture, model or class. {escape(again)}</div>'
    return note if was or told == note else ""


def known_classes(model: Subject) -> str:
    """Which classes the model knows, as HTML; nothing where it has none."""
    if not model.classes:
        return ""
    names = ", ".join(escape(name) for name in model.classes)
    count = f"This model knows {len(model.classes)} classes"
    # A thousand names would push all else away.
    told = (
        f"{count}: {names}."
        if len(model.classes) <= LISTED
        else f"<details><summary>{count}</summary>{names}</details>"
    )
    if model.unsure:
        otherwise = (
            f"Where the best is below {100 * model.unsure:.0f} %, it says that it is not sure: a threshold chosen on "
            "pictures with known answers, so that most of what it is sure of is right. It can be sure and wrong, above "
            "all of a picture of anything else; look at the maps."
        )
    else:
        otherwise = "A picture of anything else gets one of them too; look at the maps."
    return f'<div class="facts">{told} {otherwise}</div>'


def is_dsp(model: Subject) -> bool:
    """Whether there are filters, coefficients and mixing weights to look at, and to intervene on."""
    return bool(dsp_layers(model))


def summary(result: Analysis) -> dict[str, Any]:
    """What the API answers: plain numbers, blocks and heads in order."""
    H, W = result.grid
    return {
        "model": result.model,
        "digest": result.digest,
        "grid": [H, W],
        "top": [{"class": name, "probability": p} for name, p in result.top(5)],
        "unsure": result.unsure,
        "coefficients": [b.coefficients[0].tolist() for b in result.trace.blocks],
        "mixing_weights": [b.weights[0].tolist() for b in result.trace.blocks],
        "seconds": result.seconds,
    }


def filters(found: Sequence[Sequence[spectrum.Character]], head: int) -> str:
    """What each filter of a block does, by polarity and head, as a table; the row of a head is marked. As HTML."""
    rows = "".join(
        f'<tr{" class=chosen" * (h == head)}><th scope="row">head {h + 1}</th>'
        + "".join(f"<td>{escape(spectrum.told(one))}</td>" for one in polarities)
        + "</tr>"
        for h, polarities in enumerate(zip(*found, strict=True))
    )
    return (
        '<table class="told"><thead><tr><td></td><th scope="col">filter F⁺</th><th scope="col">filter F⁻</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>"
        '<div class="aside">Low-pass and the like: the mean gain over directions differs by a factor of '
        f"{2**spectrum.SLOPE:.1f} or more between frequencies; the limit is where it crosses the middle. A direction "
        f"is named where structures along it pass {2**spectrum.DIRECTION:.1f} times as strongly as those across, or "
        f"more. Where neither holds and gains stay within a factor of {2**spectrum.NEUTRAL:.2f} of 1, strengths count "
        "as unchanged.</div>"
    )


def areas(found: Trust, classes: tuple[str, ...]) -> str:
    """Areas under the curves of one picture as a table, the best of each column marked, as HTML."""
    rows, rises = found.areas(), found.rise()
    best = (min(d for d, _ in rows.values()), max(i for _, i in rows.values()))

    def cell(value: float, top: float) -> str:
        text = f"{value:.3f}" if value == 0 or value >= 0.0095 else f"{value:.2g}"  # as in numbers.js
        return f"<td><b>{text}</b></td>" if value == top else f"<td>{text}</td>"

    cells = "".join(
        f'<tr><th scope="row">{escape(name)}{" (approximation)" * (name == "rollout")}</th>'
        f"{cell(pair[0], best[0])}{cell(pair[1], best[1])}<td>{rises[name]:+.3f}</td></tr>"
        for name, pair in rows.items()
    )
    against = (
        ": if opposite-signed maps marked what speaks against a class, theirs would rise above random order's"
        if "received opposite" in rows
        else ""
    )
    return (
        f'<div class="aside">Areas under the curves of {escape(classes[found.target])}: small is good for deletion, '
        "large for insertion. The last column is the change of its probability when the first tenth of the tokens is "
        f"taken away{against}. Rollout is an approximation: it takes the mean over heads, gives half of each step to "
        "the residual, and divides what flows between stages among the tokens that cover one another. "
        "One picture proves little; <code>python -m dsp_viz trust DIR</code> judges many.</div>"
        '<table class="areas"><thead><tr><th scope="col">order of tokens</th><th scope="col">deletion</th>'
        '<th scope="col">insertion</th><th scope="col">first tenth</th></tr></thead>'
        f"<tbody>{cells}</tbody></table>"
    )


#: Most classes that a table by depth has.
ROWS = 10


def by_depth(probabilities: np.ndarray, names: list[str], classes: tuple[str, ...], target: int | None) -> str:
    """What the head would say, depth by depth, as a table of percentages on colour, as HTML.

    Its rows are the five best classes in the end, the one that was picked, and each that is the best at some depth, at
    most :data:`ROWS` in all; the best of a depth is bold.

    Args:
        probabilities: ``(1 + blocks, classes)``. names: of the blocks. target: index of the class that was picked.
    """
    best = probabilities.argmax(1)
    last = (-probabilities[-1]).argsort(kind="stable")[:5].tolist()
    chosen = list(dict.fromkeys([*last, *([] if target is None else [target]), *best[::-1].tolist()]))[:ROWS]
    short = [name.replace("stage ", "").replace(" · block ", "·").removeprefix("block ") for name in names]

    def cell(depth: int, index: int) -> str:
        p = float(probabilities[depth, index])
        number = f"{100 * p:.0f}" if p >= 0.005 else "·"
        text = f"<b>{number}</b>" if best[depth] == index else number
        return f'<td><span style="background:rgba(15,138,128,{0.6 * p:.3f})" title="{100 * p:.2f} %">{text}</span></td>'

    heads = "".join(
        f'<th scope="col" title="{escape(name)}">{escape(own)}</th>'
        for name, own in zip(["with no block", *names], ["none", *short], strict=True)
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(classes[i])}{" (picked)" * (i == target)}</th>'
        f"{''.join(cell(depth, i) for depth in range(len(probabilities)))}</tr>"
        for i in chosen
    )
    settled = next(d for d in range(len(best)) if (best[d:] == best[-1]).all())
    where = "with no block at all" if settled == 0 else f"from {names[settled - 1]} on"
    return (
        f'<div class="dm depth"><p class="dm-title">Probability in %, after each block. The final answer, '
        f"{escape(classes[best[-1]])}, is the most probable {escape(where)}.</p>"
        f'<div class="dm-scroll" tabindex="0" role="region" aria-label="Probabilities by depth"><table><thead><tr>'
        f'<th scope="col">after block</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div></div>'
    )
