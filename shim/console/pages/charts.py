"""The dashboard's charts: the figures drawn."""

from collections.abc import Mapping
from datetime import UTC, datetime

from markupsafe import Markup

from shim.console.api.schemas import StageWord
from shim.console.pages.dashboard_figures import DashboardArm, DashboardFigures
from shim.console.pages.formatting import duration, interval, percent
from shim.console.pages.svg import (
    HEIGHT,
    WIDTH,
    Chart,
    dot,
    drawing,
    line,
    path,
    rectangle,
)
from shim.gate.answer import Condition, Scale
from shim.gate.statistics import wilson
from shim.ledger.rows import Wall
from shim.model import SECOND, Duration, Role, Stage, VerdictName
from shim.model.time import DAY

_FLOORS = (0.99, 0.98, 0.95, 0.9, 0.8, 0.5, 0.0)


def stages(counts: Mapping[Stage, int] | Mapping[StageWord, int], what: str) -> Chart:
    """One bar, its parts as wide as their shares; `counts` has the stages in their order."""
    total = sum(counts.values())
    parts, x = [], 0.0
    for stage, count in counts.items():
        width = WIDTH * count / total if total else 0.0
        if width:
            parts.append(
                rectangle(x, 0, width, HEIGHT, f"stage-{stage}", f"{stage}: {count} {what}")
            )
        x += width
    words = ", ".join(f"{count} at {stage}" for stage, count in counts.items())
    return Chart(drawing(parts, f"{what}: {words}"))


def agreement(figures: DashboardFigures, target: float) -> Chart | None:
    """The agreement of all episodes so far in the period, with its 95 % interval, and the target."""
    matched = conclusive = 0
    points: list[tuple[float, float, float, float]] = []
    span = figures.until - figures.since
    for bucket in figures.buckets:
        matched += bucket.proving.get(VerdictName.MATCHED, 0)
        conclusive += sum(
            bucket.proving.get(name, 0) for name in (VerdictName.MATCHED, VerdictName.MISMATCHED)
        )
        if bounds := wilson(matched, conclusive):
            x = WIDTH * (bucket.since - figures.since) / span
            points.append((x, matched / conclusive, *bounds))
    if not points:
        return None
    points.append((WIDTH, *points[-1][1:]))
    lowest = min(target, *(share for _, share, _, _ in points), points[-1][2])
    floor = next((floor for floor in _FLOORS if floor < lowest), 0.0)

    def y(share: float) -> float:
        return HEIGHT * (1 - max(share - floor, 0) / (1 - floor))

    band = [(x, y(high)) for x, _, _, high in points]
    band += [(x, y(low)) for x, _, low, _ in reversed(points)]
    parts = [
        path(band, "band", closed=True),
        line(0, y(target), WIDTH, y(target), "target", f"target {percent(target)}"),
        path([(x, y(share)) for x, share, _, _ in points], "agreement"),
    ]
    share = points[-1][1]
    summary = f"Agreement {percent(share)} ({interval(points[-1][2:])}), target {percent(target)}"
    notes = [] if not floor else [f"The axis begins at {100 * floor:g} %."]
    return Chart(
        drawing(parts, summary),
        y=tuple(f"{100 * share:g} %" for share in (1, (1 + floor) / 2, floor)),
        x=time_labels(figures.since, figures.until),
        notes=notes,
    )


