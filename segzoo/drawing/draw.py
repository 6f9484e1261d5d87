"""``segzoo.draw``: from a model, or its name, to a drawing of its architecture."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from segzoo.architecture import without_values
from segzoo.creation import create, is_weights
from segzoo.drawing.figure import described, drawn
from segzoo.drawing.tracing import UntraceableError, traced
from segzoo.errors import OptionError, UsageError
from segzoo.files import write_whole
from segzoo.options import check_integer, shown
from segzoo.printing import markup
from segzoo.runtimes.network import open_network
from segzoo.weights.folder import unwrapped
from segzoo.weights.sources import exported

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from segzoo.drawing.tracing import Traced

#: Classes of the network that is drawn if its name does not fix them.
CLASSES = 2

_MOST = 65_536


@dataclass(frozen=True)
class Drawing:
    """An architecture as an SVG; notebooks show it as a picture.

    Attributes:
        svg: text of the file.
        description: the same facts in sentences, as alternative text of the picture.
        parameters: number of values that training changes.
    """

    svg: str
    description: str
    parameters: int

    def save(self, file: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the SVG into a file and return its path.

        Args:
            file: where to write, such as ``unet.svg``.
            overwrite: whether a file that exists may be replaced.

        Raises:
            OptionError: the name does not end in ``.svg``.
            FailureError: the file cannot be written, or exists.
        """
        path = Path(file)
        if path.suffix.lower() != ".svg":
            raise OptionError(f"a drawing is an SVG: the name of its file must end in .svg, got {path}")
        write_whole(path, self.svg.encode(), overwrite=overwrite)
        return path

    def _repr_html_(self) -> str:
        """Return what notebooks show: a picture, whose styles stay inside."""
        data = b64encode(self.svg.encode()).decode()
        return f'<img src="data:image/svg+xml;base64,{data}" alt="{markup(self.description)}">'


def draw(model: nn.Module | str | os.PathLike[str], *, size: Sequence[int] = (256, 256)) -> Drawing:
    """Draw a network's architecture: its stages by stride, with the shapes and parameters of each.

    The network itself is run on images without values, and what its blocks return is drawn. Its weights are
    neither needed nor changed.

    Args:
        model: a network, or anything that `segzoo.create` takes by name: a model, a decoder and an encoder,
            weights, or a folder. A name that does not fix them gets 2 classes and 3 channels.
        size: height and width of the image.

    Returns:
        The drawing. `Drawing.save` writes it to a file, and notebooks show it.

    Raises:
        UnknownNameError: nothing has that name.
        OptionError: the network does not take images of this size.
        UsageError: the model is an exported file, which has no blocks to draw.

    Example:
        >>> drawing = segzoo.draw("unet-resnet50")
        >>> drawing.save("unet-resnet50.svg")
    """
    height, width = _checked(size)
    if isinstance(model, nn.Module):
        model = unwrapped(model)
        title = _title(model)
        found = _traced(model, (height, width), title)
    else:
        file = exported(model)
        if file is not None:
            open_network(file)  # which says what is wrong with a file that is none
            raise UsageError(f"{file} is exported: draw the model that it was made from")
        title = str(model)
        found = _traced(_built(model), (height, width), title)
    return Drawing(svg=drawn(title, found), description=described(title, found), parameters=found.parameters)


def _checked(size: Sequence[int]) -> tuple[int, int]:
    if isinstance(size, str) or len(size) != 2:
        raise OptionError(f"size must be height and width such as (256, 256), got {shown(size)}")
    for name, side in zip(("height", "width"), size, strict=True):
        check_integer(f"the {name} of size", side, 1, _MOST)
    return size[0], size[1]


def _title(model: nn.Module) -> str:
    config = getattr(model, "segzoo_config", None)
    return config.architecture.name if config is not None else type(model).__name__


def _built(name: str | os.PathLike[str]) -> nn.Module:
    """Build the network that a name means, without memory for its weights if it can be."""
    classes = None if is_weights(name) else CLASSES

    def make() -> nn.Module:
        return create(name, num_classes=classes, weights=None)

    return without_values(make) or make()


def _traced(model: nn.Module, size: tuple[int, int], title: str) -> Traced:
    try:
        return traced(model, size)
    except UntraceableError as error:
        raise OptionError(f"{title} cannot be drawn for an image of {size[0]}x{size[1]}: {error}") from error
