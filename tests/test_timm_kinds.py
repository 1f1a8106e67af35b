"""Attention of timm's models: maps against what the library computes, and where they lie."""

import gc
import importlib
import weakref

import pytest
import timm
import torch
from timm_models import MODELS, build, pictures, randomised
from torch import Tensor, nn

from dsp_viz import maps
from dsp_viz.hooks import Point, changed, reading
from dsp_viz.kinds import AROUND, KINDS, absolute, layers, values
from dsp_viz.kinds.kind import put
from dsp_viz.kinds.refused import REFUSED
from dsp_viz.layer import Layer
from dsp_viz.relevance import gradient_times_map
from dsp_viz.trace import trace

#: Layers, grid and prefix of the first, grid of the last.
SHAPES = {
    "vit": (2, (3, 5), ("class",), (3, 5)),
    "vit with normed queries": (2, (3, 5), ("class",), (3, 5)),
    "vit with normed maps": (2, (3, 5), ("class",), (3, 5)),
    "deit": (2, (3, 5), ("class", "distillation"), (3, 5)),
    "dinov2": (2, (3, 5), ("class", "register 1", "register 2", "register 3", "register 4"), (3, 5)),
    "eva": (2, (3, 5), ("class",), (3, 5)),
    "eva of parts": (2, (3, 5), ("class",), (3, 5)),
    "dinov3": (2, (3, 5), ("class", "register 1", "register 2", "register 3", "register 4"), (3, 5)),
    "perception": (2, (3, 5), ("class",), (3, 5)),
    "swin": (4, (8, 12), (), (4, 6)),
    "swin v2": (4, (8, 12), (), (4, 6)),
    "pvt": (4, (16, 24), (), (2, 3)),
    "linear pvt": (4, (16, 24), (), (2, 3)),
    "efficientvit": (4, (6, 10), (), (3, 5)),
    "coat": (8, (8, 16), ("class",), (1, 2)),
    "mobilevit": (9, (4, 6), (), (1, 2)),
    "mobilevit, stretched": (9, (5, 6), (), (2, 2)),
}


@pytest.mark.parametrize("key", MODELS)
def test_every_layer_is_read_and_rebuilds_what_it_puts_out(key: str) -> None:
    network = build(key)
    traced = trace(network, pictures(key, 2))
    first, last = traced.blocks[0], traced.blocks[-1]
    assert (len(traced.blocks), first.grid.size, first.prefix, last.grid.size) == SHAPES[key]
    assert traced.refused == ()
    assert traced.verified < (1e-5 if key == "efficientvit" else 1e-10)
    assert not any(scale.left.requires_grad for block in traced.blocks for scale in block.scales)


def whole(block: Layer, sample: int = 0, *, step: int = 1) -> Tensor:
    """``(h, prefix + N, prefix + N_keys)``: every row, or that of every so many tokens, as the explorer makes it."""
    places = [divmod(i, block.grid.columns) for i in range(0, block.grid.rows * block.grid.columns, step)]
    rows = []
    for query in [*block.prefix, *places]:
        (placed,), (shares,) = (f(block, query, sample=sample) for f in (maps.block_maps, maps.prefix_shares))
        rows.append(torch.cat([shares[0], placed[0].flatten(1)], -1))
    return torch.stack(rows, 1)


