"""The OpenAPI document: Litestar's own, and what our conventions add to every operation; a page to read it on."""

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import HTTPRoute

import emporium
from emporium.domain import order
from emporium.domain.base import Reason
from emporium.http.auth import Needs
from emporium.http.bodies import Body
from emporium.http.examples import EXAMPLES, TEST_ADDRESSES, TEST_METHODS
from emporium.http.order_events import OrderEnded, OrderMoved
from emporium.http.problems import Kind, ProblemBody, status_of
from emporium.http.request import Request

__all__ = ["document", "page"]

_DESCRIPTION: Final = """
Orders from cart to doorstep. Amounts are whole minor units (pennies) of a currency. Bodies are JSON; fields
that are not known are refused. A refusal is a problem (RFC 9457) whose `type` has a page of its own, with a
JSON pointer for every wrong field.

`Idempotency-Key`: the same key with the same request gets the same answer again; with another request 422.
A refusal is not kept: the request may be sent again under its key.

`Consistency-Token`: a write's answer carries one; a read that sends it back includes that write, or ends in 503.
""".strip()

_TEXT: Final = {"type": "string"}

_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Names this request: sent again with the same key it gets the same answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_CONSISTENCY: Final = {
    "name": "Consistency-Token",
    "in": "header",
    "required": False,
    "description": "From the answer to a write, which the answer to this read then includes.",
    "schema": _TEXT,
}
_IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of an earlier answer; 304 where it still holds.",
    "schema": _TEXT,
}
_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The ETag of what was looked at; 412 where it was changed since.",
    "schema": _TEXT,
}
_CART_TOKEN: Final = {
    "name": "Cart-Token",
    "in": "header",
    "required": False,
    "description": "Names an anonymous cart; not needed by a caller who is logged in.",
    "schema": _TEXT,
}
_ORDER_TOKEN: Final = {
    "name": "Order-Token",
    "in": "header",
    "required": False,
    "description": "Lets a guest see and cancel an order; from the answer to its checkout.",
    "schema": _TEXT,
}

_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-Id": {"description": "Names the request in our logs; a caller's own is kept.", "schema": _TEXT},
    "ETag": {"description": "Names exactly this answer.", "schema": _TEXT},
    "Location": {"description": "Where to look at what was made.", "schema": _TEXT},
    "Consistency-Token": {"description": "Reads that send it back include this write.", "schema": _TEXT},
    "Retry-After": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}},
    "Idempotency-Replayed": {"description": "`true` where this answer was given before.", "schema": _TEXT},
}

_STREAM: Final = {
    "type": "object",
    "description": "Server-sent events.",
    "properties": {
        "id": {**_TEXT, "examples": ["3.9f8e7d6c5b4a"]},
        "event": {**_TEXT, "examples": ["status", "end"]},
        "data": {**_TEXT, "description": "`OrderMoved` as JSON; of the event `end`, `OrderEnded`."},
        "retry": {"type": ["integer", "string"]},
    },
}

_PROBLEMS: Final = {
    "400": "The request is malformed.",
    "401": "The caller is not logged in, or not any more.",
    "403": "The caller may not do this.",
    "404": "There is no such thing, or not for this caller.",
    "409": "The present state forbids it, or others are at it at the same time.",
    "412": "It was changed since it was looked at.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "The body's fields are wrong, or the key was used for another request.",
    "428": "If-Match is needed.",
    "429": "The caller asks too often: try again after the stated time.",
    "503": "Not at present: try again after the stated time.",
}


