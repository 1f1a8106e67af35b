"""What the filters of DSP-Attention do, as numbers: spectra, profiles over frequency, kernels in space."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .layer import Layer


def full_spectrum(filters: Tensor) -> Tensor:
    """The filters ``F = 1 + D`` over both signs of ``kx``, zero frequency in the middle.

    Args:
        filters: ``D`` ``(…, 2M-1, M)`` complex.

    Returns:
        ``(…, 2M-1, 2M-1)`` complex; the last axes are ``ky`` and ``kx``, ``-(M-1)…M-1`` cycles per image.
    """
    mirrored = filters[..., 1:].flip(-1).flip(-2).conj()  # D(-k) = conj D(k): the field is real
    return 1 + torch.cat([mirrored, filters], dim=-1)


def radial_profile(gain: Tensor) -> Tensor:
    """Mean over directions, ``(…, 2M-1, 2M-1)`` → ``(…, M)``: entry ``r`` is that of ``|k|`` rounded to ``r``."""
    M = (gain.shape[-1] + 1) // 2
    k = torch.arange(1 - M, M, device=gain.device)
    radius = torch.hypot(k[:, None].double(), k[None].double()).round().long()
    return torch.stack([gain[..., radius == r].mean(-1) for r in range(M)], dim=-1)


def radial_power(block: Layer, *, sample: int = 0) -> Tensor:
    r"""Power of q and k against frequency, before the filters and after each.

    .. math:: P(r) = \sum_{\lvert k\rvert \approx r} \frac{1}{d}\sum_d \lvert \mathcal F q\rvert^2 / N^2

    with ``|k|`` in cycles per image rounded to ``r``; by Parseval's theorem the sum over ``r`` is the mean square. What
    a filter makes of a frequency is ``|1 + D|²`` times its power.

    Args:
        block: of a trace, of DSP-Attention. sample: index in the batch.

    Returns:
        ``(3, 2, h, R)`` float64: before, after ``F⁺``, after ``F⁻``; q, k; head; ``r``.
    """
    assert block.parts is not None
    field = block.parts.fields[0][sample]  # (H, W, 2, h, d)
    field = field.to(torch.promote_types(field.dtype, torch.float32))
    H, W = field.shape[:2]
    power = torch.fft.fft2(field, dim=(0, 1)).abs().square().mean(-1) / (H * W) ** 2  # (H, W, 2, h)
    power = power.permute(2, 3, 0, 1).double()
    gain = (1 + _on_grid(block.parts.filters, H, W)).abs().double()  # (2, h, H, W)
    powers = torch.stack([power, power * gain[0].square(), power * gain[1].square()])
    y, x = (torch.fft.fftfreq(n, 1 / n, dtype=torch.double, device=field.device) for n in (H, W))
    radius = torch.hypot(y[:, None], x[None]).round().long().flatten()
    result = powers.new_zeros(*powers.shape[:3], int(radius.max()) + 1)
    return result.index_add_(-1, radius, powers.flatten(-2))


def spatial_kernel(filters: Tensor, H: int, W: int) -> Tensor:
    """What the filters add to a field around each token: the inverse transform of ``D`` on a grid.

    Args:
        filters: ``D`` ``(2, h, 2M-1, M)`` complex. H, W: of the grid.

    Returns:
        ``(2, h, H, W)``; the token itself lies at ``(H // 2, W // 2)``. The filtered field is the field plus its
        circular convolution with this.
    """
    return torch.fft.ifft2(_on_grid(filters, H, W)).real.roll((H // 2, W // 2), (-2, -1))


def _on_grid(filters: Tensor, H: int, W: int) -> Tensor:
    """``D`` at every bin of an ``H×W`` grid's discrete Fourier transform, ``(2, h, H, W)``; zero beyond the modes."""
    M = filters.shape[-1]
    ky, kx = (torch.arange(-min(M - 1, (n - 1) // 2), min(M - 1, (n - 1) // 2) + 1) for n in (H, W))
    D = full_spectrum(filters) - 1
    result = D.new_zeros(*D.shape[:2], H, W)
    result[:, :, (ky % H)[:, None], kx % W] = D[:, :, (ky + M - 1)[:, None], kx + M - 1]
    return result


#: Differences of gain, in octaves, below which nothing is said of a filter, of frequencies, of directions.
NEUTRAL, SLOPE, DIRECTION = 0.1, 0.5, 0.25

#: Gains below this count as this: a frequency that is removed altogether would outweigh all others.
_FLOOR = 2.0**-8

#: Which way stripes run, by the angle of their wave, from 0 (along x) to 180 degrees, downwards.
_STRIPES = ("vertical", "rising", "horizontal", "falling")


@dataclass(frozen=True)
class Character:
    """What one filter does, in a few numbers; gains are compared in octaves, ``log₂|1 + D|``.

    Attributes:
        deviation: root mean square of the gain over all frequencies: 0 changes no strength, 1 doubles or halves.
        passes: ``"low"``, ``"high"``, ``"band"`` (between two frequencies), ``"stop"`` (beside a band), ``"mixed"`` (it
            rises and falls more often), or ``"all"`` where the radial profile spans less than :data:`SLOPE`.
        edges: where the profile crosses the middle between its ends, in cycles per image, rising.
        passed, held: geometric mean of the profile's gain above and below that middle; 1 for ``"all"``.
        anisotropy: how much more gain waves have within 45° of one direction than all others, in octaves, on average
            and with the radial profile taken away. The direction is that of the second harmonic over the circle.
        stripes: which way structures run that are passed best: ``"horizontal"``, ``"vertical"``, ``"rising"`` (to the
            upper right), ``"falling"``, or "" below :data:`DIRECTION`.
    """

    deviation: float
    passes: str
    edges: tuple[float, ...]
    passed: float
    held: float
    anisotropy: float
    stripes: str


def characters(filters: Tensor) -> list[list[Character]]:
    """What each filter of a layer does.

    Args:
        filters: ``D`` ``(2, h, 2M-1, M)`` complex.

    Returns:
        By polarity and head.
    """
    octaves = full_spectrum(filters).abs().double().clamp_min(_FLOOR).log2()
    return [[_character(one) for one in heads] for heads in octaves]


def _character(octaves: Tensor) -> Character:
    profile = radial_profile(octaves)
    low, high = float(profile.min()), float(profile.max())
    edges: tuple[float, ...] = ()
    passes, passed, held = "all", 0.0, 0.0
    if high - low >= SLOPE:
        middle = (low + high) / 2
        edges, first = _crossings(profile.tolist(), middle, 0.1 * (high - low))
        forms = {(1, True): "low", (1, False): "high", (2, False): "band", (2, True): "stop"}
        passes = forms.get((len(edges), first), "mixed")
        above = profile > middle
        passed, held = float(profile[above].mean()), float(profile[~above].mean())
    anisotropy, wave = _direction(octaves, profile)
    return Character(
        deviation=float(octaves.square().mean().sqrt()),
        passes=passes,
        edges=edges,
        passed=2**passed,
        held=2**held,
        anisotropy=anisotropy,
        stripes=_STRIPES[round(wave / 45) % 4] if anisotropy >= DIRECTION else "",
    )


def _direction(octaves: Tensor, profile: Tensor) -> tuple[float, float]:
    """How much stronger the waves around one direction pass than those across it, and its angle in degrees."""
    M = len(profile)
    k = torch.arange(1 - M, M, dtype=torch.double, device=octaves.device)
    radius, angle = torch.hypot(k[:, None], k[None]), torch.atan2(k[:, None], k[None])
    disc = (radius.round() < M) & (radius > 0)
    if M == 1:
        return 0.0, 0.0
    left, angle = (octaves - profile[radius.round().long().clamp_max(M - 1)])[disc], angle[disc]
    wave = math.atan2(float((left * torch.sin(2 * angle)).sum()), float((left * torch.cos(2 * angle)).sum())) / 2
    near = torch.cos(2 * (angle - wave))
    # Waves right between the two belong to neither.
    return float(left[near > 1e-3].mean() - left[near < -1e-3].mean()), math.degrees(wave) % 180


def _crossings(profile: list[float], middle: float, margin: float) -> tuple[tuple[float, ...], bool]:
    """Where a profile crosses a level, by linear interpolation, and whether it begins above it.

    What comes beyond the level by less than the margin and goes back has not crossed it.
    """
    first = above = next(value > middle for value in profile if abs(value - middle) > margin)
    found: list[float] = []
    last = 0.0
    for r, value in enumerate(profile[1:], 1):
        before = profile[r - 1]
        if (before > middle) != (value > middle) and (value > middle) != above:
            last = r - 1 + (middle - before) / (value - before)
        if (value > middle) != above and abs(value - middle) > margin:
            found.append(last)
            above = not above
    return tuple(found), first


def told(character: Character) -> str:
    """A character as one plain sentence."""
    c = character
    if c.deviation < NEUTRAL and c.passes == "all" and not c.stripes:
        return f"Leaves strengths as they are: gains stay within a factor of {2**c.deviation:.2f} of 1, on average."
    at = [f"{edge:.1f}" for edge in c.edges]
    # Below one cycle lies the mean over the picture alone.
    below = "for the mean" if c.edges and c.edges[0] < 1 else f"below {at[0]} cycles per image" if at else ""
    parts = {
        "low": lambda: f"low-pass: gain {c.passed:.2g} {below}, {c.held:.2g} above",
        "high": lambda: f"high-pass: gain {c.held:.2g} {below}, {c.passed:.2g} above",
        "band": lambda: f"band-pass: gain {c.passed:.2g} from {at[0]} to {at[1]} cycles per image, {c.held:.2g} beside",
        "stop": lambda: f"band-stop: gain {c.held:.2g} from {at[0]} to {at[1]} cycles per image, {c.passed:.2g} beside",
        "mixed": lambda: f"rises and falls over frequency: gain {c.passed:.2g} and {c.held:.2g} in turn",
    }
    said = [parts[c.passes]()] if c.passes in parts else []
    if c.stripes:
        said.append(f"passes {c.stripes} structures {2**c.anisotropy:.2g} times as strongly as those across")
    if not said:
        said = [f"prefers neither frequencies nor directions: gains differ from 1 by a factor of {2**c.deviation:.2f}"]
    sentence = "; ".join(said)
    return f"{sentence[0].upper()}{sentence[1:]}."
