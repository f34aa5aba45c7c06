"""Route: which provider a message goes to now, and what its answers mean for those after it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from mailboat.delivery.policies import ClientPolicy
from mailboat.domain import leg
from mailboat.errors import Misconfigured, ProviderError, Throttled
from mailboat.limits import breaker
from mailboat.limits.breaker import Breakers, Permit
from mailboat.limits.pace import Throttle, Turns
from mailboat.providers.records import Directory, Line

LONGEST_WAIT = 30.0  # until a message looks again whether a provider is well
SPREAD = 2.0  # seconds over which those that waited together come back
PATIENCE = 1.0  # a provider that asks for a longer pause gets its mail later, and no slot waits for it


class Waits(Exception):
    """No provider of the route may be asked now; `delay` is in seconds. `is_due`: one of them may be probed."""

    def __init__(self, reason: str, delay: float) -> None:
        super().__init__(reason)
        self.is_due, self._least = delay <= 0, min(delay, LONGEST_WAIT)
        self.delay = self._least + random.random() * SPREAD

    def again(self) -> Waits:
        """The same for another message, which comes back at another time."""
        return Waits(str(self), self._least)


class Stop(NamedTuple):
    """A provider on a message's route that lets it through now. `permit` has to be given back."""

    name: str
    line: Line
    permit: Permit


class Routes:
    """The ways that messages take in this process."""

    def __init__(self, providers: Directory, breakers: Breakers, turns: Turns, default: Sequence[str]) -> None:
        self._providers, self._breakers, self._turns = providers, breakers, turns
        self._default = tuple(map(leg.parse, default))
        self._throttles: dict[str, Throttle] = {}

    def check(self, policy: ClientPolicy) -> Waits | None:
        """Before any work is done for a message: why it had better wait, since no provider is known to be well."""
        lines = self._lines(policy)
        if not lines or any(
            self._breakers.state(line.key) == "closed" and self._wait(line) <= PATIENCE for _, line, _ in lines
        ):
            return None
        return self.waits(policy)

    async def stops(self, policy: ClientPolicy, message_id: UUID) -> AsyncGenerator[Stop, None]:
        """The providers to try, in the message's order, as far as they let it through; each has to be `finished`. One
        that asks us to slow down is waited for, not passed by. Raises Misconfigured when none is set up."""
        lines = self._lines(policy)
        if not lines:
            named = ", ".join(name for name, _ in policy.route or self._default)
            raise Misconfigured(f"none of the route's providers is set up here: {named}")
        for place in leg.order([weight for _, _, weight in lines], message_id):
            name, line, _ = lines[place]
            if self._throttle(line).wait(_now()) > PATIENCE and self._breakers.wait(line.key) == 0:
                return
            if (permit := await self._breakers.enter(line.key, breaker.policy_of(line.breaker))) is not None:
                yield Stop(name, line, permit)

    def waits(self, policy: ClientPolicy) -> Waits:
        """Why no provider could be asked, and until when."""
        lines = self._lines(policy)
        return self._waits(lines, min(self._wait(line) for _, line, _ in lines))

    async def pace(self, stop: Stop) -> None:
        """Wait for a turn at the provider: it has a maxPerSecond, or asked us to slow down."""
        throttle, line = self._throttle(stop.line), stop.line
        pause = throttle.wait(_now())
        throttle.sent(_now())
        if line.per_second is not None:
            pause = max(pause, await self._turns.take(line.key, line.per_second))
        if pause > 0:
            await asyncio.sleep(pause)

    def is_open(self, stop: Stop) -> bool:
        """Whether the provider may still be asked: the message may have waited for its turn."""
        return self._breakers.holds(stop.permit)

    async def answered(self, stop: Stop, error: ProviderError | None) -> None:
        """What the provider said, or None when it took the message."""
        if isinstance(error, Throttled):
            self._throttle(stop.line).throttled(_now(), error.retry_after)
        await self._breakers.leave(stop.permit, _reason(error) if error is not None and error.counts else None)

    async def finished(self, stop: Stop) -> None:
        """The message is done with this provider, whether it was asked or not."""
        await self._breakers.release(stop.permit)

    def _lines(self, policy: ClientPolicy) -> list[tuple[str, Line, int]]:
        """Those of the route's providers that are set up here, each once, with their weights."""
        found = (
            (name, self._providers.find(policy.namespace, name), weight)
            for name, weight in policy.route or self._default
        )
        return list({line.key: (name, line, weight) for name, line, weight in found if line is not None}.values())

    def _wait(self, line: Line) -> float:
        return max(self._breakers.wait(line.key), self._throttle(line).wait(_now()))

    def _waits(self, lines: Iterable[tuple[str, Line, int]], delay: float) -> Waits:
        states = ", ".join(f"{name}: {self._breakers.state(line.key)}" for name, line, _ in lines)
        return Waits(f"waits until a provider of its route is well ({states})", delay)

    def _throttle(self, line: Line) -> Throttle:
        return self._throttles.setdefault(line.key, Throttle())


def moves_on(error: ProviderError, policy: ClientPolicy) -> bool:
    """Whether the next provider is tried at once: this one is unwell, and a second copy is either impossible or what
    the client prefers to none."""
    return error.counts and error.retryable and not (error.ambiguous and policy.hold_uncertain)


def _reason(error: ProviderError) -> str:
    return str(error) or type(error).__name__


def _now() -> float:
    return asyncio.get_running_loop().time()
