"""Whether maps tell the truth: relevance against explicit N×N maps in float64, curves by hand on a toy model."""

import math

import pytest
import torch
from captum.attr import IntegratedGradients
from conftest import EXAMPLES
from torch import Tensor, nn

import dsp_viz
from dsp_attention import DSPImageClassifier
from dsp_viz import images, maps, relevance
from dsp_viz.interventions import SetCoefficient
from dsp_viz.layer import Layer, Scale
from dsp_viz.relevance import gradient_times_map, relevances, rollout
from dsp_viz.steps import finish
from dsp_viz.trace import trace
from dsp_viz.trust import POINTS, RANDOM, Curves, SoFar, Trust, curve_steps, curves, interval, table, trust, trust_steps

H, W = 5, 3


@pytest.fixture(scope="module", params=["dsp", "polaformer", "softmax"])
def small(request: pytest.FixtureRequest) -> DSPImageClassifier:
    torch.manual_seed(3)
    options = {"spectral_modes": 2, "num_scales": 2} if request.param == "dsp" else {}
    model = DSPImageClassifier(
        image_size=40, patch=8, dim=12, num_heads=2, depth=2, num_classes=4, attention=request.param, **options
    )
    model = model.double().eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(1, 3, 8 * H, 8 * W, dtype=torch.double, generator=torch.Generator().manual_seed(1))


def dense(scale: Scale) -> Tensor:
    """Maps ``(streams, h, N_s, N_s)`` by definition, of the rule ``ratio`` or, with one part, ``softmax``."""
    left, right = scale.left[:, 0], scale.right[:, 0]
    if len(left) == 1:
        return torch.softmax(left @ right.mT, -1)
    q, k = torch.cat([left[0], left[1]], -1), torch.cat([right[0], right[1]], -1)
    products = torch.stack([q @ k.mT, torch.cat([left[1], left[0]], -1) @ k.mT])
    return products / (products.sum(-1, keepdim=True) + products.shape[-1] * 1e-6)


def lift(coarse: tuple[int, int]) -> Tensor:
    """``(N, N_s)``, bilinear with half-pixel centres."""
    axes = []
    for c, f in zip(coarse, (H, W), strict=True):
        axis = torch.zeros(f, c, dtype=torch.double)
        for i in range(f):
            at = max(0.0, (i + 0.5) * c / f - 0.5)
            low = min(int(at), c - 1)
            high = min(low + 1, c - 1)
            axis[i, low] += 1 - (at - low)
            axis[i, high] += at - low
        axes.append(axis)
    return torch.kron(*axes)


