"""Draws lines as SVG, without any dependency."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 200, 36, 44
COLOURS = ("#1f6feb", "#d1570b", "#2da44e", "#8250df")
STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Panel:
    """One drawing: lines over `xs`, which may be on a logarithmic scale; `limit` is a goal."""

    title: str
    x_label: str
    y_label: str
    xs: Sequence[float]
    lines: Mapping[str, Sequence[float]]
    logarithmic: bool = False
    limit: float | None = None


def svg(*panels: Panel) -> str:
    """The panels, one below the other."""
    height = HEIGHT * len(panels)
    drawn = "\n".join(
        f'<g transform="translate(0 {number * HEIGHT})">\n{_draw(panel)}\n</g>'
        for number, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12" '
        f'fill="#24292f">\n<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n'
        f"{drawn}\n</svg>\n"
    )


def _draw(panel: Panel) -> str:
    most = max(value for line in panel.lines.values() for value in line)
    step = _step(max(most, panel.limit or 0.0) / 4)
    top = step * (math.floor(max(most, panel.limit or 0.0) / step) + 1)
    place = _Place(panel, top)
    parts = [
        _text(LEFT, 20, panel.title, weight="bold"),
        _text(LEFT, HEIGHT - 8, panel.x_label),
        _text(8, TOP - 4, panel.y_label),
    ]
    for number in range(round(top / step) + 1):
        y = place.y(number * step)
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y, "#d0d7de"))
        parts.append(_text(LEFT - 6, y + 4, f"{number * step:g}", anchor="end"))
    for x in panel.xs if panel.logarithmic else _ticks(panel.xs):
        parts.append(_text(place.x(x), HEIGHT - BOTTOM + 18, _number(x), anchor="middle"))
    if panel.limit is not None:
        y = place.y(panel.limit)
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y, "#cf222e", dashes="6 4"))
        parts.append(_text(WIDTH - RIGHT + 8, y + 4, f"goal {panel.limit:g}", fill="#cf222e"))
    for number, (name, values) in enumerate(panel.lines.items()):
        parts += _series(panel, place, number, name, values)
    return "\n".join(parts)


def _series(
    panel: Panel, place: "_Place", number: int, name: str, values: Sequence[float]
) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    at = [(place.x(x), place.y(y)) for x, y in zip(panel.xs, values, strict=True)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    dots = (
        [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at]
        if panel.logarithmic
        else []
    )
    below = HEIGHT - BOTTOM - 16 * (len(panel.lines) - 1 - number)
    return [
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *dots,
        _text(WIDTH - RIGHT + 8, below, name, fill=colour),
    ]


class _Place:
    """Where a value stands in the drawing."""

    def __init__(self, panel: Panel, top: float) -> None:
        self._logarithmic, self._top = panel.logarithmic, top
        self._from, self._to = self._scale(min(panel.xs)), self._scale(max(panel.xs))

    def x(self, value: float) -> float:
        """From the left."""
        share = (self._scale(value) - self._from) / (self._to - self._from or 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """From above."""
        return HEIGHT - BOTTOM - value / self._top * (HEIGHT - TOP - BOTTOM)

    def _scale(self, value: float) -> float:
        # A scale that begins at nothing: no decade below one.
        return math.log10(max(value, 1)) if self._logarithmic else value


def _step(rough: float) -> float:
    decade = 10.0 ** math.floor(math.log10(rough or 1))
    return next(decade * step for step in STEPS if decade * step >= rough)


def _ticks(xs: Sequence[float]) -> list[float]:
    step = _step((max(xs) - min(xs)) / 6)
    return [number * step for number in range(math.ceil(min(xs) / step), int(max(xs) / step) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", fill: str = ""
) -> str:
    colour = f' fill="{fill}"' if fill else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"{colour}>'
        f"{escape(text)}</text>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'
    )
