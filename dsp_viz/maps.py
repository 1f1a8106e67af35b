"""Maps of attention, exactly, from its factors: any row in ``O(N·d)``, never the ``N×N`` map.

For linear attention that holds for the average over all queries too; softmax attention needs every row for it.

A *query* is a token of the full grid, given as ``(row, column)``, or ``"all"``: the average over all tokens, or shares
of all tokens, ``(H, W)``: the sum of their rows, weighted. At a coarser scale the layer lifts its output by bilinear
interpolation, so a token asks up to four coarse queries; their rows are added up with the same weights here, and the
row shown is what reached the token.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dsp_attention.polarity import EPS

from .trace import Block, DSPBlock, LinearBlock, SoftmaxBlock, Trace

#: Streams of a layer of linear attention, in the order of the coefficients.
POLARITIES = ("same", "opposite")

#: Rows of softmax attention that are computed at a time.
_ROWS = 256

Query = tuple[int, int] | str | Tensor

T = TypeVar("T")


def streams(block: Block) -> tuple[str, ...]:
    """Names of a layer's maps: :data:`POLARITIES`, or ``("softmax",)``."""
    return ("softmax",) if isinstance(block, SoftmaxBlock) else POLARITIES


def block_maps(block: Block, query: Query, *, sample: int = 0) -> list[Tensor]:
    """Every map of one block for one query: all heads, scales and streams.

    Args:
        block: of a trace. query: ``(row, column)`` on the full grid, or ``"all"``. sample: index in the batch.

    Returns:
        For each scale ``(streams, h, H_s, W_s)``, see :func:`streams`. Each map is non-negative and sums to 1 (up to
        ``ε``).

    Raises:
        ValueError: the query lies outside the grid.
    """
    if isinstance(block, SoftmaxBlock):
        return [_softmax_map(block, query, sample)]
    assert isinstance(block, LinearBlock)
    maps = []
    for grid, features in zip(block.grids, block.features, strict=True):
        phi_q, phi_k = features[:, :, sample].unbind(1)  # (2, h, N_s, d)
        share = _query_share(query, block.grids[0], grid).to(phi_q)  # (N_s,)
        (asking,) = share.nonzero(as_tuple=True)  # one to four tokens, unless all are asked
        phi_q = phi_q[:, :, asking]  # (2, h, n, d)
        mean = phi_k.mean(2)  # (2, h, d)
        # φ(q)_opp·φ(k) exchanges the polarities of one side; for the normaliser the keys', for the row the query's.
        normaliser = (phi_q @ torch.stack([mean, mean.flip(0)], -1)).sum(0) + EPS  # (h, n, 2)
        asked = phi_q.mT @ (share[asking, None] / normaliser)  # (2, h, d, 2)
        asked = torch.stack([asked[..., 0], asked[..., 1].flip(0)], -1)
        rows = (phi_k @ asked).sum(0) / phi_k.shape[2]  # (h, N_s, 2)
        maps.append(rows.movedim(-1, 0).unflatten(-1, grid))
    return maps


def _softmax_map(block: SoftmaxBlock, query: Query, sample: int) -> Tensor:
    q, k = block.q[sample], block.k[sample]  # (h, N, d)
    share = _query_share(query, block.grids[0], block.grids[0]).to(q)
    (asking,) = share.nonzero(as_tuple=True)
    total = q.new_zeros(q.shape[:2])
    for rows in asking.split(_ROWS):
        attention = torch.softmax(q[:, rows] @ k.mT / math.sqrt(q.shape[-1]), dim=-1)  # (h, rows, N)
        total += (share[rows, None] * attention).sum(1)
    return total.unflatten(-1, block.grids[0])[None]


def query_map(
    trace: Trace, *, block: int, scale: int, head: int, polarity: str, query: Query, sample: int = 0
) -> Tensor:
    """One map: where a query looks, in one block, scale, head and stream.

    Args:
        trace: of a forward pass. block, scale, head: indices from 0.
        polarity: ``"same"`` or ``"opposite"``; ``"softmax"`` for softmax attention.
        query: ``(row, column)`` on the full grid, ``"all"`` for the average over all queries, or shares ``(H, W)``.
        sample: index in the batch.

    Returns:
        ``(H_s, W_s)``, non-negative, sums to 1 (up to ``ε``).

    Raises:
        ValueError: an index or a name outside its range; the message says which and what is allowed.
    """
    b = _item(trace.blocks, block, "block")
    _item(b.grids, scale, "scale")
    _item(range(b.coefficients.shape[1]), head, "head")
    _item(range(b.coefficients.shape[0]), sample, "sample")
    if polarity not in streams(b):
        raise ValueError(f"polarity={polarity!r}: must be one of {', '.join(streams(b))}")
    return block_maps(b, query, sample=sample)[scale][streams(b).index(polarity), head]


def layer_map(block: Block, query: Query, *, sample: int = 0) -> Tensor:
    r"""The effective map of a layer: every scale with its weight and coefficients, on the full grid.

    .. math:: E = \sum_s w_s\,c_s\,(U_s A_s P_s)

    ``P_s`` is the pooling that made the keys of scale ``s``, so a coarse key's share is spread evenly over the
    tokens it pools.

    Args:
        block: of a trace. query: see :func:`query_map`. sample: index in the batch.

    Returns:
        ``(streams, h, H, W)``; each sums to ``Σ_s w_s c_s``.
    """
    H, W = block.grids[0]
    total = None
    for s, maps in enumerate(block_maps(block, query, sample=sample)):
        factor = 2**s
        weight = block.weights[sample, :, s] * block.coefficients[sample, :, s].T  # (streams, h)
        spread = spread_evenly(maps, factor, H, W)
        term = weight[..., None, None].to(maps) * spread
        total = term if total is None else total + term
    assert total is not None
    return total


