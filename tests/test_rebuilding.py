"""Any attention run as if its record were another: against what its formula gives then, entry by entry in float64."""

import math
from dataclasses import replace

import inline
import pytest
import torch
from timm_models import build, pictures
from torch import Tensor, nn
from windowed import TOKENS, WINDOWS, TokenReader, Tokens, WindowReader, Windows

from dsp_attention import DSPImageClassifier, PolaFormerAttention, SoftmaxAttention
from dsp_viz import maps
from dsp_viz.hooks import reading
from dsp_viz.interventions import (
    InterventionError,
    LeaveOutFilter,
    Restrict,
    SetCoefficient,
    applied,
    offers,
)
from dsp_viz.kinds import KINDS, layers, softmax
from dsp_viz.kinds.kind import Seen
from dsp_viz.layer import Layer
from dsp_viz.rebuilding import rebuilt, revised
from dsp_viz.rows import rows
from dsp_viz.trace import trace

H, W, HEADS, DIM = 6, 4, 2, 12
INSIDE = tuple((r, c) for r in range(1, 4) for c in range(3))


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in ((WINDOWS, WindowReader()), (TOKENS, TokenReader()), (inline.NAME, inline.InLine())):
        monkeypatch.setitem(KINDS, name, kind)


def made(name: str) -> nn.Module:
    torch.manual_seed(3)
    layers: dict[str, nn.Module] = {
        "softmax": SoftmaxAttention(DIM, HEADS),
        "polaformer": PolaFormerAttention(DIM, H * W, HEADS),
        "inline": inline.InLineAttention(DIM, HEADS),
        "windows": Windows(DIM, HEADS, (H, W), (3, 2), (1, 1)),
        "tokens": Tokens(DIM, HEADS, "softmax"),
    }
    return layers[name].double().eval().requires_grad_(False)


