"""The command line, as people run it: real processes, real files, and sentences where something is wrong."""

import csv
import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from glob import glob
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from far import far_device, moved
from hostile_checkpoints import write_small
from PIL import Image
from test_official import stored

import dsp_viz
from dsp_viz import export
from dsp_viz.__main__ import main
from dsp_viz.commands.analyse import _write
from dsp_viz.interventions import from_json
from dsp_viz.trust import table, trust

ROOT = Path(__file__).parent.parent
BROKEN = ROOT / "tests" / "data" / "truncated_half.jpg"
ENDINGS = (".json", ".npz", ".png", ".svg")
ANALYSE = ("analyse", "--model", "dsp_tiny")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dsp_viz", *ANALYSE, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three good ones, two of equal stem in different folders; a damaged and a missing one between them."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "other").mkdir()
    shutil.copy(EXAMPLES[0], folder / "view.2.jpg")
    with Image.open(EXAMPLES[1]) as picture:
        picture.save(folder / "other" / "VIEW.2.png")
    shutil.copy(EXAMPLES[2], folder / "last.jpg")
    return [folder / "view.2.jpg", BROKEN, folder / "missing.jpg", folder / "other" / "VIEW.2.png", folder / "last.jpg"]


@pytest.fixture(scope="module")
def done(
    pictures: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("results") / "new" / "folder"
    return out, run(*pictures, "--out", out, "--block", 6, "--query", "1,16")


def test_what_cannot_be_read_is_reported_and_the_rest_goes_on(
    pictures: list[Path], done: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    out, process = done
    assert process.returncode == 1
    reported = process.stderr.splitlines()
    assert len(reported) == 2
    assert reported[0].startswith(f"{pictures[1]}: The picture is damaged")
    assert reported[1].startswith(f"{pictures[2]}: The file cannot be opened (No such file or directory)")
    stems = ("view.2", "VIEW.2-2", "last")
    assert {p.name for p in out.iterdir()} == {stem + ending for stem in stems for ending in ENDINGS}


@pytest.mark.parametrize(("index", "stem"), [(0, "view.2"), (3, "VIEW.2-2"), (4, "last")])
def test_files_hold_what_python_gives(
    model: dsp_viz.Subject,
    pictures: list[Path],
    done: tuple[Path, subprocess.CompletedProcess[str]],
    index: int,
    stem: str,
) -> None:
    out, _ = done
    result = dsp_viz.analyse(model, pictures[index])
    summary = json.loads((out / f"{stem}.json").read_text(encoding="utf-8"))
    assert summary["picture"] == str(pictures[index])
    assert (summary["model"], summary["digest"]) == (result.model, result.digest)
    probabilities = [c["probability"] for c in summary["classes"]]
    assert sum(probabilities) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(probabilities, result.probabilities, rtol=1e-4)
    for key, attribute in (("coefficients", "coefficients"), ("mixing_weights", "weights")):
        want = [getattr(block, attribute)[0].numpy() for block in result.trace.blocks]
        np.testing.assert_allclose(summary[key], want, rtol=1e-4)
    with np.load(out / f"{stem}.npz", allow_pickle=False) as arrays:
        right = result.trace.blocks[5].scales[0].right[:, 0]
        np.testing.assert_allclose(arrays["block5/scale0/right"], right, rtol=1e-3, atol=1e-6)
    with Image.open(out / f"{stem}.png") as picture:
        picture.load()
        assert picture.width > 1000
    assert ElementTree.parse(out / f"{stem}.svg").getroot().tag.endswith("svg")


def test_the_figure_shows_the_chosen_block_and_query(
    model: dsp_viz.Subject, pictures: list[Path], done: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    out, _ = done
    figure = export.maps_figure(dsp_viz.analyse(model, pictures[4]), block=5, query=(0, 15))
    figure.savefig(out.parent / "expected.png", dpi=150)
    with Image.open(out.parent / "expected.png") as want, Image.open(out / "last.png") as got:
        difference = np.abs(np.asarray(want, dtype=int) - np.asarray(got, dtype=int))
    # The other process may add up in another order: a last digit on the colour bar may differ, no map does.
    assert (difference > 2).mean() < 0.002


def test_the_model_is_the_explorer_s_first_where_none_is_named(tmp_path: Path) -> None:
    assert main(["analyse", str(EXAMPLES[1]), "--figures", "png", "--out", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / f"{EXAMPLES[1].stem}.json").read_text(encoding="utf-8"))
    assert summary["model"] == dsp_viz.available()[0] == "dsp_everyday"


def test_existing_files_are_kept_without_force(
    pictures: list[Path], done: tuple[Path, subprocess.CompletedProcess[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = done
    arguments = [*ANALYSE, str(pictures[4]), "--out", str(out), "--query", "all"]
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "last.json (and 3 more) exists already: give --force to overwrite" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert main([*arguments, "--force"]) == 0
    after = {path: path.read_bytes() for path in out.iterdir()}
    assert {path.name for path in before if after[path] != before[path]} >= {"last.png", "last.svg"}
    assert after[out / "view.2.png"] == before[out / "view.2.png"]


def test_a_folder_becomes_a_folder_of_results_and_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: dsp_viz.Subject
) -> None:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for source, name in ((EXAMPLES[0], "a, b.jpg"), (EXAMPLES[1], "more/a, b.jpg"), (BROKEN, "half.jpg")):
        shutil.copy(source, folder / name)
    (folder / "notes.txt").write_text("no picture")
    arguments = [*ANALYSE, str(folder), "--side", "64", "--figures", "png", "--out", str(folder / "out")]
    assert main(arguments) == 1
    assert f"{folder / 'half.jpg'}: The picture is damaged" in capsys.readouterr().err
    written = {"pictures.csv"} | {f"{stem}{ending}" for stem in ("a, b", "a, b-2") for ending in ENDINGS[:3]}
    assert {path.name for path in (folder / "out").iterdir()} == written
    with open(folder / "out" / "pictures.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [str(folder / name) for name in ("a, b.jpg", "more/a, b.jpg")]
    for row in rows:
        result = dsp_viz.analyse(model, row["name"], side=64)
        assert [row[f"class {i + 1}"] for i in range(5)] == [name for name, _ in result.top()]
        found = [float(row[f"probability {i + 1}"]) for i in range(5)]
        assert found == pytest.approx([p for _, p in result.top()], abs=1e-6)
        assert (row["unsure"], row["model"], row["weights"], row["side"]) == ("false", "dsp_tiny", model.digest, "64")
    # Its own figures are no pictures of the folder; and nothing is overwritten unasked, not even the table alone.
    assert main([*arguments, "--force"]) == 1
    assert {path.name for path in (folder / "out").iterdir()} == written
    for path in (folder / "out").iterdir():
        if path.name != "pictures.csv":
            path.unlink()
    with pytest.raises(SystemExit):
        main(arguments)
    assert "pictures.csv exists already: give --force" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit):
        main([*ANALYSE, str(tmp_path / "empty"), "--out", str(tmp_path / "out")])
    assert "holds no picture" in capsys.readouterr().err


def test_pictures_that_lie_in_out_are_not_left_out_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(EXAMPLES[0], tmp_path)
    with pytest.raises(SystemExit):
        main([*ANALYSE, str(tmp_path), "--out", str(tmp_path)])
    assert f"--out {tmp_path}: all pictures of {tmp_path} lie in it" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="files are limited by bash's ulimit, in blocks of Linux")
def test_a_full_disk_leaves_the_files_of_before(tmp_path: Path) -> None:
    picture, out = shutil.copy(EXAMPLES[0], tmp_path), tmp_path / "out"
    assert run(picture, "--out", out, "--figures", "png").returncode == 0
    before = {path: path.read_bytes() for path in out.iterdir() if path.suffix != ".json"}  # which tells the seconds
    largest = len(before[out / f"{EXAMPLES[0].stem}.npz"])
    command = [sys.executable, "-m", "dsp_viz", *ANALYSE, picture, "--out", out, "--figures", "png", "--force"]
    limited = f"ulimit -f {largest // 2048} && exec {shlex.join(map(str, command))}"  # half of it, in kB
    done = subprocess.run(["bash", "-c", limited], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert f"{EXAMPLES[0].stem}.npz cannot be written (File too large)." in done.stderr
    assert {path: path.read_bytes() for path in out.iterdir() if path.suffix != ".json"} == before


#: A network of somebody's own, which takes one size.
FIXED = """
import torch
import dsp_viz
from dsp_attention import DSPImageClassifier

class Fixed(DSPImageClassifier):
    def forward(self, x):
        assert x.shape[2:] == (24, 24), f"Input size ({x.shape[2]}) does not match model (24)."
        return super().forward(x)

def make():
    network = Fixed(image_size=24, dim=12, num_heads=2, depth=1, num_classes=2)
    look = {"size": 24, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    return dsp_viz.wrap(network, **look, patch=8, classes=["a", "b"], name="fixed")
"""


@pytest.mark.parametrize("command", ["analyse", "trust", "survey"])
def test_a_model_that_fails_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (tmp_path / f"own_{command}.py").write_text(FIXED)
    monkeypatch.chdir(tmp_path)
    wide, square = tmp_path / "pictures" / "1.png", tmp_path / "pictures" / "2.png"
    wide.parent.mkdir()
    Image.new("RGB", (60, 30)).save(wide)
    Image.new("RGB", (30, 30), "red").save(square)
    given = [command, str(wide.parent), "--model", f"own_{command}:make", "--out", str(tmp_path / "out")]
    given += ["--device", "cpu"]
    if command == "analyse":
        assert main([*given, "--side", "48"]) == 1
    else:
        with pytest.raises(SystemExit):
            main([*given, "--side", "48"])
    said = capsys.readouterr().err
    assert "fixed fails at 48 px (AssertionError: Input size (48) does not match model (24).)" in said
    assert "It was made for 24 px of a picture's middle: choose these." in said
    if command == "analyse":  # one picture fails, and the others are there
        assert main([*given, "--whole", "--figures", "png", "--force"]) == 1
        assert "1.png: fixed fails at 24 px of the whole picture (AssertionError" in capsys.readouterr().err
        assert (tmp_path / "out" / "2.npz").is_file()
        assert (tmp_path / "out" / "pictures.csv").read_text().count("2.png") == 1


def test_a_picture_whose_files_cannot_be_written_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / f"{EXAMPLES[0].stem}.npz"
    blocked.mkdir()
    assert main([*ANALYSE, str(EXAMPLES[0]), str(EXAMPLES[1]), "--out", str(tmp_path), "--force"]) == 1
    assert f"{EXAMPLES[0]}: {blocked} cannot be written (Is a directory)." in capsys.readouterr().err
    assert (tmp_path / f"{EXAMPLES[1].stem}.svg").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--block", "7"], "--block 7: dsp_tiny has blocks 1…6"),
        (["--block", "0"], "--block 0: dsp_tiny has blocks 1…6"),
        (["--block", "last"], "'last' must be a whole number, counted from 1"),
        (["--query", "0,3"], "--query 0,3: the grid has rows 1…16 and columns 1…16"),
        (["--query", "3,17"], "--query 3,17: the grid has rows 1…16 and columns 1…16"),
        (["--query", "9,9", "--side", "64"], "--query 9,9: the grid has rows 1…8 and columns 1…8"),
        (["--side", "100"], "side=100: must be a multiple of the model's patch, 8 pixels, up to 2048"),
        (["--side", "4"], "side=4: must be a multiple"),
        (["--side", "2056"], "side=2056: must be a multiple"),
        (["--side", "wide"], "'wide' must be a whole number, 1 or more"),
        (["--device", "tpu"], "invalid choice: 'tpu' (choose from"),
        (["--figures", "png,gif"], "'png,gif' must be formats among png, svg, pdf, joined by commas"),
        (["--figures", ""], "'' must be formats among png, svg, pdf"),
        (["--dpi", "9999"], "'9999' must be a whole number within 20 and 600"),
        (["--query", "centre"], "'centre' must be ROW,COL, both counted from 1, such as 8,10; or all"),
        (["--query", "1,2,3"], "'1,2,3' must be ROW,COL"),
        (["--model", "nothing"], "no model 'nothing': give one of"),
    ],
)
def test_bad_arguments_say_what_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as exit_:
        main([*ANALYSE, str(EXAMPLES[0]), "--out", str(out), *arguments])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_side_and_whole_change_the_grid_of_each_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: dsp_viz.Subject
) -> None:
    """A query is looked for in the grid that a picture has: row 7 of a wide one is beyond it, not of a tall one."""
    with Image.open(EXAMPLES[0]) as picture:
        picture.resize((300, 150)).save(tmp_path / "wide.png")
        picture.resize((150, 300)).save(tmp_path / "tall.png")
    files = [str(tmp_path / name) for name in ("wide.png", "tall.png")]
    given = ["--side", "96", "--whole", "--query", "7,6", "--figures", "pdf", "--device", "cpu"]
    assert main([*ANALYSE, *files, "--out", str(tmp_path / "out"), *given]) == 1
    wanted = f"{files[0]}: --query 7,6: the grid has rows 1…6 and columns 1…12"
    assert wanted in capsys.readouterr().err.splitlines()
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"tall.json", "tall.npz", "tall.pdf"}
    summary = json.loads((tmp_path / "out" / "tall.json").read_text())
    assert (summary["grid"], summary["name"]) == ([12, 6], "tall.png")
    want = dsp_viz.analyse(model, files[1], side=96, whole=True)
    assert [c["probability"] for c in summary["classes"]] == pytest.approx(list(want.probabilities), abs=1e-6)
    # Where no query is given, it is the centre of each grid.
    assert main([*ANALYSE, *files, "--out", str(tmp_path / "both"), "--side", "96", "--whole", "--figures", "svg"]) == 0
    for name, centre in (("wide", "row 4, column 7"), ("tall", "row 7, column 4")):
        assert f"query at {centre}" in (tmp_path / "both" / f"{name}.svg").read_text(encoding="utf-8")


def test_figures_have_the_formats_and_the_scale_that_were_asked_for(tmp_path: Path) -> None:
    arguments = [*ANALYSE, str(EXAMPLES[0]), "--side", "64", "--figures", "PDF,png,pdf", "--dpi", "50"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    stem = EXAMPLES[0].stem
    assert {p.name for p in tmp_path.iterdir()} == {f"{stem}{e}" for e in (".json", ".npz", ".png", ".pdf")}
    with Image.open(tmp_path / f"{stem}.png") as picture:
        first = picture.width
    assert main([*arguments[:-1], "100", "--out", str(tmp_path), "--force"]) == 0
    with Image.open(tmp_path / f"{stem}.png") as picture:
        assert picture.width == pytest.approx(2 * first, abs=2)
    assert (tmp_path / f"{stem}.pdf").read_bytes().startswith(b"%PDF")


def test_a_device_that_is_missing_ends_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for command in ([*ANALYSE, str(EXAMPLES[0]), "--out", str(tmp_path / "out")], ["trust", str(EXAMPLES[0].parent)]):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--device", "cuda"])
        assert ended.value.code == 2
        assert "device 'cuda' is not available here: give auto or one of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_model_runs_where_it_is_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a stand-in for a GPU, with the same numbers as on the CPU."""
    arguments = [*ANALYSE, str(EXAMPLES[0]), "--side", "64", "--figures", "png"]
    assert main([*arguments, "--out", str(tmp_path / "near"), "--device", "cpu"]) == 0
    seen, model = [], moved(dsp_viz.load("dsp_tiny"))

    def far(name: str, *, device: torch.device) -> dsp_viz.Subject:
        seen.append(device)
        return model

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("dsp_viz.commands.options.load", far)
    with far_device():
        assert main([*arguments, "--out", str(tmp_path / "far")]) == 0
    assert seen == [torch.device("cuda")]
    near, there = (json.loads((tmp_path / p / f"{EXAMPLES[0].stem}.json").read_text()) for p in ("near", "far"))
    assert [c["probability"] for c in there["classes"]] == pytest.approx(
        [c["probability"] for c in near["classes"]], abs=1e-5
    )


def test_trust_takes_side_and_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(EXAMPLES[1], tmp_path)
    model = dsp_viz.load("dsp_tiny")
    given = ["--model", "dsp_tiny", "--side", "64", "--whole", "--device", "cpu"]
    assert main(["trust", str(tmp_path), *given]) == 0
    prepared = model.prepare(EXAMPLES[1], side=64, whole=True)
    assert prepared.frame.grid != (8, 8)
    assert table([trust(model, prepared.input)]) in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["trust", str(tmp_path), "--model", "dsp_tiny", "--side", "65"])
    assert "side=65: must be a multiple of the model's patch, 8 pixels" in capsys.readouterr().err


def test_the_commands_of_the_documentation_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them in one folder, as somebody would try them: none stops at what another wrote."""
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "folder/of/pictures"):
        Path(folder).mkdir(parents=True)
        shutil.copy(EXAMPLES[0], folder)
    shutil.copy(EXAMPLES[1], "photo.jpg")
    torch.save({"model": {key: t.float() for key, t in stored("pvt")[0].items()}}, "official.pth")
    ran = set()
    for page in ("README.md", "docs/api.md"):
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:3] == ["python", "-m", "dsp_viz"]:
                    arguments = [name for word in words[3:] for name in (sorted(glob(word)) if "*" in word else [word])]
                    assert main(arguments) == 0, line
                    ran.add((page, arguments[0]))
    wanted = {(page, name) for page in ("README.md", "docs/api.md") for name in ("analyse", "trust")}
    assert ran == wanted | {("docs/api.md", "convert"), ("README.md", "survey")}


def test_out_must_be_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        main([*ANALYSE, str(EXAMPLES[0]), "--out", str(tmp_path / "file")])
    assert "is no folder that can be made (File exists): give another" in capsys.readouterr().err


def test_help_names_every_choice(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["analyse", "--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    choices = ("PICTURE", "--out", "--model", "--block", "--query", "--force", "--side", "--whole", "--device")
    assert all(choice in shown for choice in (*choices, "--figures", "--dpi"))


def test_interventions_from_text_and_file(tmp_path: Path, model: dsp_viz.Subject) -> None:
    text = '[{"kind": "set_coefficient", "value": 0, "scale": 0}]'
    (tmp_path / "changes.json").write_text(text)
    want = dsp_viz.analyse(model, EXAMPLES[0], interventions=from_json(text))
    for name, given in (("text", text), ("file", str(tmp_path / "changes.json"))):
        out = tmp_path / name
        assert main([*ANALYSE, str(EXAMPLES[0]), "--out", str(out), "--interventions", given]) == 0
        written = json.loads((out / f"{EXAMPLES[0].stem}.json").read_text())
        assert written["interventions"] == [want.interventions[0].model_dump(exclude_none=True)]
        got = [entry["probability"] for entry in written["classes"]]
        assert got == pytest.approx(list(want.probabilities), abs=1e-6)


@pytest.mark.parametrize(
    "given", ["nothing.json", "no/" * 200, '[{"kind": "set_coefficient", "value": 0, "head": 9}]', "[{}]"]
)
def test_bad_interventions_end_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*ANALYSE, str(EXAMPLES[0]), "--out", str(tmp_path / "out"), "--interventions", given])
    assert ended.value.code == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert any(word in sentence for word in ("interventions", "head=9"))
    assert "--out" not in sentence


def test_interventions_that_do_not_fit_a_picture_name_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --whole each has a grid of its own, so that none is known before."""
    given = '[{"kind": "restrict", "grid": [8, 32], "tokens": [[0, 0]]}]'
    out = tmp_path / "out"
    assert main([*ANALYSE, *map(str, EXAMPLES[:2]), "--out", str(out), "--whole", "--interventions", given]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "another grid" in line]
    assert [line.split(":")[0] for line in lines] == [str(path) for path in EXAMPLES[:2]]
    assert list(out.iterdir()) == []


def test_trust_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = write_small(tmp_path)
    model = dsp_viz.load(weights)
    for i, path in enumerate(EXAMPLES[:5]):
        (tmp_path / f"class{i % 2}").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / f"class{i % 2}")
    (tmp_path / "class0" / "notes.txt").write_text("no picture")
    given = ["trust", str(tmp_path), "--model", str(weights)]
    assert main([*given, "--limit", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"2 pictures, small (weights {model.digest})")
    chosen = sorted(tmp_path.rglob("*.jpg"))
    found = []
    for number, path in enumerate((chosen[0], chosen[2])):
        found.append(trust(model, model.prepare(path).input, seed=number))
    assert table(found) in out
    (tmp_path / "class0" / "broken.jpg").write_bytes(b"no picture either")
    for path in tmp_path.rglob("*.jpg"):
        if path.stem not in ("broken", EXAMPLES[0].stem):
            path.unlink()
    assert main(given) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("1 picture, ")
    assert "broken.jpg" in printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is no folder"),
        (["{empty}"], "holds no picture"),
        (["{empty}", "--limit", "0"], "must be a whole number"),
    ],
)
def test_trust_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["trust", *(a.format(empty=tmp_path) for a in arguments)])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_name_that_is_no_utf8_is_written_too(tmp_path: Path, model: dsp_viz.Subject) -> None:
    odd = Path(os.fsdecode(b"caf\xe9.jpg"))  # as Python tells of such a file; macOS would not make one
    result = dataclasses.replace(dsp_viz.analyse(model, EXAMPLES[0]), name=str(odd))
    figure = export.maps_figure(result, block=0, query=(0, 0))
    _write(result, tmp_path / "odd", picture=odd, figure=figure, formats=("svg",), dpi=50)
    assert json.loads((tmp_path / "odd.json").read_text())["picture"] == str(odd)
