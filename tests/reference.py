"""DSP-Attention and PolaFormer once more, slowly: numpy in float64, dense maps, loops; shares no code with the project.

Weights come from a state dict, so that a layer and its reference compute the same function.
"""

import math
from collections.abc import Mapping

import numpy as np

Array = np.ndarray
EPS = 1e-6


def numbers(state: Mapping) -> dict[str, Array]:
    """A state dict as float64 arrays."""
    return {key: value.detach().double().numpy() for key, value in state.items()}


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(x: Array) -> Array:
    return x * 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / np.sqrt(2)))


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    return x @ weight.T + (0 if bias is None else bias)


def average_pool(x: Array, H: int, W: int, factor: int) -> tuple[Array, int, int]:
    """``(N, C)`` → ``(N_s, C)`` and the coarse grid; a border window divides by the tokens it holds."""
    image = x.reshape(H, W, -1)
    rows, columns = -(-H // factor), -(-W // factor)
    out = [
        image[r * factor : (r + 1) * factor, c * factor : (c + 1) * factor].mean((0, 1))
        for r in range(rows)
        for c in range(columns)
    ]
    return np.array(out), rows, columns


def adaptive_pool(x: Array, H: int, W: int, side: int) -> Array:
    """To at most ``side × side`` tokens; window ``i`` of ``n`` spans ``⌊i·H/n⌋ … ⌈(i+1)·H/n⌉``."""
    image = x.reshape(H, W, -1)
    rows, columns = min(H, side), min(W, side)
    out = [
        image[r * H // rows : -(-(r + 1) * H // rows), c * W // columns : -(-(c + 1) * W // columns)].mean((0, 1))
        for r in range(rows)
        for c in range(columns)
    ]
    return np.array(out)


def interpolation(coarse: int, fine: int) -> Array:
    """Linear interpolation with half-pixel centres as a matrix ``(fine, coarse)``; beyond the edge it is constant."""
    U = np.zeros((fine, coarse))
    for i in range(fine):
        at = min(max((i + 0.5) * coarse / fine - 0.5, 0.0), coarse - 1.0)
        low = int(at)
        high = min(low + 1, coarse - 1)
        U[i, low] += 1 - (at - low)
        U[i, high] += at - low
    return U


def lift_matrix(coarse: tuple[int, int], fine: tuple[int, int]) -> Array:
    """Bilinear interpolation as a matrix ``(N, N_s)``."""
    return np.kron(interpolation(coarse[0], fine[0]), interpolation(coarse[1], fine[1]))


def full_filter(weight: Array, H: int, W: int) -> Array:
    """The gain ``1 + D`` of one filter at every DFT bin ``(H, W)``; ``weight`` is ``(2M-1, M, 2)``."""
    M = weight.shape[1]
    D = weight[..., 0] + 1j * weight[..., 1]
    gain = np.ones((H, W), complex)
    for ky in range(-(M - 1), M):
        for kx in range(M):
            if 2 * abs(ky) >= H or 2 * kx >= W:
                continue  # the grid does not hold this frequency, or it is the Nyquist one
            value = D[ky + M - 1, kx]
            if kx == 0:
                value = (value + np.conj(D[-ky + M - 1, 0])) / 2
            gain[ky % H, kx % W] = 1 + value
            gain[-ky % H, -kx % W] = np.conj(1 + value)
    return gain


def filter_field(field: Array, weight: Array, H: int, W: int) -> Array:
    """``(N,)`` filtered by a dense discrete Fourier transform, one matrix for each axis."""
    Fy = np.exp(-2j * np.pi * np.outer(np.arange(H), np.arange(H)) / H)
    Fx = np.exp(-2j * np.pi * np.outer(np.arange(W), np.arange(W)) / W)
    spectrum = Fy @ field.reshape(H, W) @ Fx.T
    out = Fy.conj().T @ (full_filter(weight, H, W) * spectrum) @ Fx.conj() / (H * W)
    assert np.abs(out.imag).max() <= 1e-9 * max(1.0, np.abs(out.real).max())
    return out.real.reshape(-1)


def attention_maps(q: tuple[Array, Array], k: tuple[Array, Array]) -> tuple[Array, Array]:
    """Dense same- and opposite-signed maps ``(N, N)`` from ``(φ⁺, φ⁻)``, each ``(N, d)``, of queries and keys."""
    N = q[0].shape[0]
    maps = []
    for first, second in (q, q[::-1]):
        scores = first @ k[0].T + second @ k[1].T
        maps.append(scores / (scores.mean(1, keepdims=True) + EPS) / N)
    return maps[0], maps[1]


def attend(q: tuple[Array, Array], k: tuple[Array, Array], v: Array, c: tuple[float, float] = (1.0, 1.0)) -> Array:
    """``[c₀·A_same v₁, c₁·A_opp v₂]`` of one head, ``(N, d)``."""
    same, opposite = attention_maps(q, k)
    first = -(-v.shape[1] // 2)
    return np.concatenate([c[0] * same @ v[:, :first], c[1] * opposite @ v[:, first:]], 1)


def depthwise(v: Array, H: int, W: int, kernel: Array, bias: Array) -> Array:
    """Depthwise cross-correlation with zero padding: ``v (N, C)``, ``kernel (C, k, k)``."""
    k = kernel.shape[-1]
    r = k // 2
    padded = np.zeros((H + 2 * r, W + 2 * r, v.shape[1]))
    padded[r : r + H, r : r + W] = v.reshape(H, W, -1)
    out = np.zeros((H, W, v.shape[1]))
    for dy in range(k):
        for dx in range(k):
            out += padded[dy : dy + H, dx : dx + W] * kernel[:, dy, dx]
    return out.reshape(H * W, -1) + bias


def lstm_direction(x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> Array:
    width = w_hh.shape[1]
    hidden, cell, out = np.zeros(width), np.zeros(width), []
    for token in x:
        i, f, g, o = np.split(w_ih @ token + b_ih + w_hh @ hidden + b_hh, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        out.append(hidden)
    return np.array(out)


def context(p: Mapping[str, Array], x: Array, H: int, W: int, heads: int) -> Array:
    """Coefficients of one sample, flat ``(h·S·2,)``; ``p`` is the context encoder's state."""
    tokens = adaptive_pool(x, H, W, 8)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    forward = lstm_direction(tokens, *(p[f"lstm_summary.lstm.{n}"] for n in names))
    backward = lstm_direction(tokens[::-1], *(p[f"lstm_summary.lstm.{n}_reverse"] for n in names))
    recurrent = np.concatenate([forward.mean(0), backward.mean(0)])

    qkv = linear(tokens, p["attention_summary.qkv.weight"], p["attention_summary.qkv.bias"])
    q, k, v = np.split(qkv, 3, axis=1)
    d = q.shape[1] // heads
    mixed = np.concatenate(
        [
            softmax(q[:, s] @ k[:, s].T / np.sqrt(d)) @ v[:, s]
            for s in (slice(i * d, (i + 1) * d) for i in range(heads))
        ],
        axis=1,
    )
    attended = linear(mixed, p["attention_summary.proj.weight"], p["attention_summary.proj.bias"]).mean(0)

    joined = np.concatenate([x.mean(0), recurrent, attended])
    hidden = gelu(linear(joined, p["hidden.weight"], p["hidden.bias"]))
    return 2 * sigmoid(linear(hidden, p["out.weight"], p["out.bias"]))


def part(p: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {key[len(prefix) + 1 :]: value for key, value in p.items() if key.startswith(prefix + ".")}


def mixing_weights(theta: Array, ema: Array) -> Array:
    S = theta.shape[1]
    return 0.95 * softmax(theta + np.log(S * ema)) + 0.05 / S


def merged_kernel(p: Mapping[str, Array]) -> Array:
    kernels = [p[f"kernels.{i}"][:, 0] for i in range(len(p["mix"]))]
    largest = kernels[-1].shape[-1]
    total = np.zeros_like(kernels[-1])
    for share, kernel in zip(softmax(p["mix"]), kernels, strict=True):
        m = (largest - kernel.shape[-1]) // 2
        total[:, m : largest - m, m : largest - m] += share * kernel
    return total


def dsp(p: Mapping[str, Array], x: Array, H: int, W: int, *, heads: int, alpha: float, inner_heads: int) -> dict:
    """DSP-Attention of one sample ``(N, C)``: every intermediate worth comparing, up to ``y (N, C)``."""
    S = p["mixer.weights.theta"].shape[1]
    C = x.shape[1]
    d = C // heads
    c = context(part(p, "context"), x, H, W, inner_heads).reshape(heads, S, 2)
    w = mixing_weights(p["mixer.weights.theta"], p["mixer.weights.ema"])
    mixed = np.zeros((H * W, C))
    maps = []
    for s in range(S):
        pooled, h, width = average_pool(x, H, W, 2**s)
        qkv = linear(pooled, p[f"qkv.{s}.weight"], p.get(f"qkv.{s}.bias"))
        q, k, v = np.split(qkv, 3, axis=1)
        if s == 0:
            convolution = part(p, "convolution")
            mixed += depthwise(v, H, W, merged_kernel(convolution), convolution["bias"])
        U = lift_matrix((h, width), (H, W))
        power = 1 + alpha * sigmoid(p[f"polarity.{s}.power"])  # (h, d)
        for i in range(heads):
            own = slice(i * d, (i + 1) * d)
            phi = []
            for field in (q[:, own], k[:, own]):
                pair = []
                for polarity, sign in ((0, 1), (1, -1)):
                    weight = p["spectral.filters.weight"][polarity, i]
                    filtered = np.stack([filter_field(field[:, j], weight, h, width) for j in range(d)], 1)
                    pair.append(np.maximum(sign * filtered, 0) ** power[i])
                phi.append((pair[0], pair[1]))
            maps.append(attention_maps(*phi))
            mixed[:, own] += w[i, s] * U @ attend(*phi, v[:, own], tuple(c[i, s]))
    mean = mixed.mean(1, keepdims=True)
    normal = (mixed - mean) / np.sqrt(((mixed - mean) ** 2).mean(1, keepdims=True) + 1e-5)
    y = linear(normal * p["norm.weight"] + p["norm.bias"], p["proj.weight"], p["proj.bias"])
    return {"c": c, "w": w, "maps": maps, "mixed": mixed, "y": y}


def polaformer(p: Mapping[str, Array], x: Array, H: int, W: int, *, heads: int, alpha: float) -> Array:
    """PolaFormer's attention of one sample ``(N, C)``, as in section 4 of arXiv 2501.15061 and its PVT layer."""
    d = x.shape[1] // heads
    q, g = np.split(linear(x, p["qg.weight"], p.get("qg.bias")), 2, axis=1)
    k, v = np.split(linear(x, p["kv.weight"], p.get("kv.bias")), 2, axis=1)
    scale = np.log1p(np.exp(p["scale"][0, 0]))
    q, k = q / scale, (k + p["positional_encoding"][0]) / scale
    power = 1 + alpha * sigmoid(p["power"][0, :, 0])
    out = np.zeros_like(v)
    for i in range(heads):
        own = slice(i * d, (i + 1) * d)
        phi_q = (np.maximum(q[:, own], 0) ** power[i], np.maximum(-q[:, own], 0) ** power[i])
        phi_k = (np.maximum(k[:, own], 0) ** power[i], np.maximum(-k[:, own], 0) ** power[i])
        local = depthwise(v[:, own], H, W, p["dwc.weight"][:, 0], p["dwc.bias"])
        out[:, own] = attend(phi_q, phi_k, v[:, own]) + local
    return linear(out * g, p["proj.weight"], p["proj.bias"])


def window(p: Mapping[str, Array], x: Array, H: int, W: int, *, heads: int, window: int, shift: int) -> Array:
    """Swin's attention of one sample ``(N, C)``: each query by itself, over keys found by walking around the edges."""
    d, built = x.shape[1] // heads, window
    if min(H, W) <= window:
        window, shift = min(H, W), 0
    rows, columns = -(-H // window) * window, -(-W // window) * window  # padding is in no list of keys
    q, k, v = np.split(linear(x, p["qkv.weight"], p.get("qkv.bias")), 3, axis=1)
    out = np.zeros_like(q)

    def place(r: int, c: int) -> tuple:
        """Window, and whether the token came around the lower and the right edge."""
        return (r - shift) % rows // window, (c - shift) % columns // window, r < shift, c < shift

    for r in range(H):
        for c in range(W):
            keys = [(y, z) for y in range(H) for z in range(W) if place(y, z) == place(r, c)]
            at = [y * W + z for y, z in keys]
            apart = [(r - y + built - 1) * (2 * built - 1) + c - z + built - 1 for y, z in keys]
            for i in range(heads):
                own = slice(i * d, (i + 1) * d)
                scores = k[at][:, own] @ q[r * W + c, own] / np.sqrt(d) + p["relative_position_bias_table"][apart, i]
                out[r * W + c, own] = softmax(scores) @ v[at][:, own]
    return linear(out, p["proj.weight"], p["proj.bias"])


def softmax_attention(p: Mapping[str, Array], x: Array, *, heads: int) -> Array:
    """Softmax attention of one sample ``(N, C)``, all tokens to all tokens."""
    q, k, v = np.split(linear(x, p["qkv.weight"], p.get("qkv.bias")), 3, axis=1)
    d = x.shape[1] // heads
    slices = [slice(i * d, (i + 1) * d) for i in range(heads)]
    out = [softmax(q[:, s] @ k[:, s].T / np.sqrt(d)) @ v[:, s] for s in slices]
    return linear(np.concatenate(out, 1), p["proj.weight"], p["proj.bias"])


def layer_norm(p: Mapping[str, Array], x: Array, eps: float = 1e-5) -> Array:
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + eps) * p["weight"] + p["bias"]
