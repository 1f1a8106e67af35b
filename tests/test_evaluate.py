"""Evaluation: its measures by hand, and what the command prints of real files."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import EXAMPLES

import dsp_viz
from dsp_viz.ui import program
from training import evaluate
from training.data import DataError, Split, read_split

P = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.35, 0.65], [0.3, 0.7]], dtype=torch.double)
LABELS = torch.tensor([0, 1, 1, 0])


def test_confusion_and_calibration_by_hand() -> None:
    assert evaluate.confusion(P, LABELS).tolist() == [[1, 1], [1, 1]]
    # Two bins, [0, ½) and [½, 1]: accuracy ½, confidence 0.7625.
    assert evaluate.calibration_error(P, LABELS, bins=2) == pytest.approx(0.2625)
    # Ten bins: |1 - 0.9|, |0 - 0.8|, |1 - 0.65|, |0 - 0.7|, a quarter each.
    assert evaluate.calibration_error(P, LABELS, bins=10) == pytest.approx((0.1 + 0.8 + 0.35 + 0.7) / 4)
    weights = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.double)
    want = 0.4 * 0.1 + 0.3 * 0.8 + 0.2 * 0.35 + 0.1 * 0.7
    assert evaluate.calibration_error(P, LABELS, bins=10, weights=weights) == pytest.approx(want)


def test_hits_among_the_best_by_hand() -> None:
    scores = torch.tensor([[5.0, 4, 3, 2, 1, 0], [0, 1, 2, 3, 4, 5], [0, 9, 1, 8, 2, 7]])
    labels = torch.tensor([0, 0, 3])
    assert evaluate.hits(scores, labels).tolist() == [True, False, False]
    assert evaluate.hits(scores, labels, 2).tolist() == [True, False, True]
    assert evaluate.hits(scores, labels, 5).tolist() == [True, False, True]
    assert evaluate.hits(scores[:, :2], labels % 2, 5).tolist() == [True] * 3  # fewer than five classes


def test_each_class_counts_alike() -> None:
    labels = torch.tensor([3, 0, 3, 3, 0, 3, 3])
    assert evaluate.alike(labels).tolist() == pytest.approx([0.1, 0.25, 0.1, 0.1, 0.25, 0.1, 0.1])


def test_the_table_by_hand() -> None:
    """Class 0: right, wrong; class 1: wrong, right, right: top-1 3/5, mean over classes (1/2 + 2/3)/2."""
    shares = torch.cat([P[[0, 3, 1, 2]], torch.tensor([[0.45, 0.55]], dtype=torch.double)])
    labels = torch.tensor([0, 0, 1, 1, 1])
    rows = {"all": torch.ones(5, dtype=torch.bool), "few": labels == 0, "none": labels == 7}
    head, every, few = evaluate.table(shares, labels, rows, 0.66)
    assert head.split() == ["n", "top-1", "top-5", "mean", "over", "classes", "calibration", "error", "not", "sure"]
    error = evaluate.calibration_error(shares, labels)
    assert every.split() == ["all", "5", "60.00", "100.00", "58.33", f"{error:.4f}", "40.00"]
    error = evaluate.calibration_error(shares[:2], labels[:2])
    assert few.split() == ["few", "2", "50.00", "100.00", "50.00", f"{error:.4f}", "0.00"]


def test_many_classes_show_their_most_frequent_confusions() -> None:
    counts = 10 * torch.eye(21, dtype=torch.long)
    counts[3, 5], counts[20, 0], counts[0, 20] = 4, 7, 1
    lines = list(evaluate.confusions(counts, [f"c{i}" for i in range(21)]))
    assert lines[1:] == ["   7 of   17  c20 → c0", "   4 of   14  c3 → c5", "   1 of   11  c0 → c20"]
    assert len(list(evaluate.confusions(counts + 1, [f"c{i}" for i in range(21)]))) == 1 + evaluate.PAIRS
    few = list(evaluate.confusions(torch.tensor([[3, 1], [0, 4]]), ["cat", "dog"]))
    assert few == ["rows: label, columns: answer, in the same order", "cat    3    1", "dog    0    4"]


def test_parts_are_those_whose_names_are_like_the_glob() -> None:
    files = ("in/mp-1.webp", "in/ILSVRC_1.webp", "b/n01_2.webp", "b/c101-7.webp")
    split = Split(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4).long(), ("b",), ("b",), files)
    found = evaluate.parts(["own=*/[!In]*", "*/[In]*"], split)
    assert {name: held.tolist() for name, held in found.items()} == {
        "own": [True, False, False, True],
        "*/[In]*": [False, True, True, False],
    }
    with pytest.raises(DataError, match=r"--part x=\*/q\*: of 4 files, such as in/mp-1.webp, none is like that"):
        evaluate.parts(["x=*/q*"], split)


def test_the_command_on_real_files(judged: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    weights, root = judged
    table = weights.with_name("confusion.csv")
    given = ["--model", str(weights), "--data", str(root), "--part", "early=*/[0-2].png", "--confusion", str(table)]
    evaluate.main(given)
    lines = capsys.readouterr().out.splitlines()

    model, split = dsp_viz.load(weights), read_split(root, "val", 24)
    x = (split.images / 255.0 - 1 / 3) * 3
    y = model.network(x).double()
    p = torch.stack([(row / 2).exp() / (row / 2).exp().sum() for row in y])
    right, largest = (y.argmax(1) == split.labels).double(), p.max(1).values
    for name, held in {"warm": split.labels == 0, "cold": split.labels == 1, "early": torch.arange(16) % 8 < 3}.items():
        [line] = [line.split() for line in lines if line.startswith(f"{name} ")]
        unsure = (largest[held] < 0.5005).double().mean()
        assert line[1:3] == [str(int(held.sum())), f"{100 * right[held].mean():.2f}"]
        assert line[5:] == [f"{evaluate.calibration_error(p[held], split.labels[held]):.4f}", f"{100 * unsure:.2f}"]
    assert lines[-2:] == ["temperature 2, not sure below 0.5005", f"top1 {100 * right.mean():.2f} (n=16)"]
    first, *rows = table.read_text().splitlines()
    counts = evaluate.confusion(y, split.labels).tolist()
    assert (first, rows) == (
        "label,red,blue",
        [f"red,{counts[0][0]},{counts[0][1]}", f"blue,{counts[1][0]},{counts[1][1]}"],
    )


def test_examples_are_right_wrong_or_rightly_not_known(model: dsp_viz.Subject, tmp_path: Path) -> None:
    shutil.copy(EXAMPLES[0], tmp_path)
    file = EXAMPLES[0].name
    best, p = dsp_viz.analyse(model, EXAMPLES[0]).top(1)[0]
    other = next(name for name in model.classes if name != best)

    def told(names: list[str], threshold: float) -> list[str]:
        (tmp_path / "labels.json").write_text(json.dumps({file: names}))
        judge = dsp_viz.Subject(
            model.network, model.preparation, classes=model.classes, name="j", digest="0", unsure=threshold
        )
        return list(evaluate.examples(judge, tmp_path))

    said = f"{best} {100 * p:.1f} %"
    assert told(["unicorn", best], 0) == [f"{file}  right  {said}", "examples right: 1 of 1"]
    assert told([other], 0) == [f"{file}  WRONG  {said} ({other})", "examples right: 0 of 1"]
    assert told([best], 1) == [f"{file}  WRONG  not sure: {said} ({best})", "examples right: 0 of 1"]
    assert told(["unicorn"], 1) == [f"{file}  right  not sure: {said}", "examples right: 1 of 1"]
    assert told([], 0)[0] == f"{file}  WRONG  {said} (not sure, as none of its classes fits)"
    (tmp_path / file).write_bytes(b"no picture")
    with pytest.raises(DataError, match=f"{file} cannot be read"):
        told([], 0)


@pytest.mark.parametrize("text", ["{}", "[1]", '{"a.png": "cat"}', "nothing"])
def test_a_list_of_right_answers_that_is_none(model: dsp_viz.Subject, tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(DataError, match=r"labels\.json is no list of right answers"):
        list(evaluate.examples(model, tmp_path))


def test_every_example_has_right_answers() -> None:
    listed = json.loads((EXAMPLES[0].parent / "labels.json").read_text())
    assert list(listed) == [path.name for path in EXAMPLES]


def test_the_page_opens_with_a_picture_that_its_model_names() -> None:
    first, *others = program.EXAMPLES
    assert sorted([first, *others]) == EXAMPLES
    found = dsp_viz.analyse(dsp_viz.load("dsp_everyday"), first)
    listed = json.loads((first.parent / "labels.json").read_text())
    assert found.top(1)[0][0] in listed[first.name]
    assert not found.unsure
