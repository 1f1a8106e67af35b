"""What an installation gets: code, types and weights, requirements and extras, and what is said of its version."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

import dsp_viz

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"

#: Uses the layer as if nothing but torch, and what torch itself has loaded, were installed; then the explorer.
USE = """
import sys, torch

known = set(sys.modules)

class Refusing:
    allowed = {"torch", "dsp_attention", *sys.stdlib_module_names}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.allowed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

refusing = Refusing()
sys.meta_path.insert(0, refusing)
import dsp_attention

assert dsp_attention.create_dsp_model(16, 2, 1, 3)(torch.zeros(1, 9, 16)).shape == (1, 3)
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - known} - sys.stdlib_module_names))
refusing.allowed.add("dsp_viz")
try:
    import dsp_viz
except ModuleNotFoundError as error:
    print(error)
sys.meta_path.remove(refusing)
import dsp_viz

print(*dsp_viz.available())
print(*sorted(dsp_viz.load("dsp_tiny").history))
"""


def _files(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, as ``pip install .`` unpacks it."""
    source, built, installed = (tmp_path_factory.mktemp(name) for name in ("source", "built", "installed"))
    for package in ("dsp_attention", "dsp_viz", "training", "pretrained", "tests", "benchmarks"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__", "data"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", "app.py"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-c", BUILD, built], cwd=source, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(installed)
    return installed


def test_the_packages_are_installed_with_types_and_weights(installed: Path) -> None:
    code = [path for name in ("dsp_attention", "dsp_viz", "training") for path in _files(ROOT / name)]
    weights = [path for path in (ROOT / "pretrained").iterdir() if path.is_file() and path.name != "README.md"]
    got = {path.relative_to(installed) for path in _files(installed) if ".dist-info" not in str(path)}
    assert got == {path.relative_to(ROOT) for path in (*code, *weights)}
    assert {Path("dsp_attention/py.typed"), Path("dsp_viz/py.typed"), Path("pretrained/dsp_tiny.safetensors")} <= got
    assert not list((ROOT / "pretrained").rglob("*.py"))
    (metadata,) = installed.glob("*.dist-info/METADATA")
    assert f"\nVersion: {dsp_viz.__version__}\n" in metadata.read_text()


def test_the_layer_needs_torch_only_and_the_explorer_finds_its_weights(installed: Path) -> None:
    run = subprocess.run([sys.executable, "-c", USE], cwd=installed, capture_output=True, text=True)
    assert run.stderr == ""
    layer, missing, *explorer = run.stdout.splitlines()
    assert layer == "dsp_attention"
    assert re.fullmatch(r"dsp_viz needs \w+, which is not installed: pip install 'dsp-attention\[viz\]'", missing)
    assert explorer == [
        " ".join(sorted(path.stem for path in (ROOT / "pretrained").glob("*.safetensors"))),
        "coefficients filters spread weights",
    ]


def test_requirements_are_those_of_the_layer_and_of_the_app() -> None:
    """``requirements.txt`` installs the app where there is no pyproject.toml to read, as on a Space."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    stated = [line for line in lines if line and not line.startswith("#")]
    project = PROJECT["project"]
    assert sorted(stated) == sorted(project["dependencies"] + project["optional-dependencies"]["viz"])
    assert [line.partition(">")[0] for line in project["dependencies"]] == ["torch"]


def test_the_newest_release_in_the_changelog_is_this_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    releases = [heading for heading in headings if heading != "Unreleased"]
    assert headings[0] in ("Unreleased", releases[0])
    assert releases[0].split()[0] == dsp_viz.__version__
    assert re.search(rf"^version: {re.escape(dsp_viz.__version__)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "dsp_viz.__version__"}


def test_the_readme_runs_on_the_release_of_gradio_that_is_tested() -> None:
    """A Space installs what the README's front matter says."""
    version = re.search(r"^sdk_version: (\d+)\.(\d+)\.", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert version
    major, minor = map(int, version.groups())
    assert f"gradio>={major}.{minor},<{major}.{minor + 1}" in (ROOT / "requirements.txt").read_text().splitlines()
