"""What is loaded, and when: what few ask for is paid for by those who ask."""

import json
import subprocess
import sys
from pathlib import Path

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
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    for step, line in zip(steps, done.stdout.splitlines(), strict=True):
        loaded = set(json.loads(line))
        assert "torch" in loaded
        assert not loaded & LATE, step
        assert "gradio" not in loaded or step == "import dsp_viz.ui", step
