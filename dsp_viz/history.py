"""Snapshots of a training run, read from the file beside the weights. Sizes are checked before anything is unpacked."""

import io
from itertools import groupby
from math import prod
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
from torch import nn

from dsp_attention import DynamicSpectralPolarityAttention

from .files import CheckpointError, read_regular
from .kinds.dsp import dsp_layers

#: Bounds of what is read: epochs, and numbers in all epochs together.
MAX_EPOCHS = 10_000
MAX_NUMBERS = 2**26


#: What is told of each layer.
KEYS = ("filters", "coefficients", "spread", "weights")


def read_history(path: Path, model: nn.Module) -> dict[str, list[np.ndarray]]:
    """The arrays of a file of snapshots; none if there is no such file.

    Args:
        path: of the ``.npz``. model: whose training it tells; only its shapes matter.

    Returns:
        By each of :data:`KEYS` an array for each DSP-Attention layer, float32, epochs first: what
        :func:`training.snapshots.snapshot` says of the layer, after every epoch.

    Raises:
        CheckpointError: it cannot be read, or does not fit the model.
    """
    if not path.exists():
        return {}
    data = read_regular(path, 4 * MAX_NUMBERS)
    try:
        shapes = _shapes(model)
        # Each entry of an archive's directory starts so; a directory of a million would take long to read.
        if data.count(b"PK\x01\x02") > 64:
            raise ValueError(f"more than the {len(shapes)} arrays that are needed")
        with ZipFile(io.BytesIO(data)) as archive:
            arrays = {key: _array(archive, key, shape) for key, shape in shapes.items()}
        epochs = {key: len(array) for key, array in arrays.items()}
        if len(set(epochs.values())) > 1:
            raise ValueError(f"the arrays are of different numbers of epochs: {epochs}")
    except (
        Exception
    ) as error:  # what zipfile, zlib and NumPy's reader of headers raise for damaged files is not a fixed set
        raise CheckpointError(
            f"{path} holds no readable snapshots: {type(error).__name__}: {str(error)[:200]}"
        ) from error
    return {
        key: [layer for suffix in groups(model) for layer in np.moveaxis(arrays[key + suffix], 1, 0)] for key in KEYS
    }


def groups(model: nn.Module) -> dict[str, list[str]]:
    """Paths of the DSP-Attention layers of a model, those of one form together, as in the stages of a pyramid.

    Returns:
        By the ending of the names of their arrays: none where all are of one form, else ``.0``, ``.1``, ….
    """
    runs = [list(run) for _, run in groupby(dsp_layers(model).items(), lambda item: _form(item[1]))]
    return {f".{number}" if len(runs) > 1 else "": [path for path, _ in run] for number, run in enumerate(runs)}


def _form(layer: DynamicSpectralPolarityAttention) -> tuple[int, int, int]:
    """Heads, scales and modes of a layer."""
    return layer.num_heads, len(layer.factors), layer.spectral.filters.modes


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Of the arrays of one epoch."""
    layers = dsp_layers(model)
    if not layers:
        raise ValueError("the model has no DSP-Attention, whose parts they would show")
    shapes: dict[str, tuple[int, ...]] = {}
    for suffix, paths in groups(model).items():
        heads, scales, modes = _form(layers[paths[0]])
        coefficients = (len(paths), heads, scales, 2)
        of = ((len(paths), 2, heads, 2 * modes - 1, modes, 2), coefficients, coefficients, coefficients[:-1])
        shapes |= {key + suffix: shape for key, shape in zip(KEYS, of, strict=True)}
    return shapes


def _array(archive: ZipFile, key: str, shape: tuple[int, ...]) -> np.ndarray:
    """One array: its header is held against what is needed, then just as many bytes are unpacked."""
    info = archive.getinfo(f"{key}.npy")
    # Others unpack whole chunks, of any size, before they hand out the first byte.
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"{key} is packed in another way than deflate")
    with archive.open(info) as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError(f"{key} is of another version of the NPY format than 1.0")
        found, fortran_order, dtype = np.lib.format.read_array_header_1_0(member)
        if dtype.str not in ("<f2", "<f4") or fortran_order:
            raise ValueError(f"{key} is {dtype}; float16 or float32 is needed, in C order")
        if found[1:] != shape or not 1 <= found[0] <= min(MAX_EPOCHS, MAX_NUMBERS // prod(shape)):
            raise ValueError(f"{key} is {str(found)[:100]}; (epochs, {str(shape)[1:-1]}) is needed")
        size = prod(found) * dtype.itemsize
        content = member.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{key} does not hold the numbers that its header tells of")
    array = np.frombuffer(content, dtype).reshape(found).astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{key} holds values that are not finite")
    return array
