"""Circuit breakers, one per provider, shared by all replicas in Valkey. Without Valkey each process keeps its own.

    closed ── N counted failures within the window ──> open ── after the cooldown, one probe ──> half-open
    half-open ── the probe fails ──> open      half-open ── it is answered ──> closed

`step` decides; SCRIPT is the same decision inside Valkey, and a test holds the two together. While a circuit is closed
a send costs nothing here: only failures, probes and a look at Valkey twice a second do.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from redis.asyncio import Redis

TICK_SECONDS = 0.5
PROBE_SECONDS = 5.0  # a probe whose process is silent for so long is given to another; a live one renews it each tick
QUIET_SECONDS = 0.5  # after a failure of Valkey, stay local for so long
KEPT_SECONDS = 7 * 86400  # in Valkey, after the last change

State = Literal["closed", "open", "half-open"]
Act = Literal["fail", "succeed", "ask", "renew", "release", "reset"]


class Policy(msgspec.Struct, frozen=True):
    """`failures` within `window` seconds open the circuit, for `cooldown` seconds."""

    failures: int = 5
    window: float = 60.0
    cooldown: float = 120.0


class Circuit(msgspec.Struct, frozen=True):
    """`until`: the end of the cooldown while open, of the probe's time while half-open. `epoch` counts how often the
    circuit was opened or closed: what was sent in an earlier one says nothing about this one."""

    state: State = "closed"
    epoch: int = 0
    failures: tuple[float, ...] = ()
    until: float = 0.0
    probe: str = ""


class Permit(msgspec.Struct, frozen=True):
    """The right to send once. `probe` is its token when this send tries a circuit that was open."""

    key: str
    policy: Policy
    epoch: int
    probe: str = ""


CLOSED = Circuit()
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def policy_of(spec: Mapping[str, Any]) -> Policy:
    """From an EmailProvider's `circuitBreaker`; what it does not say is the default."""
    given = {name: value for name, value in spec.items() if name in Policy.__struct_fields__}
    for name in {"window", "cooldown"} & given.keys():
        given[name] = int(given[name][:-1]) * _UNITS[given[name][-1]]
    return Policy(**given)


def step(circuit: Circuit, act: Act, now: float, policy: Policy, *, epoch: int = 0, probe: str = "") -> Circuit:
    """The circuit after one act; itself when the act means nothing to it.

    ask: may `probe` try? It may if the answer carries its token. fail, succeed: how a send of this epoch or probe
    ended; renew: the probe is still at it; release: it ended without a word about the provider; reset: close it.
    """
    mine = circuit.state == "half-open" and probe != "" and probe == circuit.probe
    match act:
        case "fail" if circuit.state == "closed" and epoch == circuit.epoch:
            failures = (*(at for at in circuit.failures if at > now - policy.window), now)[-policy.failures :]
            if len(failures) < policy.failures:
                return msgspec.structs.replace(circuit, failures=failures)
            return Circuit("open", circuit.epoch + 1, until=now + policy.cooldown)
        case "fail" if mine:
            return Circuit("open", circuit.epoch, until=now + policy.cooldown)
        case "succeed" if mine:
            return Circuit("closed", circuit.epoch + 1)
        case "ask" if circuit.state != "closed" and now >= circuit.until:
            return Circuit("half-open", circuit.epoch, until=now + PROBE_SECONDS, probe=probe)
        case "renew" if mine:
            return msgspec.structs.replace(circuit, until=now + PROBE_SECONDS)
        case "release" if mine:
            return Circuit("open", circuit.epoch, until=now)
        case "reset" if circuit.state != "closed" or circuit.failures:
            return Circuit("closed", circuit.epoch + 1)
    return circuit


