"""An attention that the project does not know is added by a reader and one entry: all else follows from the record."""

import io
import json
import math
from dataclasses import replace

import inline
import numpy as np
import pytest
import torch
from golden import FOLDER, records
from PIL import Image
from torch import Tensor, nn

from dsp_attention import DSPImageClassifier, SoftmaxAttention
from dsp_viz import factors, maps
from dsp_viz.accounts import account
from dsp_viz.figures import screen
from dsp_viz.figures.print import maps_sheet
from dsp_viz.importance import importance
from dsp_viz.interventions import SetCoefficient, applied
from dsp_viz.kinds import KINDS, kind_of, layers, softmax
from dsp_viz.kinds.kind import Seen
from dsp_viz.layer import Layer, Stream
from dsp_viz.proof import LIMIT, error
from dsp_viz.relevance import gradient_times_map, relevances
from dsp_viz.trace import trace
from dsp_viz.trust import trust

H, W, HEADS, DIM = 5, 3, 3, 12


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, inline.NAME, inline.InLine())


@pytest.fixture
def layer() -> inline.InLineAttention:
    torch.manual_seed(1)
    return inline.InLineAttention(DIM, HEADS).double().eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, H * W, DIM, dtype=torch.double, generator=torch.Generator().manual_seed(2))


def dense(layer: inline.InLineAttention, x: Tensor) -> Tensor:
    """``(h, N, N)`` of the second sample, entry by entry from the formula."""
    projected = (x[1] @ layer.qkv.weight.T + layer.qkv.bias).detach()
    d, N = DIM // HEADS, H * W
    result = torch.zeros(HEADS, N, N, dtype=torch.double)
    for h in range(HEADS):
        q, k = (projected[:, part * DIM + h * d : part * DIM + (h + 1) * d] for part in (0, 1))
        mean = k.mean(0)
        for i in range(N):
            for j in range(N):
                result[h, i, j] = (q[i] @ k[j] / math.sqrt(d) + 1 - q[i] @ mean / math.sqrt(d)) / N
    return result


def test_its_maps_are_the_formula(layer: inline.InLineAttention, x: Tensor) -> None:
    traced = trace(layer, x, H, W)
    (block,) = traced.blocks
    want = dense(layer, x)
    for query in ((0, 0), (4, 2), (2, 1)):
        (got,) = maps.block_maps(block, query, sample=1)
        torch.testing.assert_close(got[0].flatten(1), want[:, query[0] * W + query[1]], rtol=1e-11, atol=1e-13)
    (average,) = maps.block_maps(block, "all", sample=1)
    torch.testing.assert_close(average[0].flatten(1), want.mean(1), rtol=1e-11, atol=1e-13)
    assert want.min() < 0
    torch.testing.assert_close(want.sum(-1), torch.ones(HEADS, H * W, dtype=torch.double))
    assert traced.verified < 1e-12


def test_its_bytes_give_the_same_rows(layer: inline.InLineAttention, x: Tensor) -> None:
    block = trace(layer, x[1:], H, W).blocks[0]
    header, (found,) = factors.decode(factors.encode(block))
    assert (header["finish"], header["streams"]) == ("product", [{"name": "inline", "role": "only", "turn": 0}])
    rows = np.einsum("hic,hjc->hij", found.left.astype(float), found.right)
    want = dense(layer, x)
    np.testing.assert_allclose(rows, want, rtol=0, atol=1e-4 * float(want.abs().max()))
    again = factors.restore(factors.without_tokens(block), factors.encode(block))
    (got,), (row,) = maps.block_maps(again, (1, 2)), maps.block_maps(block, (1, 2))
    torch.testing.assert_close(got.double(), row, rtol=0, atol=1e-4 * float(row.abs().max()))


def test_its_figure_is_signed(layer: inline.InLineAttention, x: Tensor) -> None:
    block = trace(layer, x, H, W).blocks[0]
    values = [m.numpy() for m in maps.block_maps(block, (2, 1))]
    figure = maps_sheet(
        Image.new("RGB", (24, 40)),
        values,
        (2, 1),
        grid=(H, W),
        keys=[(scale.keys, scale.pooled) for scale in block.scales],
        streams=block.streams,
        signed=True,
        title="",
        caption=(),
    )
    _, panel, *_, bar = figure.axes
    low, high = panel.images[0].get_clim()
    assert low == -high == -screen.shared_limit(values)
    assert bar.get_xticklabels()[0].get_text().startswith("-")
    figure.savefig(io.BytesIO(), format="svg")