def spread(coarse: tuple[int, int], factor: int) -> Tensor:
    """``(N_s, N)``: row j shares 1 out among the tokens that key j pools."""
    result = torch.zeros(coarse[0] * coarse[1], H * W, dtype=torch.double)
    for r in range(H):
        for c in range(W):
            result[(r // factor) * coarse[1] + c // factor, r * W + c] = 1
    return result / result.sum(1, keepdim=True)


def effective(block: Layer) -> Tensor:
    """``(streams, h, N, N)``, explicitly."""
    total = torch.zeros((), dtype=torch.double)
    for s, scale in enumerate(block.scales):
        grid, weight = scale.keys.size, block.weights[0, :, s] * block.coefficients[0, :, s].T  # (streams, h)
        total = total + weight[..., None, None] * (lift(grid) @ dense(scale) @ spread(grid, 2**s))
    return total


def test_effective_maps_and_rollout_are_the_explicit_ones(small: DSPImageClassifier, x: Tensor) -> None:
    traced = trace(small, x)
    joint = torch.eye(H * W, dtype=torch.double)
    for block in traced.blocks:
        E = effective(block)
        for row, column in ((0, 0), (4, 2), (2, 1)):
            got = maps.layer_map(block, (row, column)).flatten(2)
            torch.testing.assert_close(got, E[:, :, row * W + column], rtol=1e-10, atol=1e-12)
        shares = torch.rand(H, W, dtype=torch.double, generator=torch.Generator().manual_seed(2))
        weighted = torch.einsum("n,phnm->phm", shares.flatten(), E)
        torch.testing.assert_close(maps.layer_map(block, shares).flatten(2), weighted, rtol=1e-10, atol=1e-12)
        mean = E.sum(0).mean(0)
        joint = (torch.eye(H * W) + mean / mean.sum(-1, keepdim=True)) / 2 @ joint
    torch.testing.assert_close(rollout(traced).flatten(), joint.mean(0), rtol=1e-5, atol=1e-8)


def test_shares_must_fit_the_grid(small: DSPImageClassifier, x: Tensor) -> None:
    with pytest.raises(ValueError, match="the grid is"):
        maps.block_maps(trace(small, x).blocks[0], torch.ones(3, 5))


def test_gradient_times_map_is_the_explicit_one(small: DSPImageClassifier, x: Tensor) -> None:
    """The last block's attention is run again from explicit maps, and the logit differentiated by them.

    The last block's alone: a deeper layer's maps depend on an earlier one's, and explicit maps would not.
    """
    traced = trace(small, x)
    block = traced.blocks[-1]
    leaves = [dense(scale).clone().requires_grad_() for scale in block.scales]
    handles = []
    if block.finish == "softmax":

        def attended(module: nn.Module, inputs: tuple) -> tuple:
            return ((leaves[0][0] @ block.scales[0].values.clone()).transpose(1, 2).flatten(2),)

        handles.append(small.get_submodule(f"{block.name}.proj").register_forward_pre_hook(attended))
    for s, leaf in enumerate(leaves if block.finish == "ratio" else ()):

        def attend(module: nn.Module, inputs: tuple, output: Tensor, leaf: Tensor = leaf) -> Tensor:
            _, v, c = inputs
            first = (v.shape[-1] + 1) // 2
            same, opposite = leaf[0] @ v[..., :first], leaf[1] @ v[..., first:]
            c = c[..., None, None, :]
            return torch.cat([same * c[..., 0], opposite * c[..., 1]], -1)

        name = f"attention.{s}" if block.parts is not None else "attention"
        handles.append(small.get_submodule(f"{block.name}.{name}").register_forward_hook(attend))
    logit = small(x)[0, 2]
    for handle in handles:
        handle.remove()
    assert logit.item() == pytest.approx(traced.output[0, 2].item(), rel=1e-10)
    gradients = torch.autograd.grad(logit, leaves)
    explicit = sum(
        (leaf * gradient).sum((0, 1, 2)).detach() @ spread(scale.keys.size, 2**s)
        for s, (leaf, gradient, scale) in enumerate(zip(leaves, gradients, block.scales, strict=True))
    )
    assert explicit.abs().max() > 1e-4
    alone = gradient_times_map(_LastBlock(small), x, 2).flatten()
    torch.testing.assert_close(alone, explicit, rtol=1e-8, atol=1e-12)


class _LastBlock(nn.Module):
    """A model whose first block is out of the tracer's sight: its values are not asked for."""

    def __init__(self, model: DSPImageClassifier) -> None:
        super().__init__()
        self.last = model.model.blocks[-1]
        self.rest = [model]

    def forward(self, image: Tensor) -> Tensor:
        return self.rest[0](image)


class Toy(nn.Module):
    """The score is the sum of three known patches, 0.5, 0.3 and 0.2, where they are seen."""

    weights = torch.tensor([[0.5, 0.0, 0.0, 0.2], [0.0, 0.3, 0.0, 0.0], [0.0] * 4, [0.0] * 4, [0.0] * 4])

    def forward(self, pictures: Tensor) -> Tensor:
        seen = nn.functional.avg_pool2d(pictures, 2).mean(1)  # (n, 5, 4)
        return (seen * self.weights).sum((1, 2))


def test_curves_by_hand() -> None:
    x = torch.ones(1, 3, 10, 8)
    best = torch.tensor([0, 5, 3, *[i for i in range(20) if i not in (0, 5, 3)]])
    orders = torch.stack([best, best.flip(0)])
    found = curves(Toy(), x, orders, (5, 4))  # 20 tokens in 10 steps: two at a time
    down = [1.0, 0.2, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    up = [0, 0.8, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    torch.testing.assert_close(found.deletion[0], torch.tensor(down))
    torch.testing.assert_close(found.insertion[0], torch.tensor(up))
    torch.testing.assert_close(
        found.deletion[1], torch.tensor(up).flip(0)
    )  # the worst first: nothing, then all at last
    torch.testing.assert_close(found.insertion[1], torch.tensor(down).flip(0))
    deletion, insertion = found.areas()
    assert deletion.tolist() == pytest.approx([0.07, 0.93])
    assert insertion.tolist() == pytest.approx([0.93, 0.07])


def test_pictures_run_in_parts_and_tell_how_far(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = torch.stack([torch.randperm(20) for _ in range(3)])
    count = 2 * 3 * (POINTS - 1) + 2
    told = [(32, count, "pictures"), (count, count, "pictures")]
    assert list(curve_steps(Toy(), torch.rand(1, 3, 10, 8), orders, (5, 4))) == told
    monkeypatch.setattr("dsp_viz.trust.batch_size", lambda tokens: 7)
    torch.manual_seed(0)
    x = torch.rand(1, 3, 10, 8)
    again = curves(Toy(), x, orders, (5, 4))
    monkeypatch.setattr("dsp_viz.trust.batch_size", lambda tokens: 100)
    torch.testing.assert_close(again.deletion, curves(Toy(), x, orders, (5, 4)).deletion)
    assert again.deletion.shape == (3, POINTS + 1)


def test_a_real_picture(model: dsp_viz.Subject) -> None:
    cut, _ = images.fit(images.read_image(EXAMPLES[0]), side=128, patch=8)
    x = model.preparation.tensor(cut)
    result = trust(model, x)
    with torch.no_grad():
        p = torch.softmax(model(x)[0], 0)
    assert result.target == int(p.argmax())
    assert result.curves.deletion.shape == (len(result.relevance) + RANDOM, POINTS + 1)
    torch.testing.assert_close(result.curves.deletion[:, 0], p.max().expand(len(result.curves.deletion)))
    torch.testing.assert_close(result.curves.insertion[:, -1], result.curves.deletion[:, 0])
    assert list(result.areas()) == [*result.relevance, "random order"]
    assert all(torch.isfinite(r).all() and r.shape == (16, 16) for r in result.relevance.values())
    # An order by integrated gradients finds what matters sooner than chance does.
    assert result.areas()["integrated gradients"][0] < result.areas()["random order"][0]
    # Integrated gradients add up to the difference between the picture's logit and the mean colour's.
    with torch.no_grad():
        difference = float(model(x)[0, result.target] - model(torch.zeros_like(x))[0, result.target])
    assert float(result.relevance["integrated gradients"].sum()) == pytest.approx(difference, rel=0.1, abs=0.1)
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())


def test_any_class_can_be_followed(small: DSPImageClassifier, x: Tensor) -> None:
    with torch.no_grad():
        p = torch.softmax(small(x)[0], 0)
    usual, other = int(p.argmax()), int(p.argmin())
    assert trust(small, x).target == usual
    found = trust(small, x, target=other)
    assert found.target == other
    torch.testing.assert_close(found.curves.deletion[:, 0], p[other].float().expand(len(found.curves.deletion)))
    want = relevances(small, x, other)["integrated gradients"]
    torch.testing.assert_close(found.relevance["integrated gradients"], want)
    assert not torch.allclose(want, relevances(small, x, usual)["integrated gradients"])
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match="within 0 and 3; None is the most probable class"):
            trust(small, x, target=wrong)


def test_integrated_gradients_in_parts_are_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few pictures at a time, as with many tokens: the way is cut up, and what comes out is captum's in one call."""
    model = dsp_viz.load("dsp_tiny")
    cut, _ = images.fit(images.read_image(EXAMPLES[0]), side=128, patch=8)
    x = model.preparation.tensor(cut)
    whole = IntegratedGradients(model).attribute(x, target=4, n_steps=64).sum(1)
    want = torch.nn.functional.avg_pool2d(whole, 8)[0] * 64
    monkeypatch.setattr(relevance, "batch_size", lambda tokens: 3)
    steps = relevance.relevance_steps(model, x, 4)
    told = [next(steps) for _ in range(10)]
    assert [(step.done, step.total) for step in told] == [(i, 11) for i in range(1, 11)]
    got = finish(steps)["integrated gradients"]
    assert float((got - want).norm() / want.norm()) < 0.1


def test_intervals_and_table_by_hand() -> None:
    assert interval([1.0, 2.0, 3.0]) == f"2.000 ± {4.3027 / math.sqrt(3):.3f}"  # t of two degrees of freedom
    assert interval([1.0, 1.1, 1.2], mark=True) == f"**+1.100 ± {4.3027 * 0.1 / math.sqrt(3):.3f}**"
    assert interval([0.25]) == "0.250"
    assert interval([-1.0, 1.5, 2.0], mark=True).startswith("+0.833 ± ")

    def one(same: float, opposite: float, random: float) -> Trust:
        level = torch.linspace(1, 0, POINTS + 1)
        rows = torch.stack([level * 2 * same, level * 2 * opposite, *[level * 2 * random] * RANDOM])
        names = ("received same", "received opposite")
        return Trust(0, {name: torch.zeros(1, 1) for name in names}, Curves(rows, rows))

    lines = table([one(0.1, 0.3, 0.4), one(0.2, 0.3, 0.4), one(0.3, 0.6, 0.5)]).splitlines()
    # Areas 0.1, 0.2, 0.3; differences -0.3, -0.2, -0.2; a tenth taken away changes a level by a fifth of its area.
    assert lines[2].startswith("| received same | 0.200 ± 0.248 | **-0.233 ± 0.143** |")
    assert lines[2].endswith("| -0.040 ± 0.050 | **+0.047 ± 0.029** |")
    assert lines[4].startswith("| random order | 0.433 ± 0.143 |  |")
    assert lines[-1].endswith("opposite-signed minus same-signed: -0.040 ± 0.050.")


def test_band_by_hand() -> None:
    draws = torch.tensor([0.2, 0.4] * (RANDOM // 2))[:, None].expand(RANDOM, POINTS + 1)
    found = Trust(0, {"mine": torch.zeros(1, 1)}, Curves(torch.cat([torch.ones(1, POINTS + 1), draws]), draws))
    low, high = found.random_band()
    half = 2.5706 * math.sqrt(7 / 6) * math.sqrt(0.06 / 5)  # t of five degrees of freedom; six draws of spread 0.1
    torch.testing.assert_close(high.deletion, torch.full((POINTS + 1,), 0.3 + half), rtol=0, atol=1e-4)
    torch.testing.assert_close(low.deletion, torch.zeros(POINTS + 1))  # 0.3 - half is below 0


def test_rollout_passes_where_attention_is_left_out(model: dsp_viz.Subject) -> None:
    nothing = [SetCoefficient(value=0, block=block) for block in range(6)]
    flat = rollout(dsp_viz.analyse(model, EXAMPLES[0], interventions=nothing).trace)
    torch.testing.assert_close(flat, torch.full((16, 16), 1 / 256))


def test_what_judging_tells_before_its_pictures(model: dsp_viz.Subject) -> None:
    steps = trust_steps(model, torch.zeros(1, 3, 32, 32))
    assert [next(steps)[2] for _ in range(3)] == ["accounts of relevance"] * 3
    assert next(steps)[2] == "pictures"


def test_what_is_known_comes_step_by_step(small: DSPImageClassifier, x: Tensor) -> None:
    so_far, counts = SoFar(), []
    steps = trust_steps(small, x, seed=5, so_far=so_far)
    for _ in steps:
        counts.append((len(so_far.relevance), len(so_far.known())))
    names = list(relevances(small, x, 0))
    assert counts == sorted(counts)
    assert counts[0] == (len(names) - 3, 0)  # all that comes from maps
    assert {maps for maps, areas in counts if not areas} >= {len(names) - 2, len(names) - 1}
    assert any(1 < areas < len(names) for _, areas in counts)
    want = trust(small, x, seed=5)
    assert counts[-1] == (len(names), len(names) + 1)
    assert so_far.known() == {name: pytest.approx(pair, abs=1e-6) for name, pair in want.areas().items()}
    assert want.areas() != trust(small, x, seed=6).areas()


def test_what_a_model_is_judged_by(small: DSPImageClassifier, x: Tensor) -> None:
    """Streams by their names where there are some; the sum is what all are told of."""
    found = relevances(small, x, 1)
    streams = [f"received {name}" for name in maps.streams(trace(small, x).blocks[0])]
    others = ["received", "rollout", "gradient × map", "gradient", "integrated gradients"]
    assert list(found) == (streams if len(streams) > 1 else []) + others
    if len(streams) > 1:
        torch.testing.assert_close(found["received same"] + found["received opposite"], found["received"])
    every = [effective(block).sum(0).mean((0, 1)) for block in trace(small, x).blocks]
    torch.testing.assert_close(found["received"].flatten(), torch.stack(every).mean(0), rtol=1e-9, atol=1e-12)