# KEYS: circuit; ARGV: act, failures, window, cooldown, epoch, probe, PROBE_SECONDS, KEPT_SECONDS, now or ''. Answers
# the circuit as JSON ('' for one that never failed), the time, and 1 when its state is another now.
SCRIPT = """
local act, policy = ARGV[1], {failures = tonumber(ARGV[2]), window = tonumber(ARGV[3]), cooldown = tonumber(ARGV[4])}
local epoch, probe, lease = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local now = tonumber(ARGV[9])
if not now then
    local time = redis.call('TIME')
    now = time[1] + time[2] / 1000000
end
local kept = redis.call('GET', KEYS[1])
local c = kept and cjson.decode(kept) or {state = 'closed', epoch = 0, failures = {}, ['until'] = 0, probe = ''}
local was, next = c.state, nil
local mine = was == 'half-open' and probe ~= '' and probe == c.probe
local function circuit(state, number, ends, token)
    next = {state = state, epoch = number, failures = {}, ['until'] = ends or 0, probe = token or ''}
end
if act == 'fail' and c.state == 'closed' and epoch == c.epoch then
    local failures = {}
    for _, at in ipairs(c.failures) do
        if at > now - policy.window then failures[#failures + 1] = at end
    end
    failures[#failures + 1] = now
    if #failures >= policy.failures then
        circuit('open', c.epoch + 1, now + policy.cooldown)
    else
        c.failures = failures
        next = c
    end
elseif act == 'fail' and mine then
    circuit('open', c.epoch, now + policy.cooldown)
elseif act == 'succeed' and mine then
    circuit('closed', c.epoch + 1)
elseif act == 'ask' and c.state ~= 'closed' and now >= c['until'] then
    circuit('half-open', c.epoch, now + lease, probe)
elseif act == 'renew' and mine then
    c['until'] = now + lease
    next = c
elseif act == 'release' and mine then
    circuit('open', c.epoch, now)
elseif act == 'reset' and (c.state ~= 'closed' or #c.failures > 0) then
    circuit('closed', c.epoch + 1)
end
if next then
    local text = {}
    for n, at in ipairs(next.failures) do text[n] = string.format('%.6f', at) end
    kept = string.format('{"state":"%s","epoch":%d,"failures":[%s],"until":%.6f,"probe":"%s"}',
        next.state, next.epoch, table.concat(text, ','), next['until'], next.probe)
    redis.call('SET', KEYS[1], kept, 'EX', ARGV[8])
end
return {kept or '', string.format('%.6f', now), next and next.state ~= was and 1 or 0}
"""

_decode = msgspec.json.Decoder(Circuit).decode
Changed = Callable[[str, State, str], None]


