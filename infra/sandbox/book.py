"""What the sandbox knows: charges, refunds and parcels in an SQLite file, changed in groups that commit together."""

import sqlite3
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from math import inf
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

import msgspec

from .scripts import ADDRESSES, METHODS, SLOW_SECONDS, Fault, Script

__all__ = ["Answer", "Book", "BookInUse", "Call", "problem"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS charges (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, order_id TEXT NOT NULL, amount INTEGER NOT NULL,
    currency TEXT NOT NULL, method TEXT NOT NULL, code TEXT, settles REAL NOT NULL,
    refunded INTEGER NOT NULL DEFAULT 0, at INTEGER NOT NULL,
    taken INTEGER, voided INTEGER, waits INTEGER NOT NULL DEFAULT 0, part INTEGER);
CREATE INDEX IF NOT EXISTS charges_by_order ON charges (order_id);
CREATE TABLE IF NOT EXISTS refunds (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, charge INTEGER NOT NULL, amount INTEGER NOT NULL,
    currency TEXT NOT NULL, code TEXT, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS parcels (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, order_id TEXT NOT NULL, digest BLOB NOT NULL,
    lost INTEGER NOT NULL, handed_over INTEGER);
CREATE TABLE IF NOT EXISTS attempts (key TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""

_ADDED: Final = """
ALTER TABLE charges ADD COLUMN taken INTEGER;
ALTER TABLE charges ADD COLUMN voided INTEGER;
ALTER TABLE charges ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;
UPDATE charges SET taken = at WHERE code IS NULL;
"""
"""For a file from before charges could wait, be taken later or be let go."""

_IN_PART: Final = "ALTER TABLE charges ADD COLUMN part INTEGER"
"""For a file from before charges could be taken in part; `part` is what was taken, where that is not all."""

_TAKEN: Final = "code IS NULL AND voided IS NULL AND taken IS NOT NULL AND settles <= ?"

_PAGE: Final = 1000
_NO_TEXT: Final = b""


class BookInUse(Exception):  # noqa: N818
    """Another process has the file open."""


class Answer(msgspec.Struct, gc=False):
    """What a call is answered: an HTTP status, a JSON body (or one for people), and how it goes wrong."""

    status: int
    body: bytes = _NO_TEXT
    fault: Fault | None = None
    delay: float = 0.0
    twice: bool = False
    page: bool = False


class Call(msgspec.Struct):
    """One request as it came in.

    Attributes:
        operation: the name of a method of Book.
        target: the id in the path, if any.
        key: the idempotency key, empty where none was sent.
        fault: what shall go wrong by order of the tests.
    """

    operation: str
    target: str
    query: str
    key: str
    body: bytes
    fault: Fault | None = None


class _Metadata(msgspec.Struct, frozen=True):
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    order: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None


_Amount = Annotated[int, msgspec.Meta(gt=0, le=10**13)]
_Currency = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]


class _ChargeRequest(msgspec.Struct, forbid_unknown_fields=True):
    amount: _Amount
    currency: _Currency
    method: str
    metadata: _Metadata
    capture: bool = True


class _Step(msgspec.Struct, forbid_unknown_fields=True):
    metadata: _Metadata = _Metadata()


class _Taking(msgspec.Struct, forbid_unknown_fields=True):
    metadata: _Metadata = _Metadata()
    amount: _Amount | None = None


class _Authentication(msgspec.Struct, forbid_unknown_fields=True):
    success: bool


class _MethodRequest(msgspec.Struct, forbid_unknown_fields=True):
    customer: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    method: str


class _RefundRequest(msgspec.Struct, forbid_unknown_fields=True):
    charge: str
    amount: _Amount
    currency: _Currency
    metadata: _Metadata = _Metadata()


class _Address(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    lines: list[str]
    city: str
    postcode: str
    country: str
    region: str = ""


class _ParcelRequest(msgspec.Struct, forbid_unknown_fields=True):
    order: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    parcel: Annotated[int, msgspec.Meta(ge=0)]
    address: _Address
    items: dict[str, Annotated[int, msgspec.Meta(gt=0)]]


class _Handover(msgspec.Struct, forbid_unknown_fields=True):
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class _Charge(msgspec.Struct, gc=False):
    id: str
    key: str
    order: str
    amount: int
    currency: str
    method: str
    status: str
    code: str | None
    at: str
    taken_at: str | None = None
    action: str | None = None
    taken: int | None = None


class _Refund(msgspec.Struct, gc=False):
    id: str
    key: str
    charge: str
    amount: int
    currency: str
    status: str
    code: str | None
    at: str


class _Problem(Exception):  # noqa: N818
    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.answer = problem(status, code, text)


_HTML: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sandbox bank</title>'
    "<style>body{max-width:36rem;margin:3rem auto;padding:0 1rem;font:16px/1.5 system-ui,sans-serif}</style></head>"
    "<body><main><h1>Sandbox bank</h1>%s</main></body></html>"
)
QUESTION: Final = (
    _HTML % '<p>Do you want to pay? No money moves.</p><form method="post"><button name="success" value="true">Yes'
    '</button> <button name="success" value="false">No</button></form>'
).encode()
"""What a real bank would ask the customer; its form comes back as one of _DECISIONS."""
DECIDED: Final = (_HTML % "<p>Thank you. Go back to the shop.</p>").encode()
_DECISIONS: Final = {b"success=true": True, b"success=false": False}


def problem(status: int, code: str, text: str) -> Answer:
    """A refusal: a stable code and a sentence."""
    return Answer(status, _encode({"code": code, "text": text}))


_encode: Final = msgspec.json.Encoder().encode
_decode_charge: Final = msgspec.json.Decoder(_ChargeRequest).decode
_decode_taking: Final = msgspec.json.Decoder(_Taking).decode
_decode_step: Final = msgspec.json.Decoder(_Step).decode
_decode_authentication: Final = msgspec.json.Decoder(_Authentication).decode
_decode_method: Final = msgspec.json.Decoder(_MethodRequest).decode
_decode_refund: Final = msgspec.json.Decoder(_RefundRequest).decode
_decode_parcel: Final = msgspec.json.Decoder(_ParcelRequest).decode
_decode_handover: Final = msgspec.json.Decoder(_Handover).decode


class Book:
    """The sandbox's record. Not safe for threads: one at a time, whichever.

    Args:
        file: the SQLite file, made where it is missing; held exclusively.
        delivery_seconds: how long a parcel travels.
        now: seconds since 1970.

    Raises BookInUse where another process holds the file.
    """

    def __init__(self, file: Path, delivery_seconds: float, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._delivery_ms = int(delivery_seconds * 1000)
        self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=0)
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            self._db.close()
            raise BookInUse(f"{file} is in use by another sandbox") from error
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA wal_autocheckpoint = 4000")
        self._db.executescript(_SCHEMA)
        columns = {name for _, name, *_ in self._db.execute("PRAGMA table_info(charges)")}
        if "taken" not in columns:
            self._db.executescript(_ADDED)
        if "part" not in columns:
            self._db.execute(_IN_PART)
        self._run = self._db.execute
        self._operations: dict[str, Callable[[Call], Answer]] = {
            "charge": self._charge,
            "capture": self._capture,
            "void": self._void,
            "authenticate": self._authenticate,
            "save_method": self._save_method,
            "refund": self._refund,
            "charges": self._charges,
            "refunds": self._refunds,
            "summary": self._summary,
            "book": self._book,
            "hand_over": self._hand_over,
            "track": self._track,
            "state": self._state,
        }

    def close(self) -> None:
        """Folds the write-ahead log into the file and lets go of it."""
        self._db.close()

    def answer(self, calls: Iterable[Call]) -> list[Answer]:
        """Carries out the calls in one transaction; what it returns is on disk.

        Raises sqlite3.Error where the disk refuses: then nothing of the group has happened.
        """
        self._run("BEGIN IMMEDIATE")
        try:
            answers = [self._one(call) for call in calls]
            self._run("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._run("ROLLBACK")
            raise
        return answers

    def _one(self, call: Call) -> Answer:
        fault = call.fault
        if fault is not None and fault.before:
            return Answer(500, fault=fault)
        try:
            answer = self._operations[call.operation](call)
        except _Problem as refusal:
            answer = refusal.answer
        except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
            answer = problem(400, "bad_request", str(error))
        if fault is Fault.SLOW:
            answer.delay = SLOW_SECONDS
        elif fault is not None:
            answer.fault = fault
        return answer

    def _scripted(self, key: str, script: Script) -> Fault | None:
        if script.fault is None or script.times == inf:
            return script.fault
        self._run("INSERT INTO attempts VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET count = count + 1", (key,))
        (count,) = self._run("SELECT count FROM attempts WHERE key = ?", (key,)).fetchone()
        return script.fault if count <= script.times else None

    # --- the provider ------------------------------------------------------------------------------

    def _charge(self, call: Call) -> Answer:
        key = _key(call)
        wish = _decode_charge(call.body)
        order = wish.metadata.order
        if order is None:
            raise _Problem(400, "bad_request", "metadata.order is missing")
        script = _script(wish.method)
        fault = self._scripted("charge " + key, script)
        if fault is not None and fault.before:
            return Answer(500, fault=fault)
        at = self._milliseconds(wish.metadata.at)
        settles = self._now() + script.settles if script.settles else 0.0
        code = None if script.waits else script.code
        taken = at if wish.capture and not script.waits and code is None else None
        # What waits for the customer remembers whether it shall be taken then: 1 yes, 2 no.
        waits = (1 if wish.capture else 2) if script.waits else 0
        done = self._run(
            "INSERT INTO charges (key, order_id, amount, currency, method, code, settles, at, taken, waits) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            (key, order, wish.amount, wish.currency, wish.method, code, settles, at, taken, waits),
        )
        if done.rowcount == 1 and done.lastrowid is not None:
            charge = _known(
                self._now(), done.lastrowid, key, order, wish.amount, wish.currency, wish.method, code, settles, at,
                taken, None, waits, None,
            )  # fmt: skip
        else:
            before = self._run(
                "SELECT order_id, amount, currency, method FROM charges WHERE key = ?", (key,)
            ).fetchone()
            if before != (order, wish.amount, wish.currency, wish.method):
                raise _Problem(422, "idempotency_conflict", "this key was used for another charge")
            (charge,) = self._found("key = ?", (key,))
        status = 402 if charge.status == "declined" else 200
        return Answer(status, _encode(charge), fault, script.delay, script.twice)

    def _found(self, condition: str, values: Iterable[Any], more: str = "") -> list[_Charge]:
        rows = self._run(
            "SELECT id, key, order_id, amount, currency, method, code, settles, at, taken, voided, waits, part "
            f"FROM charges WHERE {condition} {more}",
            tuple(values),
        ).fetchall()
        now = self._now()
        return [_known(now, *row) for row in rows]

    def _one_charge(self, call: Call) -> _Charge:
        found = self._found("id = ?", (_number(call.target, "ch_"),))
        if not found:
            raise _Problem(404, "charge_unknown", f"there is no charge {call.target}")
        return found[0]

    def _capture(self, call: Call) -> Answer:
        _key(call)
        wish = _decode_taking(call.body)
        at = self._milliseconds(wish.metadata.at)
        charge = self._one_charge(call)
        if charge.status == "authorised":
            if wish.amount is not None and wish.amount > charge.amount:
                raise _Problem(422, "capture_exceeds_charge", f"only {charge.amount} was secured")
            if code := _script(charge.method).capture_code:
                raise _Problem(422, code, "what was secured cannot be taken")
            number = _number(charge.id, "ch_")
            self._run("UPDATE charges SET taken = ?, part = ? WHERE id = ?", (at, wish.amount, number))
        return Answer(200, _encode(self._one_charge(call)))

    def _void(self, call: Call) -> Answer:
        _key(call)
        at = self._milliseconds(_decode_step(call.body).metadata.at)
        charge = self._one_charge(call)
        if charge.status in ("authorised", "requires_action", "pending"):
            self._run("UPDATE charges SET voided = ? WHERE id = ?", (at, _number(charge.id, "ch_")))
        return Answer(200, _encode(self._one_charge(call)))

    def _authenticate(self, call: Call) -> Answer:
        decided = _DECISIONS.get(call.body)
        success = _decode_authentication(call.body).success if decided is None else decided
        charge = self._one_charge(call)
        if charge.status == "requires_action":
            code = _script(charge.method).code if success else "authentication_failed"
            self._run(
                "UPDATE charges SET code = ?, taken = iif(waits = 1 AND ? IS NULL, ?, NULL), waits = 0 WHERE id = ?",
                (code, code, int(self._now() * 1000), _number(charge.id, "ch_")),
            )
        if decided is not None:
            return Answer(200, DECIDED, page=True)
        return Answer(200, _encode(self._one_charge(call)))

    def _save_method(self, call: Call) -> Answer:
        _key(call)
        wish = _decode_method(call.body)
        script = _script(wish.method)
        if script.code and not script.waits:
            raise _Problem(422, script.code, "this method is not kept")
        token = f"{wish.method.partition(_OF)[0]}{_OF}{wish.customer}"
        saved = {"token": token, "brand": "sandbox", "last_four": "4242", "expires": "2099-12"}
        return Answer(200, _encode(saved))

    def _refund(self, call: Call) -> Answer:
        key = _key(call)
        wish = _decode_refund(call.body)
        number = _number(wish.charge, "ch_")
        known = self._run("SELECT id, at, charge, amount, currency, code FROM refunds WHERE key = ?", (key,)).fetchone()
        if known is None:
            known = self._new_refund(key, number, wish)
        elif known[2:5] != (number, wish.amount, wish.currency):
            raise _Problem(422, "idempotency_conflict", "this key was used for another refund")
        refund_id, at, code = known[0], known[1], known[5]
        status = "declined" if code else "succeeded"
        refund = _Refund(f"re_{refund_id:010}", key, wish.charge, wish.amount, wish.currency, status, code, _text(at))
        return Answer(422 if code else 200, _encode(refund))

    def _new_refund(self, key: str, number: int, wish: _RefundRequest) -> tuple[Any, ...]:
        charge = self._run(
            "SELECT coalesce(part, amount), currency, refunded, code IS NOT NULL OR voided IS NOT NULL, "
            "settles, taken, waits FROM charges WHERE id = ?",
            (number,),
        ).fetchone()
        if charge is None:
            raise _Problem(422, "charge_unknown", f"there is no charge {wish.charge}")
        amount, currency, refunded, gone, settles, taken, waits = charge
        code = None
        if gone:
            code = "charge_not_refundable"
        elif waits or taken is None:
            raise _Problem(409, "charge_not_captured", "the charge was not taken yet: let it go, or take it first")
        elif settles > self._now():
            raise _Problem(409, "charge_pending", "the charge is pending: refund it once it has succeeded")
        elif currency != wish.currency:
            code = "currency_mismatch"
        elif refunded + wish.amount > amount:
            code = "refund_exceeds_charge"
        else:
            self._run("UPDATE charges SET refunded = refunded + ? WHERE id = ?", (wish.amount, number))
        at = self._milliseconds(wish.metadata.at)
        done = self._run(
            "INSERT INTO refunds (key, charge, amount, currency, code, at) VALUES (?, ?, ?, ?, ?, ?)",
            (key, number, wish.amount, wish.currency, code, at),
        )
        return done.lastrowid, at, number, wish.amount, wish.currency, code

    def _charges(self, call: Call) -> Answer:
        query = _query(call, "key", "order", "day", "since", "until", "after")
        condition, values = self._of_time(query, "coalesce(taken, at)")
        if "key" in query or "order" in query:
            condition = "key = ? OR order_id = ?"
            values = [query.get("key"), query.get("order")]
        after = _number(query["after"], "ch_") if "after" in query else 0
        rows = self._found(f"id > ? AND ({condition})", (after, *values), f"ORDER BY id LIMIT {_PAGE}")
        found = []
        for charge in rows:
            found += [charge, charge] if "order" in query and _script(charge.method).twice else [charge]
        return Answer(200, _encode({"data": found, "next": found[-1].id if len(rows) == _PAGE else None}))

    def _refunds(self, call: Call) -> Answer:
        query = _query(call, "key", "charge", "day", "since", "until", "after")
        condition, values = self._of_time(query, "at")
        if "key" in query:
            condition, values = "key = ?", [query["key"]]
        elif "charge" in query:
            condition, values = "charge = ?", [_number(query["charge"], "ch_")]
        after = _number(query["after"], "re_") if "after" in query else 0
        rows = self._run(
            f"SELECT id, key, charge, amount, currency, code, at FROM refunds WHERE id > ? AND ({condition}) "
            "ORDER BY id LIMIT ?",
            [after, *values, _PAGE],
        ).fetchall()
        found = [
            _Refund(
                f"re_{number:010}", key, f"ch_{charge:010}", amount, currency,
                "declined" if code else "succeeded", code, _text(at),
            )
            for number, key, charge, amount, currency, code, at in rows
        ]  # fmt: skip
        return Answer(200, _encode({"data": found, "next": found[-1].id if len(rows) == _PAGE else None}))

    def _summary(self, call: Call) -> Answer:
        _query(call)
        rows = self._run(
            "SELECT strftime('%Y-%m', moved / 1000, 'unixepoch') AS month, currency, "
            "  count(charged), coalesce(sum(charged), 0), count(refunded), coalesce(sum(refunded), 0) FROM ("
            "  SELECT taken AS moved, currency, coalesce(part, amount) AS charged, NULL AS refunded FROM charges "
            f"    WHERE {_TAKEN} "
            "  UNION ALL SELECT at, currency, NULL, amount FROM refunds WHERE code IS NULL) "
            "GROUP BY 1, 2 ORDER BY 1, 2",
            (self._now(),),
        )
        names = ("month", "currency", "charges", "charged", "refunds", "refunded")
        return Answer(200, _encode([dict(zip(names, row, strict=True)) for row in rows]))

    # --- the carrier -------------------------------------------------------------------------------

    def _book(self, call: Call) -> Answer:
        key = _key(call)
        wish = _decode_parcel(call.body)
        address = wish.address
        script = ADDRESSES.get(address.name.strip().upper()) or ADDRESSES.get(address.postcode.strip().upper())
        fault = self._scripted("book " + key, script) if script else None
        if fault is not None and fault.before:
            return Answer(500, fault=fault)
        if script and script.code:
            raise _Problem(422, script.code, "the carrier does not deliver to this address")
        digest = blake2b(call.body, digest_size=16).digest()
        done = self._run(
            "INSERT INTO parcels (key, order_id, digest, lost) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            (key, wish.order, digest, 0 if script is None else _FATES.index(script.fate)),
        )
        number = done.lastrowid
        if done.rowcount != 1:
            number, before = self._run("SELECT id, digest FROM parcels WHERE key = ?", (key,)).fetchone()
            if before != digest:
                raise _Problem(422, "idempotency_conflict", "this key was used for another parcel")
        tracking = f"SBX{number:010}"
        label = {
            "key": key,
            "carrier": "Sandbox Parcels",
            "tracking_number": tracking,
            "tracking_url": f"https://parcels.example/{tracking}",
            "label_url": f"https://parcels.example/{tracking}/label.pdf",
        }
        return Answer(200, _encode(label), fault)

    def _hand_over(self, call: Call) -> Answer:
        at = self._milliseconds(_decode_handover(call.body).at)
        done = self._run(
            "UPDATE parcels SET handed_over = coalesce(handed_over, ?) WHERE id = ?", (at, _number(call.target, "SBX"))
        )
        if done.rowcount != 1:
            raise _Problem(404, "parcel_unknown", f"there is no parcel {call.target}")
        return Answer(200, _encode({"tracking_number": call.target}))

    def _track(self, call: Call) -> Answer:
        query = _query(call, "at")
        at = datetime.fromisoformat(query["at"]) if "at" in query else None
        row = self._run(
            "SELECT handed_over, lost, key FROM parcels WHERE id = ?", (_number(call.target, "SBX"),)
        ).fetchone()
        if row is None:
            raise _Problem(404, "parcel_unknown", f"there is no parcel {call.target}")
        handed_over, fate, key = row
        if handed_over is None:
            status = "labelled"
        elif self._milliseconds(at) < handed_over + self._delivery_ms:
            status = "in_transit"
        else:
            status = _FATES[fate]
        return Answer(200, _encode({"tracking_number": call.target, "status": status, "key": key}))

    # --- for tests ---------------------------------------------------------------------------------

    def _state(self, call: Call) -> Answer:
        _query(call)
        orders: dict[str, dict[str, int]] = {}
        names = ("charges", "charged", "declined", "pending", "held", "refunds", "refunded", "parcels")
        now = self._now()
        for sql, values in (
            (
                f"SELECT order_id, sum({_TAKEN}) AS charges, sum(iif({_TAKEN}, coalesce(part, amount), 0)) AS charged, "
                "  sum(code IS NOT NULL) AS declined, sum(settles > ? AND voided IS NULL) AS pending, "
                "  sum(code IS NULL AND voided IS NULL AND (waits > 0 OR taken IS NULL)) AS held "
                "FROM charges GROUP BY 1",
                (now, now, now),
            ),
            (
                "SELECT order_id, count(*) AS refunds, sum(r.amount) AS refunded "
                "FROM refunds r JOIN charges c ON c.id = r.charge WHERE r.code IS NULL GROUP BY 1",
                (),
            ),
            ("SELECT order_id, count(*) AS parcels FROM parcels GROUP BY 1", ()),
        ):
            rows = self._run(sql, values)
            columns = [column[0] for column in rows.description[1:]]
            for order, *counts in rows:
                orders.setdefault(order, dict.fromkeys(names, 0)).update(zip(columns, counts, strict=True))
        totals = {name: sum(counts[name] for counts in orders.values()) for name in names}
        charged_twice = sorted(order for order, counts in orders.items() if counts["charges"] > 1)
        return Answer(200, _encode({**totals, "charged_twice": charged_twice, "orders": orders}))

    def _of_time(self, query: dict[str, str], column: str) -> tuple[str, list[Any]]:
        if "day" in query:
            start = datetime.combine(date.fromisoformat(query["day"]), datetime.min.time(), UTC)
            since, until = start, start + timedelta(days=1)
            return f"{column} >= ? AND {column} < ?", [self._milliseconds(since), self._milliseconds(until)]
        conditions: list[str] = ["1"]
        values: list[Any] = []
        for name, sign in (("since", ">="), ("until", "<")):
            if name in query:
                conditions.append(f"{column} {sign} ?")
                values.append(self._milliseconds(datetime.fromisoformat(query[name])))
        return " AND ".join(conditions), values

    def _milliseconds(self, at: datetime | None) -> int:
        if at is None:
            return int(self._now() * 1000)
        if at.tzinfo is None:
            raise _Problem(400, "bad_request", "a time needs its offset from UTC")
        return (at.astimezone(UTC) - _EPOCH) // _MILLISECOND


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def _text(milliseconds: int) -> str:
    return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat()


def _key(call: Call) -> str:
    if not call.key:
        raise _Problem(400, "key_missing", "this call needs an Idempotency-Key")
    return call.key


def _number(name: str, prefix: str) -> int:
    digits = name.removeprefix(prefix)
    return int(digits) if digits != name and digits.isascii() and digits.isdigit() and len(digits) <= 18 else 0


def _query(call: Call, *known: str) -> dict[str, str]:
    query = {name: values[-1] for name, values in parse_qs(call.query, strict_parsing=bool(call.query)).items()}
    if unknown := query.keys() - set(known):
        raise _Problem(400, "bad_request", f"there is no parameter {', '.join(sorted(unknown))}")
    return query


_FATES: Final = ("delivered", "lost", "returned")
"""What becomes of a parcel, as the column `lost` counts it."""

_OF: Final = "@"
"""Between a method and the customer for whom it is kept."""


def _script(method: str) -> Script:
    script = METHODS.get(method.partition(_OF)[0])
    if script is None:
        raise _Problem(422, "method_unknown", f"there is no payment method {method[:100]}")
    return script


def _known(
    now: float, number: int, key: str, order: str, amount: int, currency: str, method: str, code: str | None,
    settles: float, at: int, taken: int | None, voided: int | None, waits: int, part: int | None,
) -> _Charge:  # fmt: skip
    name, action = f"ch_{number:010}", None
    if voided is not None:
        status = "voided"
    elif code is not None:
        status = "declined"
    elif waits:
        status, action = "requires_action", f"/v1/charges/{name}/authenticate"
    elif settles > now:
        status = "pending"
    else:
        status = "authorised" if taken is None else "succeeded"
    taken_at = _text(taken) if status == "succeeded" and taken is not None else None
    there = None if taken_at is None else amount if part is None else part
    return _Charge(name, key, order, amount, currency, method, status, code, _text(at), taken_at, action, there)
