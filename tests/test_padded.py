"""A pyramid pads its stages at the right and the bottom: their cells reach beyond the picture."""

import pytest
import torch

from dsp_attention.pyramid import HierarchicalClassifier
from dsp_viz import export, factors, maps
from dsp_viz.interventions import Restrict, applied
from dsp_viz.layer import Grid
from dsp_viz.trace import trace

KINDS = ("polaformer", "window", "dsp", "softmax")


def pyramid() -> HierarchicalClassifier:
    torch.manual_seed(0)
    return (
        HierarchicalClassifier(
            image_size=104,
            dims=(4,) * 4,
            depths=(1,) * 4,
            num_heads=(1,) * 4,
            mlp_ratios=(1,) * 4,
            attention=KINDS,
            num_classes=3,
        )
        .eval()
        .requires_grad_(False)
    )


@pytest.mark.parametrize(("height", "width"), [(104, 72), (98, 76)])
def test_a_place_is_over_the_token_that_is_asked(height: int, width: int) -> None:
    """Token ``i`` of a stage whose cells span ``p`` pixels holds the pixels from ``p·i`` on, padded or not."""
    found = trace(pyramid(), torch.randn(1, 3, height, width))
    assert [block.kind.split()[0] for block in found.blocks] == ["PolaFormer", "windows,", "DSP-Attention", "softmax"]
    for block, span in zip(found.blocks, (4, 8, 16, 32), strict=True):
        assert block.grid.size == (-(-height // span), -(-width // span))
        assert block.grid.box == pytest.approx(
            (0, 0, block.grid.rows * span / height, block.grid.columns * span / width)
        )
        assert block.scales[0].keys.box == block.grid.box
        for row in range(found.grid.rows):
            for column in range(found.grid.columns):
                want = (4 * row + 2) // span, (4 * column + 2) // span
                assert maps.place((row, column), found.grid, block.grid) == want


def test_the_bytes_say_where_such_a_grid_lies() -> None:
    blocks = trace(pyramid(), torch.randn(1, 3, 104, 72)).blocks
    told = [factors.decode(factors.encode(block))[0].get("box") for block in blocks]
    assert told[:2] == [None, None]  # 26×18 and 13×9 are all of the picture
    assert told[2:] == [list(block.grid.box) for block in blocks[2:]]


def test_the_window_of_a_query_lies_within_the_box_of_its_grid() -> None:
    whole = Grid(4, 3, (0.0, 0.5, 1.5, 2.0))
    assert whole.part(range(1, 3), range(2, 3)) == Grid(2, 1, (0.375, 1.5, 1.125, 2.0))
    assert whole.part(range(4), range(3)) == whole
    block = trace(pyramid(), torch.randn(1, 3, 100, 76)).blocks[1]  # 13×10 in windows of 7
    _, keys = export._seen(block, (12, 9), block.scales[0], maps.block_maps(block, (12, 9))[0])
    assert keys.size == (6, 3)
    assert keys.box == pytest.approx((56 / 100, 56 / 76, 104 / 100, 80 / 76))


def test_equal_boxes_and_edges() -> None:
    """Without boxes whole numbers decide; beyond the other grid it is the nearest token."""
    for n, m in ((5, 90), (11, 22), (50, 13)):
        places = [maps.place((i, 0), Grid(n, 1), Grid(m, 1)) for i in range(n)]
        assert places == [((2 * i + 1) * m // (2 * n), 0) for i in range(n)]
    assert maps.place((4, 0), Grid(5, 1, (0, 0, 5 / 3, 1)), Grid(3, 1)) == (2, 0)
    assert maps.place((1, 0), Grid(3, 1), Grid(2, 1, (0, 0, 4 / 3, 1))) == (0, 0)


def test_a_region_holds_for_padded_stages() -> None:
    """Eight tokens of the finest grid are a cell of the coarsest; the last cell holds two rows and padding."""
    model, x = pyramid(), torch.randn(1, 3, 104, 72)
    grid = trace(model, x).grid.size
    rows = tuple((row, column) for row in range(20, 24) for column in range(grid[1]))
    with applied(model, [Restrict(grid=grid, tokens=rows)]):
        found = trace(model, x)
    (seen,) = maps.block_maps(found.blocks[3], "all")
    assert [bool(row.any()) for row in seen[0, 0]] == [False, False, True, False]
