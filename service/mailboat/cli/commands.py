"""The commands that are not roles. Each is loaded when it is asked for."""

from __future__ import annotations

import functools
import importlib
from typing import NamedTuple

import click

import mailboat
from mailboat import settings
from mailboat.cli import COMPLETE, completion, examples, roles
from mailboat.cli.roles import ROLES


class Lazy(NamedTuple):
    """Where a command is, and its line in the help, so that the help loads none of them."""

    place: str
    summary: str


COMMANDS = {
    "up": Lazy("mailboat.cli.up:up", "Run everything on this machine."),
    "apply": Lazy("mailboat.cli.apply:apply", "Make clients, templates and providers what manifests say."),
    "get": Lazy("mailboat.cli.get:get", "Show what was applied, as a table, JSON or YAML."),
    "describe": Lazy("mailboat.cli.describe:describe", "Show one resource with its conditions."),
    "delete": Lazy("mailboat.cli.delete:delete", "Delete what was applied."),
    "diff": Lazy("mailboat.cli.diff:diff", "Show what applying manifests would change."),
    "export": Lazy("mailboat.cli.export:export", "Print what was applied as manifests for a cluster."),
    "client": Lazy("mailboat.cli.client:client", "Create, read and change clients: who may send."),
    "key": Lazy("mailboat.cli.key:key", "Make, list, rotate and revoke a client's keys; change the sealing key."),
    "send": Lazy("mailboat.cli.send:send", "Send a mail."),
    "template": Lazy("mailboat.cli.template:template", "Write, preview, check and render templates, without a server."),
    "message": Lazy("mailboat.cli.message:message", "Find messages, read what became of them, cancel."),
    "dlq": Lazy("mailboat.cli.dlq:dlq", "Mail that stopped: look, replay, release, fail."),
    "backup": Lazy("mailboat.cli.backup:backup", "Write the whole installation to one file."),
    "restore": Lazy("mailboat.cli.backup:restore", "Put everything back from a backup."),
    "archive": Lazy("mailboat.cli.archive:archive", "Write old months of messages to files, then drop them."),
    "suppression": Lazy("mailboat.cli.suppression:suppression", "Addresses that must not be mailed again."),
    "provider": Lazy("mailboat.cli.provider:provider", "Providers, and whether mail goes through them."),
    "webhook": Lazy("mailboat.cli.webhook:webhook", "Where clients are told of events; what providers' webhooks say."),
    "completion": Lazy(
        "mailboat.cli.completion:completion", "Print what bash, zsh or fish needs to complete commands."
    ),
    "doctor": Lazy("mailboat.cli.doctor:doctor", "Check the whole installation, and say what to do."),
    "bench": Lazy("mailboat.cli.bench:bench", "Send many mails, and tell how fast."),
    "simulate": Lazy("mailboat.cli.simulate:simulate", "Speak a provider's API on this machine, for tests."),
}


@functools.cache
def _loaded(name: str) -> click.Command:
    module, _, attribute = COMMANDS[name].place.partition(":")
    return examples.attach(name, getattr(importlib.import_module(module), attribute))


def _role(name: str) -> click.Command:
    """What completion and the reference know of a role; it is started by `roles.start`, without click."""
    flags = [
        click.Option([roles.flag(field)], help=f"Overrides {settings.variable(field)}.") for field in ROLES[name].flags
    ]
    every = click.Option(["--settings"], is_flag=True, help="List every setting with its default.")
    return click.Command(name, params=[*flags, every], help=ROLES[name].summary)


class LazyGroup(click.Group):
    """A group whose commands are imported by need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *ROLES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            return _loaded(cmd_name)
        return _role(cmd_name) if cmd_name in ROLES else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])
        with formatter.section("Roles, each a part that runs alone (SERVICE_ROLE chooses one too)"):
            formatter.write_dl([(name, role.summary) for name, role in ROLES.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(mailboat.__version__, prog_name="mailboat", message="%(prog)s %(version)s")
def cli() -> None:
    """Mailboat: a self-hosted transactional email platform.

    Exit codes: 0 it worked, 1 it did not, 2 the command line or a setting is wrong, 130 interrupted.
    """


def run(arguments: list[str]) -> int:
    """Run a command; its exit code. Raises MailboatError and KeyboardInterrupt."""
    try:
        status = cli.main(arguments, prog_name=completion.PROGRAM, complete_var=COMPLETE, standalone_mode=False)
    except click.ClickException as error:  # wrong usage: click's own text names the option and the help
        error.show()
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    return status if isinstance(status, int) else 0
