"""What a server takes, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

from segzoo.errors import OptionError
from segzoo.options import check_integer, check_number

#: Uploads of the largest size that a server holds in memory together.
UPLOADS = 4


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server takes, and how long it waits.

    Attributes:
        queue: images of a model that may be on their way; one more is answered with 429.
        batch: images of one size that the network takes together at most; 1 takes each by itself.
        wait: seconds that a batch waits for images which are being sent or decoded; it does not wait for
            anything else.
        max_bytes: bytes that the body of a request may have; a larger one is answered with 413. All bodies
            together may have four times as many.
        max_pixels: pixels that an image may have; one of more than 16 bytes counts as several. All decoded
            images together have at most as many; the others wait.
        timeout: seconds in which a client must have sent its image; later it is answered with 408.
    """

    queue: int = 64
    batch: int = 8
    wait: float = 0.005
    max_bytes: int = 64_000_000
    max_pixels: int = 64_000_000
    timeout: float = 30.0

    def __post_init__(self) -> None:
        check_integer("queue", self.queue, 1, 1_000_000)
        check_integer("batch", self.batch, 1, 65_536)
        check_integer("max_bytes", self.max_bytes, 1, 1 << 40)
        check_integer("max_pixels", self.max_pixels, 1, 1 << 40)
        for name, value, most in (("wait", self.wait, 60), ("timeout", self.timeout, 86_400)):
            check_number(name, value)
            if not 0 <= value <= most:
                raise OptionError(f"{name} must lie in 0 to {most} seconds, got {value:g}")
