"""What layers are called: as the page's own script calls them, see tests/js/stages.test.js."""

from dsp_viz.ui.kept import Facts
from dsp_viz.ui.stages import block_names, levels

PYRAMID = [Facts(stage, (1, 1), 1, "") for stage in (0, 0, 1, 2, 2, 2)]


def test_by_stage_and_block() -> None:
    assert levels(PYRAMID) == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2)]
    assert block_names(PYRAMID)[4] == "stage 3 · block 2"


def test_by_block_where_there_is_one_stage() -> None:
    assert block_names(PYRAMID[3:]) == ["block 1", "block 2", "block 3"]
