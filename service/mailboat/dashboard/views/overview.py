"""The overview: what needs a person, then the figures, then the plots."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from mailboat.dashboard import plots
from mailboat.dashboard.desk import Desk, Route
from mailboat.dashboard.views import needs
from mailboat.dashboard.views.stopped import counts
from mailboat.delivery.figures import Figures, Gauge
from mailboat.registry.folder import Folder

SPANS = {"1h": "1 h", "24h": "24 h", "7d": "7 d", "30d": "30 d"}
EVERY = {"1h": "minute", "24h": "15 minutes", "7d": "2 hours", "30d": "8 hours"}
WORDS = {"1h": "hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
SLOW_SECONDS = {"high": 5.0, "normal": 60.0, "bulk": 600.0}  # an age of a lane from which on it is shown as slow

_ANY = "select exists (select from messages) or exists (select from inbox)"


class Overview:
    """`/ui`, and the counts in the navigation."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._gauge = desk, Gauge(desk.pool)
        self._folder = Folder(desk.settings.templates)

    def routes(self) -> list[Route]:
        return [("GET", "/ui", self.overview), ("GET", "/ui/nav", self.nav)]

    async def nav(self) -> Response:
        return self._desk.pages("nav.html", counts=await counts(self._desk))

    async def overview(self, range: str = "24h") -> Response:  # noqa: A002 - as the address has it
        span = range if range in SPANS else "24h"
        if not await self._desk.pool.fetchval(_ANY):
            return RedirectResponse("/ui/welcome", 302, {"Cache-Control": "no-store"})
        figures = await self._gauge.read(span)
        return self._desk.pages(
            "overview.html",
            span=span,
            spans=SPANS,
            every=EVERY[span],
            words=WORDS[span],
            todo=await needs.all_of(self._desk, self._folder),
            figures=figures,
            stats=_stats(figures),
            flow=_flow(figures, span),
            lost=_lost(figures, span),
            slow=SLOW_SECONDS,
            most=max((count for _, count in figures.why), default=1),
        )


def _stats(figures: Figures) -> list[dict[str, Any]]:
    series = figures.series
    accepted = sum(series.accepted)
    ended = sum(series.delivered) + sum(series.bounced) + sum(series.complained)
    waiting = sum(lane.count for lane in figures.lanes)
    taken = (series.delivered, series.sent, series.bounced, series.complained)
    sent = [sum(values) for values in zip(*taken, strict=True)]
    return [
        _stat("Accepted", series.accepted, "sent", ""),
        _stat("Sent", sent, "sent", ""),
        _stat("Delivered", series.delivered, "delivered", _share(sum(series.delivered), ended)),
        _stat("Bounced", series.bounced, "bounced", _share(sum(series.bounced), ended)),
        _stat("Failed or dead", series.failed, "failed", _share(sum(series.failed), accepted)),
        {"name": "Waiting now", "value": waiting, "note": f"{figures.sending:,} in flight", "spark": ""},
    ]


def _stat(name: str, values: list[int], word: str, note: str) -> dict[str, Any]:
    return {"name": name, "value": sum(values), "note": note, "spark": plots.spark(values, f"s-{word}")}


def _share(part: int, whole: int) -> str:
    if not whole:
        return ""
    percent = part / whole * 100
    return f"{percent:.{1 if percent >= 1 else 2}f}\u202f%"


def _flow(figures: Figures, span: str) -> Markup:
    series = figures.series
    parts_ = [("s-delivered", series.delivered), ("s-sent", series.sent), ("s-idle", series.waiting)]
    top = plots.crown(max(map(sum, zip(*(values for _, values in parts_), strict=True))))
    labels = [
        f"{_when(at, span)}: {a:,} accepted, {d:,} delivered, {s:,} sent, {w:,} waiting"
        for at, a, d, s, w in zip(
            figures.starts, series.accepted, series.delivered, series.sent, series.waiting, strict=True
        )
    ]
    label = (
        f"Mail accepted in the last {WORDS[span]}: {sum(series.accepted):,}, of it {sum(series.delivered):,} delivered"
    )
    return plots.plot(
        plots.stack(parts_, top),
        width=len(figures.starts) - 1,
        top=top,
        ticks=_ticks(figures.starts, span),
        label=label,
        over=plots.hits(labels),
    )


def _lost(figures: Figures, span: str) -> Markup:
    series = figures.series
    parts_ = [("s-bounced", series.bounced), ("s-deferred", series.deferred), ("s-ink", series.failed)]
    top = plots.crown(max(map(sum, zip(*(values for _, values in parts_), strict=True))))
    labels = [
        f"{_when(at, span)}: {b:,} bounced, {d:,} deferred, {f:,} failed or dead"
        for at, b, d, f in zip(figures.starts, series.bounced, series.deferred, series.failed, strict=True)
    ]
    return plots.plot(
        plots.bars(parts_, top),
        width=len(figures.starts),
        top=top,
        ticks=(),
        label=f"Mail of the last {WORDS[span]} that did not arrive: {sum(series.bounced) + sum(series.failed):,}",
        over=plots.hits(labels),
    )


def _when(at: datetime, span: str) -> str:
    at = at.astimezone(UTC)
    return f"{at:%H:%M}" if span in ("1h", "24h") else f"{at.day} {at:%b %H:%M}"


def _ticks(starts: list[datetime], span: str) -> list[tuple[float, str]]:
    """Words below the plot, at about every sixth of it."""
    every = len(starts) // 6
    words = "{:%H:%M}" if span in ("1h", "24h") else "{:%d %b}"
    return [(n / (len(starts) - 1) * 100, words.format(starts[n])) for n in range(every // 2, len(starts), every)]
