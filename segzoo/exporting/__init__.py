"""Export: models as files for other inference engines, with preprocessing, labels and a measured certificate.

Names are imported on first use, so that a plug-in can use the writers' types without importing torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.lazy import lazy_names

if TYPE_CHECKING:
    from segzoo.exporting.certificate import (
        TOLERANCES,
        Certificate,
        FileFacts,
        Probe,
        Speed,
        Tolerance,
        read_certificate,
    )
    from segzoo.exporting.certifying import certify, verify
    from segzoo.exporting.exportable import Exportable, Writer
    from segzoo.exporting.writing import export

_WHERE = {
    "certificate": "Certificate FileFacts Probe Speed TOLERANCES Tolerance read_certificate",
    "certifying": "certify verify",
    "exportable": "Exportable Writer",
    "writing": "export",
}

__all__ = [
    "Certificate",
    "Exportable",
    "FileFacts",
    "Probe",
    "Speed",
    "TOLERANCES",
    "Tolerance",
    "Writer",
    "certify",
    "export",
    "read_certificate",
    "verify",
]

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
