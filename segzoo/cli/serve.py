"""``segzoo serve``: run an HTTP server that segments images."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segzoo.cli import completions as offers
from segzoo.cli.help import GroupedCommand, verbose_option
from segzoo.cli.prediction_options import (
    CLEANING_GROUP,
    ENGINE_GROUP,
    MODEL_GROUP,
    PredictionRequest,
    cleaning_options,
    prediction_options,
)
from segzoo.cli.words import naming
from segzoo.errors import FailureError, OptionError
from segzoo.printing import echo, echo_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Beginnings of addresses that only programs on this machine can reach.
_LOOPBACK = ("127.", "::1")

#: Groups of options in ``--help``.
GROUPS = {
    "Server": ("host", "port", "origins", "no_page", "grace", "quiet"),
    "Limits": ("queue", "wait", "max_bytes", "max_pixels", "timeout"),
    "Model": MODEL_GROUP,
    "Output": CLEANING_GROUP,
    "Speed and memory": (*ENGINE_GROUP, "calibrate"),
}


def port_option(default: int) -> Callable[[Any], Any]:
    """Return a decorator that gives a command ``--port``."""
    return click.option(
        "--port",
        type=click.IntRange(0, 65_535),
        default=default,
        show_default=True,
        help="Port to listen on; 0 chooses a free port.",
    )


@click.command("serve", cls=GroupedCommand, groups=GROUPS)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", shell_complete=offers.weights)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@port_option(8000)
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
    help="Largest number of images in the queue of a model; further requests get status 429.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 60_000),
    default=5.0,
    show_default=True,
    metavar="MS",
    help="Time that a batch waits for images that are being sent or decoded.",
)
@click.option(
    "--max-bytes", default="64MB", show_default=True, metavar="SIZE", help="Largest size of a request body."
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=64_000_000,
    show_default=True,
    help="Largest number of pixels in an image, and in all decoded images together.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 86_400),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time limit for a client to send its image, and to read the answer.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0, 86_400),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time limit after SIGTERM or Ctrl-C to finish requests that have begun.",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Origin of web pages that may use the server (CORS), such as https://lab.example; may be repeated.",
)
@click.option("--no-page", is_flag=True, help="Do not serve the web page at / for dropping images.")
@click.option("--quiet", "-q", is_flag=True, help="Do not log each request.")
@verbose_option
def command(models: tuple[str, ...], host: str, port: int, **options: Any) -> None:
    """Run an HTTP server that segments images.

    MODEL is the name of weights, a folder, or hf-hub:ORG/NAME. NAME=MODEL sets its name in addresses. POST
    the bytes of an image to /v1/models/NAME/predict, or to /predict if there is one model. The answer is the
    mask as PNG. With ?output= or the header Accept, the answer is JSON with run lengths, GeoJSON, an overlay,
    or any other of `segzoo list outputs`. /docs describes all addresses, and / is a page for dropping images.

    \b
    segzoo serve unet-nuclei
    curl --data-binary @cells.png http://127.0.0.1:8000/predict > mask.png
    segzoo serve unet-nuclei membranes=runs/best --port 9000 --queue 256

    The server does not ask for passwords, so it listens only to this machine unless you change --host.
    After SIGTERM or Ctrl-C it finishes the requests that have begun, and stops.
    """
    from segzoo.resources import parse_memory
    from segzoo.serving.asgi import application, require_extra
    from segzoo.serving.limits import Limits

    require_extra()
    named = named_models(models)
    asked = PredictionRequest.taken(options)
    from segzoo.serving.notes import gathering
    from segzoo.serving.server import bound, serve
    from segzoo.serving.uploads import most_taken
    from segzoo.weights import load

    calibration = options["calibrate"]
    if asked.precision == "fastest" and not calibration:
        raise OptionError("--precision fastest needs calibration images: name some with --calibrate")
    with naming("--max-bytes"):
        max_bytes = parse_memory(options["max_bytes"])
    most = most_taken()
    if options["max_pixels"] > most:
        raise OptionError(
            f"--max-pixels may be at most {most:,}, which is the largest image that segzoo's readers decode"
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
                f"{host} can be reached from other machines, and the server does not ask for passwords: put "
                "a proxy with TLS and accounts in front, or leave --host out",
            )
        shown = f"[{where}]" if ":" in where else where
        echo(
            f"{', '.join(named)} at http://{shown}:{taken}, described at /docs; press Ctrl-C to stop",
            err=True,
        )
        with request_lines(quiet=options["quiet"]), gathering():
            lost = serve(app, listening, grace=options["grace"], on_message=lambda text: echo(text, err=True))
    if lost:
        raise FailureError(
            f"{lost} request(s) were not answered with a mask within --grace {options['grace']:g} seconds"
        )
    echo("stopped: all requests that had begun were answered", err=True)


def named_models(words: tuple[str, ...]) -> dict[str, str]:
    """Read ``MODEL`` and ``NAME=MODEL`` words."""
    from segzoo.serving.asgi import check_name, own_name

    found: dict[str, str] = {}
    for word in words:
        name, equals, model = word.partition("=")
        if not equals or Path(word).exists():
            name, model = own_name(word), word
        if not model:
            raise click.UsageError(f"{word!r} names no model: expected NAME=MODEL, such as nuclei=runs/best")
        check_name(name)
        if name in found:
            raise click.UsageError(f"two models are called {name!r}: name one of them, as other={model}")
        found[name] = model
    return found


@contextmanager
def request_lines(*, quiet: bool) -> Iterator[None]:
    """Print each log record of the server in a line with its time."""
    log, handler = logging.getLogger("segzoo.serving"), _Lines()
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.propagate = False
    # The sender of a wrong form gets the error in the answer.
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
