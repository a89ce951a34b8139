"""The fixtures of the gateway's tests."""

from tests.http.conftest import settings

__all__ = ["settings"]
