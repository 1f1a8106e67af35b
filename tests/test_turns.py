"""Who runs a model next, and who with whom."""

import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from conftest import EXAMPLES
from torch import Tensor, nn

import dsp_viz
from dsp_viz.analysis import Analysis, analyse_together
from dsp_viz.layer import Layer
from dsp_viz.ui.passes import Passes
from dsp_viz.ui.turns import Turns


def waiting(turns: Turns, count: int) -> None:
    """Return once so many wait."""
    while len(turns) < count:
        time.sleep(0.001)


def all_at_once(turns: Turns, *works: Callable[[], Any]) -> None:
    """Let all wait, in this order, before the first may run."""
    threads = []
    with turns.turn():
        for i, work in enumerate(works):
            threads.append(threading.Thread(target=work))
            threads[-1].start()
            waiting(turns, i + 1)
    for thread in threads:
        thread.join()


def test_questions_and_steps_alternate_each_in_order_of_arrival() -> None:
    turns, order = Turns(), list[str]()

    def ask(name: str, long: bool) -> Callable[[], None]:
        def work() -> None:
            with turns.turn(long=long):
                order.append(name)

        return work

    names = ["L1", "L2", "L3", "q1", "q2", "q3", "q4", "L4"]
    all_at_once(turns, *(ask(name, name.startswith("L")) for name in names))
    assert sorted(order) == sorted(names)
    assert [name for name in order if name[0] == "L"] == ["L1", "L2", "L3", "L4"]
    assert [name for name in order if name[0] == "q"] == ["q1", "q2", "q3", "q4"]
    assert all(one[0] != other[0] for one, other in pairwise(order))
    assert len(turns) == 0


def together(
    turns: Turns, asked: Sequence[tuple[str, int]], run: Callable[[Sequence[int]], list[int]], most: int
) -> dict[int, Any]:
    """What each item gave, or the error that it raised."""
    found: dict[int, Any] = {}

    def ask(kind: str, item: int) -> Callable[[], None]:
        def work() -> None:
            try:
                found[item] = turns.together(kind, item, run, most=most)
            except Exception as error:
                found[item] = error

        return work

    all_at_once(turns, *(ask(*each) for each in asked))
    return found


def test_those_of_a_kind_run_together_and_each_gets_its_own() -> None:
    groups: list[list[int]] = []

    def run(items: Sequence[int]) -> list[int]:
        groups.append(list(items))
        return [item * item for item in items]

    found = together(Turns(), [("a", 2), ("b", 3), ("a", 5), ("a", 7), ("a", 11), ("b", 13)], run, most=3)
    assert found == {n: n * n for n in (2, 3, 5, 7, 11, 13)}
    assert groups == [[2, 5, 7], [3, 13], [11]]


def test_one_that_fails_does_not_take_the_others_along() -> None:
    turns = Turns()

    def run(items: Sequence[int]) -> list[int]:
        if 5 in items:
            raise ValueError("five")
        return [-item for item in items]

    found = together(turns, [("a", 2), ("a", 5), ("a", 7)], run, most=8)
    assert (found[2], found[7]) == (-2, -7)
    assert isinstance(found[5], ValueError)
    with turns.turn():  # nobody holds it
        pass


@pytest.mark.parametrize("name", ["dsp_tiny", "polaformer_everyday", "softmax_everyday"])
def test_a_picture_among_others_is_as_it_is_alone(name: str) -> None:
    model = dsp_viz.load(name)
    prepared = [model.prepare(path) for path in EXAMPLES[:3]]
    for one, found in zip(prepared, analyse_together(model, prepared, names=["x", "y", "z"]), strict=True):
        alone = dsp_viz.analysis.analyse_prepared(model, one)
        assert found.probabilities == pytest.approx(alone.probabilities, abs=1e-6)
        assert found.picture is one.picture
        for got, want in zip(found.trace.blocks, alone.trace.blocks, strict=True):
            same(got, want)


def same(got: Layer, want: Layer) -> None:
    """All that a record holds, tensor by tensor, to what rounding in float32 grows to in a dozen layers."""
    pairs = list(zip(tensors(got), tensors(want), strict=True))
    assert len(pairs) > 4
    for a, b in pairs:
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, atol=1e-4 * max(1.0, float(b.abs().max())), rtol=0)


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    elif hasattr(value, "__dataclass_fields__"):
        value = tuple(getattr(value, name) for name in value.__dataclass_fields__)
    return [found for part in value for found in tensors(part)] if isinstance(value, tuple) else []


def test_pictures_of_two_sizes_are_not_one_pass(model: dsp_viz.Subject) -> None:
    prepared = [model.prepare(EXAMPLES[0], side=side) for side in (64, 72)]
    with pytest.raises(ValueError, match="one size"):
        analyse_together(model, prepared, names=["", ""])


class Mixing(nn.Module):
    """A network whose pictures affect one another."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x - x.mean(0) * (len(x) > 1))


@pytest.mark.parametrize("mixes", [False, True])
def test_a_network_that_mixes_its_pictures_gets_them_one_by_one(
    mixes: bool, monkeypatch: pytest.MonkeyPatch, softmax_small: dsp_viz.Subject
) -> None:
    model = dsp_viz.Subject(
        Mixing(softmax_small.network) if mixes else softmax_small.network,
        softmax_small.preparation,
        classes=softmax_small.classes,
        name="own",
        digest="x",
    )
    prepared = [model.prepare(path) for path in EXAMPLES[:3]]
    alone = [dsp_viz.analysis.analyse_prepared(model, one).probabilities for one in prepared]
    sizes: list[int] = []
    forward = model.network.forward
    monkeypatch.setattr(model.network, "forward", lambda x: sizes.append(len(x)) or forward(x))
    turns = Turns()
    passes = Passes(turns)
    for _ in range(2):
        found: dict[int, Analysis] = {}

        def ask(i: int, found: dict[int, Analysis] = found) -> Callable[[], None]:
            return lambda: found.update({i: passes.analysed(model, prepared[i], (), "")})

        all_at_once(turns, *map(ask, range(3)))
        for i in range(3):
            assert found[i].probabilities == pytest.approx(alone[i], abs=1e-6)
    assert sizes == [3, 1, 1, 1, *([1, 1, 1] if mixes else [3])]
