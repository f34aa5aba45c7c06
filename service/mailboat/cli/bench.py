"""`mailboat bench`: how fast an installation accepts and sends, as one of its clients sees it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import click

from mailboat.cli import completion, output
from mailboat.cli.connection import LOOPBACK, SECONDS, Api, Session
from mailboat.cli.options import connected, mapping
from mailboat.errors import MailboatError

LOOK_SECONDS = 0.2
TAG = "mailboat-bench"
UNDER_WAY = ("scheduled", "queued", "sending")


@click.command()
@click.argument("template", required=False, shell_complete=completion.templates)
@click.option("--to", "recipient", required=True, metavar="ADDRESS", help="Who gets all of it.")
@click.option("--data", type=mapping, metavar="JSON|@FILE", help="Data of the template.")
@click.option("--mails", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="So many.")
@click.option("--connections", type=click.IntRange(1, 256), default=16, show_default=True, help="At once.")
@click.option(
    "--timeout", type=click.FloatRange(0), default=300.0, show_default=True, help="Seconds to wait until all are sent."
)
@connected("sender")
def bench(
    template: str | None,
    recipient: str,
    data: dict[str, Any] | None,
    mails: int,
    connections: int,
    timeout: float,
    session: Session,
    form: str,
) -> None:
    """Send many mails, and tell how fast they were accepted and sent. They are really sent: look where they go first.

    A TEMPLATE is rendered with --data; without one it is a line of text. Mail beyond the client's rate is refused and
    counted. The exit code is 1 when not all of it was sent.
    """
    content = (
        {"template": template, "data": data or {}} if template else {"subject": "Bench", "text": "A line of text."}
    )
    run = secrets.token_hex(6)
    body = {"to": recipient, "tags": {TAG: run}, **content}
    session.sender()  # says what is missing
    started = time.monotonic()
    with output.progress("Accepting", mails) as told:
        codes, seconds = asyncio.run(_accept(session, body, mails, connections, told))
    accepted, took = codes["accepted"], time.monotonic() - started
    left = _drained(session.sender(), run, accepted, started + timeout) if accepted else 0
    total = time.monotonic() - started
    output.show(
        {
            "mails": mails,
            "accepted": accepted,
            "refused": {code: count for code, count in codes.items() if code != "accepted"},
            "accepted_per_second": round(accepted / took, 1),
            **{f"accept_p{share}_ms": round(1000 * quantile(seconds, share), 1) for share in (50, 99)},
            "done": accepted - left,
            "end_to_end_per_second": round((accepted - left) / total, 1),
        },
        form,
    )
    if accepted < mails or left:
        raise MailboatError(f"{mails - accepted} were refused, {left} of the others were not sent in time.")


async def _accept(
    session: Session, body: dict[str, Any], mails: int, connections: int, told: Callable[[int], None]
) -> tuple[Counter[str], list[float]]:
    """How many had which answer, and how long each took."""
    import httpx

    codes: Counter[str] = Counter()
    seconds: list[float] = []
    todo: Iterator[int] = iter(range(mails))
    headers = {"X-Api-Key": session.api_key, "X-Api-Secret": session.api_secret}
    own = httpx.URL(session.url).host in LOOPBACK  # no proxy leads to this machine
    async with httpx.AsyncClient(base_url=session.url, headers=headers, timeout=SECONDS, trust_env=not own) as client:

        async def one_after_another() -> None:
            for _ in todo:
                before = time.perf_counter()
                answer = await client.post("/v1/send", json=body)
                seconds.append(time.perf_counter() - before)
                codes["accepted" if answer.is_success else _code(answer)] += 1
                told(1)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(mails, connections)):
                    group.create_task(one_after_another())
        except* httpx.TransportError as errors:
            raise MailboatError(f"No answer from {session.url} ({errors.exceptions[0]}).") from None
    return codes, seconds


def _code(answer: Any) -> str:
    try:
        return str(answer.json()["code"])
    except (ValueError, KeyError, TypeError):
        return str(answer.status_code)


def _drained(api: Api, run: str, accepted: int, deadline: float) -> int:
    """Wait until no mail of this run is under way; how many are nevertheless."""

    def waiting(most: int) -> int:
        tag = [f"{TAG}:{run}"]
        return sum(len(api.pages("/v1/messages", "cursor", most, tag=tag, status=status)) for status in UNDER_WAY)

    while waiting(1):
        if time.monotonic() >= deadline:
            return waiting(accepted)
        time.sleep(LOOK_SECONDS)
    return 0


def quantile(values: list[float], percent: int) -> float:
    """The value that so many per cent do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0
