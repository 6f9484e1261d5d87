"""``segzoo completion``: the script that makes a shell complete."""

from __future__ import annotations

import click

from segzoo.printing import echo


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete commands, options and names.

    \b
    bash: eval "$(segzoo completion bash)"       in ~/.bashrc
    zsh:  eval "$(segzoo completion zsh)"        in ~/.zshrc, below compinit
    fish: segzoo completion fish | source        in ~/.config/fish/config.fish

    Models, weights, data sets, recipes and their keys, metrics and outputs complete by their names, those of
    plug-ins too; where a file may stand, files do. Encoders of timm are left out: to know them takes torch.
    """
    from segzoo.cli.shells import script

    echo(script(shell, ctx.find_root().command), nl=False)