def document(handlers: list[Any]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these handlers. Takes a few tenths of a second: not for the event loop."""
    config = OpenAPIConfig(
        title="Emporium",
        version=emporium.__version__,
        description=_DESCRIPTION,
        use_handler_docstrings=True,
        components=Components(security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")}),
    )
    app = Litestar(route_handlers=handlers, request_class=Request, openapi_config=config, logging_config=None)
    schema: dict[str, Any] = app.openapi_schema.to_schema()
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path_format in schema["paths"]:
            operations = schema["paths"][route.path_format]
            for method, (handler, _) in route.route_handler_map.items():
                if method.lower() in operations:
                    _complete(operations[method.lower()], handler)
    schemas = schema["components"]["schemas"]
    schemas.update(_schemas())
    for body in Body.__subclasses__():
        schemas[body.__name__]["additionalProperties"] = False
    schemas["OrderView"]["x-statuses"] = _statuses()
    schemas["Problem"]["x-types"] = _types()
    for name, field, values in (
        ("CheckOut", "payment_method", TEST_METHODS),
        ("TakeOrder", "payment_method", TEST_METHODS),
        ("MethodBody", "method", TEST_METHODS),
        ("ShippingAddress", "name", TEST_ADDRESSES),
    ):
        schemas[name]["properties"][field]["x-test-values"] = values
    return _tidy(schema)


def _complete(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    opt, guards = handler.opt, handler.resolve_guards()
    needs = [guard for guard in guards if isinstance(guard, Needs)]
    operation["operationId"] = (
        f"{handler.resolve_tags()[0] if handler.resolve_tags() else 'shop'}_{handler.handler_name}"
    )
    text = " ".join((operation.get("description") or "").split())
    operation["summary"], operation["description"] = text.split(". ")[0].rstrip("."), text
    roles = sorted(frozenset().union(*(guard.roles for guard in needs)))
    if roles:
        operation["description"] += f" For the roles {', '.join(roles)}."
    if needs:
        operation["security"] = [{"bearer": []}]
    elif opt.keys() & {"cart", "order"}:
        operation["security"] = [{}, {"bearer": []}]
    parameters = operation.setdefault("parameters", [])
    for name, parameter in (
        ("idempotent", _IDEMPOTENCY),
        ("cart", _CART_TOKEN),
        ("order", _ORDER_TOKEN),
        ("models", _CONSISTENCY),
        ("tagged", _IF_NONE_MATCH),
        ("versioned", _IF_MATCH),
    ):
        if name in opt:
            parameters.append(parameter)
    if not parameters:
        del operation["parameters"]
    if "upload" in opt:
        content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in opt["upload"].split()}
        operation["requestBody"] = {"required": True, "content": content}
    _complete_answers(operation, handler, needs)


def _complete_answers(operation: dict[str, Any], handler: HTTPRouteHandler, needs: list[Needs]) -> None:
    opt = handler.opt
    [(status, answer)] = [
        (status, answer) for status, answer in operation["responses"].items() if status.startswith("2")
    ]
    names = ["X-Request-Id"]
    if opt.keys() & {"tagged", "versioned"}:
        names.append("ETag")
    if "idempotent" in opt:
        names += ["Location", "Idempotency-Replayed"]
    if "GET" not in handler.http_methods:
        names.append("Consistency-Token")
    answer["headers"] = {name: _HEADERS[name] for name in names}
    answer["description"] = operation["summary"] + "."
    if "file" in opt:
        answer["content"] = {kind: {"schema": _TEXT} for kind in opt["file"].split()}
    if status == "204":
        answer.pop("content", None)
    # Any request may bring a token that is none, a parameter that is not known, or come too often.
    statuses = {"400", "401", "429", "503"}
    if "tagged" in opt:
        operation["responses"]["304"] = {"description": "The answer that If-None-Match names still holds."}
    if "stream" in opt:
        answer["content"] = {"text/event-stream": {"schema": _STREAM}}
        operation["responses"]["204"] = {"description": "The order has ended, and nothing has come since that event."}
    if any(guard.roles for guard in needs):
        statuses.add("403")
    if "GET" not in handler.http_methods:
        statuses |= {"404", "409", "422"}
    if "versioned" in opt:
        statuses |= {"412", "428"}
    if "requestBody" in operation:
        operation["requestBody"]["required"] = "bodiless" not in opt
        example = EXAMPLES.get(operation["operationId"])
        if example is not None:
            for content in operation["requestBody"]["content"].values():
                content["examples"] = {"usual": {"value": example}}
        statuses |= {"413", "415"}
    places = {one["in"] for one in operation.get("parameters", ())}
    if places & {"path", "query"}:
        statuses |= {"404", "422"}
    if "moved" in opt:
        operation["responses"]["301"] = {
            "description": "It has another slug now: see Location.",
            "headers": {"Location": _HEADERS["Location"]},
        }
    operation["responses"] = {status: answer} | {
        code: one for code, one in operation["responses"].items() if code in ("204", "301", "304")
    }
    for code in sorted(statuses):
        operation["responses"][code] = {
            "description": _PROBLEMS[code],
            "headers": {
                name: _HEADERS[name] for name in ("X-Request-Id", *(("Retry-After",) if code in ("429", "503") else ()))
            },
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }


def _schemas() -> dict[str, Any]:
    _, components = msgspec.json.schema_components(
        [ProblemBody, OrderMoved, OrderEnded], ref_template="#/components/schemas/{name}"
    )
    components["Problem"] = components.pop("ProblemBody")
    components["Problem"]["title"] = "Problem"
    return components


def _statuses() -> dict[str, Any]:
    """The order's statuses: which are terminal, and which events lead where."""
    return {
        status: {
            "terminal": status in order.TERMINAL,
            "events": {event.__name__: sorted(targets) for event, targets in row.items()},
        }
        for status, row in order.TRANSITIONS.items()
    }


def _types() -> dict[str, Any]:
    """The kinds of problems: what follows `/problems/` in their `type`."""
    ours = {kind.code: {"status": kind.status, "text": kind.text} for kind in Kind.known.values()}
    domain = {one.code: {"status": status_of(one.code), "text": one.text} for one in Reason.known.values()}
    return dict(sorted((ours | domain).items()))


_QUALIFIED: Final = re.compile(r"\bListing_(?:\w+\.)+(\w+)_")


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """Pages are called after what they list, not after our modules."""
    text = _QUALIFIED.sub(r"\1Page", msgspec.json.encode(schema).decode())
    tidied: dict[str, Any] = msgspec.json.decode(text)
    return tidied


# --- the page --------------------------------------------------------------------------------------

_STYLE: Final = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
details{border:1px solid #8886;border-radius:.4rem;margin:.4rem 0;padding:.4rem .8rem}
summary{cursor:pointer}code,pre{font:.85rem/1.4 ui-monospace,monospace}pre{overflow-x:auto}
.m{display:inline-block;min-width:4.5rem;font-weight:600}.l{opacity:.7}
table{border-collapse:collapse}td,th{border:1px solid #8886;padding:.2rem .5rem;text-align:left;vertical-align:top}
"""


def page(schema: Mapping[str, Any]) -> bytes:
    """The document as a page that needs nothing from elsewhere."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Emporium API</title>',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<style>{_STYLE}</style></head><body><main><h1>Emporium API</h1>",
        *(f"<p>{_code(escape(text))}</p>" for text in schema["info"]["description"].split("\n\n")),
        '<p><a href="/api/v1/openapi.json">OpenAPI document</a> · <a href="/problems">kinds of problems</a></p>',
    ]
    tag = None
    for path, method, operation in sorted(_operations(schema), key=lambda one: (one[2]["tags"], one[0], one[1])):
        if operation["tags"] != tag:
            tag = operation["tags"]
            parts.append(f"<h2>{escape(', '.join(tag))}</h2>")
        parts.append(_operation(path, method, operation))
    parts.append("<h2>An order's statuses</h2><table><tr><th>status<th>event<th>leads to</tr>")
    for status, row in schema["components"]["schemas"]["OrderView"]["x-statuses"].items():
        terminal = " (end)" if row["terminal"] else ""
        for event, targets in row["events"].items():
            parts.append(f"<tr><td>{status}{terminal}<td>{event}<td>{', '.join(targets)}</tr>")
    parts.append("</table><h2>Schemas</h2>")
    for name, one in sorted(schema["components"]["schemas"].items()):
        body = escape(msgspec.json.format(msgspec.json.encode(one), indent=2).decode())
        parts.append(f'<details id="{escape(name)}"><summary>{escape(name)}</summary><pre>{body}</pre></details>')
    return "".join([*parts, "</main></body></html>"]).encode()


def _operations(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            yield path, method, {"tags": ["shop"], **operation}


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{escape(one['name'])}</code><td>{one['in']}<td>{escape(one.get('description') or '')}</tr>"
        for one in operation.get("parameters", ())
    ]
    body = operation.get("requestBody")
    if body is not None:
        rows.append(f"<tr><td>body<td><td>{_links(body)}{_examples(body)}</tr>")
    answers = [
        f"<tr><td>{status}<td>{escape(one['description'])}<td>{_links(one)}</tr>"
        for status, one in operation["responses"].items()
    ]
    lock = ' <span class="l">log in</span>' if operation.get("security", [{}])[0] else ""
    return (
        f'<details id="{escape(operation["operationId"])}"><summary><span class="m">{method.upper()}</span>'
        f"<code>{escape(path)}</code> {escape(operation['summary'])}{lock}</summary>"
        f"<p>{_code(escape(operation['description']))}</p><table>{''.join(rows)}</table>"
        f"<h4>Answers</h4><table>{''.join(answers)}</table></details>"
    )


def _links(part: Mapping[str, Any]) -> str:
    names = re.findall(r"#/components/schemas/([\w.]+)", msgspec.json.encode(part).decode())
    return ", ".join(f'<a href="#{name}">{name}</a>' for name in dict.fromkeys(names))


def _examples(body: Mapping[str, Any]) -> str:
    return "".join(
        f"<pre>{escape(msgspec.json.format(msgspec.json.encode(one['value']), indent=2).decode())}</pre>"
        for content in body["content"].values()
        for one in content.get("examples", {}).values()
    )


def _code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
