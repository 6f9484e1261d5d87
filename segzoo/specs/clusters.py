"""Clusters: machines that the shares of a run are computed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from segzoo.specs.base import PartSpec


@dataclass(frozen=True, kw_only=True)
class ClusterSpec(PartSpec):
    """A cluster: ``factory(address, **options)`` gives a `segzoo.interfaces.Cluster`.

    The address is what follows the name and a colon in ``--on NAME:ADDRESS``, empty where nothing does.

    Attributes:
        addresses: what an address may be, for people, such as ``"auto or HOST:PORT"``.
    """

    kind: ClassVar[str] = "cluster"

    addresses: str = ""
