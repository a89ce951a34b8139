"""Every refusal as an RFC 9457 problem: a type with a page of its own, and a pointer for each wrong field."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)

from emporium.application.ports import Conflict, Erased, LimitReached, Overloaded, Restored, Taken, Unavailable
from emporium.domain.base import Reason, Rejected
from emporium.domain.customer import CUSTOMER_ERASED
from emporium.http.reply import Reply
from emporium.projections.paging import BadCursor

__all__ = [
    "KINDS",
    "Kind",
    "Problem",
    "Wrong",
    "answer_to",
    "problem_of",
    "problem_reply",
    "status_of",
    "title_of",
    "type_of",
]

_log = logging.getLogger(__name__)

MEDIA_TYPE: Final = b"application/problem+json"


class Kind:
    """A kind of problem of the gateway itself; the domain's are its `Reason`s.

    Args:
        code: the last part of its type.
        status: the HTTP status.
        title: what it is, in a few words.
        text: what it means and what to do about it.
    """

    known: Final[dict[str, "Kind"]] = {}

    def __init__(self, code: str, status: int, title: str, text: str) -> None:
        self.code = code
        self.status = status
        self.title = title
        self.text = text
        Kind.known[code] = self

    def __call__(self, detail: str | None = None, **more: Any) -> "Problem":
        return Problem(self.status, self.code, self.title, detail or self.text, **more)


class Wrong(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of the request that is wrong: a JSON pointer into the body, or a parameter's name."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class Problem(Exception):  # noqa: N818
    """Ends a request with a problem.

    Args:
        errors: the parts of the request that are wrong.
        values: what the decision saw.
        headers: more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        errors: Sequence[Wrong] = (),
        values: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.errors = errors
        self.values = values
        self.headers = dict(headers or {})


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 problem details.

    Attributes:
        type: names the kind of problem, and is the path of a page about it.
        title: the kind in a few words.
        status: the HTTP status, again.
        detail: what is wrong this time.
        instance: the path of the request.
        request_id: names the request in our logs.
        values: what the decision saw, by name.
        errors: the parts of the request that are wrong.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    values: dict[str, Any] | None = None
    errors: list[Wrong] | None = None


class KINDS:
    """The gateway's own kinds of problem."""

    malformed_body = Kind("malformed_body", 400, "Malformed body", "The body is not valid JSON in UTF-8.")
    invalid_body = Kind("invalid_body", 422, "Invalid body", "Fields of the body are wrong; `errors` names them.")
    invalid_parameter = Kind(
        "invalid_parameter", 400, "Invalid parameter", "Parameters of the request are wrong; `errors` names them."
    )
    invalid_header = Kind("invalid_header", 400, "Invalid header", "A header of the request cannot be used.")
    invalid_cursor = Kind(
        "invalid_cursor", 400, "Invalid cursor", "The cursor is not one that `next` of this list gave."
    )
    not_authenticated = Kind(
        "not_authenticated", 401, "Not authenticated", "Log in and send the token as `Authorization: Bearer …`."
    )
    invalid_credentials = Kind(
        "invalid_credentials", 401, "Invalid credentials", "The e-mail address or the password is wrong."
    )
    two_factor_required = Kind(
        "two_factor_required", 401, "Code needed", "Send the code of the authenticator, or a recovery code, as well."
    )
    wrong_code = Kind("wrong_code", 401, "Wrong code", "The code is wrong, was used already, or is too old.")
    too_many_attempts = Kind(
        "too_many_attempts", 429, "Too many attempts", "Too many attempts have failed: try again after the stated time."
    )
    cross_site = Kind(
        "cross_site",
        403,
        "Not from the shop's own pages",
        "A browser's session changes something only with its `csrf_token` in the header `X-CSRF-Token`.",
    )
    orders_open = Kind(
        "orders_open", 409, "Orders are open", "The account can be erased when its orders have come to their end."
    )
    returns_open = Kind(
        "returns_open", 409, "Returns are open", "The account can be erased when its returns have been settled."
    )
    forbidden = Kind("forbidden", 403, "Forbidden", "This account has no role that may do this.")
    not_found = Kind("not_found", 404, "Not found", "There is nothing here, or not for this caller.")
    method_not_allowed = Kind(
        "method_not_allowed", 405, "Method not allowed", "The header `Allow` lists what can be done here."
    )
    conflict = Kind("conflict", 409, "Conflict", "Others keep changing the same thing at the same time: try again.")
    in_flight = Kind(
        "in_flight", 409, "Still in flight", "A request with this Idempotency-Key is still being worked on: try again."
    )
    taken = Kind("taken", 409, "Taken", "Somebody else has this already.")
    body_too_large = Kind("body_too_large", 413, "Body too large", "A body may have a million bytes at most.")
    unsupported_media_type = Kind(
        "unsupported_media_type", 415, "Unsupported media type", "Send the body as application/json, not compressed."
    )
    idempotency_key_reused = Kind(
        "idempotency_key_reused",
        422,
        "Idempotency key reused",
        "This Idempotency-Key came before with another request: use a new key for a new request.",
    )
    too_many_requests = Kind(
        "too_many_requests", 429, "Too many requests", "This caller asks too often: try again after the stated time."
    )
    too_many_streams = Kind(
        "too_many_streams", 429, "Too many streams", "This caller listens to as many streams as it may: close one."
    )
    timed_out = Kind(
        "timed_out",
        503,
        "Timed out",
        "The answer took too long. What was asked for may still happen: repeat with the same Idempotency-Key.",
    )
    internal = Kind("internal", 500, "Internal error", "This is our mistake; the request id leads us to what happened.")
    unavailable = Kind("unavailable", 503, "Unavailable", "The shop cannot answer at present: try again soon.")
    overloaded = Kind("overloaded", 503, "Overloaded", "More is asked than can be done at present: try again soon.")
    out_of_date = Kind(
        "out_of_date",
        412,
        "Changed meanwhile",
        "It is not as If-Match says any more; `values` tells what changed since.",
    )
    version_needed = Kind(
        "version_needed",
        428,
        "Version needed",
        "Send the ETag of what you looked at as If-Match, so that nobody's change is lost.",
    )
    not_yet_visible = Kind(
        "not_yet_visible",
        503,
        "Not yet visible",
        "What the Consistency-Token stands for cannot be shown yet: try again soon.",
    )
    stale_token = Kind(
        "stale_token",
        409,
        "Token of another life",
        "The Consistency-Token belongs to a log that was restored since: read again without it.",
    )