def test_all_questions_can_be_asked_of_it() -> None:
    network = inline.classifier()
    picture = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    found = trust(network, picture)
    assert list(found.relevance) == ["received, signed", "gradient × map", "gradient", "integrated gradients"]
    assert all(r.shape == (8, 8) and torch.isfinite(r).all() for r in found.relevance.values())
    assert account("received, signed").signed
    # Without its values a head adds nothing, which zeros in the columns of what enters the projection say too.
    worth = importance(network, picture, target=4)

    def without(module: nn.Module, inputs: tuple) -> tuple:
        return (inputs[0].index_fill(-1, torch.arange(8, 12), 0),)

    handle = network.model.blocks[1].attn.proj.register_forward_pre_hook(without)
    with torch.inference_mode():
        logit = float(network(picture)[0, 4])
    handle.remove()
    assert float(worth.heads[1][2]) == pytest.approx(logit - worth.logit, abs=1e-5)
    assert abs(logit - worth.logit) > 1e-4
    assert torch.isfinite(gradient_times_map(network, picture, 4)).all()
    assert relevances(network, picture, 4)["gradient"].min() >= 0


def test_a_subclass_is_known_and_a_stranger_is_not() -> None:
    class Own(SoftmaxAttention):
        """Somebody's own, which computes the same."""

    assert kind_of(Own(12, 3)) is softmax
    assert kind_of(nn.Linear(3, 3)) is None
    assert list(layers(nn.Sequential(nn.Linear(12, 12), Own(12, 3)))) == ["1"]


def test_maps_that_are_not_the_layers_are_never_shown(x: Tensor) -> None:
    """A later version of a library computes something else; its reader knows nothing of that."""

    class Later(SoftmaxAttention):
        def heads(self, projected: Tensor) -> tuple[Tensor, ...]:
            q, k, v = super().heads(projected)
            return q, k, v

        def forward(self, x: Tensor, H: int | None = None, W: int | None = None) -> Tensor:
            q, k, v = super().heads(self.qkv(x))
            out = torch.softmax(2 * q @ k.mT / math.sqrt(q.shape[-1]), -1) @ v
            return self.proj(out.transpose(1, 2).flatten(2))

    torch.manual_seed(0)
    good, changed = SoftmaxAttention(DIM, HEADS).double().eval(), Later(DIM, HEADS).double().eval()

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = good, changed

        def forward(self, x: Tensor, H: int, W: int) -> Tensor:
            return self.second(self.first(x, H, W), H, W)

    traced = trace(Both(), x, H, W)
    assert [block.name for block in traced.blocks] == ["first"]
    (sentence,) = traced.refused
    assert sentence.startswith("second is not shown: its maps do not rebuild what it puts out (off by ")
    assert sentence.endswith("Later of test_kinds")
    assert traced.verified < 1e-12
    with pytest.raises(ValueError, match="is not shown: its maps do not rebuild"):
        trace(changed, x, H, W)
    assert trace(good, x, H, W).refused == ()


def test_the_sentence_names_the_library_and_its_release(x: Tensor) -> None:
    layer = nn.Sequential(SoftmaxAttention(DIM, HEADS, attn_drop=0.5).double().train())  # dropout is in no map
    with pytest.raises(ValueError, match=r"^0 is not shown.*SoftmaxAttention of dsp-attention \d"):
        trace(layer, x[:, :9])


class Windows(nn.Module):
    """Attention within each half of the picture alone: halves are a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = SoftmaxAttention(DIM, HEADS)

    def forward(self, x: Tensor) -> Tensor:
        return self.attn(x.unflatten(1, (2, -1)).flatten(0, 1), 3, 3).unflatten(0, (-1, 2)).flatten(1, 2)


def test_windows_as_a_batch_are_not_taken_for_the_picture() -> None:
    with pytest.raises(ValueError, match="attn is not shown: it is called with 4 samples where the model got 2"):
        trace(Windows().eval(), torch.randn(2, 18, DIM))


def test_the_error_is_the_share_by_which_the_output_is_off(layer: inline.InLineAttention, x: Tensor) -> None:
    block = trace(layer, x, H, W).blocks[0]
    assert error(block) < 1e-12
    off = replace(block, output=1.01 * block.output)
    assert error(off) == pytest.approx(0.01 / 1.01, rel=0.5)
    assert error(off) > LIMIT
    assert error(replace(block, output=block.output + 1)) > LIMIT


def test_autocast_changes_no_verdict() -> None:
    for attention in ("dsp", "polaformer"):
        torch.manual_seed(0)
        network = DSPImageClassifier(image_size=40, dim=12, num_heads=3, depth=1, num_classes=4, attention=attention)
        with torch.autocast("cpu", torch.bfloat16):
            traced = trace(network.eval(), torch.randn(1, 3, 40, 24))
        assert traced.refused == ()
        assert traced.verified < 1e-5


def test_a_verdict_is_of_what_it_was_found_with(x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mended reader is believed, a broken one is not, whatever was found before; and so with dropout."""
    torch.manual_seed(0)
    layer = SoftmaxAttention(DIM, HEADS, attn_drop=0.5).double().eval()
    assert trace(layer, x, H, W).verified < 1e-12

    class Wrong:
        points, values = staticmethod(softmax.points), staticmethod(softmax.values)

        def read(self, name: str, layer: SoftmaxAttention, seen: Seen) -> Layer:
            record = softmax.read(name, layer, seen)
            return replace(record, scales=(replace(record.scales[0], right=2 * record.scales[0].right),))

    name = "dsp_attention.baselines.SoftmaxAttention"
    monkeypatch.setitem(KINDS, name, Wrong())
    for _ in range(2):
        with pytest.raises(ValueError, match="the model itself is not shown: its maps do not rebuild"):
            trace(layer, x, H, W)
    monkeypatch.setitem(KINDS, name, softmax)
    assert trace(layer, x, H, W).verified < 1e-12
    with pytest.raises(ValueError, match="its maps do not rebuild"):
        trace(layer.train(), x, H, W)  # what is dropped is in no map
    assert trace(layer.eval(), x, H, W).verified < 1e-12


