"""EasyPost as its documents describe it, on the loopback: addresses, shipments, trackers and signed webhooks.

It refuses whatever the documents do not name, and can be told to misbehave.
"""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

__all__ = ["KEY", "SECRET", "EasyPost"]

KEY = "EZTK_emporium"
SECRET = "a secret of both sides"

_ADDRESS = {"name", "company", "street1", "street2", "city", "state", "zip", "country", "phone", "email"}
_NEEDED = {"street1", "city", "zip", "country"}
_SHIPMENT = {"reference", "to_address", "from_address", "parcel", "options", "customs_info", "carrier_accounts"}
_PARCEL = {"length", "width", "height", "weight", "predefined_package"}


class _Wrong(Exception):
    def __init__(self, status: int, code: str, message: str = "no") -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, "errors": []}}


class EasyPost:
    """A server on a free port of the loopback.

    An address whose name or zip is REFUSED is not found; to NO-RATES no carrier goes; labels for BUY-REFUSED cannot
    be bought; what goes to NOWHERE-CHECKED has an address of which EasyPost knows nothing.

    Attributes:
        shipments: by id.
        faults: (operation, fault) for the next calls of that operation: timeout_before, timeout_after, error,
            garbage, odd, limited, locked, drop, refused, missing.
        calls: the operations, in their order.
        moving: a parcel has come a step further each time that somebody asks for it.
    """

    def __init__(self) -> None:
        self.shipments: dict[str, dict[str, Any]] = {}
        self.addresses: dict[str, dict[str, Any]] = {}
        self.trackers: dict[str, dict[str, Any]] = {}
        self.faults: list[tuple[str, str]] = []
        self.calls: list[str] = []
        self.moving = False
        self.port = 0
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def bought(self) -> list[dict[str, Any]]:
        """The shipments with a label."""
        return [one for one in self.shipments.values() if one["postage_label"]]

    def scan(self, tracking_code: str, status: str, detail: str = "status_update") -> None:
        """A carrier has news of a parcel."""
        self.trackers[tracking_code].update(status=status, status_detail=detail)

    def event(
        self, tracking_code: str, status: str, *, description: str = "tracker.updated", at: datetime | None = None
    ) -> bytes:
        """The body of a webhook, with an id of its own."""
        tracker = {**self.trackers[tracking_code], "status": status}
        when = (at or datetime.now(UTC)).isoformat().replace("+00:00", "Z")
        happened = {
            "id": self._id("evt"), "object": "Event", "description": description, "mode": "test",
            "created_at": when, "updated_at": when, "previous_attributes": {"status": "unknown"},
            "pending_urls": [], "completed_urls": [], "status": "pending", "result": tracker,
        }  # fmt: skip
        return json.dumps(happened).encode()

    @staticmethod
    def signed(body: bytes, secret: str = SECRET) -> str:
        """What the header X-Hmac-Signature says of a body."""
        return "hmac-sha256-hex=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()

    @contextmanager
    def serving(self) -> Iterator["EasyPost"]:
        easypost = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                easypost._answer(self, "GET")

            def do_POST(self) -> None:
                easypost._answer(self, "POST")

            def log_message(self, *_: Any) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            self.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            try:
                yield self
            finally:
                self._over.set()
                server.shutdown()
                thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler, method: str) -> None:
        sent = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        url = urlsplit(handler.path)
        parts = url.path.strip("/").split("/")
        operation, act = self._route(method, parts)
        fault = ""
        with self._lock:
            self.calls.append(operation)
            for wish in self.faults:
                if wish[0] == operation:
                    self.faults.remove(wish)
                    fault = wish[1]
                    break
        status, body = 200, b""
        if fault in ("timeout_before", "error", "limited", "locked", "drop"):
            status = {"error": 500, "limited": 429, "locked": 401}.get(fault, 0)
            body = json.dumps({"error": {"code": "FAILED", "message": "1 High Street", "errors": []}}).encode()
        else:
            try:
                if fault == "missing":
                    raise _Wrong(404, "NOT_FOUND")
                if fault == "refused":
                    raise _Wrong(422, "SHIPMENT.POSTAGE.FAILURE", "not to 1 High Street")
                if handler.headers.get("authorization") != f"Bearer {KEY}":
                    raise _Wrong(401, "APIKEY.INACTIVE")
                data = json.loads(sent) if sent else {}
                with self._lock:
                    body = json.dumps(act(data, parse_qs(url.query))).encode()
            except _Wrong as wrong:
                status, body = wrong.status, json.dumps(wrong.body).encode()
        if fault in ("timeout_before", "timeout_after"):
            self._over.wait(20)
        if fault in ("timeout_before", "timeout_after", "drop"):
            handler.close_connection = True
            return
        if fault == "garbage":
            body = b"<!doctype html> 1 High Street"
        elif fault == "odd":
            body = b'["what", {"id": "else"}]'
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _route(self, method: str, parts: list[str]) -> tuple[str, Callable[[Any, dict[str, list[str]]], Any]]:
        match [method, *parts]:
            case ["POST", "v2", "addresses"]:
                return "address", lambda data, query: self._address(data)
            case ["POST", "v2", "shipments"]:
                return "create", lambda data, query: self._create(data)
            case ["GET", "v2", "shipments", name]:
                return "find", lambda data, query: self._found(name)
            case ["POST", "v2", "shipments", name, "buy"]:
                return "buy", lambda data, query: self._buy(name, data)
            case ["POST", "v2", "shipments", name, "refund"]:
                return "refund", lambda data, query: self._refund(name, data)
            case ["GET", "v2", "trackers"]:
                return "track", lambda data, query: self._track(query)
        return "unknown", lambda data, query: _no("NOT_FOUND", 404)

    def _id(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers):032x}"

    def _address(self, data: dict[str, Any]) -> dict[str, Any]:
        _only(data, {"address", "verify", "verify_strict"}, {"address"})
        made = self._new_address(data["address"])
        if data.get("verify"):
            marks = {made.get("name"), made.get("zip")}
            codes: list[str] = []
            if "REFUSED" in marks:
                codes = ["E.ADDRESS.NOT_FOUND", "E.HOUSE_NUMBER.INVALID"]
            elif "NOWHERE-CHECKED" in marks:
                codes = ["E.SECONDARY_INFORMATION.MISSING"]
            errors = [{"code": one, "field": "address", "message": "1 High Street"} for one in codes]
            made["verifications"] = {"delivery": {"success": not errors, "errors": errors, "details": {}}}
        return made

    def _new_address(self, given: dict[str, Any]) -> dict[str, Any]:
        _only(given, _ADDRESS, _NEEDED)
        if any(not isinstance(value, str) or not value for value in given.values()):
            raise _Wrong(422, "PARAMETER.INVALID")
        made = {"id": self._id("adr"), "object": "Address", **given, "verifications": {}}
        self.addresses[made["id"]] = made
        return made

    def _create(self, data: dict[str, Any]) -> dict[str, Any]:
        _only(data, {"shipment"}, {"shipment"})
        wish = data["shipment"]
        _only(wish, _SHIPMENT, {"to_address", "from_address", "parcel"})
        _only(wish["parcel"], _PARCEL, {"weight"})
        weight = wish["parcel"]["weight"]
        if not isinstance(weight, int | float) or weight <= 0:
            raise _Wrong(422, "PARCEL.WEIGHT.INVALID")
        if wish.get("options", {}).get("label_format", "PDF") not in ("PNG", "PDF", "ZPL", "EPL2"):
            raise _Wrong(422, "SHIPMENT.INVALID_PARAMS")
        places = {
            name: self.addresses[wish[name]["id"]] if set(wish[name]) == {"id"} else self._new_address(wish[name])
            for name in ("to_address", "from_address")
        }
        name = self._id("shp")
        far = places["to_address"].get("name") == "NO-RATES"
        rates = [
            {
                "id": self._id("rate"), "object": "Rate", "carrier": carrier, "service": service, "rate": price,
                "currency": "GBP", "delivery_days": days, "shipment_id": name,
            }
            for carrier, service, price, days in (("Swift", "Next", "11.05", 1), ("RoyalMail", "48", "4.90", 2))
        ]  # fmt: skip
        message = {"carrier": "RoyalMail", "type": "rate_error", "message": "not to 1 High Street"}
        made = {
            "id": name, "object": "Shipment", "mode": "test", "reference": wish.get("reference"),
            "status": "unknown", **places, "parcel": {"id": self._id("prcl"), "object": "Parcel", "weight": weight},
            "options": wish.get("options", {}), "rates": [] if far else rates, "messages": [message] if far else [],
            "selected_rate": None, "postage_label": None, "tracking_code": None, "tracker": None,
            "refund_status": None,
        }  # fmt: skip
        self.shipments[name] = made
        return made

    def _found(self, name: str) -> dict[str, Any]:
        if name in self.shipments:
            return self.shipments[name]
        by_reference = [one for one in self.shipments.values() if one["reference"] == name]
        return by_reference[-1] if by_reference else _no("NOT_FOUND", 404)

    def _buy(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        shipment = self._found(name)
        _only(data, {"rate", "insurance"}, {"rate"})
        _only(data["rate"], {"id"}, {"id"})
        rate = next((one for one in shipment["rates"] if one["id"] == data["rate"]["id"]), None)
        if rate is None:
            raise _Wrong(422, "SHIPMENT.INVALID_PARAMS")
        if shipment["postage_label"]:
            raise _Wrong(422, "SHIPMENT.POSTAGE.EXISTS")
        if shipment["to_address"].get("name") == "BUY-REFUSED":
            raise _Wrong(422, "SHIPMENT.POSTAGE.FAILURE", "not to 1 High Street")
        code = f"EZ{next(self._numbers):010}"
        tracker = {
            "id": self._id("trk"), "object": "Tracker", "tracking_code": code, "status": "unknown",
            "status_detail": "unknown", "carrier": rate["carrier"], "shipment_id": name,
            "public_url": f"https://track.easypost.example/{code}", "tracking_details": [],
        }  # fmt: skip
        self.trackers[code] = tracker
        label = {
            "id": self._id("pl"), "object": "PostageLabel", "label_url": f"https://labels.easypost.example/{code}.pdf",
            "label_pdf_url": None, "label_file_type": "application/pdf", "label_size": "4x6",
        }  # fmt: skip
        shipment.update(selected_rate=rate, postage_label=label, tracking_code=code, tracker=tracker)
        return shipment

    def _refund(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        shipment = self._found(name)
        _only(data, set(), set())
        if not shipment["postage_label"] or shipment["refund_status"] or shipment["tracker"]["status"] != "unknown":
            raise _Wrong(422, "SHIPMENT.REFUND.UNAVAILABLE")
        shipment["refund_status"] = "submitted"
        return shipment

    def _track(self, query: dict[str, list[str]]) -> dict[str, Any]:
        _only(query, {"tracking_code", "carrier", "page_size", "before_id", "after_id"}, set())
        wanted = query.get("tracking_code", [None])[0]
        found = [one for one in self.trackers.values() if wanted in (None, one["tracking_code"])]
        answer = {"trackers": [dict(one) for one in found[::-1]], "has_more": False}
        for one in found if self.moving else ():
            one["status"] = {"unknown": "in_transit"}.get(one["status"], "delivered")
        return answer


def _only(given: object, known: set[str], needed: set[str]) -> None:
    if not isinstance(given, dict) or not needed <= set(cast("dict[str, Any]", given)) <= known:
        raise _Wrong(422, "PARAMETER.INVALID", f"not {given}")


def _no(code: str, status: int) -> dict[str, Any]:
    raise _Wrong(status, code)
