"""Files that a segmentation is written as, by name; numpy and Pillow alone.

``write_outputs(segmentation, Path("out/cat"), ("mask", "overlay"))`` writes ``out/cat_mask.png`` and
``out/cat_overlay.png``; `OUTPUTS` has all kinds, `OutputOptions` says how they look.
"""

from __future__ import annotations

from segzoo.prediction.rendering.kinds import OUTPUTS, Output, OutputOptions
from segzoo.prediction.rendering.outputs import check_outputs, write_output, write_outputs

__all__ = ["OUTPUTS", "Output", "OutputOptions", "check_outputs", "write_output", "write_outputs"]
