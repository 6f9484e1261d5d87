"""Certificates of exported files at the command line; see `segzoo.exporting.certify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segzoo.cli.table import echo_json, table
from segzoo.printing import echo

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from segzoo.exporting import Certificate


def echo_certificate(certificate: Certificate, *, as_json: bool = False) -> None:
    """Print what was measured, as a table or as JSON."""
    from segzoo.exporting.certificate import HEADER

    if as_json:
        echo_json(certificate.to_json())
        return
    echo(table(certificate.rows(), header=HEADER))
    echo("\n".join(certificate.remarks()))


def verify_file(
    file: str,
    *,
    model: str | None = None,
    images: Sequence[str | os.PathLike[str]] = (),
    as_json: bool = False,
) -> None:
    """Repeat what the certificate of a file says, and print what was found.

    Args:
        file: that was exported; its certificate lies beside it.
        model: to compare with; the one that the certificate names unless told.
        images: files of real images.
        as_json: whether JSON is printed.

    Raises:
        FailureError: it does not hold here.
    """
    from segzoo.exporting import verify

    found = verify(file, model=model, images=images, on_message=lambda line: echo(line, err=True))
    echo_certificate(found, as_json=as_json)
    found.check(file)
    if not as_json:
        echo(f"{file} holds what its certificate says")
