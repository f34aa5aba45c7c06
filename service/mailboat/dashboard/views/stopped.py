"""Mail that stopped: dead letters by their reason, with replay; and held mail, which a person decides about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from mailboat.dashboard.desk import Desk, Refused, Route, Unknown, fields, form, identifier
from mailboat.db.states import State
from mailboat.delivery import diagnosis, stopped

GROUPS, ROWS, PAGE = 12, 5, 50
KINDS = {"dead": State.DEAD, "failed": State.FAILED}
# What is done to some of them, while it is done and afterwards.
ACTS = {"release": ("Sending", "queued again"), "fail": ("Failing", "not sent again")}
FIELDS = ("status", "client", "provider", "template", "when", "q")
TIMES = {
    "": "At any time",
    "1h": "In the last hour",
    "today": "Today",
    "yesterday": "Yesterday",
    "7d": "In the last 7 days",
}

_COUNTS = "select state, count(*) from queue where state in (4, 5, 7) group by state"
_CLIENTS = "select namespace || '/' || name from clients order by 1 limit 500"
_PROVIDERS = "select distinct provider from queue where state in (4, 5, 7) and provider is not null order by 1"


class Stopped:
    """`/ui/dead-letters` and `/ui/held`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            ("GET", "/ui/dead-letters", self.dead),
            ("GET", "/ui/dead-letters/of", self.of),
            ("POST", "/ui/dead-letters/replay", self.replay),
            ("POST", "/ui/dead-letters/selected", self.selected),
            ("POST", "/ui/dead-letters/{message_id}/replay", self.replay_one),
            ("GET", "/ui/held", self.held),
            ("POST", "/ui/held/all/{act}", self.decide),
            ("POST", "/ui/held/{message_id}/release", self.release),
            ("POST", "/ui/held/{message_id}/fail", self.fail),
        ]

    async def dead(self, request: Request) -> Response:
        given, now = _given(dict(request.query_params)), datetime.now(UTC)
        wanted = _filter(given, error=given["q"] or None, now=now)
        reasons = await stopped.reasons(self._desk.pool, wanted)
        errors = [reason["error"] for reason in reasons[:GROUPS]]
        rows = await stopped.samples(self._desk.pool, wanted, errors, ROWS)
        groups = [_group(given, reason, rows[reason["error"]]) for reason in reasons[:GROUPS]]
        return self._desk.pages(
            "dead-letters.html",
            given=given,
            fields=FIELDS,
            times=TIMES,
            now=now,
            groups=groups,
            others=len(reasons) - len(groups),
            total=sum(reason["messages"] for reason in reasons),
            narrowed=any(given[name] for name in FIELDS[1:]),
            clients=[row[0] for row in await self._desk.pool.fetch(_CLIENTS)],
            providers=[row[0] for row in await self._desk.pool.fetch(_PROVIDERS)],
            counts=await self._counts(),
        )

    async def of(self, request: Request) -> Response:
        """All messages of one reason, page by page."""
        asked = dict(request.query_params)
        given, error = _given(asked), asked.get("error", "")
        found = await stopped.page(
            self._desk.pool,
            _filter(given, error=error or None, now=datetime.now(UTC)),
            limit=PAGE,
            cursor=asked.get("cursor") or None,
        )
        query = {**{k: v for k, v in given.items() if v}, "error": error}
        return self._desk.pages(
            "dead-letters-of.html",
            given=given,
            error=error,
            found=found,
            means=_means(error),
            older=urlencode({**query, "cursor": found["next"]}) if found["next"] else None,
        )

    async def replay(self, request: Request) -> Response:
        """Some more of them, and the progress; its answer asks for the next ones until none remain.

        What dies again meanwhile is left alone: only what stopped before the replay began belongs to it.
        """
        asked = await form(request)
        given, error = _given(asked), asked.get("error", "")
        began = _moment(asked.get("until", ""))
        done = int(asked["done"]) if asked.get("done", "").isdecimal() else 0
        wanted = _filter(given, error=error or given["q"] or None, now=began)
        result = await stopped.replay(self._desk.pool, self._desk.doorbell, wanted, self._desk.actor)
        done += result["done"]
        kept = {**{name: given[name] for name in FIELDS}, "error": error}
        return self._job("/ui/dead-letters/replay", kept, began, done, result, back=_back(given["status"]))

    async def selected(self, request: Request) -> Response:
        """Those that were ticked, in one go."""
        asked = await fields(request)
        given = _given(dict(asked))
        wanted = stopped.Filter(states=(KINDS[given["status"]],), ids=_ticked(asked))
        result = await stopped.replay(self._desk.pool, self._desk.doorbell, wanted, self._desk.actor)
        return self._job("", {}, datetime.now(UTC), result["done"], result, back=_back(given["status"]))

    def _job(
        self,
        again: str,
        kept: dict[str, str],
        began: datetime,
        done: int,
        result: dict[str, Any],
        *,
        back: str,
        act: str = "release",
    ) -> Response:
        """How far it has come; where more remain, the answer asks `again` for them."""
        doing, ended = ACTS[act]
        remaining = result["remaining"] if result["done"] and again else 0
        return self._desk.pages(
            "job.html",
            again=again,
            kept={**kept, "until": began.isoformat(), "done": str(done)},
            done=done,
            remaining=remaining,
            doing=doing,
            ended=ended,
            back=back,
        )

    async def replay_one(self, message_id: str) -> Response:
        number = identifier(message_id)
        if not await stopped.replay_one(self._desk.pool, self._desk.doorbell, number, self._desk.actor):
            raise Refused("This message is neither dead nor failed any more.")
        return self._desk.pages("gone.html", text="Queued again")

    async def held(self, cursor: str = "") -> Response:
        wanted = stopped.Filter(states=(State.HELD,))
        found = await stopped.page(self._desk.pool, wanted, limit=PAGE, cursor=cursor or None)
        return self._desk.pages("held.html", found=found, counts=await self._counts())

    async def decide(self, request: Request, act: str) -> Response:
        """The held mail that was ticked, or all of it, is released or failed."""
        if act not in ACTS:
            raise Unknown
        asked = await fields(request)
        single = dict(asked)
        everything = "all" in single
        began = _moment(single.get("until", ""))
        done = int(single["done"]) if single.get("done", "").isdecimal() else 0
        wanted = stopped.Filter(states=(State.HELD,), until=began, ids=None if everything else _ticked(asked))
        if act == "release":
            result = await stopped.replay(self._desk.pool, self._desk.doorbell, wanted, self._desk.actor)
        else:
            result = await stopped.give_up_all(self._desk.pool, wanted, self._desk.actor)
        again = f"/ui/held/all/{act}" if everything else ""
        return self._job(again, {"all": "1"}, began, done + result["done"], result, back="/ui/held", act=act)

    async def release(self, message_id: str) -> Response:
        number = identifier(message_id)
        if not await stopped.release(self._desk.pool, self._desk.doorbell, number, self._desk.actor):
            raise Refused("This message is not held any more.")
        return self._desk.pages("decided.html", id=number, word="queued", text="It is queued again.")

    async def fail(self, message_id: str) -> Response:
        number = identifier(message_id)
        if not await stopped.give_up(self._desk.pool, number, self._desk.actor):
            raise Refused("This message is not held any more.")
        return self._desk.pages("decided.html", id=number, word="failed", text="It is not sent again.")

    async def _counts(self) -> dict[str, int]:
        return await counts(self._desk)


