"""Temperature and threshold: by hand, against a slow search, and what the command writes of real files."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

import dsp_viz
from dsp_viz.config import read_config
from training import calibrate
from training.data import DataError
from training.evaluate import alike


def test_both_halves_hold_every_class() -> None:
    labels = torch.tensor([2] * 7 + [0] * 11 + [1] * 4)[torch.randperm(22, generator=torch.Generator().manual_seed(1))]
    first, second = calibrate.halves(labels)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(22))
    counts = [labels[half].bincount().tolist() for half in (first, second)]
    assert all(abs(a - b) <= 1 for a, b in zip(*counts, strict=True))
    assert first.tolist() != sorted(first.tolist())
    assert torch.equal(first, calibrate.halves(labels)[0])


def drawn(temperature: float) -> tuple[Tensor, Tensor]:
    """Logits, and labels that come true with the probabilities of some temperature."""
    generator = torch.Generator().manual_seed(7)
    logits = 3 * torch.randn(4001, 5, dtype=torch.double, generator=generator)
    return logits, torch.multinomial((logits / temperature).softmax(1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("truth", [0.6, 1.7])
def test_the_temperature_is_the_best_of_a_slow_search(truth: float) -> None:
    logits, labels = drawn(truth)
    weights = alike(labels)
    found = calibrate.fit_temperature(logits, labels, weights)
    assert found == pytest.approx(truth, rel=0.06)

    def loss(T: float) -> float:
        rows = zip(logits.tolist(), labels.tolist(), weights.tolist(), strict=True)
        return sum(w * (math.log(sum(math.exp(y / T) for y in row)) - row[label] / T) for row, label, w in rows)

    assert calibrate.likelihood(logits, labels, weights, found) == pytest.approx(loss(found), rel=1e-12)
    assert loss(found) <= min(loss(found * factor) for factor in (0.5, 0.97, 0.999, 1.001, 1.03, 2)) + 1e-9


def test_weights_move_the_temperature() -> None:
    """Of two pictures with margins 2 and one wrong: p = e^{2/T}/(1 + e^{2/T}) is the weight of the right one."""
    logits = torch.tensor([[2.0, 0], [2, 0]], dtype=torch.double)
    labels = torch.tensor([0, 1])
    for weight in (0.6, 0.75, 0.9):
        weights = torch.tensor([weight, 1 - weight], dtype=torch.double)
        want = 2 / math.log(weight / (1 - weight))
        assert calibrate.fit_temperature(logits, labels, weights) == pytest.approx(want, abs=1e-4)


def test_answers_that_are_all_right_fit_no_temperature() -> None:
    labels = torch.tensor([0, 1, 1])
    with pytest.raises(DataError, match="all of 3 answers are right"):
        calibrate.fit_temperature(2 * torch.eye(2, dtype=torch.double)[labels], labels, alike(labels))


CONFIDENCE = torch.tensor([0.31, 0.92, 0.5, 0.75, 0.5, 0.87], dtype=torch.double)
RIGHT = torch.tensor([False, True, True, False, False, True])


@pytest.mark.parametrize(
    ("share", "want"),
    # From the surest on: 1/1, 2/2, 2/3, then two that are equally sure at once, 3/5, and 3/6.
    [(1.0, 0.87), (0.67, 0.87), (0.66, 0.75), (0.61, 0.75), (0.6, 0.5), (0.51, 0.5), (0.5, 0), (0.1, 0)],
)
def test_the_threshold_by_hand(share: float, want: float) -> None:
    found = calibrate.choose_threshold(CONFIDENCE, RIGHT, torch.full((6,), 1 / 6, dtype=torch.double), share)
    assert found == want


def test_weights_move_the_threshold() -> None:
    weights = torch.tensor([1, 1, 1, 1, 1, 6], dtype=torch.double) / 11
    assert calibrate.choose_threshold(CONFIDENCE, RIGHT, weights, 0.72) == 0  # 8 of 11 are right in all
    assert calibrate.choose_threshold(CONFIDENCE, RIGHT, weights, 0.79) == 0.5  # 8 of 10


def test_a_share_that_is_nowhere_reached_is_refused() -> None:
    with pytest.raises(DataError, match=r"--right 0\.8: of the surest answers at most 0\.50 are right"):
        calibrate.choose_threshold(
            torch.tensor([0.9, 0.9, 0.8]), torch.tensor([True, False, False]), torch.full((3,), 1 / 3), 0.8
        )


def test_the_report_by_hand() -> None:
    """Four pictures of one class, one of another, at temperature ½: margins 1, 2, 3, -1 and 2."""
    margins = torch.tensor([1.0, 2, 3, -1, 2], dtype=torch.double) / 2
    labels = torch.tensor([0, 0, 0, 0, 1])
    logits = torch.stack([margins, torch.zeros(5, dtype=torch.double)], 1)
    other = torch.tensor([[0.1, 0.2], [4.0, 0], [0, 0.3]], dtype=torch.double)
    sure = 1 / (1 + math.exp(-1.5))  # margins of 2 and 3 are above
    first, right, unsure, others = calibrate.report(logits, labels, 0.5, sure, other)
    weights = [1 / 8] * 4 + [1 / 2]
    signs = [1, 1, 1, 1, -1]
    losses = [
        sum(w * math.log(1 + math.exp(-s * m / T)) for w, s, m in zip(weights, signs, margins.tolist(), strict=True))
        for T in (1, 0.5)
    ]
    assert first.startswith(f"negative log-likelihood {losses[0]:.4f} → {losses[1]:.4f}, calibration error ")
    # Right: 3 of the four, 3/8; sure: two right ones, 2/8, and the other class's, 1/2; the rest: one of two.
    assert right == "right: 37.5 % of all answers, 33.3 % of those that it is sure of, 50.0 % of the rest"
    assert unsure == "not sure: 33.3 % of the right answers, 20.0 % of the wrong ones"
    assert others == "not sure: 66.7 % of 3 pictures of other things"


def test_the_command_writes_two_numbers_and_nothing_else(
    judged: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights, root = judged
    path = weights.with_suffix(".json")
    before, tensors = read_config(path), weights.read_bytes()
    (tmp_path / "others" / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.jpg"):
        Image.new("RGB", (40, 31), "green").save(tmp_path / "others" / name)
    (tmp_path / "others" / "notes.txt").write_text("no picture")
    given = ["--model", str(weights), "--data", str(root), "--others", str(tmp_path / "others"), "--right", "0.3"]
    calibrate.main(given)
    after = read_config(path)
    assert after == replace(before, temperature=after.temperature, unsure=after.unsure, format=3)
    assert (weights.read_bytes(), list(path.parent.glob("*.partial"))) == (tensors, [])
    told = capsys.readouterr().out
    assert f"temperature {after.temperature:g}; not sure below {after.unsure:g}: " in told
    assert "of 2 pictures of other things" in told
    subject = dsp_viz.load(weights)
    assert (subject.temperature, subject.unsure) == (after.temperature, after.unsure)
    calibrate.main(given)  # what was there before has no part in it
    assert (read_config(path), capsys.readouterr().out) == (after, told)


def test_pictures_of_other_things_that_are_none(judged: tuple[Path, Path], tmp_path: Path) -> None:
    weights, root = judged
    config = weights.with_suffix(".json").read_bytes()
    empty = tmp_path / "others"
    empty.mkdir()
    given = ["--model", str(weights), "--data", str(root), "--others", str(empty)]
    with pytest.raises(SystemExit, match="others holds no picture"):
        calibrate.main(given)
    (empty / "bad.png").write_bytes(b"no picture")
    with pytest.raises(SystemExit, match=r"bad\.png cannot be read"):
        calibrate.main(given)
    with pytest.raises(SystemExit):
        calibrate.main([*given, "--right", "1.2"])
    assert weights.with_suffix(".json").read_bytes() == config
    assert "card" in json.loads(config)
