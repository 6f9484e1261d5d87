"""The contract of export formats: a file computes what the network does, and says what it is."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from segzoo import __version__
from segzoo.config import config_of
from segzoo.creation import create
from segzoo.errors import MissingExtraError, WeightsError
from segzoo.exporting import TOLERANCES, Exportable
from segzoo.exporting.apart import ProgramApart
from segzoo.exporting.probing import Reference, random_inputs
from segzoo.plugins import resolve
from segzoo.runtimes import ExportInfo
from segzoo.specs import ExportSpec
from segzoo.testing.promises import Checked, described, promise, seeded

if TYPE_CHECKING:
    from torch import nn


def check_format(format: str | ExportSpec, **options: Any) -> None:  # noqa: A002
    """Check an export format, with a small U-Net in float32.

    The written file is opened by its runtime in another process. It gives the network's logits, at sizes and
    a batch that it was not made for, and returns the metadata that the writer was given. A file that is
    something else is refused.

    Args:
        format: its name, or its spec if no plug-in registers it yet.
        **options: options of its writer.

    Raises:
        PluginError: it breaks a promise; the message names it.
    """
    _Subject(described(format, ExportSpec), **options).keep()


class _Subject(Checked[ExportSpec], of="export"):
    """An export format under check."""

    def __init__(self, spec: ExportSpec, **options: Any) -> None:
        super().__init__(spec, **options)
        self._folder = TemporaryDirectory(prefix="segzoo-")

    @cached_property
    def network(self) -> nn.Module:
        torch.manual_seed(0)
        return create("unet", num_classes=3, width=4, depth=2).eval().requires_grad_(False)

    @cached_property
    def _info(self) -> ExportInfo:
        return ExportInfo(
            config=config_of(self.network),
            name="checked",
            format=self.spec.name,
            versions={"segmentation-zoo": __version__},
        )

    @cached_property
    def file(self) -> Path:
        path = Path(self._folder.name) / f"checked{self.spec.suffix}"
        exportable = Exportable(
            module=self.network,
            example=seeded(2, 3, 48, 64),
            free={0: "batch", 2: "height", 3: "width"},
            info=self._info,
        )
        resolve(self.spec.factory)(exportable, path, **{**self.spec.options, **self.options})
        promise(path.is_file(), f"{self.what}: its writer wrote no file {path.name}")
        return path

    def logits(self) -> None:
        reference = Reference(self.network, with_preprocessing=False)
        allowed = TOLERANCES["float32"].relative
        with ProgramApart(self.file, self.spec.runtime, threads=torch.get_num_threads()) as program:
            for given in random_inputs(program, self.network):
                found = reference.compare(given, program(given.images))
                promise(not found.trouble, f"{self.what}: of images {found.named} {found.trouble}")
                promise(
                    not found.held or found.relative <= allowed,
                    f"{self.what}: its logits of images {found.named} differ by {found.relative:.1e} "
                    f"relative to the largest, more than {allowed}",
                )

    def info(self) -> None:
        with ProgramApart(self.file, self.spec.runtime, threads=1) as program:
            promise(
                program.info == self._info,
                f"{self.what}: its file must hold `exportable.info`, and its runtime return it",
            )
            promise(
                bool(program.description) and "\n" not in program.description,
                f"{self.what}: its description must be a line, got {program.description!r}",
            )

    def refusal(self) -> None:
        other = Path(self._folder.name) / f"other{self.spec.suffix}"
        other.write_bytes(b"This is a letter, and no network.\n" * 9)
        try:
            resolve(self.spec.runtime)(other)
        except (WeightsError, MissingExtraError):
            return
        except Exception as error:  # whatever a library raises must not reach people
            promise(
                False,
                f"{self.what}: of a file that is something else its runtime raises {error!r}",
            )
        promise(False, f"{self.what}: its runtime takes a file that is something else")
