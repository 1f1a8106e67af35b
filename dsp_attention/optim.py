"""Parameter groups for optimisers, by the roles that modules declare for their own parameters.

A module that knows better than the defaults has a class attribute ``roles``: a dict from the name of one of its
parameters or submodules to its :data:`Role`. The role of a submodule is that of everything within, except what a module
further in declares itself. What no module declares is exempt if it is a vector, else ``"other"``.
"""

from collections.abc import Iterator
from typing import Any, Literal

from torch import nn

#: What an optimiser needs to know of a parameter:
#:
#: - ``"hidden"``: weights of the linear maps within a block, for :class:`torch.optim.Muon`;
#: - ``"other"``: other weights of linear maps and convolutions, for AdamW with weight decay;
#: - ``"exempt"``: no weight decay;
#: - ``"structure"``: few numbers that shape everything else and mean something at zero: no weight decay, a rate of
#:   their own.
Role = Literal["hidden", "other", "exempt", "structure"]


def parameter_roles(model: nn.Module) -> dict[nn.Parameter, Role]:
    """The role of each parameter, in the order of ``model.parameters()``.

    Vectors (biases, gains of norms) that do not shape the structure are exempt, and no kernel of a convolution is a
    hidden matrix, whatever is declared for the modules around them.

    Args:
        model: any module. A parameter that is in it twice has the role of its first place.

    Raises:
        ValueError: a module declares a role for what it does not have.
    """
    roles: dict[nn.Parameter, Role] = {}
    for parameter, declared in _declared(model, "other"):
        role = declared
        if role != "structure" and parameter.dim() < 2:
            role = "exempt"
        elif role == "hidden" and parameter.dim() != 2:
            role = "other"
        roles.setdefault(parameter, role)
    return roles


def _declared(module: nn.Module, around: Role) -> Iterator[tuple[nn.Parameter, Role]]:
    own: dict[str, Role] = getattr(module, "roles", {})
    absent = [name for name in own if not hasattr(module, name)]
    if absent:
        raise ValueError(
            f"{type(module).__name__}.roles names {absent[0]!r}: give the name of a parameter or submodule that it has"
        )
    for name, parameter in module.named_parameters(recurse=False):
        yield parameter, own.get(name, around)
    for name, child in module.named_children():
        yield from _declared(child, own.get(name, around))


def parameter_groups(
    model: nn.Module, weight_decay: float, *, matrix_rate: float = 1.0, structure_rate: float = 1.0
) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser, or for two: the first group holds the hidden matrices only.

    Those can be given to :class:`torch.optim.Muon`, which takes nothing else. Weight decay is for the weights of linear
    maps and convolutions. Exempt are biases, norms, position embeddings, and what has a meaning at zero: powers,
    spectral filters, θ, the softmax weights of the kernels. Of these, the last four are few numbers that shape
    everything else; each gets the gradient of all tokens, and hardly moves at the rate of the matrices.

    Args:
        model: any module; those of this package declare their roles, see :data:`Role`.
        weight_decay: per unit of the learning rate, whatever the group's own rate.
        matrix_rate: learning rate of the hidden matrices in units of the others'.
        structure_rate: learning rate of powers, filters, θ and kernel weights in units of the others'.

    Returns:
        Four groups that hold each trainable parameter once, each with its ``rate`` in units of the learning rate:
        hidden matrices, other weights, exempt, structure.

    Raises:
        ValueError: a module declares a role for what it does not have.
    """
    groups: dict[Role, dict[str, Any]] = {
        "hidden": {"params": [], "weight_decay": weight_decay / matrix_rate, "rate": matrix_rate},
        "other": {"params": [], "weight_decay": weight_decay, "rate": 1.0},
        "exempt": {"params": [], "weight_decay": 0.0, "rate": 1.0},
        "structure": {"params": [], "weight_decay": 0.0, "rate": structure_rate},
    }
    for parameter, role in parameter_roles(model).items():
        if parameter.requires_grad:
            groups[role]["params"].append(parameter)
    return list(groups.values())
