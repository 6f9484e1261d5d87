"""Files of other runtimes, opened to be run: ONNX Runtime, OpenVINO, programs of torch.export.

What a file is and how it is run stands here once. `segzoo.load` opens an exported file as an ordinary
network, engines of prediction run programs that they made themselves, and the certificate of an export
compares both with the network.
"""

from __future__ import annotations

from segzoo.runtimes.program import METADATA_KEY, ExportInfo, Opener, Port, Program

__all__ = ["METADATA_KEY", "ExportInfo", "Opener", "Port", "Program"]
