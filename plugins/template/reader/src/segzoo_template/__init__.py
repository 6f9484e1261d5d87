"""A reader of images for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import ReaderSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_readers() -> list[ReaderSpec]:
    return [
        ReaderSpec(
            name="template",
            factory="segzoo_template.reader:open_pam",
            suffixes=(".pam",),
            magic=(b"P7\n",),
            summary="PAM: any number of bands, 8 or 16 bits",
        )
    ]
