"""The recipe: it learns, it resumes exactly, and it names what is wrong with a data folder."""

import csv
import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dsp_attention.model import DSPImageClassifier, parameter_groups
from dsp_viz.checkpoint import load
from dsp_viz.trace import trace
from pretrained import ablate, evaluate, train
from pretrained.data import Augmentation, DataError, Split, read_split, read_splits, resolve
from pretrained.recipe import PARTS, Recipe, take_away
from pretrained.run import Run, _averaging


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

    keep = Run._keep

    def killed(self: Run) -> None:
        keep(self)
        if len(self.log) == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_keep", killed)
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


def test_matrices_of_the_blocks_take_orthogonal_steps(data: Path, tmp_path: Path) -> None:
    """The first step has rate 0, so the second is all that moved: singular values up to 0.2·√max(rows, cols)."""
    recipe = Recipe(sizes=(16,), batch=32, depth=1)
    training = Run(recipe, *read_splits(data, 16), tmp_path, name="steps")
    start = {name: value.clone() for name, value in training.model.state_dict().items()}
    training.epochs()
    moved = {name: value - start[name] for name, value in training.model.state_dict().items()}
    rate = recipe.rate(0.5)
    matrix = moved["model.blocks.0.attn.qkv.0.weight"] / (recipe.matrix_rate * rate * 0.2 * 384**0.5)
    spectrum = torch.linalg.svdvals(matrix)  # five Newton–Schulz steps come near 1, but for the smallest
    assert spectrum.max() < 1.3
    assert spectrum.median() > 0.7
    head = moved["model.head.weight"] / rate
    assert head.abs().max() == pytest.approx(1.0, abs=0.01)  # AdamW: a step is at most the rate


