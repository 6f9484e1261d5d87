"""``segzoo push``: a segzoo folder to the Hugging Face Hub."""

from __future__ import annotations

import click

from segzoo.cli import completions as offers
from segzoo.printing import echo


@click.command("push")
@click.argument("source", metavar="DIR", shell_complete=offers.weights)
@click.argument("repo", metavar="ORG/NAME")
@click.option("--revision", help="The branch to push to, made where it is missing.")
@click.option("--private/--public", default=None, help="Who may see a new repository.")
@click.option("--sample", type=click.Path(), help="A picture to show on the model card.")
@click.option("--message", default="", help="Message of the commit.")
def command(
    source: str, repo: str, revision: str | None, private: bool | None, sample: str | None, message: str
) -> None:
    """Upload a segzoo folder to the Hugging Face Hub.

    DIR is a folder with config.json and model.safetensors, or the name of weights. A model card is written
    from the config unless DIR has a README.md. Log in first with `hf auth login`, or set HF_TOKEN.
    """
    from segzoo.publishing.push import push

    done = push(source, repo, revision=revision, private=private, sample=sample, message=message)
    echo(f"{done.url}\ncommit  {done.commit}\nsha256  {done.sha256}\nsegzoo.load({done.source!r})")
