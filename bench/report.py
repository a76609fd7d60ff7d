"""The table and the chart of docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from bench.measure import Cost
from bench.rows import Row

BEGIN, END = "<!-- bench -->", "<!-- end -->"


def markdown(rows: Sequence[Row], *, head: bool = True) -> str:
    lines = []
    if head:
        lines += ["| work | keepstep | best peer | ratio (wall, CPU) | bar | met |", "|---|---|---|---|---|---|"]
    for row in rows:
        others = {name: cost for name, cost in row.costs.items() if name != "keepstep"}
        best = min(others, key=lambda name: others[name].wall) if others else ""
        peer = f"{best}: {_cost(others[best])}" if best else row.note
        ratio = ""
        if others:
            ours = row.costs["keepstep"]
            ratio = f"{ours.wall / row.best_wall:.2f}, {ours.cpu / row.best_cpu:.2f}"
        met = "yes" if row.is_met else "**no**"
        lines.append(f"| {row.work} | {_cost(row.costs['keepstep'])} | {peer} | {ratio} | {row.bar} | {met} |")
    return "\n".join(lines)


def write(rows: Sequence[Row], docs: Path, machine: str) -> None:
    """Replaces what stands between the marks in performance.md, and draws the chart next to it."""
    page = docs / "performance.md"
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    details = "\n".join(_details(row) for row in rows)
    body = f"{BEGIN}\nWall s / client CPU s / peak MiB: {machine}.\n\n{markdown(rows)}\n\n{details}\n{END}"
    page.write_text(before + body + after)
    (docs / "performance.svg").write_text(chart(rows))


def _details(row: Row) -> str:
    costs = "; ".join(f"{name} {_cost(cost)}" for name, cost in row.costs.items())
    extra = "".join(f"; our {name} {value}" for name, value in row.extra.items())
    return f"* {row.work}: {costs}{extra}{'; ' + row.note if row.note else ''}"


def _cost(cost: Cost) -> str:
    return f"{cost.wall:.2f} / {cost.cpu:.2f} / {cost.memory / 2**20:.0f}"


def chart(rows: Sequence[Row]) -> str:
    """Wall times as bars, each row scaled to its slowest tool."""
    bars: list[str] = []
    y = 10
    for row in [one for one in rows if len(one.costs) > 1]:
        bars.append(f'<text x="0" y="{y + 12}" class="t">{escape(row.work)}</text>')
        y += 20
        slowest = max(cost.wall for cost in row.costs.values())
        for name, cost in row.costs.items():
            width = max(1.0, 420 * cost.wall / slowest)
            kind = "o" if name == "keepstep" else "p"
            bars.append(f'<text x="150" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
            bars.append(f'<rect x="156" y="{y}" width="{width:.1f}" height="13" class="{kind}"/>')
            bars.append(f'<text x="{162 + width:.1f}" y="{y + 11}">{cost.wall:.2f} s</text>')
            y += 17
        y += 10
    style = (
        "text{font:12px sans-serif;fill:#444}.t{font-weight:bold}.o{fill:#c74634}.p{fill:#9aa5b1}"
        "@media(prefers-color-scheme:dark){text{fill:#ccc}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 {y}" role="img" '
        f'aria-label="Wall time of keepstep and its peers"><style>{style}</style>{"".join(bars)}</svg>\n'
    )
