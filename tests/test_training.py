"""The DSP-Attention layer in training: gradients, low precision, checkpointing, saved state, two processes."""

import functools

import pytest
import torch
from layers import build, shaken
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def test_gradients_reach_every_parameter() -> None:
    layer = shaken(build(num_scales=3, qkv_bias=True))
    layer(torch.randn(2, 36, 12)).square().sum().backward()
    gradients = {n: p.grad for n, p in layer.named_parameters()}
    assert [n for n, g in gradients.items() if g is None or not g.isfinite().all() or not g.any()] == []


def test_gradients_are_right() -> None:
    """Against finite differences in float64; features are kept off the kink of relu by the seed."""
    layer = shaken(build(8, 2, spectral_modes=2)).double().eval()
    names = ["qkv.0.weight", "polarity.1.power", "spectral.filters.weight", "mixer.weights.theta", "convolution.mix"]
    state = dict(layer.named_parameters())

    def call(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x, 3, 2))

    torch.manual_seed(3)
    x = torch.randn(2, 6, 8, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(call, (x, *(state[n].detach().clone().requires_grad_() for n in names)))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("autocast", [False, True])
def test_large_and_small_inputs_stay_finite(scale: float, autocast: bool) -> None:
    layer = shaken(build(num_scales=3), 0.1)
    x = (torch.randn(2, 49, 12) * scale).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = layer(x)
    y.float().square().sum().backward()
    assert y.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_bfloat16_autocast_is_close_to_float32() -> None:
    layer = build(24, 3).eval()
    x = torch.randn(2, 64, 24)
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(x).float()
    assert (low - layer(x)).abs().max() < 0.05


def test_zero_input_is_finite() -> None:
    layer = build()
    x = torch.zeros(1, 16, 12, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing_tracks_the_same(reentrant: bool) -> None:
    x = torch.randn(4, 36, 12, generator=torch.Generator().manual_seed(1))
    results = []
    for run in (lambda layer, x: layer(x), lambda layer, x: checkpoint(layer, x, use_reentrant=reentrant)):
        layer = build(num_scales=3).train()
        leaf = x.clone().requires_grad_()
        run(layer, leaf).square().sum().backward()
        results.append((layer.mixer.weights.ema.clone(), leaf.grad))
    for plain, checkpointed in zip(*results, strict=True):
        torch.testing.assert_close(plain, checkpointed)
    assert not torch.allclose(results[0][0], torch.tensor(1 / 3))


def test_state_survives_saving() -> None:
    layer = shaken(build(num_scales=3)).eval()
    twin = build(num_scales=3).eval()
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(2, 36, 12)
    torch.testing.assert_close(twin(x), layer(x), rtol=0, atol=0)
    assert "mixer.weights.ema" in layer.state_dict()


def _same_parameters(rank: int, folder: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    layer = build(num_scales=3)
    model = nn.parallel.DistributedDataParallel(layer, find_unused_parameters=False)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(3):
        optimiser.zero_grad()
        x = torch.randn(2, 36, 12, generator=torch.Generator().manual_seed(10 * step + rank))
        model(x).square().mean().backward()
        optimiser.step()
    model(torch.randn(2, 36, 12))  # buffers are broadcast from rank 0 before every forward pass
    torch.save(layer.state_dict(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_train_alike(tmp_path: object) -> None:
    torch.multiprocessing.spawn(functools.partial(_same_parameters, folder=str(tmp_path)), nprocs=2)
    first, second = (torch.load(f"{tmp_path}/{rank}.pt", weights_only=True) for rank in range(2))
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=0, atol=0)
    assert not torch.allclose(first["mixer.weights.ema"], torch.tensor(1 / 3))
    assert not torch.allclose(first["qkv.0.weight"], build(num_scales=3).qkv[0].weight)