class Breakers:
    """Every circuit as this process knows it. `changed(key, state, reason)` is told of each change that it made."""

    def __init__(self, redis: Redis | None, changed: Changed) -> None:
        self._redis, self._changed = redis, changed
        self._circuits: dict[str, Circuit] = {}
        self._forced: frozenset[str] = frozenset()  # held open by a person
        self._probing: dict[str, Permit] = {}
        self._ahead = time.time() - time.monotonic()  # of our monotonic clock: Valkey's time, once it has answered
        self._quiet_until = 0.0
        self.calls = 0  # of Valkey, for decisions and reports

    def wait(self, key: str) -> float:
        """Seconds until this circuit may let a message through; 0 when it does now, endless while a person holds it."""
        if key in self._forced:
            return float("inf")
        circuit = self._circuits.get(key, CLOSED)
        return 0.0 if circuit.state == "closed" else max(0.0, circuit.until - self._now())

    def state(self, key: str) -> State:
        return "open" if key in self._forced else self._circuits.get(key, CLOSED).state

    @property
    def states(self) -> dict[str, State]:
        """Of every circuit that this process has met, or a person holds open."""
        return {key: self.state(key) for key in (*self._circuits, *self._forced)}

    async def enter(self, key: str, policy: Policy) -> Permit | None:
        """The right to send, to be given back with `leave`, or `release` when nothing was sent; None: not here, now."""
        circuit = self._circuits.get(key, CLOSED)
        if key not in self._forced and circuit.state == "closed":
            return Permit(key, policy, circuit.epoch)
        if self.wait(key) > 0:
            return None
        permit = Permit(key, policy, circuit.epoch, os.urandom(8).hex())
        circuit, moved = await self._act(permit, "ask")
        if circuit.state == "closed":  # another process has closed it meanwhile
            return Permit(key, policy, circuit.epoch)
        if circuit.probe != permit.probe:
            return None
        self._probing[key] = permit
        if moved:
            self._changed(key, circuit.state, "one message tries whether it is well")
        return permit

    def holds(self, permit: Permit) -> bool:
        """Whether this permit is still good, as far as this process knows."""
        circuit = self._circuits.get(permit.key, CLOSED)
        if permit.key in self._forced:
            return False
        return self._probing.get(permit.key) == permit if permit.probe else circuit.state == "closed"

    async def leave(self, permit: Permit, failure: str | None) -> None:
        """How the send ended: `failure` says what counts against the provider, None that it answered."""
        if failure is None and not permit.probe:
            return
        circuit, moved = await self._act(permit, "succeed" if failure is None else "fail")
        self._probed(permit)
        if moved:
            self._changed(permit.key, circuit.state, failure or "it answers again")

    async def release(self, permit: Permit) -> None:
        """A probe that has not been given back with `leave` is left to another message."""
        if self._probing.get(permit.key) == permit:
            await self._act(permit, "release")
            self._probed(permit)

    async def reset(self, key: str) -> None:
        """Closed, whatever happened before."""
        await self._act(Permit(key, Policy(), 0), "reset")

    def force(self, keys: frozenset[str]) -> None:
        """A person holds these open."""
        self._forced = keys

    async def follow(self) -> None:
        """Keep up with the other processes, for ever."""
        while True:
            await asyncio.sleep(TICK_SECONDS * (0.5 + random.random() / 2))
            for permit in list(self._probing.values()):
                await self._act(permit, "renew")
            await self.refresh()

    async def refresh(self) -> None:
        """Read every circuit that this process has met, and the time, in one round trip."""
        if not self._circuits or not self._is_there():
            return
        assert self._redis is not None
        keys = list(self._circuits)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.mget([_place(key) for key in keys])
        pipeline.time()
        if (answers := await self._answer(pipeline.execute())) is not None:
            found, (seconds, micros) = answers
            self._ahead = seconds + micros / 1e6 - time.monotonic()
            for key, kept in zip(keys, found, strict=True):
                self._circuits[key] = _decode(kept) if kept else CLOSED

    def know(self, key: str) -> None:
        """Follow this circuit from now on."""
        self._circuits.setdefault(key, CLOSED)

    def _probed(self, permit: Permit) -> None:
        if self._probing.get(permit.key) == permit:
            del self._probing[permit.key]

    async def _act(self, permit: Permit, act: Act) -> tuple[Circuit, bool]:
        """Let the act happen in Valkey, else here: the circuit after it, and whether its state is another now."""
        key, policy = permit.key, permit.policy
        answer = None
        if self._is_there():
            assert self._redis is not None
            self.calls += 1
            limits = (policy.failures, policy.window, policy.cooldown)
            given = (act, *limits, permit.epoch, permit.probe, PROBE_SECONDS, KEPT_SECONDS, "")
            answer = await self._answer(self._redis.eval(SCRIPT, 1, _place(key), *given))
        if answer is not None:
            kept, now, moved = answer
            self._ahead = float(now) - time.monotonic()
            circuit = _decode(kept) if kept else CLOSED
        else:
            known = self._circuits.get(key, CLOSED)
            circuit = step(known, act, self._now(), policy, epoch=permit.epoch, probe=permit.probe)
            moved = circuit.state != known.state
        self._circuits[key] = circuit
        return circuit, bool(moved)

    def _is_there(self) -> bool:
        return self._redis is not None and time.monotonic() >= self._quiet_until

    async def _answer(self, question: Any) -> Any:
        """Valkey's answer; None when it is away."""
        from redis.exceptions import RedisError

        try:
            return await question
        except (RedisError, OSError):
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            return None

    def _now(self) -> float:
        return time.monotonic() + self._ahead


def _place(key: str) -> str:
    return f"mailboat:circuit:{key}"