def test_statistics_of_the_stem_are_of_whole_pictures(data: Path, tmp_path: Path) -> None:
    """In float64, from the pictures as they lie in the folder."""
    splits = read_splits(data, 24)
    training = Run(Recipe(sizes=(24,), batch=32), *splits, tmp_path, name="settled")
    training.epochs()
    convolution, norm = training.average.module.embed.double().layers[:2]
    mean, std = (t.double()[:, None, None] for t in (training.mean, training.std))
    with torch.no_grad():
        features = convolution((splits[0].images / 255.0 - mean) / std)
    torch.testing.assert_close(norm.running_mean, features.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, features.var((0, 2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["polaformer", "softmax"])
def test_the_baselines_train_by_the_same_command(data: Path, tmp_path: Path, attention: str) -> None:
    train.main(["--data", str(data), "--out", str(tmp_path), "--sizes", "16x1", "--attention", attention])
    assert load(tmp_path / f"{attention}_tiny.safetensors").config.model["attention"] == attention


def _train_in_two_processes(rank: int, folder: str, data: str) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": Path(folder, "port").read_text()}
    torch.set_num_threads(1)
    root = resolve(data)
    training = Run(Recipe(sizes=(16,), batch=32), *read_splits(root, 16), Path(folder), name="two")
    assert training.accelerator.num_processes == 2
    assert training.accelerator.distributed_type.value == "MULTI_CPU"
    training.epochs()  # 64 pictures: two steps
    torch.save({"model": training.model.state_dict(), "average": training.average.state_dict()}, f"{folder}/{rank}.pt")
    training.accelerator.end_training()


@pytest.mark.filterwarnings("default")  # the workers' warnings are those of torch.distributed
def test_two_processes_hold_equal_weights(data: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        (tmp_path / "port").write_text(str(free.getsockname()[1]))
    torch.multiprocessing.spawn(_train_in_two_processes, (str(tmp_path), str(data)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    start = DSPImageClassifier(**Recipe(sizes=(16,)).build(2)).state_dict()
    for kept in ("model", "average"):
        for key, value in first[kept].items():
            torch.testing.assert_close(value, second[kept][key], rtol=0, atol=0)
    tracked = [key for key in start if key.endswith("ema")]
    assert len(tracked) == 6
    assert all(not torch.equal(first["model"][key], start[key]) for key in tracked)
    assert (tmp_path / "two.csv").read_text().count("\n") == 2


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_left_out_stays_out(part: str) -> None:
    """After a step of training, the layer is what it would be without that part."""
    torch.manual_seed(0)
    recipe = Recipe(sizes=(16,), without=(part,))
    model = DSPImageClassifier(**recipe.build(2))
    take_away(model, recipe.without)
    optimizer = torch.optim.SGD(
        [p for group in parameter_groups(model, 0.0, structure_rate=5.0) for p in group["params"]], lr=1.0
    )
    model.train()
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(4, 3, 16, 16)).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    for block in trace(model.eval(), torch.randn(1, 3, 16, 16)).blocks:
        convolution = model.get_submodule(block.name).convolution
        smallest = torch.nn.functional.pad(convolution.kernels[0], [len(convolution.kernels) - 1] * 4)
        absent = {
            "spectral": not block.filters.any(),
            "coefficients": (block.coefficients == 1).all(),
            "scales": len(block.grids) == 1,
            "mixing": torch.allclose(block.weights, torch.tensor(1 / len(block.grids))),
            "kernels": torch.allclose(convolution.merged_kernel(), smallest),
        }
        implied = {"scales": {"scales", "mixing", "kernels"}}.get(part, {part})
        assert {name for name, gone in absent.items() if gone} == implied


def test_average_forgets_its_start() -> None:
    """By hand: 1/10 is kept of the start, then 2/11, until the decay is reached."""
    update, averaged = _averaging(0.15), [torch.tensor([0.0])]
    for n, expected in ((0, 0.9 * 1), (1, 0.15 * 0.9 + 0.85 * 2), (2, 0.15 * 1.835 + 0.85 * 3)):
        update(averaged, [torch.tensor([n + 1.0])], n)
        assert averaged[0].item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--without", "spectral,magic"], "without='magic': must be one of spectral, coefficients, scales"),
        (["--without", "spectral", "--attention", "softmax"], "softmax attention has no such part"),
    ],
)
def test_unknown_parts_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main(["--data", ".", "--out", ".", *arguments])
    assert message in capsys.readouterr().err


def test_ablation_pairs_by_seed_and_skips_what_is_done(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path), "--size", "16", "--epochs", "1", "--seeds", "0,1"]
    ablate.main(arguments)
    first = (tmp_path / "ablation.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(first)))
    assert [(row["row"], row["seed"]) for row in rows] == [(r, str(s)) for s in range(2) for r in ablate.ROWS]
    with (tmp_path / "softmax-wide-1" / "softmax-wide-1.csv").open() as log:
        assert [row["top1"] for row in csv.DictReader(log)] == [rows[-1]["top1"]]
    size = {row["row"]: int(row["parameters"]) for row in rows}
    assert size["softmax"] < size["polaformer"] < size["dsp"]
    assert size["dsp"] <= size["softmax-wide"] < 1.2 * size["dsp"]
    assert size["dsp"] <= size["polaformer-wide"] < 1.2 * size["dsp"]
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/state.pt")}
    capsys.readouterr()
    ablate.main(arguments)
    assert (tmp_path / "ablation.csv").read_text() == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/state.pt")} == stamps
    table = capsys.readouterr().out.splitlines()
    assert len([line for line in table if line.startswith(("| dsp", "| pola", "| soft"))]) == len(ablate.ROWS)


def test_ablation_table_by_hand() -> None:
    results = [
        {"row": row, "seed": seed, "top1": top1, "seconds": 10.0}
        for row, seed, top1 in (("dsp", 0, 70.0), ("dsp", 1, 72.0), ("softmax", 0, 69.0), ("softmax", 1, 69.0))
    ]
    lines = ablate.table(results).splitlines()
    assert lines[2] == "| dsp | 2 | 71.00 ± 1.41 |  | 10 |"
    assert lines[3] == "| softmax | 2 | 69.00 ± 0.00 | -2.00 ± 1.41 | 10 |"


def test_confusion_and_calibration_by_hand() -> None:
    p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.35, 0.65], [0.3, 0.7]], dtype=torch.double)
    labels = torch.tensor([0, 1, 1, 0])
    assert evaluate.confusion(p.log(), labels).tolist() == [[1, 1], [1, 1]]
    # Two bins, [0, ½) and [½, 1]: accuracy ½, confidence 0.7625.
    assert evaluate.calibration_error(p.log(), labels, bins=2) == pytest.approx(0.2625)
    # Ten bins: |1 - 0.9|, |0 - 0.8|, |1 - 0.65|, |0 - 0.7|, a quarter each.
    assert evaluate.calibration_error(p.log(), labels, bins=10) == pytest.approx((0.1 + 0.8 + 0.35 + 0.7) / 4)


