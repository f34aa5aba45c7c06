"""A render process: reads frames from its socket, takes their steps one by one, answers each. Forked by the zygote."""

from __future__ import annotations

import os
import socket

from mailboat.errors import TemplateFault
from mailboat.render import confine, findings, limits, wire
from mailboat.render.engines import ENGINES, Engine


class Child:
    """Takes steps, whatever they do."""

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}

    def answer(self, step: wire.Step) -> bytearray:
        """The packed answer to one step; never raises."""
        defining = isinstance(step, wire.Define)
        try:
            return limits.limited(limits.COMPILE_SECONDS if defining else limits.SOFT_RENDER_SECONDS, self._take, step)
        except KeyError:
            return wire.pack(wire.Unknown())
        except TemplateFault as fault:
            return wire.pack(_failed(fault))
        except limits.RenderTimeout:
            return wire.pack(_failed(limits.Exhausted(limits.TOO_SLOW_TO_COMPILE if defining else limits.TOO_SLOW)))
        except MemoryError:
            return wire.pack(_failed(limits.Exhausted(limits.TOO_MUCH_MEMORY)))
        except UnicodeEncodeError as error:
            return wire.pack(_failed(TemplateFault(f"the output is not valid Unicode: {error.reason}")))

    def _take(self, step: wire.Step) -> bytearray:
        engine = self.engine(step.engine)
        if isinstance(step, wire.Render):
            rendered = engine.render(step.digest, step.data, step.locale)
            return wire.pack(wire.Done(findings.thorough(rendered) if step.thorough else rendered))
        made = None
        if step.artifact is None:
            assert step.sources is not None
            made = engine.compile(step.sources)
        engine.define(step.digest, made or step.artifact or b"")
        return wire.pack(wire.Defined(made))

    def engine(self, name: str) -> Engine:
        """The engine of this name, made at its first use. Raises TemplateFault if there is none."""
        if name not in self._engines:
            if name not in ENGINES:
                raise TemplateFault(f"there is no engine {name!r}; there are: {', '.join(ENGINES)}")
            self._engines[name] = ENGINES[name].load()()
        return self._engines[name]


def _failed(fault: TemplateFault) -> wire.Failed:
    spent = isinstance(fault, limits.Exhausted)
    message = fault.message.encode(errors="backslashreplace").decode()
    return wire.Failed(message, fault.file, fault.line, fault.column, spent)


def main(descriptor: int, parent: int, engine: str) -> None:
    """Run until the pool closes its end of the socket."""
    confine.die_with(parent)
    confine.keep_only(descriptor)
    confine.confine(ENGINES[engine].memory)
    limits.install()
    child, connection = Child(), socket.socket(fileno=confine.SOCKET)
    child.engine(engine)
    while frame := _receive(connection):
        for step in wire.frames.decode(frame):
            connection.sendall(child.answer(step))
    os._exit(0)


def _receive(connection: socket.socket) -> bytearray:
    """The next frame; empty at the end."""
    header = _read(connection, wire.HEADER)
    return _read(connection, int.from_bytes(header, "little")) if header else header


def _read(connection: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view, filled = memoryview(buffer), 0
    while filled < size:
        count = connection.recv_into(view[filled:])
        if not count:
            return bytearray()
        filled += count
    return buffer
