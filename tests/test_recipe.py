"""The recipe: it learns, it resumes exactly, and it names what is wrong with a data folder."""

import csv
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dsp_attention.model import DSPImageClassifier
from dsp_viz.config import read_config
from dsp_viz.files import write_atomically
from dsp_viz.kinds.dsp import dsp_layers
from dsp_viz.sources.checkpoint import load
from dsp_viz.trace import trace
from training import ablate, evaluate, train
from training import run as running
from training.data import DataError, Lessons, Split, read_splits, resolve
from training.recipe import Recipe
from training.run import Run, _averaging


def run(data: Path, out: Path, *extra: str) -> list[dict[str, str]]:
    """A model of 16 channels: the steps of one of 128 take ten times as long where a CPU has no bfloat16."""
    train.main(["--data", str(data), "--out", str(out), "--dim", "16", *extra])
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


def test_coefficients_are_held_for_some_epochs(data: Path, tmp_path: Path) -> None:
    """What is zero at initialisation is so until they may learn; all else learns from the start."""
    for held, moved in (("2", False), ("1", True)):
        run(data, tmp_path / held, "--sizes", "16x2", "--hold", held)
        layer = next(iter(dsp_layers(load(tmp_path / held / "dsp_tiny.safetensors")).values()))
        assert bool(layer.context.out.weight.any()) is moved
        assert layer.spectral.filters.weight.any()


def test_a_run_killed_within_an_epoch_goes_on_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """State is kept after each step; the run is killed after the second of the second epoch's four."""
    splits = read_splits(data, 16)
    recipe = Recipe(sizes=(16, 16), batch=16, dim=16, balance=0.5, taught=0.25)
    told = Lessons(torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(64, 2, 1), torch.full((64, 2, 2), 0.5).half())

    def training(name: str) -> Run:
        (tmp_path / name).mkdir(exist_ok=True)
        return Run(recipe, *splits, tmp_path / name, name=name, lessons=told)

    whole = training("whole")
    whole.epochs()

    keep, kept = Run._keep_state, []

    def killed(self: Run) -> None:
        keep(self)
        kept.append((len(self.log), self.done))
        if kept[-1] == (1, 2):
            raise KeyboardInterrupt

    monkeypatch.setattr("training.run.KEPT_EVERY", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_keep_state", killed)
        with pytest.raises(KeyboardInterrupt):
            training("parts").epochs()
    assert kept == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1), (1, 2)]
    parts = training("parts")
    parts.resume()
    assert (len(parts.log), parts.done) == (1, 2)
    parts.epochs()
    assert [row["loss"] for row in parts.log] == [row["loss"] for row in whole.log]
    for key, value in whole.average.state_dict().items():
        torch.testing.assert_close(parts.average.state_dict()[key], value, rtol=0, atol=0)


def test_a_teacher_s_answers_are_a_share_of_the_loss(data: Path, tmp_path: Path) -> None:
    """By hand, of two pictures."""
    training = Run(Recipe(sizes=(16,), dim=16, taught=0.25, smoothing=0.1), *read_splits(data, 16), tmp_path, name="t")
    scores = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    p = scores.softmax(1)
    labels = -((0.95 * p[0, 0].log() + 0.05 * p[0, 1].log()) + (0.05 * p[1, 0].log() + 0.95 * p[1, 1].log())) / 2
    teacher = -((0.6 * p[0, 0].log() + 0.4 * p[0, 1].log()) + p[1, 0].log()) / 2
    told = torch.tensor([[0.6, 0.4], [1.0, 0.0]])
    found = training._loss(scores, torch.tensor([0, 1]), told)
    torch.testing.assert_close(found, 0.75 * labels + 0.25 * teacher)
    torch.testing.assert_close(training._loss(scores, torch.tensor([0, 1]), None), labels)


def test_a_pyramid_trains_by_the_same_command(data: Path, tmp_path: Path) -> None:
    train.main(["--data", str(data), "--out", str(tmp_path), "--sizes", "32x1", "--pyramid", "--name", "pyramid"])
    model = load(tmp_path / "pyramid.safetensors")
    assert [block.grid.size for block in trace(model, torch.rand(1, 3, 64, 32)).blocks] == [
        *[(16, 8)],
        *[(8, 4)] * 2,
        *[(4, 2)] * 4,
        (2, 1),
    ]


