"""Names and shapes of the official PolaFormer models, as facts: github.com/ZacharyMeng/PolaFormer, commit 44cdd39e."""

Shapes = dict[str, tuple[int, ...]]

#: Depths, parameters and tensors of the published models.
PVT = {
    "pvt_tiny": ((2, 2, 2, 2), 12_924_648, 176),
    "pvt_small": ((3, 4, 6, 3), 23_157_224, 328),
    "pvt_medium": ((3, 4, 18, 3), 39_965_672, 556),
    "pvt_large": ((3, 8, 27, 3), 54_366_568, 803),
}

#: Width, depth of the third stage, image size, window; parameters, tensors, buffers.
SWIN = {
    "swin_tiny": ((96, 6, 224, 7), 29_285_696, 189, 11),
    "swin_small": ((96, 18, 224, 7), 50_603_600, 345, 29),
    "swin_base": ((128, 18, 224, 7), 89_137_864, 345, 29),
    "swin_base_384": ((128, 18, 384, 12), 91_599_304, 345, 29),
}


def both(prefix: str, *size: int) -> Shapes:
    """A weight and a bias of the same size: those of a norm."""
    return {f"{prefix}.weight": size, f"{prefix}.bias": size}


def linear(prefix: str, rows: int, *columns: int) -> Shapes:
    return {f"{prefix}.weight": (rows, *columns), f"{prefix}.bias": (rows,)}


def pvt(depths: tuple[int, ...]) -> Shapes:
    table: Shapes = {}
    widths, heads, ratios, kernels = (3, 64, 128, 320, 512), (1, 2, 5, 8), (8, 8, 4, 4), (4, 2, 2, 2)
    for i, tokens in enumerate((3136, 784, 196, 49)):
        C = widths[i + 1]
        table[f"pos_embed{i + 1}"] = (1, tokens, C)
        table |= linear(f"patch_embed{i + 1}.proj", C, widths[i], kernels[i], kernels[i])
        table |= both(f"patch_embed{i + 1}.norm", C)
        for j in range(depths[i]):
            block = f"block{i + 1}.{j}"
            table |= both(f"{block}.norm1", C) | both(f"{block}.norm2", C)
            table |= polaformer(f"{block}.attn", C, heads[i], 64, tokens)
            table |= linear(f"{block}.attn.qg", 2 * C, C) | linear(f"{block}.attn.kv", 2 * C, C)
            table |= linear(f"{block}.mlp.fc1", ratios[i] * C, C) | linear(f"{block}.mlp.fc2", C, ratios[i] * C)
    return table | both("norm", 512) | linear("head", 1000, 512)


def swin(width: int, third: int, image: int, window: int) -> Shapes:
    """With the buffers, which are not parameters."""
    table = linear("patch_embed.proj", width, 3, 4, 4) | both("patch_embed.norm", width)
    for i, depth in enumerate((2, 2, third, 2)):
        C, side, heads = width * 2**i, image // 4 // 2**i, width * 2**i // 32
        for j in range(depth):
            block = f"layers.{i}.blocks.{j}"
            table |= both(f"{block}.norm1", C) | both(f"{block}.norm2", C)
            table |= linear(f"{block}.mlp.fc1", 4 * C, C) | linear(f"{block}.mlp.fc2", C, 4 * C)
            if i < 2:
                table |= polaformer(f"{block}.attn", C, heads, 32, side**2)
                table |= linear(f"{block}.attn.qkvg", 4 * C, C)
                continue
            table |= linear(f"{block}.attn.qkv", 3 * C, C) | linear(f"{block}.attn.proj", C, C)
            table[f"{block}.attn.relative_position_bias_table"] = ((2 * window - 1) ** 2, heads)
            table[f"{block}.attn.relative_position_index"] = (window**2, window**2)
            if i == 2 and j % 2:
                table[f"{block}.attn_mask"] = ((side // window) ** 2, window**2, window**2)
        if i < 3:
            table |= both(f"layers.{i}.downsample.norm", 4 * C)
            table[f"layers.{i}.downsample.reduction.weight"] = (2 * C, 4 * C)
    return table | both("norm", 8 * width) | linear("head", 1000, 8 * width)


def polaformer(prefix: str, C: int, heads: int, d: int, tokens: int) -> Shapes:
    """What both have of the attention."""
    return {
        f"{prefix}.power": (1, heads, 1, d),
        f"{prefix}.scale": (1, 1, C),
        f"{prefix}.positional_encoding": (1, tokens, C),
        **linear(f"{prefix}.proj", C, C),
        **linear(f"{prefix}.dwc", d, 1, 5, 5),
    }
