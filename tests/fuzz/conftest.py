"""The fixtures of the gateway's tests."""

from tests.http.conftest import quick_passwords, settings

__all__ = ["quick_passwords", "settings"]
