"""`mailboat simulate`: a server that speaks a provider's API, for tests."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import click
import msgspec

from mailboat.cli.noun import Noun
from mailboat.errors import MailboatError
from mailboat.simulate.mailgun import Mailgun
from mailboat.simulate.postmark import Postmark
from mailboat.simulate.sendgrid import SendGrid
from mailboat.simulate.server import KEEP, Simulator, running
from mailboat.simulate.ses import Ses, SesSwitches
from mailboat.simulate.switches import Switches, changed

Maker = Callable[..., Simulator]

SIMULATORS: dict[str, tuple[Maker, type[Switches], tuple[str, ...]]] = {
    "ses": (Ses, SesSwitches, ("access_key", "secret_key", "region")),
    "sendgrid": (SendGrid, Switches, ("key",)),
    "mailgun": (Mailgun, Switches, ("key", "signing_key")),
    "postmark": (Postmark, Switches, ("token",)),
}
"""What makes each, its switches, and the credentials that a flag may change."""


@click.group(cls=Noun)
def simulate() -> None:
    """Serve a provider's API on this machine, keep the mail, and send signed events back.

    GET /_simulator tells its keys, GET /_simulator/mails the mail; PUT /_simulator/settings changes every switch
    while it runs. A recipient's address decides what becomes of a mail: bounce@…, complaint@…, deferred@….
    """


def _command(name: str, make: Maker, switches: type[Switches], credentials: tuple[str, ...]) -> click.Command:
    def run(host: str, port: int, keep: int, seed: int | None, **given: Any) -> None:
        wishes = {field: value for field, value in given.items() if field not in credentials and value is not None}
        keys = {field: given[field] for field in credentials if given[field] is not None}
        chosen = changed(switches(), {_camel(field): value for field, value in wishes.items()}, strict=False)
        asyncio.run(_serve(make(chosen, keep=keep, seed=seed, **keys), host, port))

    options: list[click.Parameter] = [
        click.Option(["--host"], default="127.0.0.1", show_default=True, help="Address to listen on."),
        click.Option(["--port"], type=click.IntRange(0, 65535), default=0, help="Port; 0 takes a free one."),
        click.Option(["--keep"], type=click.IntRange(1), default=KEEP, show_default=True, help="Mails kept at most."),
        click.Option(["--seed"], type=int, help="Makes chance the same in each run."),
        *(click.Option([_flag(field)], help="Credential of the simulator.") for field in credentials),
        *_switches(switches),
    ]
    return click.Command(name, params=options, callback=_told(run), help=f"Serve {make.__name__} on this machine.")


def _told(run: Callable[..., None]) -> Callable[..., None]:
    """Faults of the flags and the port, in words."""

    def call(**given: Any) -> None:
        try:
            run(**given)
        except msgspec.ValidationError as error:
            raise click.UsageError(f"{error}.") from None
        except OSError as error:
            raise MailboatError(f"Cannot listen on {given['host']}:{given['port']}: {error.strerror}.") from None

    return call


def _switches(model: type[Switches]) -> list[click.Option]:
    """A flag per switch, with its description and its default."""
    options = []
    for field, hint in get_type_hints(model, include_extras=True).items():
        plain, meta = get_args(hint)[0], _meta(hint)
        default = msgspec.structs.fields(model)[model.__struct_fields__.index(field)].default
        kind: Any = {"is_flag": True, "default": None} if plain is bool and not default else {}
        if plain is bool and default:
            options.append(click.Option([f"{_flag(field)}/--no-{_flag(field)[2:]}"], default=None, help=meta))
        else:
            options.append(
                click.Option([_flag(field)], help=f"{meta}  [default: {default}]" if not kind else meta, **kind)
            )
    return options


def _meta(hint: Any) -> str:
    assert get_origin(hint) is Annotated
    return next(str(one.description) for one in hint.__metadata__ if one.description)


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _camel(field: str) -> str:
    head, *rest = field.split("_")
    return head + "".join(word.capitalize() for word in rest)


async def _serve(simulator: Simulator, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(simulator, host, port) as url:
        click.echo(f"{simulator.kind} simulator at {url}")
        click.echo(json.dumps(simulator.about()))
        click.echo("ready")
        await stop.wait()


for _name, (_make, _model, _credentials) in SIMULATORS.items():
    simulate.add_command(_command(_name, _make, _model, _credentials))
