"""Who may call a route: guards that a handler names, which the OpenAPI document reads as well."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from emporium.http.problems import KINDS
from emporium.http.request import Request

__all__ = ["Needs", "person", "signed_in", "staff"]


class Needs:
    """A guard: the caller is logged in and has one of the roles (any account where none is named).

    Args:
        person: whether the caller must be a person, not a machine with a key.
    """

    def __init__(self, *roles: str, person: bool = False) -> None:
        self.roles = frozenset(roles)
        self.person = person

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        assert isinstance(connection, Request), "the application sets its request class"
        session = await connection.customer()
        if self.person and session.kind == "key":
            raise KINDS.forbidden("This is for persons: a machine's key cannot do it.")
        if self.roles and self.roles.isdisjoint(session.roles):
            raise KINDS.forbidden(f"This needs one of the roles {', '.join(sorted(self.roles))}.")


signed_in = Needs()

person = Needs(person=True)


def staff(*roles: str) -> Needs:
    """Staff with one of the roles; an administrator may do everything."""
    return Needs("admin", *roles)
