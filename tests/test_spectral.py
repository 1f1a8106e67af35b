"""The spectral mixer against a dense DFT, and that one filter serves every resolution."""

import numpy as np
import pytest
import reference
import torch

from dsp_attention.spectral import SpectralPolarityMixer, kept_frequencies


def build(heads: int, modes: int) -> SpectralPolarityMixer:
    mixer = SpectralPolarityMixer(heads, modes).double()
    torch.manual_seed(modes)
    torch.nn.init.normal_(mixer.filters.weight)
    return mixer


@pytest.mark.parametrize("grid", [(6, 6), (7, 5), (1, 1), (1, 8), (2, 2), (3, 16), (9, 4)])
@pytest.mark.parametrize("modes", [1, 2, 4, 20])
def test_equals_a_dense_dft(grid: tuple[int, int], modes: int) -> None:
    mixer = build(2, modes)
    field = torch.randn(2, *grid, 2, 2, 3, dtype=torch.double)  # (B, H, W, F, h, d)
    got = mixer(field).detach()  # (2, F, B, h, N, d)
    weight = mixer.filters.weight.detach().numpy()
    for polarity, f, b, h, d in np.ndindex(2, 2, 2, 2, 3):
        plane = field[b, :, :, f, h, d].numpy()
        expected = reference.filter_field(plane, weight[polarity, h], *grid)
        np.testing.assert_allclose(got[polarity, f, b, h, :, d], expected, rtol=0, atol=1e-11)


def test_initially_the_identity() -> None:
    field = torch.randn(2, 5, 6, 2, 3, 4)
    out = SpectralPolarityMixer(3, 16)(field)
    for polarity in range(2):
        torch.testing.assert_close(out[polarity], field.permute(3, 0, 4, 1, 2, 5).flatten(3, 4), rtol=0, atol=0)


def wave(size: int, ky: int, kx: int, phase: float = 0.4) -> torch.Tensor:
    """A cosine of ``(ky, kx)`` cycles per image at the pixel centres of a ``size × size`` grid."""
    at = (torch.arange(size, dtype=torch.double) + 0.5) / size
    return torch.cos(2 * torch.pi * (ky * at[:, None] + kx * at[None]) + phase)


@pytest.mark.parametrize("k", [(0, 0), (1, 0), (-2, 1), (3, 3), (0, 2)])
def test_a_wave_is_scaled_and_shifted_alike_at_14_and_28(k: tuple[int, int]) -> None:
    """A band-limited field keeps its frequency at any resolution, so it must meet the same gain."""
    mixer = build(1, 4)
    outputs = {}
    for size in (14, 28, 15):
        field = wave(size, *k).view(1, size, size, 1, 1, 1)
        outputs[size] = mixer(field)[:, 0, 0, 0, :, 0].view(2, size, size).detach()
    D = mixer.filters().detach()
    for polarity in range(2):
        index = (polarity, 0, k[0] + 3, k[1])
        gain = 1 + D[index]
        for size, out in outputs.items():
            shift = gain.angle().item() if k != (0, 0) else 0.0
            factor = gain.abs().item() if k != (0, 0) else gain.real.item()
            torch.testing.assert_close(out[polarity], factor * wave(size, *k, 0.4 + shift), rtol=0, atol=1e-12)


def test_frequencies_beyond_the_modes_pass_unchanged() -> None:
    mixer = build(1, 3)
    for k in ((3, 0), (0, 3), (-5, 1), (4, 4), (7, 0), (0, 7)):  # 7 is the Nyquist frequency of 14
        field = wave(14, *k).view(1, 14, 14, 1, 1, 1)
        out = mixer(field)
        for polarity in range(2):
            torch.testing.assert_close(out[polarity].flatten(), field.flatten(), rtol=0, atol=1e-12)


def test_symmetry_at_zero_horizontal_frequency_is_enforced() -> None:
    D = build(2, 4).filters()
    torch.testing.assert_close(D[..., 0], D[..., 0].flip(-1).conj(), rtol=0, atol=0)
    assert (D[:, :, 3, 0].imag == 0).all()


@pytest.mark.parametrize(("size", "kept"), [(1, 1), (2, 1), (3, 2), (4, 2), (14, 7), (15, 8), (100, 8)])
def test_kept_frequencies_end_before_nyquist(size: int, kept: int) -> None:
    assert kept_frequencies(size, 8) == kept


def test_runs_in_float32_under_autocast() -> None:
    mixer = build(1, 3).float()
    field = torch.randn(1, 6, 6, 1, 1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        out = mixer(field)
        coarse = mixer(field.bfloat16())
    assert out.dtype == coarse.dtype == torch.float32
    torch.testing.assert_close(out, mixer(field), rtol=0, atol=0)


def test_gradients_are_right() -> None:
    mixer = build(1, 2)
    field = torch.randn(1, 3, 4, 1, 1, 2, dtype=torch.double, requires_grad=True)
    weight = mixer.filters.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda f, w: torch.func.functional_call(mixer, {"filters.weight": w}, (f,)), (field, weight)
    )
