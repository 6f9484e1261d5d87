"""Exported files in other inference engines: ONNX Runtime, OpenVINO, and torch.export programs.

The formats of files and how to run them are defined only here. `segzoo.load` opens an exported file like an
ordinary network, prediction engines run programs that they made themselves, and the certificate of an export
compares both with the network.
"""

from __future__ import annotations

from segzoo.runtimes.program import METADATA_KEY, ExportInfo, Opener, Port, Program

__all__ = ["METADATA_KEY", "ExportInfo", "Opener", "Port", "Program"]
