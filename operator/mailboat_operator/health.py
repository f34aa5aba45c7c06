"""/livez, /readyz and /metrics of the operator, answered apart from kopf's event loop."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from mailboat_operator.term import Term

SILENCE_SECONDS = 60.0


class Health:
    """`term` gives the current term, None while another replica leads. An async context manager."""

    def __init__(self, host: str, port: int, term: Callable[[], Term | None]) -> None:
        self._host, self._port, self._term = host, port, term
        application = web.Application()
        application.add_routes(
            [web.get("/livez", self.livez), web.get("/readyz", self.readyz), web.get("/metrics", self.metrics)]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)

    async def __aenter__(self) -> Health:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def livez(self, _: web.Request) -> web.Response:
        """503 when a restart would help: the loop that reconciles stands still. Others being away is no such reason."""
        term = self._term()
        silent = term is not None and term.silence > SILENCE_SECONDS
        return web.json_response({"status": "stuck" if silent else "alive"}, status=503 if silent else 200)

    async def readyz(self, _: web.Request) -> web.Response:
        """200 once everything is watched, or another replica leads."""
        term = self._term()
        ready = term is None or term.is_ready
        role = "standby" if term is None else "leader"
        return web.json_response({"status": role if ready else "starting"}, status=200 if ready else 503)

    async def metrics(self, _: web.Request) -> web.Response:
        """Prometheus' text format."""
        term = self._term()
        counts = term.reconciler.counts if term is not None and term.reconciler is not None else {}
        lines = ["# TYPE mailboat_operator_leader gauge", f"mailboat_operator_leader {int(term is not None)}"]
        lines.append("# TYPE mailboat_operator_reconciles_total counter")
        lines += [
            f'mailboat_operator_reconciles_total{{kind="{kind}",outcome="{outcome}"}} {count}'
            for (kind, outcome), count in sorted(counts.items())
        ]
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain")