def spread_evenly(maps: Tensor, factor: int, H: int, W: int) -> Tensor:
    """Maps ``(…, H_s, W_s)`` on the full grid ``(…, H, W)``: each value shared out among the tokens that it pools."""
    rows, columns = (
        torch.tensor([min(factor, n - i * factor) for i in range(-(-n // factor))], device=maps.device) for n in (H, W)
    )
    shared = maps / (rows[:, None] * columns)
    return shared.repeat_interleave(factor, -2).repeat_interleave(factor, -1)[..., :H, :W]


def same_share(block: LinearBlock, query: Query, *, sample: int = 0) -> Tensor:
    r"""How much of what the features of a query and of all keys have in common is same-signed.

    .. math:: \frac{n_\mathrm{same}}{n_\mathrm{same} + n_\mathrm{opp}},\quad
              n = \varphi(q)\cdot\sum_j \varphi(k_j)

    Each stream is normalised by its own ``n``, so the maps do not tell. For several tokens, their mean.

    Args:
        block: of a trace. query: see :func:`query_map`. sample: index in the batch.

    Returns:
        ``(h, S)`` within 0 and 1; ½ where a query has no features at all.
    """
    shares = []
    for grid, features in zip(block.grids, block.features, strict=True):
        phi_q, phi_k = features[:, :, sample].unbind(1)  # (2, h, N_s, d)
        total = phi_k.sum(2)  # (2, h, d)
        both = torch.stack([torch.einsum("phnd,phd->hn", phi_q, k) for k in (total, total.flip(0))])
        part = torch.where(both.sum(0) > 0, both[0] / both.sum(0), 0.5)
        shares.append(part @ _query_share(query, block.grids[0], grid).to(part))
    return torch.stack(shares, dim=-1)


def entropy(maps: Tensor) -> Tensor:
    """Entropy of each map over its last two axes, divided by that of the uniform map: 0 one token, 1 all alike.

    A map of one token, and a map that is zero throughout, have entropy 1 by convention.
    """
    p = maps.flatten(-2)
    n = p.shape[-1]
    total = p.sum(-1, keepdim=True)
    p = p / total.clamp_min(torch.finfo(p.dtype).tiny)
    nats = -torch.special.xlogy(p, p).sum(-1)
    return torch.where(total[..., 0] > 0, nats / math.log(n), 1.0) if n > 1 else torch.ones_like(nats)


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


def radial_power(block: DSPBlock, *, sample: int = 0) -> Tensor:
    r"""Power of q and k against frequency, before the filters and after each.

    .. math:: P(r) = \sum_{\lvert k\rvert \approx r} \frac{1}{d}\sum_d \lvert \mathcal F q\rvert^2 / N^2

    with ``|k|`` in cycles per image rounded to ``r``; by Parseval's theorem the sum over ``r`` is the mean square. What
    a filter makes of a frequency is ``|1 + D|²`` times its power.

    Args:
        block: of a trace. sample: index in the batch.

    Returns:
        ``(3, 2, h, R)`` float64: before, after ``F⁺``, after ``F⁻``; q, k; head; ``r``.
    """
    field = block.fields[0][sample].double()  # (H, W, 2, h, d)
    H, W = field.shape[:2]
    power = torch.fft.fft2(field, dim=(0, 1)).abs().square().mean(-1).permute(2, 3, 0, 1) / (H * W) ** 2  # (2, h, H, W)
    gain = (1 + _on_grid(block.filters, H, W)).abs().double()  # (2, h, H, W)
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


def _query_share(query: Query, full: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """How much of each token of a scale a query of the full grid asks, ``(N_s,)``; sums to 1, or as shares do."""
    rows, columns = (_interpolation(coarse, fine) for coarse, fine in zip(grid, full, strict=True))
    if isinstance(query, Tensor):
        if query.shape != full:
            raise ValueError(f"query of shape {tuple(query.shape)}: the grid is {full}")
        return (rows.T @ query.cpu().to(rows) @ columns).flatten()
    if query == "all":
        y, x = rows.mean(0), columns.mean(0)
    elif isinstance(query, str) or len(query) != 2:
        raise ValueError(f"query={query!r}: must be (row, column) or 'all'")
    else:
        row, column = query
        if not (0 <= row < full[0] and 0 <= column < full[1]):
            raise ValueError(f"query={query}: the grid has rows 0…{full[0] - 1} and columns 0…{full[1] - 1}")
        y, x = rows[row], columns[column]
    return torch.outer(y, x).flatten()


def _interpolation(coarse: int, fine: int) -> Tensor:
    """Linear interpolation with half-pixel centres as a matrix ``(fine, coarse)``, float64."""
    identity = torch.eye(coarse, dtype=torch.float64)
    return F.interpolate(identity[None], size=fine, mode="linear", align_corners=False)[0].T


def _item(items: Sequence[T], index: int, what: str) -> T:
    if not 0 <= index < len(items):
        raise ValueError(f"{what}={index!r}: must be within 0 and {len(items) - 1}")
    return items[index]
