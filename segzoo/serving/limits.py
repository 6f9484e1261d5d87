"""Limits of a server: sizes, queue lengths and timeouts."""

from __future__ import annotations

from dataclasses import dataclass

from segzoo.errors import OptionError
from segzoo.options import check_integer, check_number

#: Number of uploads of maximum size that a server holds in memory at once.
UPLOADS = 4


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a server.

    Attributes:
        queue: maximum number of unanswered images per model; more are answered with 429.
        batch: maximum number of images of equal size that the network processes together; 1 for no batches.
        wait: seconds that a batch waits for images that are being sent or decoded; it does not wait for
            anything else.
        max_bytes: maximum size of a request body in bytes; a larger one is answered with 413. All bodies
            together may have four times as many.
        max_pixels: maximum number of pixels of an image; a pixel of more than 16 bytes counts as several. All
            decoded images together have at most this many; the others wait.
        timeout: seconds in which a client must have sent its image; otherwise it is answered with 408.
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
                raise OptionError(f"{name} must be between 0 and {most} seconds, got {value:g}")
