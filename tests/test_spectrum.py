"""Filters in words: filters made by hand, whose limits and directions are known."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dsp_viz import spectrum
from dsp_viz.spectrum import Character

M = 8


def made(gain: Callable[[float, float], float], modes: int = M) -> Tensor:
    """``D`` ``(2, 3, 2M-1, M)`` of a gain by ``ky, kx``: of one filter, all others are 0."""
    D = torch.zeros(2, 3, 2 * modes - 1, modes, dtype=torch.cfloat)
    for ky in range(1 - modes, modes):
        for kx in range(modes):
            D[1, 2, ky + modes - 1, kx] = gain(ky, kx) - 1
    return D


def character(gain: Callable[[float, float], float], modes: int = M) -> Character:
    return spectrum.characters(made(gain, modes))[1][2]


def radial(*gains: float) -> Callable[[float, float], float]:
    """A gain for each ``|k|``, rounded; the last one beyond."""
    return lambda ky, kx: gains[min(round(math.hypot(ky, kx)), len(gains) - 1)]


@pytest.mark.parametrize(
    ("gains", "passes", "edges", "passed", "held"),
    [
        ((1, 1, 1, 1, 0.25), "low", (3.5,), 1, 0.25),
        ((2, 2, 1), "low", (1.5,), 2, 1),
        ((0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 2), "high", (5.5,), 2, 0.5),
        ((0.5, 1, 1, 4, 4, 1), "band", (2.25, 4.75), 4, 0.891),  # the geometric mean of ½ once and 1 five times
        ((1, 1, 0.5, 0.5, 0.5, 1), "stop", (1.5, 4.5), 1, 0.5),
        ((1, 2, 1, 2, 1), "mixed", (0.5, 1.5, 2.5, 3.5), 2, 1),
        ((1.1, 0.9, 1.1, 0.9), "all", (), 1, 1),
        # The middle of 1 and 4 is 2: a dent to 1.9 does not cross it by enough to count.
        ((1, 4, 1.9, 4), "high", (0.5,), 3.53, 1),
    ],
)
def test_what_passes(
    gains: tuple[float, ...], passes: str, edges: tuple[float, ...], passed: float, held: float
) -> None:
    found = character(radial(*gains))
    assert found.passes == passes
    assert found.edges == pytest.approx(edges, abs=0.01)
    if gains != (1, 4, 1.9, 4):
        assert (found.passed, found.held) == pytest.approx((passed, held), rel=1e-3)
    assert found.anisotropy == pytest.approx(0, abs=1e-6)
    assert found.stripes == ""


def test_a_slope_crosses_its_middle_between_two_frequencies() -> None:
    """From 4 at 0 to ½ at 7 by half an octave each: 3 octaves and ½ of one, whose middle is at 3.5."""
    found = character(radial(*(4 * 2 ** (-r / 2) for r in range(8))))
    assert found.passes == "low"
    assert found.edges == pytest.approx((3.5,), abs=0.01)


def test_how_far_from_1() -> None:
    assert character(lambda ky, kx: 2.0).deviation == pytest.approx(1)
    assert character(lambda ky, kx: 0.5 if kx > 0 else 1.0).deviation == pytest.approx(math.sqrt(14 / 15))
    assert character(lambda ky, kx: 0.0).deviation == pytest.approx(8)  # nothing is left: the floor
    assert character(lambda ky, kx: 1.0).deviation == 0
    # A phase changes no strength.
    D = made(lambda ky, kx: 1.0)
    D[1, 2, :, 1:] = -2
    assert spectrum.characters(D)[1][2].deviation == pytest.approx(0, abs=1e-6)


def wave(ky: int, kx: int, side: int = 31) -> Tensor:
    y, x = (torch.arange(side).double() / side), (torch.arange(side).double() / side)
    return torch.cos(2 * torch.pi * (ky * y[:, None] + kx * x))


#: Waves whose crests run that way: (ky, kx), y downwards.
WAVES = {"vertical": (0, 3), "horizontal": (3, 0), "rising": (2, 2), "falling": (-2, 2)}


@pytest.mark.parametrize("stripes", WAVES)
def test_which_stripes_pass_best(stripes: str) -> None:
    """Of four pictures of stripes, the filter leaves most of those that it is said to prefer."""
    y, x = WAVES[stripes]

    def gain(ky: float, kx: float) -> float:
        alike = abs(ky * y + kx * x) / (math.hypot(y, x) * max(math.hypot(ky, kx), 1e-9))
        return 2.0 if alike > math.cos(math.pi / 4) + 1e-9 else 0.5

    D = made(gain)
    found = spectrum.characters(D)[1][2]
    assert found.stripes == stripes
    assert found.anisotropy == pytest.approx(2)  # octaves between the two gains
    left = {}
    for name, k in WAVES.items():
        field = torch.fft.fft2(wave(*k)) * (1 + spectrum._on_grid(D, 31, 31)[1, 2])
        left[name] = float(torch.fft.ifft2(field).real.square().mean())
    assert max(left, key=lambda name: left[name]) == stripes
    assert f"passes {stripes} structures" in spectrum.told(found)


def test_crests_run_as_they_are_named() -> None:
    """Along a crest nothing changes: to the right and up for those that rise."""
    field = wave(*WAVES["rising"])
    torch.testing.assert_close(field, field.roll((-1, 1), (0, 1)))
    torch.testing.assert_close(wave(*WAVES["vertical"]), wave(*WAVES["vertical"]).roll(1, 0))


def test_a_direction_is_named_beside_what_passes() -> None:
    found = character(lambda ky, kx: (1 if math.hypot(ky, kx) < 4.5 else 0.25) * (2 if abs(kx) > abs(ky) else 1))
    assert (found.passes, found.stripes) == ("low", "vertical")
    said = spectrum.told(found)
    assert said.startswith("Low-pass: gain ")
    assert " below 4.5 cycles per image, " in said
    assert said.endswith("structures 2 times as strongly as those across.")


def test_sentences() -> None:
    assert "as they are: gains stay within a factor of 1.00" in spectrum.told(character(lambda ky, kx: 1.0))
    assert spectrum.told(character(radial(0.5, 1))) == "High-pass: gain 0.5 for the mean, 1 above."
    assert spectrum.told(character(lambda ky, kx: 2.0)).startswith("Prefers neither frequencies nor directions")
    band = "Band-pass: gain 4 from 2.5 to 4.5 cycles per image, 1 beside."
    assert spectrum.told(character(radial(1, 1, 1, 4, 4, 1))) == band
    stop = "Band-stop: gain 0.5 from 1.5 to 2.5 cycles per image, 1 beside."
    assert spectrum.told(character(radial(1, 1, 0.5, 1))) == stop


def test_a_filter_of_the_mean_alone() -> None:
    found = character(lambda ky, kx: 4.0, modes=1)
    assert (found.passes, found.stripes, found.deviation) == ("all", "", pytest.approx(2))


def test_others_are_untouched() -> None:
    found = spectrum.characters(made(radial(1, 1, 0.25)))
    assert [[one.passes for one in heads] for heads in found] == [["all"] * 3, ["all", "all", "low"]]