def test_a_run_killed_before_its_state_is_kept_writes_everything_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, content: bytes) -> None:
        if path.name == "state.pt" and (path.parent / "dsp_tiny.csv").read_text().count("\n") == 3:
            raise KeyboardInterrupt
        write_atomically(path, content)

    with monkeypatch.context() as patch:
        patch.setattr("training.run.write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path, "--sizes", "16x2")
    for path in tmp_path.glob("dsp_tiny*"):
        path.unlink()
    log = run(data, tmp_path, "--sizes", "16x2", "--resume")
    assert len(log) == read_config(tmp_path / "dsp_tiny.json").card["epochs"] == 2
    state = torch.load(tmp_path / "state.pt", weights_only=True)["average"]
    for key, value in load(tmp_path / "dsp_tiny.safetensors").network.state_dict().items():
        torch.testing.assert_close(value, state[f"module.{key}"], rtol=1e-3, atol=1e-6)  # kept in float16


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


def test_statistics_of_the_stem_mix_the_classes(tmp_path: Path) -> None:
    """Sorted by class, as a folder is: the spread between classes is most of the variance."""
    shade = torch.cat([torch.randint(0, 40, (200, 3, 24, 24)), torch.randint(200, 240, (200, 3, 24, 24))])
    split = Split(shade.to(torch.uint8), torch.arange(400) // 200, ("a", "b"), ("a", "b"))
    training = Run(Recipe(sizes=(24,)), split, split, tmp_path, name="mixed")
    training._settle(24)
    convolution, norm = training.average.module.embed.layers[:2]
    with torch.no_grad():
        features = convolution(evaluate.preprocess(split.images, 24, training.mean, training.std))
    torch.testing.assert_close(norm.running_var, features.var((0, 2, 3)), rtol=0.05, atol=0)


@pytest.mark.parametrize("attention", ["polaformer", "softmax"])
def test_the_baselines_train_by_the_same_command(data: Path, tmp_path: Path, attention: str) -> None:
    given = ["--sizes", "16x1", "--dim", "16", "--attention", attention]
    train.main(["--data", str(data), "--out", str(tmp_path), *given])
    assert read_config(tmp_path / f"{attention}_tiny.json").model["attention"] == attention


def _train_in_two_processes(rank: int, folder: str, data: str) -> None:
    """One run, then a grid of two: what both cost is the start of the processes."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": Path(folder, "port").read_text()}
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16"
    torch.set_num_threads(1)
    root = resolve(data)
    keep, kept = Run._keep_state, []

    def counted(self: Run) -> None:
        keep(self)
        kept.append((len(self.log), self.done))

    running.KEPT_EVERY, Run._keep_state = 0.0, counted  # type: ignore[method-assign]
    training = Run(Recipe(sizes=(16, 16), batch=32, dim=16), *read_splits(root, 16), Path(folder), name="two")
    assert training.accelerator.num_processes == 2
    assert training.accelerator.distributed_type.value == "MULTI_CPU"
    assert training.accelerator.mixed_precision == "bf16"
    training.epochs()  # 64 pictures: two steps, twice
    states = {"model": training.model.state_dict(), "average": training.average.state_dict(), "kept": kept}
    torch.save(states, f"{folder}/{rank}.pt")
    ablate.ROWS = {row: ablate.ROWS[row] for row in ("dsp", "softmax")}
    given = ["--sizes", "16", "--seeds", "0", "--dim", "16"]
    ablate.main(["--data", data, "--out", f"{folder}/grid", *given])
    training.accelerator.end_training()


def test_two_processes_hold_equal_weights_and_write_one_table(data: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        (tmp_path / "port").write_text(str(free.getsockname()[1]))
    torch.multiprocessing.spawn(_train_in_two_processes, (str(tmp_path), str(data)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    start = DSPImageClassifier(**Recipe(sizes=(16, 16), dim=16).build(2)).state_dict()
    for kept in ("model", "average"):
        for key, value in first[kept].items():
            torch.testing.assert_close(value, second[kept][key], rtol=0, atol=0)
    tracked = [key for key in start if key.endswith("ema")]
    assert len(tracked) == 6
    assert all(not torch.equal(first["model"][key], start[key]) for key in tracked)
    assert (tmp_path / "two.csv").read_text().count("\n") == 3
    assert read_config(tmp_path / "two.json").card["hardware"].startswith("2 processes, each ")
    assert first["kept"] == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    assert second["kept"] == []
    with (tmp_path / "grid" / "ablation.csv").open() as table:
        assert [row["row"] for row in csv.DictReader(table)] == ["dsp", "softmax"]


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
        (["--sizes", "60x1"], "sizes=(60,): one for each epoch is needed, each a multiple of 8"),
        (["--sizes", "64x0"], "sizes=(): one for each epoch is needed"),
        (["--dim", "130"], "dim=130: must be a multiple of 4"),
        (["--balance", "-1"], "balance=-1.0: must lie within 0 and 1"),
        (["--lessons", "some", "--taught", "2"], "taught=2.0: must lie within 0 and 1"),
        (["--aspect", "0.6"], "aspect=0.6: must be 1 or more"),
        (["--aspect", "inf"], "aspect=inf: must be 1 or more, and finite"),
        (["--seed", "99999999999999999"], "seed=99999999999999999: must lie within 0 and 4294967295"),
        (["--name", "my model/v1"], "'my model/v1' is no name of a file: give one without a folder"),
    ],
)
def test_recipes_that_cannot_be_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        train.main(["--data", ".", "--out", ".", *arguments])
    assert message in capsys.readouterr().err


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
    expected = torch.stack([torch.view_as_real(block.parts.filters) for block in blocks])
    torch.testing.assert_close(torch.from_numpy(filters).float(), expected, atol=1e-3, rtol=0)
    assert expected.any()


def test_a_full_disk_leaves_the_last_good_files(data: Path, tmp_path: Path) -> None:
    """The kernel refuses to write more than 1 MB, as a full disk would."""
    run(data, tmp_path, "--sizes", "16x1", "--dim", "128")  # weights of more than 1 MB
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    program = (
        "import resource, signal, sys\n"
        "from training import train\n"
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
        f"error: cannot write {tmp_path / 'dsp_tiny.safetensors'}: File too large; the last good file is untouched"
        in again.stderr
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_run_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path, "--sizes", "16x1")
    with pytest.raises(SystemExit, match="already holds a run: add --resume"):
        run(data, tmp_path, "--sizes", "16x1")


def test_a_run_does_not_go_on_with_other_pictures(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "out", "--sizes", "16x1")
    fewer = tmp_path / "fewer"
    shutil.copytree(data, fewer)
    next(iter((fewer / "val" / "n1").iterdir())).unlink()
    with pytest.raises(SystemExit, match=r"state\.pt is of other pictures: give those, or another folder"):
        run(fewer, tmp_path / "out", "--sizes", "16x2", "--resume")
    assert len(run(data, tmp_path / "out", "--sizes", "16x2", "--resume")) == 2


def test_epochs_not_yet_begun_may_be_planned_anew(data: Path, tmp_path: Path) -> None:
    first = run(data, tmp_path, "--sizes", "24x1")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    del state["recipe"]["mlp_ratio"]  # as one that was kept before there was such a choice
    torch.save(state, tmp_path / "state.pt")
    log = run(data, tmp_path, "--sizes", "24x1,16x2", "--resume")
    assert (log[0], [row["size"] for row in log]) == (first[0], ["24", "16", "16"])
    for changed in (["--sizes", "24x2,16x1"], ["--sizes", "24x1,16x2,32x1"], ["--sizes", "24x1,16x2", "--hold", "1"]):
        with pytest.raises(SystemExit, match=r"error: .*state\.pt is of another recipe: "):
            run(data, tmp_path, *changed, "--resume")


def test_learning_rate_by_hand() -> None:
    recipe = Recipe(sizes=(64,) * 5, lr=1.0, warmup=1.0)
    assert recipe.rate(0.25) == 0.25
    assert recipe.rate(1.0) == pytest.approx(1.0)
    assert recipe.rate(3.0) == pytest.approx(0.01 + 0.99 / 2)
    assert recipe.rate(5.0) == pytest.approx(0.01)


def test_too_few_pictures_are_told(tmp_path: Path) -> None:
    split = Split(torch.zeros(63, 3, 8, 8, dtype=torch.uint8), torch.arange(63) % 2, ("a", "b"), ("a", "b"))
    with pytest.raises(DataError, match="63 training pictures: at least 64, one batch, are needed"):
        Run(Recipe(sizes=(8,)), split, split, tmp_path, name="few")


def test_pictures_that_no_config_allows_are_told_before_training(tmp_path: Path) -> None:
    """Pictures of one colour have no standard deviation to divide by."""
    black = Split(torch.zeros(64, 3, 8, 8, dtype=torch.uint8), torch.arange(64) % 2, ("a", "b"), ("a", "b"))
    with pytest.raises(DataError, match=r"std\.0=0\.0: Input should be greater than or equal to 0\.0001"):
        Run(Recipe(sizes=(8,)), black, black, tmp_path, name="black")


def test_an_out_that_is_a_file_and_a_damaged_state_are_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"error: .*file is no folder that can be made \(File exists\)"):
        run(data, tmp_path / "file", "--sizes", "16x1")
    (tmp_path / "run").mkdir()
    torch.save({"weights": torch.zeros(2)}, tmp_path / "others.pt")
    for content in (b"damaged", b"a text of several words\n", (tmp_path / "others.pt").read_bytes()):
        (tmp_path / "run" / "state.pt").write_bytes(content)
        with pytest.raises(SystemExit, match=r"error: .*state\.pt cannot be read"):
            run(data, tmp_path / "run", "--sizes", "16x1", "--resume")
