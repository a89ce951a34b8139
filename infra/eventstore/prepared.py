"""One statement that is called over and over: psycopg's protocol without its work per call."""

from collections.abc import Sequence
from typing import Final

from psycopg import errors, generators, pq
from psycopg.abc import PQGen

from emporium.infra.eventstore.database import Connection

__all__ = ["Prepared"]

_NAME: Final = b"emporium_prepared"


class Prepared:
    """A statement on a connection that is used for nothing else, with parameters and results in binary format.

    Args:
        types: the oids of the parameters' types.
    """

    def __init__(self, connection: Connection, types: Sequence[int]) -> None:
        self._connection = connection
        self._types = types
        self._formats = [pq.Format.BINARY] * len(types)

    async def prepare(self, sql: bytes) -> None:
        """Must come first. `sql` names its parameters $1, $2, …"""
        await self._connection.wait(self._prepare(sql))

    async def call(self, values: Sequence[bytes | None]) -> list[bytes | None]:
        """The columns of the first row. Raises what psycopg raises."""
        result = await self._connection.wait(self._call(values))
        return [result.get_value(0, column) for column in range(result.nfields)]

    def _prepare(self, sql: bytes) -> PQGen[pq.abc.PGresult]:
        self._connection.pgconn.send_prepare(_NAME, sql, param_types=self._types)
        return (yield from self._result())

    def _call(self, values: Sequence[bytes | None]) -> PQGen[pq.abc.PGresult]:
        self._connection.pgconn.send_query_prepared(_NAME, values, self._formats, pq.Format.BINARY)
        return (yield from self._result())

    def _result(self) -> PQGen[pq.abc.PGresult]:
        results: list[pq.abc.PGresult] = yield from generators.execute(self._connection.pgconn)
        result = results[-1]
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result)
        return result