async def counts(desk: Desk) -> dict[str, int]:
    """How many messages are dead, failed and held."""
    found = {State(row["state"]).word: row["count"] for row in await desk.pool.fetch(_COUNTS)}
    return {word: found.get(word, 0) for word in ("dead", "failed", "held")}


def _group(given: dict[str, str], reason: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        **reason,
        "rows": rows,
        "means": _means(reason["error"]),
        "query": urlencode({**{k: v for k, v in given.items() if v and k != "q"}, "error": reason["error"]}),
    }


def _means(error: str) -> diagnosis.Diagnosis | None:
    """What the words mean, unless only their class is known: a number may as well be a port."""
    found = diagnosis.of_words(error)
    return None if found in diagnosis.CLASSES.values() else found


def _given(asked: dict[str, str]) -> dict[str, str]:
    given = {name: asked.get(name, "").replace("\0", "").strip() for name in FIELDS}
    return {**given, "status": given["status"] if given["status"] in KINDS else "dead"}


def _filter(given: dict[str, str], *, error: str | None, now: datetime) -> stopped.Filter:
    """What had stopped by `now`, from which the times are counted."""
    since, until = _times(given["when"], now)
    return stopped.Filter(
        states=(KINDS[given["status"]],),
        client=given["client"] or None,
        template=given["template"] or None,
        provider=given["provider"] or None,
        error=error,
        since=since,
        until=until,
    )


def _times(when: str, now: datetime) -> tuple[datetime | None, datetime]:
    """From when until when; days are those of UTC, as all times here."""
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "1h": (now - timedelta(hours=1), now),
        "today": (today, now),
        "yesterday": (today - timedelta(days=1), today),
        "7d": (now - timedelta(days=7), now),
    }.get(when, (None, now))


def _back(status: str) -> str:
    return f"/ui/dead-letters?{urlencode({'status': status})}"


def _ticked(asked: list[tuple[str, str]]) -> tuple[UUID, ...]:
    """The ids that were ticked. Raises Refused for none."""
    ids = tuple(identifier(value) for name, value in asked if name == "id")
    if not ids:
        raise Refused("Tick the messages first.")
    return ids


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.now(UTC)