def test_a_pass_without_maps_proves_nothing() -> None:
    torch.manual_seed(0)
    network = DSPImageClassifier(image_size=40, dim=12, num_heads=3, depth=1, num_classes=4).eval()
    picture = torch.randn(1, 3, 40, 40)
    with applied(network, [SetCoefficient(value=0)]):
        assert trace(network, picture).verified == 0
    assert trace(network, picture).verified > 0


def test_a_picture_that_tells_nothing_proves_nothing(x: Tensor) -> None:
    """With equal tokens any map rebuilds the output; the next picture is asked."""

    class Rolled(SoftmaxAttention):
        def forward(self, x: Tensor, H: int | None = None, W: int | None = None) -> Tensor:
            q, k, v = self.heads(self.qkv(x))
            out = torch.softmax(q @ k.roll(3, 2).mT / math.sqrt(q.shape[-1]), -1) @ v
            return self.proj(out.transpose(1, 2).flatten(2))

    torch.manual_seed(0)
    layer = Rolled(DIM, HEADS).double().eval()
    assert trace(layer, torch.ones_like(x), H, W).verified < 1e-12
    with pytest.raises(ValueError, match="its maps do not rebuild"):
        trace(layer, x, H, W)


def test_one_large_token_hides_nothing(layer: inline.InLineAttention, x: Tensor) -> None:
    block = trace(layer, x, H, W).blocks[0]
    for sample in (0, 1):
        wrong = block.output.clone()
        wrong[sample] += 0.1 * wrong.abs().max()
        wrong[:, torch.randperm(H * W, generator=torch.Generator().manual_seed(0))[-1]] = 1e6  # is not asked
        assert error(replace(block, output=wrong)) > LIMIT


def test_a_layer_that_cannot_be_read_takes_no_other_away(x: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a form that its reader does not know, and one that is never called."""

    class Odd(SoftmaxAttention):
        """Its reader expects something else."""

    class Expecting:
        points, values = staticmethod(softmax.points), staticmethod(softmax.values)

        def read(self, name: str, layer: SoftmaxAttention, seen: Seen) -> Layer:
            raise ValueError("17 tokens do not form a square grid")

    monkeypatch.setitem(KINDS, f"{Odd.__module__}.{Odd.__qualname__}", Expecting())

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.good, self.idle = (SoftmaxAttention(DIM, HEADS).double() for _ in range(2))
            self.odd = Odd(DIM, HEADS).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.odd(self.good(x, H=H, W=W), H, W)

    traced = trace(Mixed().eval(), x)
    assert [(block.name, block.grid.size) for block in traced.blocks] == [("good", (H, W))]
    idle, odd = traced.refused
    assert odd.startswith(
        "odd is not shown: its reader cannot read it (ValueError: 17 tokens do not form a square grid)"
    )
    assert idle.startswith("idle is not shown: idle was not called in this pass")


def test_streams_may_have_softmax_rows_of_their_own() -> None:
    block = records()["softmax"]
    scale = block.scales[0]
    halves = [torch.stack(factor.chunk(2, -1)[:2]) for factor in (scale.left[0, ..., :4], scale.right[0, ..., :4])]
    both = replace(
        block,
        streams=(Stream("a"), Stream("b", turn=1)),
        scales=(replace(scale, left=halves[0], right=halves[1]),),
        coefficients=block.coefficients.expand(-1, -1, -1, 2),
    )
    again = factors.restore(factors.without_tokens(both), factors.encode(both))
    for query in ("all", (3, 2)):
        (want,), (got,) = maps.block_maps(both, query), maps.block_maps(again, query)
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-7)
        assert not torch.allclose(want[0], want[1])


def test_each_form_has_its_golden_bytes() -> None:
    """What was written by this format is read the same for good; tests/js reads the same files."""
    for name, block in records().items():
        data = (FOLDER / f"{name}.bin").read_bytes()
        header, found = factors.decode(data)
        told = json.loads((FOLDER / f"{name}.json").read_text())
        assert header["format"] == 4
        assert header == factors.decode(factors.encode(block))[0]
        again = factors.restore(factors.without_tokens(block), data)
        for query, want in told["rows"].items():
            asked = tuple(map(int, query.split(","))) if "," in query else query
            shares = maps.prefix_shares(again, asked)
            for beside, got, expected in zip(shares, maps.block_maps(again, asked), want, strict=True):
                rows = torch.cat([beside, got.flatten(2)], -1)
                np.testing.assert_allclose(rows.numpy(), expected, rtol=3e-3, atol=1e-6)
        assert len(found) == len(block.scales)
