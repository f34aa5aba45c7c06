"""Deliver: claim → render → send → book, for a batch of ids."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import asyncpg
import msgspec
import structlog

from mailboat import metrics
from mailboat.db import engine, statements
from mailboat.delivery import attach, route, suppressions
from mailboat.delivery.book import Booker, Booking, storable
from mailboat.delivery.claim import Claimer
from mailboat.delivery.policies import ClientPolicy, Policies
from mailboat.delivery.route import Routes, Stop, Waits
from mailboat.delivery.unsubscribe import Links
from mailboat.domain import retry, verdict
from mailboat.domain.address import Address
from mailboat.domain.message import AttachedFile, Claimed, Mail, Receipt, Rendered
from mailboat.domain.verdict import Fate, Verdict
from mailboat.errors import Misconfigured, ProviderError, RenderUnavailable, TemplateFault, Uncertain
from mailboat.providers.base import Provider
from mailboat.registry.catalog import Catalog
from mailboat.render.base import Job, Outcome, Renderer
from mailboat.telemetry import Traces, trace_id

log = structlog.get_logger()
_fates = msgspec.json.Decoder(dict[str, Fate]).decode


class _LeaseOver(Exception):
    """No new send may start: others may own the row by now."""


class _Gone(Exception):
    """Another worker has the message."""


class _Tried(NamedTuple):
    """One try: the message, whose attempt is that try's number, what came of it, and whether another provider is asked
    at once."""

    message: Claimed
    provider: str | None
    receipt: Receipt | None
    verdict: Verdict
    started_at: datetime
    seconds: float
    moves_on: bool = False
    dead: Mapping[str, str] = MappingProxyType({})  # addresses that no mail will ever reach, and who says so


class Lease(Protocol):
    """The right to send what was claimed by `id`, which ends with its term."""

    id: int
    term: int

    def may_send(self, term: int) -> bool:
        """Whether what was claimed in this term may be sent now."""


class Deliverer:
    """Everything that a batch passes through.

    `holding` are the ids that are in this process now, each with the lease's term in which it was claimed; `sending`
    are those of them that may be with a provider already. `unsent` were claimed and have certainly not been sent: the
    reconciler gives them back.
    """

    def __init__(
        self,
        *,
        pool: asyncpg.Pool,
        claimer: Claimer,
        booker: Booker,
        catalog: Catalog,
        renderer: Renderer,
        routes: Routes,
        retries: retry.Policy,
        traces: Traces,
        links: Links | None,
        lease: Lease,
    ) -> None:
        self._pool, self._claimer, self._booker = pool, claimer, booker
        self._catalog, self._renderer, self._routes, self._traces = catalog, renderer, routes, traces
        self._lease, self._links = lease, links
        self._policies = Policies(pool, retries)
        self._attachments = attach.Store(pool)
        self._suppressed = suppressions.Suppressed(pool)
        self.holding: dict[UUID, int] = {}
        self.sending: set[UUID] = set()
        self.unsent: set[UUID] = set()

    async def deliver(self, ids: Sequence[UUID]) -> int:
        """Deliver those of the ids that are queued; how many those were. Raises what `engine.AWAY` names."""
        await self._booker.healthy.wait()
        # Held from before the claim: the reconciler must not take a row for lost while its answer is on its way.
        fresh = [identifier for identifier in ids if identifier not in self.holding]
        self.holding |= dict.fromkeys(fresh, self._lease.term)
        try:
            claimed = await self._claimer.claim(fresh)
            if claimed:
                await self._deliver(claimed)
            return len(claimed)
        finally:
            for identifier in fresh:
                del self.holding[identifier]
            self.sending.difference_update(fresh)

    async def _deliver(self, claimed: list[Claimed]) -> None:
        try:
            policies = await self._policies.of({message.client_id for message in claimed})
            claimed = await self._sendable(claimed, policies)
            if not claimed:
                return
            settled = await self._settled([message.id for message in claimed if message.attempt > 1])
            barred = await self._suppressed.among(claimed)
            outcomes = await self._render(claimed)
        except engine.AWAY:
            self.unsent.update(message.id for message in claimed)
            raise
        # All of them to their end: what is on its way must not be let go of because another one failed.
        ends = await asyncio.gather(
            *(
                self._finish(
                    message,
                    outcome,
                    policies[message.client_id],
                    settled.get(message.id, {}),
                    barred.get(message.id, {}),
                )
                for message, outcome in zip(claimed, outcomes, strict=True)
            ),
            return_exceptions=True,
        )
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _sendable(self, claimed: list[Claimed], policies: Mapping[int, ClientPolicy]) -> list[Claimed]:
        """Those that some provider may be asked to take; the others wait, and nothing is rendered for them. Where a
        provider is only to be probed, one of each client's messages is enough."""
        waits = {message.client_id: self._routes.check(policies[message.client_id]) for message in claimed}
        sendable: list[Claimed] = []
        late: list[tuple[Claimed, Waits]] = []
        probing: set[int] = set()
        for message in claimed:
            why = waits[message.client_id]
            if why is None or (why.is_due and message.client_id not in probing):
                probing.add(message.client_id)
                sendable.append(message)
            else:
                late.append((message, why.again()))
        if late:
            await self._postpone(late)
        return sendable

    async def _postpone(self, late: list[tuple[Claimed, Waits]]) -> None:
        """Later, as if never claimed. Raises what `engine.AWAY` names."""
        rows = [(message.id, message.attempt, why.delay, str(why)) for message, why in late]
        await self._pool.execute(statements.POSTPONE, *map(list, zip(*rows, strict=True)), self._lease.id)
        log.info("waits", messages=len(rows), detail=rows[0][3], seconds=round(rows[0][2], 1))

    async def _settled(self, ids: list[UUID]) -> dict[UUID, dict[str, Fate]]:
        """How the recipients of messages that were tried before have fared so far."""
        fates: dict[UUID, dict[str, Fate]] = {}
        if ids:
            for row in await self._pool.fetch(statements.SETTLED, ids):
                fates.setdefault(row["message_id"], {}).update(_fates(row["recipients"]))
        return fates

    async def _render(self, claimed: list[Claimed]) -> list[Outcome]:
        """One outcome per message, in order; raw content is its own outcome."""
        outcomes: list[Outcome | None] = [message.raw() for message in claimed]
        jobs: list[Job] = []
        places: list[int] = []
        for place, message in enumerate(claimed):
            if outcomes[place] is not None:
                continue
            revision = await self._catalog.load(message.revision or "")
            if revision is None:
                outcomes[place] = TemplateFault(f"the sources of revision {message.revision} are gone")
            else:
                jobs.append(Job(revision, message.data, message.locale))
                places.append(place)
        if jobs:
            for place, outcome in zip(places, await self._renderer.render(jobs), strict=True):
                outcomes[place] = claimed[place].titled(outcome) if isinstance(outcome, Rendered) else outcome
        return [outcome for outcome in outcomes if outcome is not None]

    async def _finish(
        self,
        message: Claimed,
        outcome: Outcome,
        policy: ClientPolicy,
        settled: dict[str, Fate],
        barred: dict[str, Fate],
    ) -> None:
        """Send one rendered message and book what came of it. `barred` recipients are suppressed."""
        started_at, begun = datetime.now(UTC), time.perf_counter()
        barred = {
            email: fate for email, fate in barred.items() if email not in settled or settled[email].status == "deferred"
        }
        settled = settled | barred
        decided = None
        if barred and not _open_recipients(message, settled):
            decided = _barred(settled, barred)
        elif isinstance(outcome, TemplateFault):
            decided = verdict.of_fault(str(outcome))
        elif isinstance(outcome, RenderUnavailable):
            decided = self._of_error(outcome, message, policy, settled)
        if decided is not None:
            tried = _Tried(message, None, None, decided, started_at, time.perf_counter() - begun)
        elif isinstance(outcome, Rendered):
            found = await self._sent(message, outcome, policy, settled)
            if found is None:
                return
            tried = found
        await self._book(tried, policy, barred)

    async def _book(self, tried: _Tried, policy: ClientPolicy, barred: dict[str, Fate]) -> None:
        decided = tried.verdict
        if barred:
            decided = msgspec.structs.replace(decided, fates=barred | decided.fates)
        if tried.dead:
            await self._bury(tried)
        await self._booker.book(
            Booking(
                tried.message.id,
                tried.message.attempt,
                tried.provider,
                tried.receipt.provider_message_id if tried.receipt else None,
                decided,
                tried.started_at,
                tried.seconds,
            )
        )
        _report(tried.message, policy, tried.provider, decided)

    async def _bury(self, tried: _Tried) -> None:
        """Suppress what was refused for good, before the news of it is out. Where that fails the next mail to the
        address finds out again."""
        entries = [
            suppressions.Entry(
                client_id=tried.message.client_id,
                address=suppressions.key_of(email),
                reason="bounce",
                source=tried.provider or "",
                detail=storable(detail),
            )
            for email, detail in tried.dead.items()
        ]
        try:
            await suppressions.bar(self._pool, entries)
        except (*engine.AWAY, asyncpg.PostgresError) as error:
            log.warning("not suppressed", message_id=str(tried.message.id), error=str(error) or type(error).__name__)

    async def _sent(
        self, message: Claimed, rendered: Rendered, policy: ClientPolicy, settled: dict[str, Fate]
    ) -> _Tried | None:
        """What came of sending; None when there is nothing to book, since the message was not sent after all."""
        try:
            return await self._send(message, rendered, policy, settled)
        except Waits as why:
            try:
                await self._postpone([(message, why)])
            except engine.AWAY:
                self.unsent.add(message.id)
                raise
        except _LeaseOver:
            self.unsent.add(message.id)
        except _Gone:
            log.warning("another worker has it", message_id=str(message.id))
        except engine.AWAY:  # before the provider was asked: what it raises has a verdict
            self.unsent.add(message.id)
            raise
        return None

    async def _send(
        self, message: Claimed, rendered: Rendered, policy: ClientPolicy, settled: dict[str, Fate]
    ) -> _Tried:
        """Through the first provider of the route that takes it. Raises Waits, _LeaseOver, _Gone and what `engine.AWAY`
        names."""
        tried: _Tried | None = None
        try:
            async with contextlib.aclosing(self._routes.stops(policy, message.id)) as stops:
                async for stop in stops:
                    found = await self._try(stop, tried, message, rendered, policy, settled)
                    tried = found or tried
                    if found is not None and not found.moves_on:
                        break
        except ProviderError as error:  # there is no provider at all
            decided = self._of_error(error, message, policy, settled)
            return _Tried(message, None, None, decided, datetime.now(UTC), 0.0)
        if tried is None:
            raise self._routes.waits(policy)
        return tried

    async def _try(
        self,
        stop: Stop,
        before: _Tried | None,
        message: Claimed,
        rendered: Rendered,
        policy: ClientPolicy,
        settled: dict[str, Fate],
    ) -> _Tried | None:
        """One try with one provider, after the one before failed; None when its breaker opened meanwhile."""
        recipients = _open_recipients(message, settled)
        receipt, error = None, None
        try:
            async with stop.line.turn() as provider:
                if not self._routes.is_open(stop):
                    return None
                if before is not None:
                    message = await self._move_on(before)
                started_at, begun = datetime.now(UTC), time.perf_counter()
                try:
                    receipt = await self._ask(stop, provider, message, rendered, policy, recipients)
                except ProviderError as problem:
                    error = problem
                await self._routes.answered(stop, error)
        finally:
            await self._routes.finished(stop)
        if error is not None:
            if not error.ambiguous:
                self.sending.discard(message.id)
            decided = self._of_error(error, message, policy, settled)
        elif receipt is not None:
            emails = [address.email for address in recipients]
            decided = verdict.of_receipt(receipt, emails, _try(message), policy.retries)
        again = error is not None and route.moves_on(error, policy)
        seconds = time.perf_counter() - begun
        return _Tried(message, stop.name, receipt, decided, started_at, seconds, again, _dead(receipt, error))

    async def _ask(
        self,
        stop: Stop,
        provider: Provider,
        message: Claimed,
        rendered: Rendered,
        policy: ClientPolicy,
        recipients: tuple[Address, ...],
    ) -> Receipt:
        with self._traces.span(
            f"send {provider.kind}", message.traceparent, "client", message_id=str(message.id), provider=stop.name
        ) as traceparent:
            # Files are large: they are fetched in turn, not for the whole batch.
            files = await self._attachments.fetch(message.attachments) if message.attachments else ()
            url = self._unsubscribe_url(message)
            mail = mail_of(message, rendered, recipients, policy.name, traceparent, files, url)
            request = provider.build(mail)
            await self._routes.pace(stop)
            if not self._lease.may_send(self.holding[message.id]):
                raise _LeaseOver
            self.sending.add(message.id)
            return await _hand_over(provider, request)

    async def _move_on(self, tried: _Tried) -> Claimed:
        """Keep the failed try; the message with the number of its next one. Raises _Gone and what `engine.AWAY`
        names."""
        failed, decided = tried.message, tried.verdict
        detail = storable(decided.detail)
        row = await self._pool.fetchrow(
            statements.MOVE_ON,
            failed.id,
            self._lease.id,
            failed.attempt,
            tried.provider,
            decided.outcome,
            detail,
            tried.started_at,
            tried.seconds,
        )
        if row is None:
            raise _Gone
        assert tried.provider is not None
        metrics.ATTEMPTS.inc(tried.provider, decided.outcome, "moved")
        metrics.SEND_SECONDS.observe(tried.seconds, tried.provider)
        log.warning(
            "next provider",
            message_id=str(failed.id),
            trace_id=trace_id(failed.traceparent),
            provider=tried.provider,
            attempt=failed.attempt,
            detail=detail,
        )
        return msgspec.structs.replace(failed, attempt=failed.attempt + 1, forgiven=failed.forgiven + 1)

    def _unsubscribe_url(self, message: Claimed) -> str:
        """Where its one recipient gets off; empty when the client did not ask. Raises Misconfigured."""
        if not message.envelope.unsubscribe:
            return ""
        if self._links is None:
            raise Misconfigured(
                "the message asks for an unsubscribe link: set MAILBOAT_UNSUBSCRIBE_KEY for workers too"
            )
        return self._links.url(message.id, message.envelope.recipients[0][1])

    def _of_error(
        self, error: ProviderError | RenderUnavailable, message: Claimed, policy: ClientPolicy, settled: dict[str, Fate]
    ) -> Verdict:
        return verdict.of_error(
            error,
            _try(message),
            policy.retries,
            hold_uncertain=policy.hold_uncertain,
            some_sent=any(fate.status == "sent" for fate in settled.values()),
            open_recipients=[address.email for address in _open_recipients(message, settled)],
        )


