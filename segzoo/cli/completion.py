"""``segzoo completion``: print the script for tab completion."""

from __future__ import annotations

import click

from segzoo.printing import echo


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script for tab completion in bash, zsh or fish.

    Add one line to the start-up file of your shell:

    \b
    bash: eval "$(segzoo completion bash)"       in ~/.bashrc
    zsh:  eval "$(segzoo completion zsh)"        in ~/.zshrc, below compinit
    fish: segzoo completion fish | source        in ~/.config/fish/config.fish

    The shell then completes commands, options, files, and the names of models, weights, datasets, recipes and
    their keys, metrics and outputs, including those of plug-ins. Encoders of timm are not completed, because
    listing them needs torch.
    """
    from segzoo.cli.shells import script

    echo(script(shell, ctx.find_root().command), nl=False)