def run(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return layer(x) if isinstance(layer, Windows) else layer(x, H, W)


def picture(name: str) -> Tensor:
    count = H * W + (2 if name == "tokens" else 0)
    return 2 * torch.randn(2, count, DIM, dtype=torch.double, generator=torch.Generator().manual_seed(4))


ALL = ["softmax", "polaformer", "inline", "windows", "tokens"]


def traced(layer: nn.Module, x: Tensor) -> Layer:
    return trace(layer, x, *(() if isinstance(layer, Windows) else (H, W))).blocks[0]


def by_rows(record: Layer, kept: Tensor) -> Tensor:
    """What all tokens get from the rows of :mod:`dsp_viz.rows`, keys outside left out by hand, ``(N, C)``."""
    scale = record.scales[0]
    first, out = len(record.prefix), []
    for i in range(scale.left.shape[-2]):
        query = record.prefix[i] if i < first else divmod(i - first, record.grid.columns)
        row = rows(record, scale, query, 1)  # (streams, h, N)
        if record.finish == "product":
            row = row * kept
        else:
            epsilon = 1e-6 * len(kept) if record.finish == "ratio" else 0.0
            if record.finish == "ratio":  # what the row was divided by, without ε, is not in it any more
                unit = torch.stack([scale.left[:, 1].roll(-s.turn, 0)[:, :, i] for s in record.streams])
                sums = torch.einsum("sphr,phnr->shn", unit, scale.right[:, 1]).mul(kept).sum(-1, keepdim=True)
                whole = torch.einsum("sphr,phnr->shn", unit, scale.right[:, 1]).sum(-1, keepdim=True)
                row = row * kept * (whole + epsilon) / (sums + epsilon)
            else:
                row = row * kept
                row = row / row.sum(-1, keepdim=True).clamp_min(1e-300)
        parts = [
            row[t, :, None] @ scale.values[1][..., slice(*(stream.columns or (None,)))]
            for t, stream in enumerate(record.streams)
        ]
        out.append(torch.cat([part[:, 0] for part in parts], -1).flatten())
    total = torch.stack(out)
    if record.local is not None:
        total = total + record.local[1]
    return total if record.gate is None else total * record.gate[1]


@pytest.mark.parametrize("name", ALL)
def test_the_record_rebuilds_what_every_token_gets(name: str) -> None:
    record = traced(made(name), picture(name))
    torch.testing.assert_close(rebuilt(record), record.output, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_a_region_restricts_any_attention(name: str) -> None:
    layer, x = made(name), picture(name)
    plain = traced(layer, x)
    inside = torch.zeros(H, W, dtype=torch.double)
    for r, c in INSIDE:
        inside[r, c] = 1
    kept = torch.cat([inside.new_ones(len(plain.prefix)), inside.flatten()])
    want = by_rows(plain, kept)
    with applied(layer, [Restrict(grid=(H, W), tokens=INSIDE)]):
        y, record = run(layer, x), traced(layer, x)
    torch.testing.assert_close(record.output[1], want, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(y[1], layer.proj(want), rtol=1e-9, atol=1e-11)
    assert not torch.allclose(record.output[1], plain.output[1])
    for query in ((0, 0), (2, 1), "all"):
        (seen,), (beside,) = maps.block_maps(record, query, sample=1), maps.prefix_shares(record, query, sample=1)
        assert not seen[..., inside == 0].any()
        if plain.finish != "product" and name != "windows":
            torch.testing.assert_close(
                seen.sum((-1, -2)) + beside.sum(-1), torch.ones_like(seen[..., 0, 0]), rtol=1e-3, atol=0
            )
    torch.testing.assert_close(run(layer, x), layer(x) if name == "windows" else layer(x, H, W))


@pytest.mark.parametrize("name", ["softmax", "polaformer", "tokens"])
def test_a_coefficient_multiplies_maps_of_any_attention(name: str) -> None:
    layer, x = made(name), picture(name)
    plain = traced(layer, x)
    d = DIM // HEADS
    stream = plain.streams[-1]
    columns = torch.arange(d, DIM)[slice(*(stream.columns or (None,)))]  # of the second head
    local, gate = (torch.zeros_like(plain.output), torch.ones_like(plain.output))
    local, gate = plain.local if plain.local is not None else local, plain.gate if plain.gate is not None else gate
    want = plain.output.clone()
    want[..., columns] = ((plain.output / gate - local) * 0.6 + local)[..., columns] * gate[..., columns]
    changes = [
        SetCoefficient(value=0.2, head=1, stream=stream.name),
        SetCoefficient(value=3, head=1, stream=stream.name, relative=True),
    ]
    with applied(layer, changes):
        record = traced(layer, x)
    torch.testing.assert_close(record.output, want, rtol=1e-9, atol=1e-11)
    told = torch.ones(2, HEADS, 1, len(plain.streams), dtype=torch.double)
    told[:, 1, :, -1] = 0.6
    torch.testing.assert_close(record.coefficients, told)


def test_contexts_nest() -> None:
    layer, x = made("softmax"), picture("softmax")
    region = Restrict(grid=(H, W), tokens=INSIDE)
    with applied(layer, [region, SetCoefficient(value=0.5, head=0)]):
        at_once = run(layer, x)
    with applied(layer, [region]), applied(layer, [SetCoefficient(value=0.5, head=0)]):
        torch.testing.assert_close(run(layer, x), at_once)
        torch.testing.assert_close(run(layer, x), at_once)  # a second pass reads anew


class Pyramid(nn.Module):
    """Softmax attention on a grid, PolaFormer's on one of half the side."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = SoftmaxAttention(DIM, 3), PolaFormerAttention(DIM, 4 * 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.first(x, 7, 5)
        coarse = nn.functional.avg_pool2d(x.transpose(1, 2).unflatten(2, (7, 5)), 2, ceil_mode=True)
        return self.second(coarse.flatten(2).transpose(1, 2), 4, 3)


def test_a_region_of_the_finest_grid_holds_for_later_stages() -> None:
    torch.manual_seed(0)
    model = Pyramid().double().eval()
    x = torch.randn(1, 35, DIM, dtype=torch.double)
    left = tuple((r, c) for r in range(7) for c in range(3))
    with applied(model, [Restrict(grid=(7, 5), tokens=left)]):
        first, second = trace(model, x).blocks
    (seen,) = maps.block_maps(second, "all")
    assert second.grid.size == (4, 3)
    plain = trace(model, x).blocks[1].scales[0].right
    # A column of the coarse grid covers 1⅔ of the finer one's, of which three lie within.
    share = torch.tensor([1, 0.8, 0], dtype=torch.double).repeat(4)
    assert not seen[..., 2].any()
    assert seen[..., 1].any()
    assert not maps.block_maps(first, (6, 4))[0][..., 3:].any()
    with applied(model, [Restrict(grid=(7, 5), tokens=left, block=1)]):
        again = trace(model, x).blocks[1]
    torch.testing.assert_close(again.scales[0].right, plain * share[:, None])
    for grid in ((7, 6), (5, 7), (6, 5)):
        with pytest.raises(InterventionError, match="form another grid"), applied(model, [
            Restrict(grid=grid, tokens=((0, 0),))
        ]):  # fmt: skip
            model(x)


def test_a_stream_that_only_some_layers_have() -> None:
    torch.manual_seed(0)
    model, x = Pyramid().double().eval(), torch.randn(1, 35, DIM, dtype=torch.double)
    with applied(model, [SetCoefficient(value=0, stream="same")]):
        first, second = trace(model, x).blocks
    assert (first.coefficients == 1).all()
    assert second.coefficients.tolist() == [[[[0, 1]]] * 2]
    with (
        pytest.raises(InterventionError, match="stream='some': must be one of opposite, same, softmax"),
        applied(model, [SetCoefficient(value=0, stream="some")]),
    ):
        model(x)
    with (
        pytest.raises(InterventionError, match="stream='same': must be one of softmax"),
        applied(model, [SetCoefficient(value=0, stream="same", block=0)]),
    ):
        model(x)
    with (
        pytest.raises(InterventionError, match="head=2: must be within 0 and 1"),
        applied(model, [SetCoefficient(value=0, head=2)]),
    ):
        model(x)


def test_what_a_model_cannot_do_is_not_offered() -> None:
    assert offers(nn.Linear(3, 3)) == ()
    assert offers(Pyramid()) == ("set_coefficient", "restrict")
    tiny = DSPImageClassifier(image_size=16, dim=8, num_heads=2, depth=1, num_classes=3)
    assert len(offers(tiny)) == 5
    with (
        pytest.raises(InterventionError, match="leave_out_filter needs a model with DSP-Attention layers; to this one"),
        applied(Pyramid(), [LeaveOutFilter()]),
    ):
        pass


def test_what_a_record_does_not_rebuild_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a wrong reader would make the layer put out what it says, and be believed."""

    class Wrong:
        points, values, output = softmax.points, softmax.values, softmax.output

        def read(self, name: str, layer: SoftmaxAttention, seen: Seen) -> Layer:
            record = softmax.read(name, layer, seen)
            return replace(record, scales=(replace(record.scales[0], left=math.sqrt(2) * record.scales[0].left),))

    Wrong.points, Wrong.values, Wrong.output = map(staticmethod, (softmax.points, softmax.values, softmax.output))
    monkeypatch.setitem(KINDS, "dsp_attention.baselines.SoftmaxAttention", Wrong())
    layer, x = made("softmax"), picture("softmax")
    with (
        pytest.raises(InterventionError, match="the model itself cannot be changed: its maps do not rebuild"),
        applied(layer, [SetCoefficient(value=0.5)]),
    ):
        layer(x, H, W)


def test_what_was_read_of_a_pass_is_let_go() -> None:
    layer, x = made("softmax"), picture("softmax")
    kept: list[int] = []

    def count(record: Layer) -> Layer:
        kept.append(len(calls[points[0]]))
        return record

    points = [point for _, kind in layers(layer).values() for point in kind.points(layer)]
    with reading(layer, points) as calls, revised(layer, {"": [count]}):
        for _ in range(3):
            layer(x, H, W)
    assert kept == [1, 2, 3]  # of whoever reads besides, who keeps what there was


@pytest.mark.parametrize("key", ["dinov2", "swin", "coat", "pvt", "efficientvit"])
def test_a_region_restricts_models_of_timm(key: str) -> None:
    """One that holds all of the picture changes nothing, half of it does, in every layer."""
    network, x = build(key), pictures(key, 1)
    before = trace(network, x)
    rows, columns = before.grid.size
    for part, equal in ((columns, True), (columns // 2, False)):
        tokens = tuple((r, c) for r in range(rows) for c in range(part))
        with applied(network, [Restrict(grid=(rows, columns), tokens=tokens)]):
            after = trace(network, x)
        assert torch.allclose(after.output, before.output, rtol=1e-4, atol=1e-5) is equal
        assert after.refused == ()
        for one, other in zip(after.blocks, before.blocks, strict=True):
            (seen,), (all_of_it,) = maps.block_maps(one, "all"), maps.block_maps(other, "all")
            assert torch.allclose(seen, all_of_it, rtol=1e-4, atol=1e-5 * float(all_of_it.abs().max())) is equal
