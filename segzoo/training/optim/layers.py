"""Layers of an encoder, for learning rates that decay from the last to the first.

Papers: Clark et al., 2020, arXiv:2003.10555, section 3; for images, Bao et al., 2021, arXiv:2106.08254.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def layers_of(encoder: nn.Module) -> list[list[nn.Parameter]]:
    """Return an encoder's parameters by layer, in the order in which its modules are defined.

    A layer is a block: an element of a list of modules of one class (``nn.Sequential``, ``nn.ModuleList``)
    that contains no such list itself. Modules before the first block, such as patch and position
    embeddings, form layer 0. Modules between two blocks, such as downsampling convolutions, belong to
    the later block. Modules after the last block, such as its norm, form a layer of their own.

    Returns:
        ``n + 2`` lists for ``n`` blocks, of which the first and the last may be empty; no lists if the
        encoder has no blocks.
    """
    layers: list[list[nn.Parameter]] = [[], []]
    seen: set[nn.Parameter] = set()
    for parameters, is_block in _parts(encoder):
        new = [one for one in parameters if one not in seen]
        seen.update(new)
        if is_block:
            # Parameters collected for this block are in its list already.
            layers[-1] += new
            layers.append([])
        else:
            layers[-1 if len(layers) > 2 else 0] += new
    return layers if len(layers) > 2 else []


def _parts(module: nn.Module) -> Iterator[tuple[Iterable[nn.Parameter], bool]]:
    """Yield groups of parameters in order, one group for each block, and whether the group is a block."""
    if not _has_blocks(module):
        yield module.parameters(), False
        return
    yield module.parameters(recurse=False), False
    for child in module.children():
        if _is_list(module) and not _has_blocks(child):
            yield child.parameters(), True
        else:
            yield from _parts(child)


def _has_blocks(module: nn.Module) -> bool:
    return any(map(_is_list, module.modules()))


def _is_list(module: nn.Module) -> bool:
    """Whether a module is a list of modules of one class that have children."""
    children = list(module.children())
    if not isinstance(module, nn.Sequential | nn.ModuleList) or not children:
        return False
    parts = chain.from_iterable(one.children() for one in children)
    return len({type(one) for one in children}) == 1 and any(True for _ in parts)
