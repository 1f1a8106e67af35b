"""Parameter groups: the roles that modules declare, against names matched in the whole model."""

from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from dsp_attention import DSPImageClassifier, DSPModel
from dsp_attention.model import ATTENTIONS
from dsp_attention.optim import parameter_groups, parameter_roles


def by_names(model: nn.Module) -> list[list[str]]:
    """The four groups as the shipped weights were trained: by the names of the parameters, shapes, and places."""
    groups: list[list[str]] = [[], [], [], []]
    for name, parameter in model.named_parameters():
        if name.endswith(("filters.weight", "power", "theta", "mix")):
            groups[3].append(name)
        elif parameter.dim() < 2 or name.endswith(("positions", "positional_encoding", "scale")):
            groups[2].append(name)
        elif parameter.dim() == 2 and "blocks." in name and ".context." not in name:
            groups[0].append(name)
        else:
            groups[1].append(name)
    return groups


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("options", [{}, {"qkv_bias": True}])
def test_roles_give_the_groups_of_the_shipped_weights(attention: str, options: dict[str, Any]) -> None:
    """In the same order too, which the kept state of an optimiser relies on."""
    with torch.device("meta"):
        model = DSPImageClassifier(image_size=64, dim=24, num_heads=2, depth=3, attention=attention, **options)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = [[names[parameter] for parameter in group["params"]] for group in parameter_groups(model, 0.1)]
    assert groups == by_names(model)
    assert all(groups[:3])


def test_each_parameter_is_in_one_group() -> None:
    model = nn.ModuleList(
        DSPImageClassifier(image_size=64, dim=16, num_heads=2, depth=1, attention=a) for a in ATTENTIONS
    )
    groups = parameter_groups(model, 0.1, matrix_rate=4.0, structure_rate=3.0)
    assert [(group["weight_decay"], group["rate"]) for group in groups] == [
        (0.025, 4.0),  # decay times rate is the same for every matrix
        (0.1, 1.0),
        (0.0, 1.0),
        (0.0, 3.0),
    ]
    matrices, decayed, exempt, structure = (group["params"] for group in groups)
    assert sorted(map(id, matrices + decayed + exempt + structure)) == sorted(map(id, model.parameters()))
    names = {id(p): n for n, p in model.named_parameters()}
    free = {names[id(p)] for p in exempt + structure}
    for ending in ("power", "filters.weight", "theta", "norm.weight", "positions", "scale", "positional_encoding"):
        own = [n for n in names.values() if n.endswith(ending)]
        assert own
        assert free.issuperset(own)
    assert free.issuperset(n for n in names.values() if "bias" in n)
    endings = {names[id(p)].rpartition(".attn.")[2] for p in structure}
    assert endings == {
        "power",
        "spectral.filters.weight",
        "polarity.0.power",
        "polarity.1.power",
        "polarity.2.power",
        "mixer.weights.theta",
        "convolution.mix",
    }
    assert {names[id(p)].partition("blocks.0.")[2] for p in matrices} == {
        "attn.qkv.weight",
        "attn.qkv.0.weight",
        "attn.qkv.1.weight",
        "attn.qkv.2.weight",
        "attn.qg.weight",
        "attn.kv.weight",
        "attn.proj.weight",
        "mlp.0.weight",
        "mlp.2.weight",
    }
    kept = {names[id(p)] for p in decayed}
    assert any("convolution.kernels" in n for n in kept)
    assert any("context" in n for n in kept)
    assert any(n.endswith("head.weight") for n in kept)


def test_frozen_parameters_are_in_no_group() -> None:
    model = DSPModel(16, 2, depth=1, num_classes=3)
    frozen = model.blocks[0].attn.spectral.filters.weight.requires_grad_(False)
    assert all(p is not frozen for group in parameter_groups(model, 0.1) for p in group["params"])


def test_a_shared_parameter_has_the_role_of_its_first_place() -> None:
    model = DSPModel(16, 2, depth=2, num_classes=3, attention="softmax")
    shared = model.blocks[0].attn.proj.weight
    model.head.weight = shared
    assert [p is shared for group in parameter_groups(model, 0.1) for p in group["params"]].count(True) == 1
    assert parameter_roles(model)[shared] == "hidden"
    assert list(parameter_roles(model)) == list(model.parameters())


def test_the_role_nearest_to_a_parameter_counts() -> None:
    class Inner(nn.Module):
        roles: ClassVar[dict[str, str]] = {"gain": "structure"}

        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.zeros(3))
            self.map = nn.Linear(3, 3)

    class Outer(nn.Module):
        roles: ClassVar[dict[str, str]] = {"inner": "hidden"}

        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()
            self.map = nn.Linear(3, 3)

    model = Outer()
    roles = parameter_roles(model)
    assert {name: roles[parameter] for name, parameter in model.named_parameters()} == {
        "inner.gain": "structure",
        "inner.map.weight": "hidden",
        "inner.map.bias": "exempt",
        "map.weight": "other",
        "map.bias": "exempt",
    }


def test_a_role_for_what_is_not_there_is_told() -> None:
    model = DSPModel(16, 2, depth=1, num_classes=3)
    del model.blocks[0].attn.convolution.mix
    with pytest.raises(ValueError, match=r"MultiModalConvolution\.roles names 'mix': give the name of a parameter"):
        parameter_groups(model, 0.1)
