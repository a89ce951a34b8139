"""One answer to each Idempotency-Key: kept with the events, given again, and waited for while it is being made."""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from emporium.application.ports import Conflict, Idempotency, IdempotencyReplay, Taken
from emporium.application.work import Committed
from emporium.domain.base import Rejected
from emporium.http.consistency import token_after
from emporium.http.problems import KINDS, Problem
from emporium.http.reply import ENCODER, Headers, Reply
from emporium.http.request import Request

__all__ = ["Answer", "once"]

R = TypeVar("R")

PATIENCE: Final = 5.0
"""Seconds that a duplicate waits for the first request's answer."""

_KEY: Final = re.compile(rb"[!-~]{1,255}")


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer as it is kept. The tokens of `cart` and `order` are made anew each time: they are secrets."""

    status: int
    body: msgspec.Raw
    location: str | None = None
    cart: UUID | None = None
    order: UUID | None = None

    @classmethod
    def of(
        cls,
        content: Any,
        status: int = 201,
        *,
        location: str | None = None,
        cart: UUID | None = None,
        order: UUID | None = None,
    ) -> "Answer":
        """The answer with this content."""
        return cls(status, msgspec.Raw(ENCODER.encode(content)), location, cart, order)


_ANSWERS: Final = msgspec.json.Decoder(Answer)

Keep = Callable[[R], Idempotency | None]
"""The record of the answer to a result, to commit with its events; None where the caller gave no key."""


async def once(
    request: Request,
    log: str,
    caller: str,
    answer: Callable[[R], Answer],
    perform: Callable[[Keep[R]], Awaitable[tuple[R, Committed]]],
) -> Reply[Any]:
    """Does what the request asks for, once for its Idempotency-Key.

    Args:
        log: where its events and the record commit.
        caller: who asks, as in `Meta.actor`; keys of different callers are different.
        answer: to a result.
        perform: commits the result's events together with its record; may be called although the request was
            answered before, and then fails at the commit, or because what it wants has been done.
    """
    key = request.header(b"idempotency-key")
    if key is None:
        result, committed = await perform(_keep_nothing)
        return dressed(request, answer(result), log, committed.position)
    if _KEY.fullmatch(key) is None:
        raise KINDS.invalid_header("An Idempotency-Key has 1 to 255 visible ASCII characters.")
    name = key.decode("ascii")
    body = await request.body()
    path = request.scope["path"]
    scope = f"{caller} {request.method} {request.scope['path_template']}"
    # Keyed, so that nobody who reads the records can try passwords on them.
    digest = hmac.digest(request.services.secret, path.encode() + b"\0" + body, hashlib.sha256)
    under_way: dict[tuple[str, str], asyncio.Future[None]] = request.scope["under_way"]  # type: ignore[typeddict-item]
    place = (scope, name)
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while (first := under_way.get(place)) is not None:
        try:
            async with asyncio.timeout_at(deadline):
                await asyncio.shield(first)
        except TimeoutError:
            raise KINDS.in_flight(headers={"Retry-After": "1"}) from None
        replay = await request.services.shop.logs[log].answered(scope, name)
        if replay is not None:
            return _again(request, log, replay, digest)
    done = under_way[place] = asyncio.get_running_loop().create_future()

    def keep(result: R) -> Idempotency:
        return Idempotency(scope, name, digest, ENCODER.encode(answer(result)))

    try:
        result, committed = await perform(keep)
        return dressed(request, answer(result), log, committed.position)
    except IdempotencyReplay as replay:
        return _again(request, log, replay, digest)
    except (Rejected, Conflict, Taken, Problem):
        # "Already done" may be the first request's own doing.
        before = await request.services.shop.logs[log].answered(scope, name)
        if before is None:
            raise
        return _again(request, log, before, digest)
    finally:
        del under_way[place]
        done.set_result(None)


def _keep_nothing(_: object) -> None:
    return None


def _again(request: Request, log: str, replay: IdempotencyReplay, digest: bytes) -> Reply[Any]:
    if not hmac.compare_digest(replay.body_hash, digest):
        raise KINDS.idempotency_key_reused() from None
    reply = dressed(request, _ANSWERS.decode(replay.answer), log, replay.position)
    reply.raw_headers.append((b"idempotency-replayed", b"true"))
    return reply


def dressed(request: Request, answer: Answer, log: str, position: int) -> Reply[Any]:
    """The answer with its headers and the tokens that are not kept."""
    headers: Headers = []
    body = bytes(answer.body)
    if answer.location is not None:
        headers.append((b"location", answer.location.encode()))
    if answer.cart is not None:
        token = request.services.cart_tokens.sign_cart(answer.cart).encode()
        headers.append((b"cart-token", token))
        body = body[:-1] + b',"cart_token":"' + token + b'"}'
    if answer.order is not None:
        token = request.services.order_tokens.sign_cart(answer.order).encode()
        headers.append((b"order-token", token))
        body = body[:-1] + b',"order_token":"' + token + b'"}'
    if position:
        headers.append((b"consistency-token", token_after(request, log, position)))
    return Reply(body, answer.status, headers)
