"""Plots as SVG from the server. The outer picture keeps its text crisp; the inner one stretches."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

Named = Sequence[tuple[str, Sequence[float]]]  # a class and its values, the lowest first


def path(values: Sequence[float], top: float) -> str:
    """x is the index; y runs from 0 at the top to 100 at the bottom."""
    return "M" + "L".join(f"{x} {100 - y / top * 100:.4g}" for x, y in enumerate(values))


def area(values: Sequence[float], top: float, kind: str = "", base: Sequence[float] | None = None) -> str:
    """What lies between two lines."""
    base = base or [0] * len(values)
    back = "L".join(f"{x} {100 - base[x] / top * 100:.4g}" for x in reversed(range(len(values))))
    return f'<path class="area {kind}" d="{path(values, top)}L{back}Z"/>'


def stack(series: Named, top: float) -> str:
    """Areas on each other."""
    base: list[float] = [0] * len(series[0][1])
    out = ""
    for kind, values in series:
        upper = [below + value for below, value in zip(base, values, strict=True)]
        out, base = out + area(upper, top, kind, base), upper
    return out


def bars(series: Named, top: float) -> str:
    """Bars on each other; nothing is drawn for a zero."""
    base: list[float] = [0] * len(series[0][1])
    out = ""
    for kind, values in series:
        for x, value in enumerate(values):
            if value:
                height = value / top * 100
                place = f'x="{x + 0.1:.4g}" width=".8" y="{100 - base[x] / top * 100 - height:.4g}"'
                out += f'<rect class="{kind}" {place} height="{height:.4g}"/>'
            base[x] += value
    return out


def spark(values: Sequence[float], kind: str) -> Markup:
    """A line without axes."""
    top = max(values) * 1.08 or 1
    box = f'viewBox="0 0 {len(values) - 1} 100" preserveAspectRatio="none" aria-hidden="true"'
    inner = f'{area(values, top)}<path class="line" d="{path(values, top)}"/>'
    return Markup(f'<svg class="spark {kind}" {box}>{inner}</svg>')  # noqa: S704 - numbers and our own class


def hits(labels: Sequence[str]) -> str:
    """One unseen column per value, whose title is what one reads there."""
    width = 100 / len(labels)
    return (
        '<g class="hits">'
        + "".join(
            f'<rect x="{n * width:.4g}%" width="{width:.4g}%" height="100%"><title>{escape(label)}</title></rect>'
            for n, label in enumerate(labels)
        )
        + "</g>"
    )


def plot(inner: str, *, width: int, top: float, ticks: Sequence[tuple[float, str]], label: str, over: str) -> Markup:
    """`width`: values less one for areas, values for bars. `ticks`: places in percent with their words."""
    steps = 4 if top % 4 == 0 else 2
    out = f'<svg role="img" aria-label="{escape(label)}">'
    for step in range(steps + 1):
        y = f"{100 - step / steps * 100:g}%"
        out += f'<line class="gridline" x2="100%" y1="{y}" y2="{y}"/>'
        out += f'<text class="tick" x="-8" y="{y}" dy="4" text-anchor="end">{short(top * step / steps)}</text>'
    for x, word in ticks:
        out += f'<text class="tick" x="{x:.4g}%" y="100%" dy="18" text-anchor="middle">{escape(word)}</text>'
    inside = f'<svg viewBox="0 0 {width} 100" preserveAspectRatio="none">{inner}</svg>'
    return Markup(f"{out}{inside}{over}</svg>")  # noqa: S704 - every word is escaped above


def crown(peak: float) -> int:
    """The peak rounded up to a number that divides well."""
    if peak <= 4:
        return 4
    step = 10 ** math.floor(math.log10(peak))
    return next(int(step * n) for n in (1, 2, 4, 6, 8, 10) if step * n >= peak)


def short(value: float) -> str:
    """200, 1.5 k, 2 M."""
    for size, word in ((1_000_000, "\u202fM"), (1_000, "\u202fk")):
        if value >= size * 1:
            return f"{value / size:.3g}{word}"
    return f"{value:g}"
