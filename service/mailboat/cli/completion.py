"""`mailboat completion`: what a shell needs to complete commands, options, and the names of clients and the like.

Names are asked of the server only when Tab is pressed where one belongs; a server that is away has none.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from mailboat.cli import COMPLETE, connection
from mailboat.errors import MailboatError

PROGRAM = "mailboat"
SHELLS = ("bash", "zsh", "fish")
SECONDS = 1.0  # that Tab may take

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that makes a shell complete `mailboat` commands.

    \b
    bash: mailboat completion bash > ~/.local/share/bash-completion/completions/mailboat
    zsh:  mailboat completion zsh > "${fpath[1]}/_mailboat"
    fish: mailboat completion fish > ~/.config/fish/completions/mailboat.fish
    """
    from mailboat.cli.commands import cli

    made = get_completion_class(shell)
    assert made is not None
    # Of the base class: that of bash would start a bash first, and complain where there is none.
    click.echo(ShellComplete.source(made(cli, {}, PROGRAM, COMPLETE)))


def names(path: str, name: Callable[[dict[str, Any]], str], who: str = "admin") -> Completion:
    """Completes with what the API lists at this path, as an administrator or a sender sees it."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given = {key: value for key, value in ctx.params.items() if isinstance(value, str)}
        chosen = connection.session(given, connection.stored(ctx.params.get("data_dir") or Path("data")))
        try:
            api = chosen.admin() if who == "admin" else chosen.sender()
            api.seconds = SECONDS
            answer = api.get(path)
        except MailboatError:
            return []  # while somebody types is no time to complain
        found = map(name, answer["items"] if isinstance(answer, dict) else answer)
        return [CompletionItem(each) for each in found if each.startswith(incomplete)]

    return complete


clients = names("/admin/clients", lambda one: f"{one['namespace']}/{one['name']}")
providers = names("/admin/providers", lambda one: str(one["name"]))
templates = names("/v1/templates", lambda one: str(one["name"]), who="sender")
endpoints = names("/v1/webhook-endpoints", lambda one: str(one["id"]), who="sender")
