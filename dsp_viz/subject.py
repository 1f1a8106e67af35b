"""The network that is looked at, and how a picture becomes its input.

Only :mod:`dsp_viz.sources` knows where a subject comes from and what is special to that. Everything else asks the
subject.
"""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from . import framing, images
from .config import Config
from .decoding import Decoder
from .device import device_of

#: Longest side of a network's input in pixels; with a patch of 8 that is 65,536 tokens.
MAX_SIDE = 2048


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes a network's input.

    Attributes:
        side: of the input that the network was made for, in pixels, the longer one.
        patch: what sides have to be a multiple of, in pixels.
        mean, std: of each channel, in units where white is 1: the input is ``(value - mean) / std``.
        fitting: how a picture is cut and resized to a square, see :class:`dsp_viz.framing.Fitting`.
        fixed: whether the network takes squares of ``side`` pixels only.
    """

    side: int
    patch: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fitting: framing.Fitting = framing.SQUARE
    fixed: bool = False

    def checked(self, side: int | None, *, whole: bool = False) -> int:
        """The longer side of the input in pixels, by default the one that the network was made for.

        Raises:
            ValueError: ``side`` is not a multiple of the patch, or is larger than :data:`MAX_SIDE`; or the network
                takes squares of one size only, and another side, or with ``whole`` another shape, is asked for.
        """
        if self.fixed and whole:
            raise ValueError(f"whole: the model takes squares of {self.side} pixels only, so the middle is cut out")
        if side is None:
            return self.side
        if self.fixed and side != self.side:
            raise ValueError(f"side={side}: the model takes {self.side} pixels only")
        if not self.patch <= side <= MAX_SIDE or side % self.patch:
            raise ValueError(
                f"side={side}: must be a multiple of the model's patch, {self.patch} pixels, up to {MAX_SIDE}"
            )
        return side

    def fit(
        self, picture: Image.Image, *, side: int | None = None, whole: bool = False
    ) -> tuple[Image.Image, framing.Frame]:
        """The part of a picture that the network sees, at the size of its input, and how it was cut out.

        Args:
            picture: RGB, upright. side: see :meth:`checked`. whole: keep all of it, see :func:`dsp_viz.images.fit`.

        Raises:
            ValueError: as of :meth:`checked`.
        """
        side = self.checked(side, whole=whole)
        return framing.fit(picture, side=side, patch=self.patch, whole=whole, fitting=self.fitting)

    def tensor(self, cut: Image.Image) -> Tensor:
        """The input of what :meth:`fit` cut out, ``(1, 3, height, width)`` float32 on the CPU."""
        return images.to_tensor(cut, self.mean, self.std)


@dataclass(frozen=True)
class Prepared:
    """A picture as a network sees it.

    Attributes:
        picture: RGB, of ``frame.input_size``. frame: how it was cut out of the original.
        input: ``(1, 3, height, width)`` float32 on the CPU.
        note: on the file, what whoever looks at it should know; "" if nothing.
        sharp: the same part for people, see :func:`dsp_viz.framing.sharp`.
    """

    picture: Image.Image
    frame: framing.Frame
    input: Tensor
    sharp: Image.Image
    note: str = ""


class Subject(nn.Module):
    """A network that classifies pictures, in evaluation mode and without gradients, with all that looking at it needs.

    Args:
        network: takes ``(B, 3, height, width)``, gives logits ``(B, classes)``.
        preparation: how a picture becomes its input. classes: their names, in the order of the logits; empty where the
            network gives features instead: it has maps then, and no prediction.
        name: what people call it. digest: first 12 hex digits of the SHA-256 of its weights file.
        history: how filters, coefficients and mixing weights evolved in training, an array for each layer, epochs first
            (see :func:`dsp_viz.history.read_history`); empty where nobody kept it.
        config: the file beside the weights; None where there is none.
        temperature: what logits are divided by, see :func:`probabilities`.
        unsure: it is not sure of a picture where the largest probability is below this, within 0 and 1.
    """

    def __init__(
        self,
        network: nn.Module,
        preparation: Preparation,
        *,
        classes: tuple[str, ...],
        name: str,
        digest: str,
        history: Mapping[str, list[np.ndarray]] | None = None,
        config: Config | None = None,
        temperature: float = 1.0,
        unsure: float = 0.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.preparation = preparation
        self.classes = classes
        self.name = name
        self.digest = digest
        self.history = dict(history or {})
        self.config = config
        self.temperature = temperature
        self.unsure = unsure
        self.eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return device_of(self)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the network's parameters, of the first that holds no whole numbers."""
        return next((p.dtype for p in self.network.parameters() if p.is_floating_point()), torch.float32)

    @property
    def classifier(self) -> nn.Module:
        """The network, by the name that it had until 0.1."""
        warnings.warn("Subject.classifier is called Subject.network now", DeprecationWarning, stacklevel=2)
        return self.network

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(B, classes)`` of prepared pictures ``(B, 3, height, width)``.

        The network gets them in the type of its parameters; logits come back in the type of the pictures.
        """
        return self.network(image.to(self.dtype)).to(image.dtype)

    def prepare(
        self,
        picture: images.Source,
        *,
        side: int | None = None,
        whole: bool = False,
        stretch: bool = False,
        decoder: Decoder | None = None,
    ) -> Prepared:
        """Make a picture the network's input.

        Args:
            picture: a path, the bytes of a file, an open binary file, a PIL image, an array or a tensor, see
                :func:`dsp_viz.images.read_image`; with a decoder a path.
            side: of the input in pixels, see :meth:`Preparation.checked`.
            whole: keep all of a picture that is not square, instead of its middle.
            stretch: of a dark 16-bit picture, see :func:`dsp_viz.images.read_image`.
            decoder: that reads the file, as those of strangers should be; by default it is read in this process.

        Raises:
            ImageError: the picture cannot be read; the message says why and what is allowed.
            ValueError: the network takes no such ``side``, or not the whole.
        """
        how = self.preparation
        side = how.checked(side, whole=whole)  # before anything is read
        if decoder is None:
            original = images.read_image(picture, stretch=stretch)
            cut, frame = how.fit(original, side=side, whole=whole)
            return Prepared(cut, frame, how.tensor(cut), framing.sharp(original, frame))
        if not isinstance(picture, str | os.PathLike):
            raise TypeError(f"a decoder reads files: give a path, not {type(picture).__name__}")
        cut, frame, note, sharp = decoder.fit(
            picture, side=side, patch=how.patch, whole=whole, fitting=how.fitting, stretch=stretch
        )
        return Prepared(cut, frame, how.tensor(cut), sharp, note)


def probabilities(model: nn.Module, logits: Tensor) -> Tensor:
    r"""Probabilities of a model's classes, ``(…, classes)``.

    .. math:: p = \mathrm{softmax}(y / T)

    ``T`` makes them as large as they come true, and changes no order (Guo et al., ICML 2017, arXiv 1706.04599).

    Args:
        model: a :class:`Subject` has its temperature; of any other network it is 1. logits: ``(…, classes)``.
    """
    return torch.softmax(logits / (model.temperature if isinstance(model, Subject) else 1.0), -1)
