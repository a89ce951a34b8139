"""The fixtures of the gateway's tests."""

from tests.http.conftest import database, quick_passwords, settings

__all__ = ["database", "quick_passwords", "settings"]
