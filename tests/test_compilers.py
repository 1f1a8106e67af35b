"""torch.export, torch.compile and ONNX: layers and classifiers give there what they give in eager mode."""

import copy

import onnxruntime
import pytest
import torch
from layers import build, shaken
from torch import Tensor, nn

from dsp_attention import DSPImageClassifier, HierarchicalClassifier
from dsp_attention.model import ATTENTIONS


def classifier(attention: str) -> nn.Module:
    """A small one; the tests give it pictures of another size than it was built for."""
    torch.manual_seed(0)
    options = {"num_scales": 2} if attention == "dsp" else {}
    size = {"image_size": 16, "dim": 16, "num_heads": 2, "depth": 1, "num_classes": 3}
    return shaken(DSPImageClassifier(attention=attention, **size, **options), 0.2)


def pictures(count: int) -> Tensor:
    return torch.randn(count, 3, 16, 24, generator=torch.Generator().manual_seed(count))


def run_onnx(program: torch.onnx.ONNXProgram | None, x: Tensor) -> Tensor:
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    return torch.from_numpy(output)


def close(got: Tensor, want: Tensor) -> None:
    """Float32, to 1e-5 of the largest value."""
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5 * want.abs().max().item())


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_export_and_onnx_of_a_classifier_for_any_batch(attention: str) -> None:
    model = classifier(attention).eval()
    with torch.no_grad():
        want = model(pictures(5))
        batch = {"image": {0: torch.export.Dim("batch")}}
        exported = torch.export.export(model, (pictures(2),), dynamic_shapes=batch)
        close(exported.module()(pictures(5)), want)
        close(run_onnx(torch.onnx.export(exported, dynamo=True, verbose=False), pictures(5)), want)


def test_export_of_a_pyramid_for_any_batch() -> None:
    """Windows that are shifted and padded, merging of odd grids, encodings that are interpolated."""
    sizes = {"dims": [4, 8], "depths": [2, 1], "num_heads": [1, 2], "mlp_ratios": [2, 2], "num_classes": 3, "window": 3}
    torch.manual_seed(0)
    model = HierarchicalClassifier(
        image_size=32, attention=["window", "polaformer"], downsampling="merging", **sizes
    ).eval()
    shaken(model, 0.2)
    image = torch.randn(5, 3, 28, 19, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        want = model(image)
        batch = {"image": {0: torch.export.Dim("batch")}}
        close(torch.export.export(model, (image[:2],), dynamic_shapes=batch).module()(image), want)


def test_export_and_onnx_of_a_layer() -> None:
    layer = shaken(build(16, 2, num_scales=1), 0.2).eval()
    x = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        want = layer(x, 2, 3)
        close(torch.export.export(layer, (x, 2, 3)).module()(x, 2, 3), want)
        close(run_onnx(torch.onnx.export(layer, (x, 2, 3), dynamo=True, verbose=False), x), want)


# torch itself hides this warning of its own, in a way that warnings as errors undo.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_compile_of_a_classifier(attention: str) -> None:
    """Without a code generator, which would need a C++ compiler: what torch's frontend and autograd make of it."""
    model = classifier(attention).train()
    compiled = copy.deepcopy(model)
    want = model(pictures(3))
    want.square().sum().backward()
    got = torch.compile(compiled, backend="aot_eager")(pictures(3))
    got.square().sum().backward()
    close(got.detach(), want.detach())
    for (name, parameter), other in zip(model.named_parameters(), compiled.parameters(), strict=True):
        assert parameter.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(other.grad, parameter.grad, rtol=1e-4, atol=1e-5, msg=name)
    for (name, buffer), other in zip(model.named_buffers(), compiled.buffers(), strict=True):
        torch.testing.assert_close(other, buffer, rtol=1e-5, atol=1e-6, msg=name)  # the tracked gradients too
