"""The recipe: it learns, it resumes exactly, and it names what is wrong with a data folder."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dsp_viz.checkpoint import load
from pretrained import evaluate, train
from pretrained.data import Augmentation, DataError, Split, read_split, resolve


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that colour tells apart: 32 + 8 pictures each."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for split, count in (("train", 32), ("val", 8)):
        for label, colour in (("n1", (200, 60, 60)), ("n2", (60, 60, 200))):
            (root / split / label).mkdir(parents=True)
            for i in range(count):
                noise = generator.normal(colour, 40, (40, 48, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(noise).save(root / split / label / f"{i}.png")
    return root


def run(data: Path, out: Path, *extra: str) -> list[dict[str, str]]:
    train.main(["--data", str(data), "--out", str(out), *extra])
    with (out / "dsp_tiny.csv").open() as log:
        return list(csv.DictReader(log))


def test_a_killed_run_continues_with_the_same_curve(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(data, tmp_path / "whole", "--sizes", "16x2,24x1")

    keep = train.Run._keep

    def killed(self: train.Run) -> None:
        keep(self)
        if len(self.log) == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train.Run, "_keep", killed)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "parts", "--sizes", "16x2,24x1")
    parts = run(data, tmp_path / "parts", "--sizes", "16x2,24x1", "--resume")

    for column in ("epoch", "size", "lr", "loss", "top1"):
        assert [row[column] for row in parts] == [row[column] for row in whole]
    first, second = (load(tmp_path / name / "dsp_tiny.safetensors").state_dict() for name in ("whole", "parts"))
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=0, atol=0)


def test_evaluate_prints_what_the_log_says(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = run(data, tmp_path, "--sizes", "24x2")
    evaluate.main(["--model", str(tmp_path / "dsp_tiny.safetensors"), "--data", str(data)])
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last == f"top1 {float(log[-1]['top1']):.2f} (n=16)"


@pytest.mark.parametrize("attention", ["polaformer", "softmax"])
def test_the_baselines_train_by_the_same_command(data: Path, tmp_path: Path, attention: str) -> None:
    train.main(["--data", str(data), "--out", str(tmp_path), "--sizes", "16x1", "--attention", attention])
    assert load(tmp_path / f"{attention}_tiny.safetensors").config.model["attention"] == attention


def test_a_run_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path, "--sizes", "16x1")
    with pytest.raises(SystemExit, match="already holds a run: add --resume"):
        run(data, tmp_path, "--sizes", "16x1")


def test_missing_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="has no folder val/"):
        resolve(str(tmp_path))


def test_unreadable_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "train" / "n1").mkdir(parents=True)
    (tmp_path / "train" / "n1" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad\.png cannot be read"):
        read_split(tmp_path, "train", 16)


def test_other_classes_than_the_model_knows_are_refused(data: Path) -> None:
    with pytest.raises(SystemExit, match="are not the model's"):
        evaluate.main(["--data", str(data)])


def test_augmentation_keeps_shape_and_soft_labels() -> None:
    torch.manual_seed(0)
    split = Split(
        torch.randint(0, 256, (11, 3, 20, 20), dtype=torch.uint8),
        torch.arange(11) % 3,
        ("a", "b", "c"),
        ("a", "b", "c"),
    )
    augmentation = Augmentation(3, torch.tensor([0.5] * 3), torch.tensor([0.25] * 3), group=2)
    batches = list(augmentation.batches(split, 16, 5))
    assert len(batches) == 2  # the last picture is left out
    for images, labels in batches:
        assert images.shape == (5, 3, 16, 16)
        assert images.min() >= -2.0
        assert images.max() <= 2.0
        torch.testing.assert_close(labels.sum(1), torch.ones(5))


def test_learning_rate_by_hand() -> None:
    recipe = train.Recipe(sizes=(64,) * 5, lr=1.0, warmup=1.0)
    assert recipe.rate(0.25) == 0.25
    assert recipe.rate(1.0) == pytest.approx(1.0)
    assert recipe.rate(3.0) == pytest.approx(0.01 + 0.99 / 2)
    assert recipe.rate(5.0) == pytest.approx(0.01)