@pytest.mark.parametrize(
    "key", ["vit", "vit with normed queries", "deit", "dinov2", "eva", "eva of parts", "dinov3", "pvt", "linear pvt"]
)
def test_rows_are_those_of_the_library(key: str) -> None:
    """Without its fused kernel it has the maps in hand, and gives them to a dropout that does nothing."""
    network = build(key)
    named = {name: layer for name, (layer, _) in layers(network).items()}
    for layer in named.values():
        layer.fused_attn = False
    points = {name: Point(f"{name}.attn_drop") for name in named}
    x = pictures(key, 2)
    traced = trace(network, x)
    with torch.inference_mode(), reading(network, list(points.values())) as calls:
        network(x)
    for block in (traced.blocks[0], traced.blocks[-1]):
        torch.testing.assert_close(whole(block, 1), calls[points[block.name]][-1][1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("key", ["swin", "swin v2"])
def test_rows_of_windows_are_those_of_the_library(key: str) -> None:
    """Its maps are of the shifted grid, window by window; the mask there is a score of −100."""
    network = build(key)
    points = {name: Point(f"{name}.attn.attn_drop") for name in layers(network)}
    x = pictures(key, 2)
    traced = trace(network, x)
    with torch.inference_mode(), reading(network, list(points.values())) as calls:
        network(x)
    shifts = set()
    for block in traced.blocks[:2]:
        (H, W), own = block.grid.size, network.get_submodule(block.name)
        (rows, columns), (down, right) = own.window_size, own.shift_size
        shifts.add((down, right))
        windows = calls[points[block.name]][-1].unflatten(0, (2, -1))[1]  # (windows, h, n, n)
        want = torch.zeros(windows.shape[1], H * W, H * W, dtype=torch.double)
        # Where each token of each window came from.
        home = torch.arange(H * W).view(H, W).roll((-down, -right), (0, 1))
        for w, weights in enumerate(windows):
            top, left = w // (W // columns) * rows, w % (W // columns) * columns
            tokens = home[top : top + rows, left : left + columns].flatten()
            want[:, tokens[:, None], tokens] = weights
        torch.testing.assert_close(whole(block, 1, step=7), want[:, ::7], rtol=1e-9, atol=1e-12)
    assert shifts == {(0, 0), (1, 1)}


def test_rows_of_efficientvit_are_the_formula() -> None:
    """With an ε that counts; the library's is 1e-5."""
    network, x = build("efficientvit"), pictures("efficientvit")
    own = network.get_submodule("stages.2.blocks.1.context_module.main")
    own.eps = 20.0
    (block, *_) = trace(network, x).blocks
    with (
        torch.inference_mode(),
        reading(network, [Point(f"{block.name}.qkv"), Point(f"{block.name}.aggreg.0")]) as calls,
    ):
        network(x)
    (plain,), (aggregate,) = calls.values()
    got, d, N = whole(block), own.dim, 60
    heads = plain.shape[1] // (3 * d)
    assert len(got) == 2 * heads
    for head in (0, heads - 1, heads, 2 * heads - 1):
        channels = (plain if head < heads else aggregate)[0].flatten(1).double()[3 * d * (head % heads) :]
        q, k = channels[:d].relu(), channels[d : 2 * d].relu()
        for i in (0, 23, 59):
            sums = [sum(float(q[c, i] * k[c, j]) for c in range(d)) for j in range(N)]
            want = torch.tensor([s / (sum(sums) + own.eps) for s in sums])
            torch.testing.assert_close(got[head, i], want, rtol=1e-4, atol=1e-7)


def test_rows_of_coat_are_the_formula() -> None:
    network, x = build("coat"), pictures("coat")
    block = trace(network, x).blocks[1]
    with torch.inference_mode(), reading(network, [Point(f"{block.name}.qkv")]) as calls:
        network(x)
    ((projected,),) = calls.values()
    got, h, d = whole(block), 8, 2
    for head in (0, 5):
        q, k = (projected[0, :, part * h * d + head * d :][:, :d] for part in (0, 1))
        shares = k.exp() / k.exp().sum(0)
        torch.testing.assert_close(got[head], q @ shares.T / 2**0.5, rtol=1e-9, atol=1e-12)
    assert got.min() < 0


def test_rows_of_mobilevit_are_the_same_for_every_query() -> None:
    """A head for each pixel of a 2×2 patch, on the grid of patches: its scores, as the layer has them."""
    network, x = build("mobilevit"), pictures("mobilevit")
    block = trace(network, x).blocks[0]
    point = Point(f"{block.name}.attn_drop")
    with torch.inference_mode(), reading(network, [point]) as calls:
        network(x)
    scores = calls[point][0][0, 0]  # (P, N)
    got = whole(block)
    assert got.shape == (4, 24, 24)
    torch.testing.assert_close(got, scores[:, None].expand_as(got), rtol=1e-9, atol=1e-12)
    assert "the same for every query" in block.kind


@pytest.mark.parametrize(
    "key", ["vit", "dinov2", "eva", "eva of parts", "swin", "swin v2", "mobilevit", "efficientvit"]
)
def test_tokens_lie_where_the_picture_has_them(key: str) -> None:
    """What changes in one corner of the picture changes the values there most, before layers mix them."""
    network, x = build(key), pictures(key)
    (height, width) = x.shape[-2:]
    other = x.clone()
    other[..., : height // 6, -width // 6 :] += 3
    first, changed = (trace(network, picture).blocks[0] for picture in (x, other))
    difference = (changed.scales[0].values - first.scales[0].values).abs().sum((0, 1, 3))[len(first.prefix) :]
    row, column = divmod(int(difference.argmax()), first.grid.columns)
    assert row < first.grid.rows / 3
    assert column >= first.grid.columns * 2 / 3


def test_keys_of_pvt_lie_over_the_tokens_they_are_made_of() -> None:
    """Of 5×7 tokens, 2×3 keys of 2×2 leave a row and a column out."""
    network = randomised(timm.create_model("pvt_v2_b0", depths=(1, 1, 1, 1), num_classes=2)).double()
    traced = trace(network, torch.randn(1, 3, 80, 112, dtype=torch.double))
    third = traced.blocks[2]
    assert (third.grid.size, third.scales[0].keys.size, third.scales[0].pooled) == ((5, 7), (2, 3), 2)
    assert third.scales[0].keys.box == pytest.approx((0, 0, 4 / 5, 6 / 7))


def test_padding_lies_beyond_the_picture() -> None:
    network = randomised(
        timm.create_model(
            "vit_tiny_patch16_224", depth=1, embed_dim=24, num_heads=3, dynamic_img_size=True, dynamic_img_pad=True
        )
    ).double()
    (block,) = trace(network, torch.randn(1, 3, 40, 80, dtype=torch.double)).blocks
    assert block.grid.size == (3, 5)
    assert block.grid.box == pytest.approx((0, 0, 48 / 40, 1))


@pytest.mark.parametrize("key", MODELS)
def test_a_head_is_left_out_where_its_values_are(key: str) -> None:
    """With what :func:`values` points to at 0, a head's columns of what enters the projection hold what is local."""
    network, x = build(key), pictures(key)
    block = trace(network, x).blocks[-1]
    heads = block.coefficients.shape[1]
    layer, kind = layers(network)[block.name]
    target = kind.output(layer)
    (own,) = values(network)[block.name]

    def without(tensor: Tensor, _: tuple[object, ...]) -> Tensor:
        return put(own, tensor, own.take(tensor).index_fill(1, torch.tensor(1), 0))

    point = absolute(block.name, target.point)
    with torch.inference_mode(), changed(network, {own.point: [without]}), reading(network, [point]) as calls:
        network(x)
    got = target.take(calls[point][-1]).unflatten(-1, (heads, -1))
    was = block.output.unflatten(-1, (heads, -1))
    others = [head for head in range(heads) if head != 1]
    torch.testing.assert_close(got[:, :, others], was[:, :, others])
    assert not torch.isclose(was[:, :, 1], torch.zeros(1).to(was)).all()
    if block.local is None:
        assert not got[:, :, 1].any()


@pytest.mark.parametrize("key", ["vit", "eva", "swin v2", "pvt", "efficientvit", "coat", "mobilevit"])
def test_gradient_times_map_is_by_key(key: str) -> None:
    """``Σ_i A_ij v_j·(∂y/∂o_i ⊙ gate_i)``, entry by entry, whatever a library does with its values besides."""
    network, x = build(key, num_classes=3), pictures(key)
    blocks = trace(network, x).blocks
    outputs = {block.name: layers(network)[block.name][1].output(layers(network)[block.name][0]) for block in blocks}
    points = [absolute(name, own.point) for name, own in outputs.items()]
    with reading(network, points) as calls:
        logit = network(x.clone().requires_grad_())[0, 1]
    gradients = torch.autograd.grad(logit, [calls[point][-1] for point in points])
    want = torch.zeros(blocks[0].grid.size, dtype=torch.double)
    for block, own, gradient in zip(blocks, outputs.values(), gradients, strict=True):
        (scale,), first = block.scales, len(block.prefix)
        g = own.take(gradient)[0].double()
        g = g if block.gate is None else g * block.gate[0]
        heads = g.unflatten(-1, (block.coefficients.shape[1], -1)).transpose(0, 1)  # (h, N, d)
        products = whole(block).double() * (heads @ scale.values[0].double().mT)
        placed = products.sum((0, 1))[first:].view(scale.keys.size)
        want += maps.spread(placed, scale.keys, blocks[0].grid)
    got = gradient_times_map(network, x, 1).double()
    tolerance = 1e-4 if key == "efficientvit" else 1e-9
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance * float(want.abs().max()))


def test_a_vit_layer_of_its_own_does_not_know_where_its_tokens_lie() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn = timm.layers.Attention(12, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.attn(x)

    with pytest.raises(
        ValueError, match=r"^attn is not shown: no module around it is known .* It is Attention of timm \d"
    ):
        trace(Own().eval(), torch.randn(1, 9, 12))


def test_a_network_keeps_no_memory_when_it_goes() -> None:
    network = build("vit")
    gone = weakref.ref(network)
    trace(network, pictures("vit"))
    del network
    gc.collect()
    assert gone() is None


def test_windows_that_are_padded_are_refused() -> None:
    network = randomised(
        timm.create_model("swin_tiny_patch4_window7_224", img_size=(32, 48), window_size=3, embed_dim=12, depths=(1,),
                          num_heads=(2,))
    )  # fmt: skip
    with pytest.raises(ValueError, match="its grid of 8×12 is padded to whole windows of 3×3"):
        trace(network, torch.randn(1, 3, 32, 48))


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        (
            "xcit_nano_12_p16_224",
            {"depth": 3, "embed_dim": 16},
            r"^blocks\.0\.attn and 2 more of its class, XCA, cannot be shown: it attends from channel to channel, so .*"
            r"; cls_attn_blocks\.0\.attn and 1 more of its class, ClassAttn, cannot be shown: only its class token",
        ),
        (
            "davit_tiny",
            {"depths": (1, 1), "embed_dims": (12, 24), "num_heads": (2, 2)},
            r"^stages\.0\.blocks\.0\.1\.attn and 1 more of its class, ChannelAttention, cannot be shown: it attends",
        ),
        (
            "cait_xxs24_224",
            {"depth": 1, "embed_dim": 16},
            r"^blocks\.0\.attn, TalkingHeadAttn, cannot be shown: it mixes the maps of its heads",
        ),
    ],
)
def test_attention_without_maps_of_tokens_is_refused_with_the_reason(
    name: str, options: dict[str, object], sentence: str
) -> None:
    network = timm.create_model(name, pretrained=False, **options)
    with pytest.raises(ValueError, match=sentence):
        layers(network)


def test_layers_that_can_be_shown_are_beside_some_that_cannot() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = build("vit").float()
            self.second = timm.models.xcit.XCA(24, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first.forward_features(x))

    traced = trace(Both().eval(), pictures("vit").float())
    assert [block.name for block in traced.blocks] == ["first.blocks.0.attn", "first.blocks.1.attn"]
    assert traced.refused == (
        "second, XCA, cannot be shown: it attends from channel to channel, so there is no map over the picture",
    )


def test_every_entry_names_a_class_of_this_release() -> None:
    """But for ViT's attention, which lay elsewhere in older ones."""
    for name in [*KINDS, *AROUND, *REFUSED]:
        if name.startswith("timm."):
            module, cls = name.rsplit(".", 1)
            assert isinstance(getattr(importlib.import_module(module), cls), type), name