_STATUS: Final = {"conflict": 409, "invalid": 422, "missing": 404}
_ENCODER: Final = msgspec.json.Encoder()


def type_of(code: str) -> str:
    """The type of a problem: the path of the page about it."""
    return f"/problems/{code}"


def status_of(code: str) -> int:
    """The HTTP status of a reason of the domain."""
    return _STATUS[Reason.known[code].kind]


def title_of(code: str) -> str:
    """A kind of problem in a few words."""
    return code.replace("_", " ").capitalize()


def _pointer(field: str) -> str:
    return "/" + field.replace(".", "/")


def _of_rejection(rejected: Rejected) -> Problem:
    field = rejected.values.get("field")
    several = rejected.values.get("problems")
    errors = [Wrong(rejected.text, pointer=_pointer(field))] if isinstance(field, str) else []
    if isinstance(several, list):
        errors = [Wrong(one["text"], pointer=_pointer(one["field"])) for one in several]
    return Problem(
        status_of(rejected.code),
        rejected.code,
        title_of(rejected.code),
        rejected.text,
        errors=errors,
        values={name: value for name, value in rejected.values.items() if name != "problems"},
    )


def _of_framework(error: HTTPException) -> Problem:
    match error:
        case NotFoundException():
            return KINDS.not_found()
        case MethodNotAllowedException():
            return KINDS.method_not_allowed(headers=error.headers)
        case ValidationException():
            return KINDS.invalid_parameter(errors=_wrong_parameters(error.extra))
    if error.status_code == 413:
        return KINDS.body_too_large()
    if error.status_code < 500:
        return KINDS.invalid_parameter(error.detail)
    return KINDS.internal()


def _wrong_parameters(extra: object) -> list[Wrong]:
    wrong = []
    for one in extra if isinstance(extra, list) else ():
        detail, name = str(one.get("message", "")), one.get("key")
        if name == "data":
            wrong.append(Wrong("A body is needed.", pointer=""))
        else:
            wrong.append(Wrong(detail, parameter=name))
    return wrong


def problem_of(error: Exception) -> Problem:
    """The problem that an exception means; anything unknown is our mistake."""
    match error:
        case Problem():
            return error
        case Rejected():
            return _of_rejection(error)
        case Overloaded():
            return KINDS.overloaded(headers={"Retry-After": "1"})
        case Unavailable() | Restored():
            return KINDS.unavailable(headers={"Retry-After": "2"})
        case Conflict():
            return KINDS.conflict(headers={"Retry-After": "1"})
        case Taken():
            return KINDS.taken(values={"scope": error.scope})
        case LimitReached():
            return KINDS.conflict(str(error))
        case Erased():
            return _of_rejection(CUSTOMER_ERASED())
        case BadCursor():
            return KINDS.invalid_cursor()
        case HTTPException():
            return _of_framework(error)
    return KINDS.internal()


def answer_to(request: "Request[Any, Any, Any]", error: Exception) -> Reply[Any]:
    """The answer to a request that ended with an exception."""
    problem = problem_of(error)
    if problem.status == 500:
        _log.error("request %s failed", request.scope.get("request_id"), exc_info=error)
    return problem_reply(request.scope, problem)


def problem_reply(scope: Mapping[str, Any], problem: Problem) -> Reply[Any]:
    """The answer that tells a problem."""
    body = ProblemBody(
        type=type_of(problem.code),
        title=problem.title,
        status=problem.status,
        detail=problem.detail,
        instance=scope["path"],
        request_id=scope.get("request_id", ""),
        values=dict(problem.values) if problem.values else None,
        errors=list(problem.errors) or None,
    )
    headers = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    if problem.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="emporium"'))
    return Reply(_ENCODER.encode(body), problem.status, headers, media_type=MEDIA_TYPE)
