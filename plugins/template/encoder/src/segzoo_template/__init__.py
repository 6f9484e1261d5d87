"""An encoder for segzoo. This module only registers it; the code is imported on first use."""

from segzoo.hooks import hookimpl
from segzoo.specs import EncoderSpec


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="template",
            factory="segzoo_template.encoder:StridedEncoder",
            channels=(16, 32, 64, 128),
            strides=(1, 2, 4, 8),
            summary="strided convolutions instead of pooling",
        )
    ]