def _barred(settled: dict[str, Fate], barred: dict[str, Fate]) -> Verdict:
    """Nobody is left to send to, since the last ones are suppressed."""
    some_sent = any(fate.status == "sent" for fate in settled.values())
    return Verdict("sent" if some_sent else "failed", "failed", next(iter(barred.values())).detail)


def _dead(receipt: Receipt | None, error: ProviderError | None) -> Mapping[str, str]:
    """The addresses that the provider calls dead, and its words."""
    if error is not None:
        return error.dead
    refused = receipt.refused if receipt is not None else {}
    return {email: refusal.detail for email, refusal in refused.items() if refusal.dead}


async def _hand_over(provider: Provider, request: Any) -> Receipt:
    """Raises a ProviderError, whatever happens: a provider that fails in a way of its own may have sent the mail."""
    try:
        return await provider.send(request)
    except ProviderError:
        raise
    except Exception as error:
        log.exception("provider failed", provider=provider.name)
        raise Uncertain(f"the provider {provider.name} failed unexpectedly: {error!r}") from None


def _try(message: Claimed) -> int:
    """Which try this is since the message was accepted or replayed, from 1."""
    return message.attempt - message.forgiven


def _open_recipients(message: Claimed, settled: dict[str, Fate]) -> tuple[Address, ...]:
    """The envelope recipients that no earlier attempt has settled, each mailbox once."""
    unique = {address.key: address for _, address in reversed(message.envelope.recipients)}
    closed = {email for email, fate in settled.items() if fate.status != "deferred"}
    return tuple(address for address in reversed(unique.values()) if address.email not in closed)


def mail_of(
    message: Claimed,
    rendered: Rendered,
    recipients: tuple[Address, ...],
    client: str,
    traceparent: str,
    files: tuple[AttachedFile, ...],
    unsubscribe_url: str,
) -> Mail:
    """A message as it goes to a provider, the same in every attempt but for its recipients."""
    return Mail(
        id=message.id,
        message_id=f"<{message.id}@{message.envelope.sender.domain}>",
        date=message.accepted_at,
        envelope=message.envelope,
        recipients=recipients,
        subject=rendered.subject,
        html=rendered.html,
        text=rendered.text,
        headers=message.headers,
        tags=message.tags,
        attachments=files,
        client=client,
        traceparent=traceparent,
        template=message.template or "",
        unsubscribe_url=unsubscribe_url,
    )


def _report(message: Claimed, policy: ClientPolicy, provider: str | None, decided: Verdict) -> None:
    """One line per attempt; what went wrong is a warning."""
    speak = log.info if decided.outcome == "sent" else log.warning
    speak(
        decided.ends,
        message_id=str(message.id),
        trace_id=trace_id(message.traceparent),
        client=policy.name,
        provider=provider,
        attempt=message.attempt,
        detail=decided.detail,
    )
