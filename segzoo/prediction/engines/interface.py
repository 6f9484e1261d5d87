"""What an engine is called, and what it computes in."""

from __future__ import annotations

from segzoo.interfaces import Engine as Engine
from segzoo.specs.engines import PRECISIONS as PRECISIONS
from segzoo.specs.engines import Precision as Precision

#: The name of a registered engine.
Backend = str
