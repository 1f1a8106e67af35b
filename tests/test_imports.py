"""What is loaded, and when: what few ask for is paid for by those who ask."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: Packages that take long to load, and that the maps do without.
LATE = {"captum", "matplotlib", "scipy", "torchvision"}


def test_what_takes_long_is_loaded_when_it_is_used() -> None:
    """One process, asked after each import: another would start anew for each question."""
    steps = ["import dsp_attention", "import dsp_viz", "import dsp_viz.export", "import dsp_viz.ui"]
    program = (
        "import json, sys\n"
        "for step in json.loads(sys.argv[1]):\n"
        "    exec(step)\n"
        "    print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    command = [sys.executable, "-c", program, json.dumps(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    for step, line in zip(steps, done.stdout.splitlines(), strict=True):
        loaded = set(json.loads(line))
        assert "torch" in loaded
        assert not loaded & LATE, step
        assert "gradio" not in loaded or step == "import dsp_viz.ui", step


@pytest.mark.parametrize("first", ["gradio", "dsp_viz.ui"])
def test_gradio_writes_no_stubs_beside_our_components_and_leaves_others_theirs(first: str, tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(
        "import gradio as gr\n\n\nclass Theirs(gr.Image):\n    EVENTS = [gr.events.Events.change]\n"
    )
    program = f"import {first}, dsp_viz.ui, dsp_viz.ui.picture, theirs"
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    assert list(ROOT.glob("dsp_viz/**/*.pyi")) == []
    assert [stub.name for stub in tmp_path.glob("*.pyi")] == ["theirs.pyi"]
