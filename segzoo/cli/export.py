"""``segzoo export``: export a model to a file for another runtime, with a certificate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segzoo import zoo
from segzoo.cli import completions as offers
from segzoo.cli.help import GroupedCommand, progress_option
from segzoo.cli.table import echo_json, echo_rows
from segzoo.cli.words import naming, read_size
from segzoo.printing import command_line, echo, echo_note
from segzoo.specs.prediction import EXPORT_PRECISIONS, PIXELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from segzoo.exporting import Certificate


#: Groups of options in ``--help``.
GROUPS = {
    "File": ("out", "format_", "opset", "static", "overwrite"),
    "Network": ("with_preprocessing", "pixels", "precision", "calibrate"),
    "Certificate": ("images", "no_certificate", "verify", "as_json"),
}


@click.command("export", cls=GroupedCommand, groups=GROUPS)
@click.argument("model", required=False, metavar="MODEL", shell_complete=offers.models)
@click.option("--out", type=click.Path(), help="File to write.")
@click.option(
    "--format",
    "format_",
    shell_complete=offers.exports,
    help="Format; see `segzoo list exports` [default: by the suffix of the file].",
)
@click.option("--opset", type=int, help="ONNX operator set [default: that of the exporter].")
@click.option(
    "--with-preprocessing",
    is_flag=True,
    help="Include preprocessing: the file then takes an image and returns its class map [default: the file "
    "takes preprocessed images and returns logits].",
)
@click.option(
    "--pixels",
    type=click.Choice(PIXELS),
    help="Type of the pixels, with --with-preprocessing [default: by the intensity rule of the weights].",
)
@click.option("--static", metavar="HxW", help="Fixed height and width of images [default: any size].")
@click.option(
    "--precision",
    type=click.Choice(EXPORT_PRECISIONS),
    default="float32",
    show_default=True,
    help="Number type of the computation.",
)
@click.option(
    "--calibrate",
    multiple=True,
    shell_complete=offers.files,
    help="Calibration images, or folders of images, for --precision int8; may be repeated.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    shell_complete=offers.files,
    help="Image, or folder of images, for the comparison with the model; may be repeated.",
)
@click.option(
    "--no-certificate", is_flag=True, help="Do not run the file, and do not compare it with the model."
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@click.option(
    "--verify",
    type=click.Path(),
    shell_complete=offers.files,
    help="Verify this file against its certificate, instead of exporting; MODEL may be left out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the certificate as JSON.")
@progress_option
def command(model: str | None, out: str | None, verify: str | None, as_json: bool, **options: Any) -> None:
    """Export a model to a file for another runtime, such as ONNX.

    The file is run in its runtime and compared with the model, on real and random images of several sizes.
    The differences are printed, and saved next to the file as FILE.certificate.json. A file that differs by
    more than the tolerance is deleted.

    \b
    segzoo export unet-nuclei --out nuclei.onnx
    segzoo export unet-nuclei --out nuclei.onnx --with-preprocessing --opset 18
    segzoo export unet-nuclei --out nuclei.xml --precision int8 --calibrate images
    segzoo export unet-nuclei --out nuclei.pt2 --static 512x768
    segzoo export --verify nuclei.onnx
    """
    if verify is not None:
        given = [name for name, value in {"--out": out, **_given(options)}.items() if value]
        if given:
            raise click.UsageError(
                f"--verify writes no file: leave out {', '.join(given)}", click.get_current_context()
            )
        _verify(verify, model=model, images=_found("--image", options["images"]), as_json=as_json)
        return
    if model is None or out is None:
        lacking = "name MODEL and --out FILE" if model is None else f"name the file for {model}: --out FILE"
        raise click.UsageError(
            f"{lacking}; or name a file to verify: --verify FILE", click.get_current_context()
        )
    _export(model, out, as_json=as_json, **options)


def _export(
    model: str,
    out: str,
    *,
    format_: str | None,
    static: str | None,
    calibrate: Sequence[str],
    images: Sequence[str],
    no_certificate: bool,
    as_json: bool,
    **options: Any,
) -> None:
    size = None
    if static is not None:
        with naming("--static"):
            size = read_size(static)
    if format_ is not None:
        with naming("--format"):
            zoo.registry("exports").get(format_)
    from segzoo.exporting import export, read_certificate
    from segzoo.exporting.certificate import certificate_path

    file = export(
        model,
        out,
        format=format_,
        static=size,
        calibration=_found("--calibrate", calibrate),
        images=_found("--image", images),
        certificate=not no_certificate,
        progress=True,
        **options,
    )
    if not no_certificate:
        _echo_certificate(read_certificate(certificate_path(file)), as_json=as_json)
    elif as_json:
        echo_json({"file": str(file)})
    if not as_json:
        echo(f"{file} ({Path(file).stat().st_size / 1e6:.1f} MB)")
        echo(f"next: {command_line('segzoo', 'predict', 'IMAGES', '--model', file)}")


def _verify(file: str, *, model: str | None, images: Sequence[Path], as_json: bool) -> None:
    from segzoo.exporting import verify

    found = verify(file, model=model, images=images, on_message=echo_note, progress=True)
    _echo_certificate(found, as_json=as_json)
    found.check(file)
    if not as_json:
        echo(f"{file} agrees with its certificate")


def _echo_certificate(certificate: Certificate, *, as_json: bool) -> None:
    from segzoo.exporting.certificate import HEADER

    if as_json:
        echo_json(certificate.to_json())
        return
    echo_rows(certificate.rows(), header=[cell.upper() for cell in HEADER])
    echo("\n".join(certificate.remarks()))


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return whether each option for writing is on the command line."""
    context = click.get_current_context()
    source = click.core.ParameterSource.COMMANDLINE
    written = {
        parameter.opts[0]: parameter.name
        for parameter in context.command.params
        if parameter.name not in ("verify", "images", "as_json", "model", "out")
    }
    return {option: context.get_parameter_source(name or "") is source for option, name in written.items()}


def _found(option: str, words: Sequence[str]) -> list[Path]:
    """Return the image files of words, which are files, folders and patterns."""
    from segzoo.prediction.sources.finding import find_sources
    from segzoo.prediction.sources.source import files_of

    if not words:
        return []
    with naming(option):
        return files_of(find_sources(words))
