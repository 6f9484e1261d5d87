"""``segzoo push``: upload a segzoo folder to the Hugging Face Hub."""

from __future__ import annotations

import click

from segzoo.cli import completions as offers
from segzoo.printing import echo


@click.command("push")
@click.argument("source", metavar="DIR", shell_complete=offers.weights)
@click.argument("repo", metavar="ORG/NAME")
@click.option("--revision", help="Branch to push to, created if it is missing.")
@click.option("--private/--public", default=None, help="Visibility of a new repository.")
@click.option("--sample", type=click.Path(), help="Image to show on the model card.")
@click.option("--message", default="", help="Commit message.")
def command(
    source: str, repo: str, revision: str | None, private: bool | None, sample: str | None, message: str
) -> None:
    """Upload a model to the Hugging Face Hub.

    DIR is a folder with config.json and model.safetensors, or the name of weights. The model card is written
    from the config unless DIR has a README.md. Log in first with `hf auth login`, or set HF_TOKEN.

    \b
    segzoo push runs/unet my-name/cells-unet
    """
    from segzoo.publishing.push import push

    done = push(source, repo, revision=revision, private=private, sample=sample, message=message)
    echo(f"{done.url}\ncommit  {done.commit}\nsha256  {done.sha256}\nsegzoo.load({done.source!r})")
