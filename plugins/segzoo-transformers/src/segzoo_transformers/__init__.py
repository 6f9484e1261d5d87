"""Semantic segmentation models of transformers, and their checkpoints."""

from __future__ import annotations

try:
    from segzoo.hooks import hookimpl
except ModuleNotFoundError as error:
    if error.name == "segzoo.hooks":
        error.add_note("this package segzoo is another program's: uninstall segzoo, install segmentation-zoo")
    raise


@hookimpl
def segzoo_api() -> int:
    return 1
