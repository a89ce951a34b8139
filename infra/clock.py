"""Clocks: the system's, and one that stands where it was set."""

from datetime import UTC, datetime

__all__ = ["SetClock", "SystemClock"]


class SystemClock:
    """The machine's time, in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def following(self, at: datetime) -> datetime:
        return datetime.now(UTC)


class SetClock:
    """A clock that only moves when it is told to: for tests.

    Args:
        start: an aware time; every later one is aware too.
    """

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def following(self, at: datetime) -> datetime:
        return self._now

    def set(self, now: datetime) -> None:
        """Moves the clock to an aware time, forwards or back."""
        self._now = now.astimezone(UTC)