def test_snapshots_hold_every_epoch(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path, "--sizes", "16x2")
    model = load(tmp_path / "dsp_tiny.safetensors")
    with np.load(tmp_path / "dsp_tiny.snapshots.npz") as kept:
        shapes = {key: kept[key].shape for key in kept}
        filters = kept["filters"][-1]
    assert shapes == {
        "filters": (2, 6, 2, 4, 15, 8, 2),
        "coefficients": (2, 6, 4, 3, 2),
        "spread": (2, 6, 4, 3, 2),
        "weights": (2, 6, 4, 3),
    }
    blocks = trace(model, torch.zeros(1, 3, 16, 16)).blocks
    expected = torch.stack([torch.view_as_real(block.filters) for block in blocks])
    torch.testing.assert_close(torch.from_numpy(filters).float(), expected, atol=1e-3, rtol=0)
    assert expected.any()


def test_a_full_disk_leaves_the_last_good_files(data: Path, tmp_path: Path) -> None:
    """The kernel refuses to write more than 1 MB, as a full disk would."""
    run(data, tmp_path, "--sizes", "16x1")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    program = (
        "import resource, signal, sys\n"
        "from pretrained import train\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))\n"
        "train.main(sys.argv[1:])\n"
    )
    arguments = ["--data", str(data), "--out", str(tmp_path), "--sizes", "16x1", "--seed", "1"]
    (tmp_path / "state.pt").rename(tmp_path / "kept")
    before["kept"] = before.pop("state.pt")
    again = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    assert again.returncode == 1
    assert (
        f"error: cannot write {tmp_path / 'state.pt'}: File too large; the last good file is untouched" in again.stderr
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


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


def test_augmentation_keeps_shape_and_labels() -> None:
    torch.manual_seed(0)
    labels = torch.arange(11) % 3
    flat = (labels * 100).to(torch.uint8)[:, None, None, None].expand(11, 3, 20, 20).contiguous()
    split = Split(flat, labels, ("a", "b", "c"), ("a", "b", "c"))
    augmentation = Augmentation(torch.tensor([0.5] * 3), torch.tensor([0.25] * 3), group=2)
    batches = list(augmentation.batches(split, 16, 5))
    assert len(batches) == 2  # the last picture is left out
    for images, labels in batches:
        assert images.shape == (5, 3, 16, 16)
        want = (labels * 100 / 255 - 0.5) / 0.25
        torch.testing.assert_close(images, want[:, None, None, None].expand_as(images), rtol=0, atol=1e-5)


def test_learning_rate_by_hand() -> None:
    recipe = Recipe(sizes=(64,) * 5, lr=1.0, warmup=1.0)
    assert recipe.rate(0.25) == 0.25
    assert recipe.rate(1.0) == pytest.approx(1.0)
    assert recipe.rate(3.0) == pytest.approx(0.01 + 0.99 / 2)
    assert recipe.rate(5.0) == pytest.approx(0.01)
