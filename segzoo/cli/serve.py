"""``segzoo serve``: models over HTTP."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segzoo.cli import completions as offers
from segzoo.cli.prediction_options import PredictionRequest, cleaning_options, prediction_options
from segzoo.cli.words import naming
from segzoo.errors import FailureError, OptionError
from segzoo.printing import echo, echo_message

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Addresses that only programs of this machine reach.
_LOOPBACK = ("127.", "::1")


@click.command("serve")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", shell_complete=offers.weights)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8000,
    show_default=True,
    help="Port to listen at; 0 takes any that is free.",
)
@prediction_options("torch", "torch", batch=8)
@click.option(
    "--calibrate",
    multiple=True,
    shell_complete=offers.files,
    help="Calibration images for --precision fastest.",
)
@cleaning_options
@click.option(
    "--queue",
    type=click.IntRange(1, 1_000_000),
    default=64,
    show_default=True,
    help="Most images in the queue of a model; more are answered with 429.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 60_000),
    default=5.0,
    show_default=True,
    metavar="MS",
    help="Time that a batch waits for images which are being sent or decoded.",
)
@click.option(
    "--max-bytes", default="64MB", show_default=True, metavar="SIZE", help="Most bytes of a request's body."
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=64_000_000,
    show_default=True,
    help="Most pixels of an image, and of all decoded images together.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 86_400),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time for a client to send its image, and to read the answer.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0, 86_400),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time after SIGTERM or Ctrl-C to answer requests that have begun.",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let web pages of an origin, such as https://lab.example, use the server (CORS).",
)
@click.option("--no-page", is_flag=True, help="Leave out the page at / that images can be dropped on.")
@click.option("--quiet", "-q", is_flag=True, help="Do not log each request.")
def command(models: tuple[str, ...], host: str, port: int, **options: Any) -> None:
    """Answer over HTTP: an image in, a mask out.

    MODEL is weights by name, a folder, or hf-hub:ORG/NAME; NAME=MODEL gives it another name in addresses.
    POST the bytes of an image to /v1/models/NAME/predict, or to /predict where there is one model. The answer
    is the mask as PNG; ?output= or the header Accept ask for JSON with run lengths, GeoJSON, an overlay, or
    any other of `segzoo list outputs`. /docs describes all addresses, / is a page to drop images on.

    \b
    segzoo serve unet-nuclei
    curl --data-binary @cells.png http://127.0.0.1:8000/predict > mask.png
    segzoo serve unet-nuclei membranes=runs/best --port 9000 --queue 256

    Nobody is asked for a password, so the server listens to this machine alone unless --host says otherwise.
    SIGTERM and Ctrl-C stop it once all requests that have begun are answered.
    """
    from segzoo.resources import parse_memory
    from segzoo.serving.asgi import application, require_extra
    from segzoo.serving.limits import Limits

    require_extra()
    named = _names(models)
    asked = PredictionRequest.taken(options)
    from segzoo.serving.notes import gathering
    from segzoo.serving.server import bound, serve
    from segzoo.serving.uploads import most_taken
    from segzoo.weights import load

    calibration = options["calibrate"]
    if asked.precision == "fastest" and not calibration:
        raise OptionError("--precision fastest measures images first: name some with --calibrate")
    with naming("--max-bytes"):
        max_bytes = parse_memory(options["max_bytes"])
    most = most_taken()
    if options["max_pixels"] > most:
        raise OptionError(
            f"--max-pixels may be at most {most:,}, the number of pixels that segzoo's readers decode at once"
        )
    limits = Limits(
        queue=options["queue"],
        batch=asked.batch,
        wait=options["wait"] / 1000,
        max_bytes=max_bytes,
        max_pixels=options["max_pixels"],
        timeout=options["timeout"],
    )
    with bound(host, port) as listening:
        predictors = {
            name: asked.predictor([load(model)], calibration=calibration) for name, model in named.items()
        }
        app = application(
            predictors, limits=limits, page=not options["no_page"], allow_origins=options["origins"]
        )
        where, taken = listening.getsockname()[:2]
        if not where.startswith(_LOOPBACK):
            echo_message(
                "warning",
                f"{host} can be reached from other machines, and nobody is asked for a password: put a proxy "
                "with TLS and accounts in front, or leave --host out",
            )
        shown = f"[{where}]" if ":" in where else where
        echo(f"{', '.join(named)} at http://{shown}:{taken}, described at /docs; Ctrl-C stops", err=True)
        with _lines(quiet=options["quiet"]), gathering():
            lost = serve(app, listening, grace=options["grace"], on_message=lambda text: echo(text, err=True))
    if lost:
        raise FailureError(
            f"{lost} request(s) were not answered with a mask within --grace {options['grace']:g} seconds"
        )
    echo("stopped: every request that had begun was answered", err=True)


def _names(words: tuple[str, ...]) -> dict[str, str]:
    """Read ``MODEL`` and ``NAME=MODEL`` words."""
    from segzoo.serving.asgi import check_name, own_name

    found: dict[str, str] = {}
    for word in words:
        name, equals, model = word.partition("=")
        if not equals or Path(word).exists():
            name, model = own_name(word), word
        if not model:
            raise click.UsageError(f"{word!r} names no model: it is NAME=MODEL, such as nuclei=runs/best")
        check_name(name)
        if name in found:
            raise click.UsageError(f"two models are called {name!r}: name one of them, as other={model}")
        found[name] = model
    return found


@contextmanager
def _lines(*, quiet: bool) -> Iterator[None]:
    """Show what the server logs, a line each with its time."""
    log, handler = logging.getLogger("segzoo.serving"), _Lines()
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.propagate = False
    # What is wrong with a form, its sender is told.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message on stderr."""
        echo(self.format(record), err=True)