def skews(figures: DashboardFigures, tolerance: Duration) -> Chart | None:
    """How far apart the decisions were, control minus candidate, and what counts as agreement."""
    if not figures.skews:
        return None
    width = figures.skew_width
    reach = max(tolerance, -min(figures.skews), max(figures.skews) + width)
    reach = -(-reach // width) * width + width
    most = max(figures.skews.values())

    def x(skew: Duration) -> float:
        return WIDTH * (skew + reach) / (2 * reach)

    left, right = x(-tolerance), x(tolerance)
    parts = [
        rectangle(left, 0, right - left, HEIGHT, "tolerance", "counts as agreement"),
        line(x(0), 0, x(0), HEIGHT, "axis"),
    ]
    for skew, count in figures.skews.items():
        inside = -tolerance <= skew <= tolerance
        height = HEIGHT * count / most
        title = f"{duration(skew)} to {duration(skew + width)}: {count}"
        look = "matched" if inside else "mismatched"
        parts.append(rectangle(x(skew), HEIGHT - height, x(width) - x(0), height, look, title))
    total = sum(figures.skews.values())
    summary = (
        f"Skews of {total} episodes; up to {duration(tolerance)} either way count as agreement"
    )
    labels = (f"{duration(-reach)}", "0", f"{duration(reach)}")
    return Chart(drawing(parts, summary), y=(str(most), "0"), x=labels)


def rate(arm: DashboardArm, role: Role) -> Chart | None:
    """The return rate as a dot with its 95 % interval, from 0 to 100 %."""
    bounds = arm.interval
    if bounds is None:
        return None
    share = arm.returned / arm.settled
    summary = f"{role}: {percent(share)} came back ({interval(bounds)})"
    parts = [
        *(line(WIDTH * tick / 4, 0, WIDTH * tick / 4, HEIGHT, "grid") for tick in range(5)),
        line(WIDTH * bounds[0], 50, WIDTH * bounds[1], 50, f"whisker {role}", summary),
        dot(WIDTH * share, 50, f"{role}", summary),
    ]
    return Chart(drawing(parts, summary), x=("0 %", "50 %", "100 %"))


def delays(figures: DashboardFigures, role: Role, window: Duration) -> Chart | None:
    """How soon clients came back."""
    counts = figures.arms[role].delays
    if not counts:
        return None
    width, most = figures.delay_width, max(counts.values())
    step = WIDTH * width / window
    parts = []
    for delay, count in counts.items():
        height = HEIGHT * count / most
        title = f"{duration(delay)} to {duration(delay + width)}: {count}"
        x = WIDTH * delay / window
        parts.append(rectangle(x, HEIGHT - height, step * 0.85, height, f"fill-{role}", title))
    summary = f"Delays of {sum(counts.values())} returns after the {role}'s closing"
    return Chart(drawing(parts, summary), x=("0 s", duration(window)))


def bullet(condition: Condition) -> Chart | None:
    """A condition's bound against its target; a proportion's interval lies behind it."""
    if condition.target is None or condition.bound is None:
        return None
    if condition.scale is Scale.SHARE:
        low, high = 0.0, 1.0
        if min(condition.target, condition.bound) > 0.8:
            low = 0.8
    else:
        low, high = 0.0, max(condition.target, condition.bound) * 1.1 or 1.0

    def x(value: float) -> float:
        return WIDTH * (min(max(value, low), high) - low) / (high - low)

    look = f"standing-{condition.standing}"
    parts = [rectangle(0, 30, x(condition.bound), 40, look, f"bound {condition.bound:.4g}")]
    if condition.interval is not None:
        begin, end = map(x, condition.interval)
        parts.insert(0, rectangle(begin, 10, end - begin, 80, "tolerance", "95 % interval"))
    parts.append(
        line(x(condition.target), 0, x(condition.target), HEIGHT, "goal", f"{condition.target:.4g}")
    )
    summary = f"bound {condition.bound:.4g}, target {condition.target:.4g}"
    return Chart(drawing(parts, summary))


def share_bar(part: int, whole: int, look: str) -> Markup:
    """A small bar in a table."""
    width = WIDTH * part / whole if whole else 0
    return drawing([rectangle(0, 20, width, 60, look, f"{part} of {whole}")], f"{part} of {whole}")


def time_labels(since: Wall, until: Wall) -> tuple[str, str, str]:
    """The begin, the middle and the end of a period."""
    pattern = "%H:%M" if until - since <= DAY else "%d %b"
    times = (since, (since + until) // 2, until)
    first, middle, last = (
        datetime.fromtimestamp(at / SECOND, UTC).strftime(pattern) for at in times
    )
    return first, middle, f"{last} UTC" if pattern == "%H:%M" else last
