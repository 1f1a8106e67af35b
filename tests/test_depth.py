"""What the head would say after each block: by hand, with later blocks that add nothing, and in models of timm."""

import pytest
import timm_models
import torch
from conftest import EXAMPLES
from pyramid import Pyramid
from torch import Tensor, nn

import dsp_viz
from dsp_attention import DSPImageClassifier, SoftmaxAttention
from dsp_viz.depth import by_depth, depth_steps


@pytest.fixture
def small() -> DSPImageClassifier:
    torch.manual_seed(3)
    options = {"spectral_modes": 2, "num_scales": 2}
    model = DSPImageClassifier(image_size=40, patch=8, dim=12, num_heads=2, depth=3, num_classes=5, **options)
    return timm_models.randomised(model.double())


@pytest.fixture
def x() -> Tensor:
    return torch.randn(1, 3, 40, 24, dtype=torch.double, generator=torch.Generator().manual_seed(1))


def test_by_hand(small: DSPImageClassifier) -> None:
    """The tokens after some of the blocks, their mean, the norm and the head."""
    x = torch.randn(1, 3, 40, 40, dtype=torch.double, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        tokens = small.embed(x).flatten(2).mT + small.positions
        want = []
        for depth in range(4):
            want.append(torch.softmax(small.model.head(small.model.norm(tokens.mean(1)))[0], 0))
            if depth < 3:
                block = small.model.blocks[depth]
                tokens = tokens + block.attn(block.norm1(tokens), 5, 5)
                tokens = tokens + block.mlp(block.norm2(tokens))
    found = by_depth(small, x)
    assert found.blocks == ("model.blocks.0", "model.blocks.1", "model.blocks.2")
    torch.testing.assert_close(found.probabilities, torch.stack(want), rtol=1e-9, atol=1e-12)
    assert (found.probabilities[1:] - found.probabilities[:-1]).abs().max(1).values.min() > 1e-3  # each block matters


def test_blocks_that_add_nothing_change_nothing(small: DSPImageClassifier, x: Tensor) -> None:
    for block in small.model.blocks[1:]:
        for last in (block.attn.proj, block.mlp[-1]):
            last.weight.zero_()
            last.bias.zero_()
    found = by_depth(small, x).probabilities
    with torch.no_grad():
        said = torch.softmax(small(x)[0], 0)
    assert torch.equal(found[1:], said.expand(3, -1))
    assert not torch.allclose(found[0], said, atol=1e-3)


def test_a_pyramid_keeps_its_downsamplings() -> None:
    torch.manual_seed(0)
    model = timm_models.randomised(Pyramid(4, 8, 48, 3).double())
    x = torch.randn(1, 3, 32, 24, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want = []
        for depth in range(6):
            features, left = x, depth
            for stage in model.stages:
                features = stage.merge(features)
                H, W = features.shape[2:]
                tokens = features.flatten(2).mT
                for block in stage.blocks[: max(left, 0)]:
                    tokens = block(tokens, H, W)
                left -= len(stage.blocks)
                features = tokens.mT.unflatten(2, (H, W))
            want.append(torch.softmax(model.head(features.mean((2, 3)))[0], 0))
    found = by_depth(model, x)
    assert [path[7] for path in found.blocks] == ["0", "0", "1", "1", "2"]
    torch.testing.assert_close(found.probabilities, torch.stack(want), rtol=1e-9, atol=1e-12)


def test_a_real_model_is_as_it_was(model: dsp_viz.Subject) -> None:
    x = model.prepare(EXAMPLES[0]).input
    before = dsp_viz.analyse(model, EXAMPLES[0]).probabilities
    found = by_depth(model, x)
    assert tuple(found.probabilities[-1].tolist()) == before  # bit by bit
    assert dsp_viz.analyse(model, EXAMPLES[0]).probabilities == before
    assert found.probabilities.shape == (7, 10)
    assert [tuple(step) for step in depth_steps(model, x)] == [(i, 7, "depths") for i in range(1, 8)]


@pytest.mark.parametrize("key", [key for key in timm_models.MODELS if key != "coat"])
def test_blocks_are_found_in_models_of_timm(key: str) -> None:
    network, x = timm_models.build(key), timm_models.pictures(key)
    found = by_depth(network, x)
    with torch.inference_mode():
        said = torch.softmax(network(x)[0].double(), 0)
    assert torch.equal(found.probabilities[-1], said)
    changes = (found.probabilities[1:] - found.probabilities[:-1]).abs().amax(1)
    assert (changes > 0).all()  # each block adds something
    assert all(any(name in path for name in ("blocks", "transformer")) for path in found.blocks)


class Normed(nn.Module):
    """``norm(x + attn(x))``, as the first transformers had it: nothing of ``x`` goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.attn, self.norm = SoftmaxAttention(12, 2), nn.LayerNorm(12)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.attn(x, 5, 3))


class Bare(nn.Module):
    """One layer, in no list."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.embed, self.block, self.head = nn.Conv2d(3, 12, 8, 8), block, nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.embed(x).flatten(2).mT).mean(1))


def test_what_cannot_be_left_out_is_refused(x: Tensor) -> None:
    with pytest.raises(ValueError, match=r"block\.1 is no residual block"):
        by_depth(Bare(nn.Sequential(nn.Identity(), Normed())).double().eval(), x)
    with pytest.raises(ValueError, match=r"block\.attn is in no list of blocks"):
        by_depth(Bare(Normed()).double().eval(), x)
    twice = Normed()
    with pytest.raises(ValueError, match=r"block\.0 runs 2 times"):
        by_depth(Bare(nn.Sequential(twice, twice)).double().eval(), x)
    with pytest.raises(ValueError, match=r"parallel_blocks\.0 cannot be left out: it makes another shape"):
        by_depth(timm_models.build("coat"), timm_models.pictures("coat"))
    with pytest.raises(ValueError, match="no attention layer that is known"):
        by_depth(nn.Conv2d(3, 4, 1), x)
    with pytest.raises(ValueError, match="one is needed"):
        by_depth(Bare(Normed()), x.expand(2, -1, -1, -1))
