"""One measured figure, its floor and its goal."""

import msgspec

__all__ = ["Result"]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the report.

    Attributes:
        name: such as `append`, or `checkout p99` where a measurement has several.
        value: in `unit`.
        floor: what the same machine reached in the same run at the bare minimum of the work, where there is one.
        ratio: value divided by floor.
        goal: in words.
        ok: whether it was reached.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    goal: str = ""
    ok: bool = True

    def line(self) -> str:
        """For people."""
        against = "" if self.floor is None else f"  = {self.ratio:.2f} × {self.floor:,.0f}"
        verdict = "ok  " if self.ok else "MISS"
        return f"{verdict} {self.name:<18} {self.value:>12,.2f} {self.unit}{against}  (goal: {self.goal})"


def against(name: str, value: float, unit: str, floor: float, least: float) -> Result:
    """A figure whose goal is a multiple of its floor."""
    ratio = value / floor if floor else 0.0
    return Result(name=name, value=value, unit=unit, floor=floor, ratio=ratio, goal=f"≥ {least:g} ×", ok=ratio >= least)


def at_least(name: str, value: float, unit: str, least: float) -> Result:
    """A figure that shall not be below."""
    return Result(name=name, value=value, unit=unit, goal=f"≥ {least:g}", ok=value >= least)


def at_most(name: str, value: float, unit: str, most: float) -> Result:
    """A figure that shall not be above."""
    return Result(name=name, value=value, unit=unit, goal=f"≤ {most:g}", ok=value <= most)
