"""An export format for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import ExportSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_exports() -> list[ExportSpec]:
    return [
        ExportSpec(
            name="template",
            factory="segzoo_template.export:write",
            runtime="segzoo_template.export:open_file",
            suffix=".template",
            summary="TorchScript, for C++ programs",
        )
    ]
