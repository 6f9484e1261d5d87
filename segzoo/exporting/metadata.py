"""What a file carries besides the network: the text that segzoo reads, and what people look for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from segzoo.runtimes import METADATA_KEY

if TYPE_CHECKING:
    from segzoo.exporting.exportable import Exportable


def described(exportable: Exportable) -> dict[str, str]:
    """Return the metadata of a file by key."""
    info = exportable.info
    labels = info.config.labels
    found = {
        METADATA_KEY: info.to_json(),
        "model": info.name,
        "labels": json.dumps(labels.classes),
        "palette": json.dumps(labels.palette) if labels.palette else "",
        "license": info.config.licence,
    }
    return {key: value for key, value in found.items() if value}
