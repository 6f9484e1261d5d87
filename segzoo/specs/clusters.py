"""Clusters: groups of machines that compute the shares of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from segzoo.specs.base import PartSpec


@dataclass(frozen=True, kw_only=True)
class ClusterSpec(PartSpec):
    """A cluster: ``factory(address, **options)`` returns a `segzoo.interfaces.Cluster`.

    The address is the text after the name and a colon in ``--on NAME:ADDRESS``, or empty.

    Attributes:
        addresses: description of valid addresses, such as ``"auto or HOST:PORT"``.
    """

    kind: ClassVar[str] = "cluster"

    addresses: str = ""
