"""``segzoo demo``: try models in a browser, and correct their masks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

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
from segzoo.cli.serve import named_models, port_option, request_lines
from segzoo.errors import OptionError
from segzoo.printing import echo

#: Host at which no other machine reaches the page.
_HOST = "127.0.0.1"

#: Groups of options in ``--help``.
GROUPS = {
    "Page": ("folder", "port", "no_browser"),
    "Model": MODEL_GROUP,
    "Output": CLEANING_GROUP,
    "Speed and memory": ENGINE_GROUP,
}


@click.command("demo", cls=GroupedCommand, groups=GROUPS)
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=offers.weights)
@click.option(
    "--save",
    "folder",
    type=click.Path(file_okay=False),
    shell_complete=offers.folders,
    default="corrections",
    show_default=True,
    help="Folder for images with corrected masks, which `segzoo train --data` reads.",
)
@port_option(7860)
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
@prediction_options("torch", "torch", batch=1)
@cleaning_options
@verbose_option
def command(models: tuple[str, ...], folder: str, port: int, no_browser: bool, **options: Any) -> None:
    """Try models in a browser, and correct their masks.

    MODEL is weights by name, a folder, or hf-hub:ORG/NAME [default: unet-nuclei]. On the page you can also
    choose all other weights on this machine. Drop or paste images, or use the camera. The page shows mask,
    objects and uncertainty, and has settings for threshold, bands and intensity. Correct the mask with a
    brush, and save image and mask into the folder of --save: `segzoo train` learns from them.

    \b
    segzoo demo
    segzoo demo unet-nuclei nested-nuclei --threshold 0.4
    segzoo train --data corrections --model unet-nuclei

    The page is for this machine alone and uses no other server. Press Ctrl-C to stop it.
    """
    from segzoo.serving.asgi import application, require_extra

    require_extra()
    from segzoo.serving.corrections import add_corrections
    from segzoo.serving.installed import add_installed
    from segzoo.serving.limits import Limits
    from segzoo.serving.notes import gathering
    from segzoo.serving.server import bound, serve
    from segzoo.weights import load

    asked = PredictionRequest.taken(options)
    if asked.precision == "fastest":
        raise OptionError("--precision fastest measures images first, and the page has none: use fast")
    named = named_models(models or ("unet-nuclei",))
    with bound(_HOST, port) as listening:
        predictors = {name: asked.predictor([load(model)]) for name, model in named.items()}
        app = application(predictors, limits=Limits(batch=asked.batch), page=False)
        add_corrections(app, Path(folder), sources=named)
        add_installed(app, lambda name: asked.predictor([load(name)]))
        address = f"http://{_HOST}:{listening.getsockname()[1]}"
        echo(f"{', '.join(named)} at {address}; press Ctrl-C to stop", err=True)
        if not no_browser:
            _open(address)
        with request_lines(quiet=True), gathering():
            serve(app, listening, grace=2, on_message=lambda _: None)


def _open(address: str) -> None:
    """Open the page in a browser once the server listens."""
    import webbrowser

    timer = threading.Timer(1, webbrowser.open, (address,))
    timer.daemon = True
    timer.start()
