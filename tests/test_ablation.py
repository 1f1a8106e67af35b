"""What each part is worth: parts that are left out stay out, and the grid is run and told right."""

import csv
import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dsp_attention import DSPImageClassifier
from dsp_attention.optim import parameter_groups
from dsp_viz.sources.checkpoint import PRETRAINED, load
from dsp_viz.trace import trace
from training import ablate
from training.data import DataError
from training.recipe import PARTS, Recipe, take_away


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
            "spectral": not block.parts.filters.any(),
            "coefficients": (block.coefficients == 1).all(),
            "scales": len(block.scales) == 1,
            "mixing": torch.allclose(block.weights, torch.tensor(1 / len(block.scales))),
            "kernels": torch.allclose(convolution.merged_kernel(), smallest),
        }
        implied = {"scales": {"scales", "mixing", "kernels"}}.get(part, {part})
        assert {name for name, gone in absent.items() if gone} == implied


def test_ablation_pairs_by_seed_and_skips_what_is_done(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path), "--sizes", "16", "--seeds", "0,1"]
    arguments += ["--dim", "32", "--depth", "1"]
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


def test_pyramids_are_widened_in_their_mlps(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path), "--pyramid", "--sizes", "32", "--seeds", "0"]
    ablate.main([*arguments, "--rows", "dsp,polaformer,polaformer-wide"])
    with (tmp_path / "ablation.csv").open() as file:
        size = {row["row"]: int(row["parameters"]) for row in csv.DictReader(file)}
    # Two layers, the bias of the first among their parameters, of 1/16 d hidden channels in each of the blocks.
    step = sum(blocks * (d // 16) * (2 * d + 1) for d, blocks in ((48, 1), (96, 2), (192, 4), (256, 1)))
    assert size["dsp"] <= size["polaformer-wide"] < size["dsp"] + step
    assert (size["polaformer-wide"] - size["polaformer"]) % step == 0
    for rows, message in (
        ("dsp-without-scales", "the rows of pyramids are dsp, polaformer, softmax, polaformer-wide, softmax-wide"),
        ("dsp,linear", "'linear' is none of dsp, "),
    ):
        with pytest.raises(SystemExit):
            ablate.main([*arguments, "--rows", rows])
        assert message in capsys.readouterr().err


def test_tokens_of_a_grid_can_be_smaller(data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path), "--sizes", "16", "--seeds", "0", "--rows", "softmax"]
    ablate.main([*arguments, "--dim", "16", "--depth", "1", "--patch", "4"])
    weights = load(tmp_path / "softmax-0" / "softmax-0.safetensors").network.state_dict()
    assert weights["positions"].shape == (1, (16 // 4) ** 2, 16)


def test_runs_that_end_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    """Each in a grid of its own, as of another process."""
    grids = [ablate.Grid(tmp_path, {}) for _ in range(8)]
    start = Barrier(len(grids))

    def add(seed: int) -> None:
        run: Any = SimpleNamespace(recipe=Recipe(sizes=(16,), seed=seed), model=torch.nn.Linear(1, 1))
        run.log = [{"top1": float(seed), "seconds": 1.0}]
        start.wait()
        grids[seed].add("dsp", run)

    with ThreadPoolExecutor(len(grids)) as threads:
        list(threads.map(add, range(len(grids))))
    assert [run["top1"] for run in ablate.read_results(tmp_path / "ablation.csv")] == list(range(len(grids)))


def test_a_grid_whose_folder_takes_no_lock_says_so(tmp_path: Path) -> None:
    grid = ablate.Grid(tmp_path, {})
    (tmp_path / ".ablation.csv.lock").mkdir()
    run: Any = SimpleNamespace(recipe=Recipe(sizes=(16,)), model=torch.nn.Linear(1, 1), log=[{"top1": 1, "seconds": 1}])
    with pytest.raises(DataError, match=r"cannot lock .*ablation\.csv: "):
        grid.add("dsp", run)


def _fewer(data: Path, copy: Path) -> Path:
    """The same pictures but one."""
    shutil.copytree(data, copy)
    next(iter((copy / "val" / "n1").iterdir())).unlink()
    return copy


def test_a_grid_keeps_what_other_calls_have_added(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path), "--sizes", "16", "--dim", "16", "--depth", "1"]
    ablate.main([*arguments, "--rows", "softmax-wide,softmax,softmax", "--seeds", "1,1"])
    ablate.main([*arguments, "--rows", "dsp", "--seeds", "0,1"])
    with (tmp_path / "ablation.csv").open() as file:
        rows = [(row["row"], row["seed"], row["dim"]) for row in csv.DictReader(file)]
    wide = rows[-1][-1]
    assert rows == [("dsp", "0", "16"), ("dsp", "1", "16"), ("softmax", "1", "16"), ("softmax-wide", "1", wide)]
    assert int(wide) > 16
    table = capsys.readouterr().out.splitlines()[-3:]
    assert [line.split(" | ")[0] + line.split(" | ")[2] for line in table] == [
        "| dsp2",
        "| softmax1",
        "| softmax-wide1",
    ]

    grid = tmp_path / "grid.json"
    grid.write_text(json.dumps({key: value for key, value in json.loads(grid.read_text()).items() if key != "patch"}))
    before = (tmp_path / "ablation.csv").read_text()
    ablate.main([*arguments, "--rows", "dsp", "--seeds", "0,1"])  # begun when all tokens had 8 pixels
    assert (tmp_path / "ablation.csv").read_text() == before
    for other, key in (
        (["--sizes", "16x2"], "sizes"),
        (["--balance", "0.5"], "balance"),
        (["--dim", "32"], "dim"),
        (["--depth", "2"], "depth"),
        (["--patch", "4"], "patch"),
        (["--data", str(_fewer(data, tmp_path / "fewer"))], "pictures"),
    ):
        with pytest.raises(SystemExit, match=rf"holds another grid, of other {key}: choose another --out"):
            ablate.main([*arguments, "--rows", "dsp", "--seeds", "2", *other])
    assert (tmp_path / "ablation.csv").read_text() == before
    assert not (tmp_path / "dsp-2").exists()


def test_a_run_of_a_grid_is_not_planned_anew(data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path), "--dim", "16", "--depth", "1", "--rows", "dsp"]
    ablate.main([*arguments, "--sizes", "16", "--seeds", "0"])
    (tmp_path / "grid.json").unlink()
    with pytest.raises(SystemExit, match=r"state\.pt is of another recipe"):
        ablate.main([*arguments, "--sizes", "16x2", "--seeds", "0"])


def test_arguments_are_judged_before_pictures_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given, message in (
        (["--sizes", "64x0"], "one for each epoch is needed"),
        (["--dim", "3"], "a multiple of 4"),
        (["--depth", "0"], "at least one block is needed"),
        (["--patch", "0"], "patch=0: must be a power of two"),
        (["--patch", "12"], "patch=12: must be a power of two"),
        (["--patch", "32", "--sizes", "48"], "each a multiple of 32"),
    ):
        with pytest.raises(SystemExit):
            ablate.main(["--data", "nowhere", "--out", str(tmp_path / "out"), *given])
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


GRIDS = pytest.mark.parametrize(
    ("name", "rows"), [("ablation", len(ablate.ROWS)), ("tokens", 10), ("pyramids", 5), ("pyramids-time", 2)]
)


@GRIDS
def test_the_card_shows_what_the_command_prints(name: str, rows: int, capsys: pytest.CaptureFixture[str]) -> None:
    ablate.main(["--table", str(PRETRAINED / "logs" / f"{name}.csv")])
    printed = capsys.readouterr().out
    assert printed.count("\n") == 2 + rows
    assert f"\n\n{printed}\n" in (PRETRAINED / "README.md").read_text()


@GRIDS
def test_the_runs_of_the_card_end_as_their_logs_do(name: str, rows: int) -> None:
    runs = ablate.read_results(PRETRAINED / "logs" / f"{name}.csv")
    assert len({run["row"] for run in runs}) == rows
    for run in runs:
        # The runs of DSP-Attention beside those of more epochs are those of the other table.
        folder = "pyramids" if run["row"] == "dsp" and name == "pyramids-time" else name
        with (PRETRAINED / "logs" / folder / f"{run['row']}-{run['seed']}.csv").open() as log:
            assert float(list(csv.DictReader(log))[-1]["top1"]) == run["top1"]


@pytest.mark.parametrize("content", [None, "row,seed\ndsp,0\n", "row,seed,parameters,top1\ndsp,0,many,70\n"])
def test_a_file_that_is_no_grid_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ablation.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit, match=r"error: .*ablation\.csv is not the ablation\.csv of a grid"):
        ablate.main(["--table", str(path)])


def test_ablation_table_by_hand() -> None:
    results = [
        {"row": row, "seed": seed, "top1": top1, "parameters": 415_286}
        for row, seed, top1 in (
            ("dsp", 0, 70.0),
            ("dsp", 1, 72.0),
            ("softmax", 0, 69.0),
            ("softmax", 1, 69.0),
            ("polaformer-wide", 0, 73.0),
            ("polaformer-wide", 1, 75.0),
        )
    ]
    lines = ablate.table(results).splitlines()
    assert lines[2] == "| dsp | 415 k | 2 | 71.00 ± 1.41 |  |  |"
    # With two seeds, t is tan(0.475π) = 12.71 and s/√n is 1.
    assert lines[3] == "| softmax | 415 k | 2 | 69.00 ± 0.00 | -2.00 ± 1.41 | -14.71 … +10.71 |"
    assert lines[4] == "| polaformer-wide | 415 k | 2 | 74.00 ± 1.41 | +3.00 ± 0.00 | **+3.00 … +3.00** |"
