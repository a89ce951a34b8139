"""The ports of the application: the event log, tasks, the vault, the provider and the carrier.

`infra` implements them; the composition root (`application.bootstrap`) is the only place that names
an implementation.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

import msgspec

from emporium.domain.base import Aggregate, Event, Money, Sealed, State
from emporium.domain.invoice import Seller, TaxPart

__all__ = [
    "BadNotice",
    "BadPicture",
    "Booked",
    "Carrier",
    "Cause",
    "Claim",
    "CleanPicture",
    "Clock",
    "Conflict",
    "Counter",
    "Done",
    "Erased",
    "EventLog",
    "Files",
    "Idempotency",
    "IdempotencyReplay",
    "Label",
    "Leases",
    "Letter",
    "Letters",
    "LimitReached",
    "Media",
    "MediaFile",
    "Meta",
    "MethodRefused",
    "NewEvent",
    "NextAction",
    "Notice",
    "Notices",
    "Outcome",
    "Pictures",
    "Overloaded",
    "ParcelNotice",
    "ParcelNotices",
    "Paper",
    "PaperLine",
    "Papers",
    "Provider",
    "ProviderDown",
    "ProviderPaused",
    "ProviderRecord",
    "Recorded",
    "Restored",
    "SavedMethod",
    "Sender",
    "Superseded",
    "Taken",
    "Task",
    "TaskUpdate",
    "Tracking",
    "Unavailable",
    "Undelivered",
    "Unit",
    "Unreadable",
    "Vault",
    "Webhooks",
]

S = TypeVar("S", bound=State)


class Traces(Protocol):
    """Where spans of what happened go."""

    def record(
        self,
        name: str,
        *,
        request: str,
        key: str,
        parent: str | None,
        began: int,
        ended: int,
        attributes: Mapping[str, str | int],
        error: str | None = None,
    ) -> None:
        """Notes a span that has ended; never fails and never waits.

        Args:
            request: the id of the request in whose trace it belongs.
            key: names the span within its trace; parent: its parent's key, None for the request itself.
            began, ended: nanoseconds since 1970.
        """
        ...


def span_of(meta: "Meta") -> str:
    """The key of the span in which an event with this Meta came about."""
    return meta.causation if meta.causation.startswith("request:") else f"{meta.causation} {meta.actor}"


class Clock(Protocol):
    """Where the time comes from; always aware, always UTC."""

    def now(self) -> datetime: ...

    def following(self, at: datetime) -> datetime:
        """The time of what follows from something that happened or fell due at `at`: now.

        Only where history is played back does it follow at once, that is at `at` itself.
        """
        ...


# --- events ----------------------------------------------------------------------------------------


class Meta(msgspec.Struct, frozen=True):
    """What an event knows of where it came from.

    Attributes:
        correlation: what the event belongs to: the order's id where there is one, else the
            cart's, product's or customer's id or the request's.
        causation: the direct cause: `event:<id>`, `request:<id>`, `timer:<task id>`,
            `effect:<task id>` or `import:<file row or invoice>`.
        actor: who: `customer:<id>`, `guest:<cart id>` (the order's where it had no cart), `staff:<id>`,
            `key:<id>` (a machine's API key), `system:<policy or effect>`, `import`.
        request: the request id of the gateway where one is known.
    """

    correlation: str
    causation: str
    actor: str
    request: str | None = None


class NewEvent(msgspec.Struct, frozen=True):
    """An event that waits to be appended as `version` of `stream` (versions begin with 1)."""

    id: UUID
    stream: UUID
    version: int
    event: Event
    at: datetime
    meta: Meta


class Recorded(msgspec.Struct, frozen=True):
    """An event as it stands in a log. `position` grows within a log, with holes; `schema` is the stored one."""

    log: str
    position: int
    stream: UUID
    version: int
    id: UUID
    at: datetime
    event: Event
    meta: Meta
    schema: int = 1

    @property
    def topic(self) -> str:
        """`log.ClassName`, as stored."""
        return f"{self.log}.{type(self.event).__name__}"


# --- what commits together -------------------------------------------------------------------------


class Claim(msgspec.Struct, frozen=True):
    """`owner` takes the only `value` of `scope` (an e-mail's keyed hash); with release=True gives it back."""

    scope: str
    value: bytes
    owner: UUID
    release: bool = False


class Counter(msgspec.Struct, frozen=True):
    """Adds `by` to the counter `name`; refused (LimitReached) where that leaves 0..limit."""

    name: str
    by: int
    limit: int


class Idempotency(msgspec.Struct, frozen=True):
    """The answer of a command, committed with its events. `scope` is caller and route, no personal data."""

    scope: str
    key: str
    body_hash: bytes
    answer: bytes


class Tracking(msgspec.Struct, frozen=True):
    """The follower `name` moves from `old` to `new` in the log `upstream`; only while `epoch` is its leader's.

    `incarnation` is the upstream log's at the time of reading.
    """

    name: str
    upstream: str
    old: int
    new: int
    epoch: int
    incarnation: UUID


class Task(msgspec.Struct, frozen=True):
    """Something to do at or after `due`: a timer or an effect, durable, committed with its cause.

    Attributes:
        id: deterministic where the task can exist once; inserting an existing id is ignored.
        kind: `timer.*` (a command later) or `effect.*` (a call to the outside), names the handler.
        stream: the aggregate that it is about.
        data: small JSON facts for the handler; no personal data in clear.
        cause: Meta of the event that scheduled it.
        attempts: how often it was tried; error: the last failure; parked: waits for a person.
    """

    id: UUID
    kind: str
    due: datetime
    stream: UUID
    data: dict[str, Any]
    cause: Meta
    attempts: int = 0
    error: str | None = None
    parked: bool = False


class Done(msgspec.Struct, frozen=True):
    """The task `id` has its outcome; commits only while the task still exists (else Superseded)."""

    id: UUID


class TaskUpdate(msgspec.Struct, frozen=True):
    """The task `id` is tried again at `due`, or parked for a person."""

    id: UUID
    due: datetime
    attempts: int
    error: str | None = None
    parked: bool = False


class Unit(msgspec.Struct):
    """All that commits together in one log, or not at all.

    Attributes:
        events: for one stream in order of contiguous versions.
        expect: streams that were only read and the version they must still have.
        begins: new streams whose states are worth remembering after the commit.
    """

    events: list[NewEvent] = []
    expect: list[tuple[UUID, int]] = []
    claims: list[Claim] = []
    counters: list[Counter] = []
    idempotency: Idempotency | None = None
    tracking: Tracking | None = None
    tasks: list[Task] = []
    done: list[Done] = []
    task_updates: list[TaskUpdate] = []
    begins: dict[UUID, Aggregate[Any]] = {}


class Conflict(Exception):
    """Streams have moved on since they were read: reload them, decide again."""

    def __init__(self, streams: frozenset[UUID]) -> None:
        super().__init__(f"{len(streams)} streams have moved on")
        self.streams = streams


class Taken(Exception):
    """A claim is held by another owner."""

    def __init__(self, scope: str, owner: UUID) -> None:
        super().__init__(f"the {scope} is taken")
        self.scope = scope
        self.owner = owner


class LimitReached(Exception):
    """A counter would leave its bounds."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the limit of {name} is reached")
        self.name = name


class IdempotencyReplay(Exception):
    """The same key was answered before: here is the record, with the position after its events."""

    def __init__(self, body_hash: bytes, answer: bytes, position: int) -> None:
        super().__init__("answered before")
        self.body_hash = body_hash
        self.answer = answer
        self.position = position


class Superseded(Exception):
    """Another leader has taken over (or another outcome of a task stands): step down, write nothing."""


class Overloaded(Exception):
    """The writer's queue is full; try again later (503)."""


class Unavailable(Exception):
    """The database cannot be reached at present."""


class Restored(Exception):
    """A log is not the one that this process began with: all that the process knows of it means nothing.

    Whoever meets this ends the process, which begins anew with what is there.
    """


class Unreadable(Exception):
    """A stored event that this program cannot decode: where it stands, so that followers can set it aside."""

    def __init__(self, log: str, position: int, stream: UUID, version: int, topic: str, why: str) -> None:
        super().__init__(f"event {version} of stream {stream} ({topic}, position {position} of {log}): {why}")
        self.log = log
        self.position = position
        self.stream = stream
        self.version = version
        self.topic = topic


class EventLog(Protocol):
    """One context's log: append, load, read, follow. All methods are coroutines of one event loop.

    A load gives the state as of a version; `version` 0 and state None mean an empty stream.
    """

    name: str

    @property
    def incarnation(self) -> UUID:
        """Made with the log, changed by a restore."""
        ...

    async def append(self, unit: Unit) -> int:
        """Commits the unit; the position of its last event (0 where it has none).

        Raises Conflict, Taken, LimitReached, IdempotencyReplay, Superseded, Overloaded, Unavailable.
        A cancelled caller does not undo or harm the batch.
        """
        ...

    async def answered(self, scope: str, key: str) -> IdempotencyReplay | None:
        """The record under which a command was answered before, to look up before its rejection is believed."""
        ...

    async def claimed(self, scope: str, value: bytes) -> UUID | None:
        """Who holds the claim at present."""
        ...

    async def claim_owners(self, scope: str, values: Sequence[bytes]) -> dict[bytes, UUID]:
        """As `claimed`, with one query for all; those that nobody holds are left out."""
        ...

    async def claims(self, scope: str) -> list[UUID]:
        """Who holds the claims of a scope at present, in no order."""
        ...

    async def counted(self, names: Sequence[str]) -> dict[str, int]:
        """What the counters stand at; 0 for one that was never counted."""
        ...

    async def load(self, aggregate: Aggregate[S], stream: UUID, *, fresh: bool = False) -> tuple[S | None, int]:
        """State and version from the cache, else from snapshot and tail; `fresh` catches up with the log first."""
        ...

    async def load_many(
        self,
        aggregate: Aggregate[S],
        streams: Sequence[UUID],
        *,
        fresh: bool = False,
        presumed_new: Collection[UUID] = (),
    ) -> dict[UUID, tuple[S | None, int]]:
        """As load, with one query for all that is not cached (or must be fresh).

        Streams that are presumed new are not looked for: unless the cache knows better they have no events.
        As with a stale cache, a wrong guess ends in a Conflict for whoever begins such a stream.
        """
        ...

    async def stream(self, stream: UUID, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        """The events of one stream by version."""
        ...

    async def read(
        self, after: int, limit: int, *, topics: Collection[str] | None = None
    ) -> tuple[list[Recorded], int]:
        """Up to `limit` events after a position in order, and the position up to which the log was read
        (with a topic filter it advances over events that do not matter)."""
        ...

    async def by_correlation(self, correlation: str) -> list[Recorded]:
        """All events of one correlation, by position."""
        ...

    async def head(self) -> int:
        """The last position (0 for an empty log)."""
        ...

    async def wait(self, after: int, timeout: float, *, topics: Collection[str] | None = None) -> bool:
        """Whether the log may hold something (of these topics, where they are named) after a position.

        Woken by a local commit, NOTIFY or a poll; False after `timeout` seconds, at once where it is 0.
        No topics at all (empty, not None): anything, but a tenth of a second late is soon enough.
        """
        ...

    async def due_tasks(
        self, now: datetime, limit: int, *, kinds: Sequence[str] | None = None, exclude: Sequence[UUID] = ()
    ) -> list[Task]:
        """Tasks with due ≤ now that are not parked, by due time, without those of the ids `exclude`."""
        ...

    async def next_due(self) -> datetime | None:
        """When the next task that is not parked falls due."""
        ...

    async def tracking(self, name: str, upstream: str) -> int:
        """Where the follower stands (0 at first)."""
        ...

    def follow(self, after: int, batch: int) -> AsyncIterator[list[Recorded]]:
        """An endless tail of batches, gap-free and ordered, that survives lost connections."""
        ...


class Leases(Protocol):
    """Who leads the followers of one log: one owner per name, by the database's clock."""

    async def acquire(self, name: str, owner: str, ttl: float, *, force: bool = False) -> int | None:
        """The new epoch of the leadership, None while another owner holds it. `ttl` in seconds.

        The epoch is also written into the tracking rows of the follower `name` (one per upstream), so
        that a leader who lost the lease without noticing commits nothing more. `force` takes the lease
        from whoever holds it; that one notices at its next renewal.
        """
        ...

    async def renew(self, name: str, owner: str, epoch: int, ttl: float) -> bool:
        """False where the lease is lost."""
        ...

    async def release(self, name: str, owner: str, epoch: int) -> None:
        """Lets another owner take over at once."""
        ...


# --- personal data ---------------------------------------------------------------------------------


class Erased(Exception):  # noqa: N818
    """The subject's key was destroyed; nothing can be sealed for it any more."""

    def __init__(self, subject: UUID) -> None:
        super().__init__(f"the key of {subject} was destroyed")
        self.subject = subject


class Vault(Protocol):
    """Seals personal data with a key per subject; the key is durable before `key_for` returns.

    A key is at hand after `key_for`, `key_for_many` or `load_keys` until the caller next awaits, and as
    a rule much longer; but not longer than a second after another process destroyed it.
    """

    async def key_for(self, subject: UUID) -> None:
        """Get or create the subject's key. Raises `Erased` where it was destroyed."""
        ...

    async def key_for_many(self, subjects: Sequence[UUID]) -> None:
        """As key_for, with one statement for all whose keys are not at hand."""
        ...

    async def load_keys(self, subjects: Sequence[UUID]) -> None:
        """Fetch many keys with one query into the cache, for `unseal`."""
        ...

    def seal(self, subject: UUID, event: str, stream: UUID, field: str, value: Any) -> Sealed:
        """Seals a JSON-compatible value. Raises Unavailable where the key is not at hand, Erased where destroyed."""
        ...

    def unseal(self, sealed: Sealed, stream: UUID, field: str) -> Any:
        """The value; `"[erased]"` where the key was destroyed, `"[key missing]"` where there never was one.

        Raises Unavailable where the key is not at hand, ValueError when the box was moved or altered.
        """
        ...

    def fingerprint(self, scope: str, value: str) -> bytes:
        """A keyed hash (HMAC-SHA-256) for claims and look-ups."""
        ...

    async def erase(self, subject: UUID) -> None:
        """Destroys the key for good; leaves a tombstone."""
        ...

    async def erasures(self, after: int) -> Sequence[tuple[int, UUID]]:
        """The subjects whose keys were destroyed, with numbers above `after` that grow, in their order."""
        ...


# --- files ------------------------------------------------------------------------------------------


class MediaFile(msgspec.Struct, frozen=True):
    """A file that pages show: its bytes, and the headers with which it is to be served."""

    content: bytes
    headers: Mapping[str, str]


class Media(Protocol):
    """Files under the hash of their content: what is there never changes. Off the event loop: they do file work.

    All raise Unavailable where they lie elsewhere, which does not answer.
    """

    def put(self, content: bytes, kind: str) -> str:
        """Stores the content, durably, and gives its path on the gateway, `/media/<name>`.

        Args:
            kind: the file's extension, such as `svg`; one of those that can be served, else KeyError.

        Raises OSError where it cannot be written.
        """
        ...

    def path(self, content: bytes, kind: str) -> str:
        """The path that `put` gives. Raises as it."""
        ...

    def get(self, name: str) -> MediaFile | None:
        """The file of this name; None where there is none, whatever the name holds."""
        ...

    def delete(self, path: str) -> None:
        """Throws a file away; nothing where there is none. Raises OSError where it cannot be done now."""
        ...


class Files(Protocol):
    """Files that the shop works with and nobody else sees. Off the event loop: both do file work."""

    def keep(self, content: bytes) -> str:
        """Stores the content, durably, and names it. Raises OSError where it cannot be written."""
        ...

    def kept(self, name: str) -> bytes | None:
        """The content of a name; None where there is none."""
        ...


class BadPicture(Exception):  # noqa: N818
    """What was taken for a picture is none that the shop can take; the text says why."""


class CleanPicture(msgspec.Struct, frozen=True):
    """A picture of which only what is seen is left: its bytes, its kind as in `Media.put`, its size in pixels."""

    content: bytes
    kind: str
    width: int
    height: int


class Pictures(Protocol):
    """Looks at pictures from people, bounded in memory and off the event loop."""

    async def clean(self, content: bytes) -> CleanPicture:
        """The picture made anew from its pixels. Raises BadPicture."""
        ...

    async def smaller(self, content: bytes, width: int) -> CleanPicture | None:
        """The picture in this width, in pixels; None where it is smaller itself. Raises BadPicture."""
        ...


# --- the outside -----------------------------------------------------------------------------------


class Cause(msgspec.Struct, frozen=True):
    """Why a call to the outside failed: `code` is stable, `retry` says whether trying again can help."""

    code: str
    text: str
    retry: bool


class NextAction(msgspec.Struct, frozen=True):
    """What the customer must do before the provider decides. Never stored: it may hold a secret.

    Attributes:
        kind: `redirect` (send the customer to `url`) or `sdk` (give `client_secret` to the provider's script).
    """

    kind: str
    url: str | None = None
    client_secret: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What the provider knows of a payment or refund.

    Attributes:
        status: `succeeded`, `declined`, `pending`, `requires_action` (the customer must do something), `voided`
            (let go, nothing was taken) or `unknown` (never heard of it).
        reference: the provider's own id.
        code: the reason of a decline.
        captured: whether the money was taken, not only authorised.
        action: what the customer must do.
    """

    status: str
    reference: str | None = None
    code: str | None = None
    captured: bool = True
    action: NextAction | None = None


class ProviderDown(Exception):
    """No usable answer (time-out, 5xx, garbage): what happened is not known until the provider is asked."""


class ProviderPaused(ProviderDown):
    """The provider was not even asked, because it did not answer before; after `after` seconds it will be."""

    def __init__(self, text: str, after: float) -> None:
        super().__init__(text)
        self.after = after


class SavedMethod(msgspec.Struct, frozen=True):
    """A payment method that the provider keeps for a customer.

    Attributes:
        token: what `charge` takes as method; worth nothing without our key to the provider.
        expires: `2030-12`, None where it does not expire.
    """

    token: str
    brand: str
    last_four: str
    expires: str | None


class MethodRefused(Exception):  # noqa: N818
    """The provider does not keep this payment method; `code` is its reason."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the provider refuses the payment method: {code}")
        self.code = code


class Provider(Protocol):
    """A payment provider. Every call carries an idempotency key and may be repeated. Raises ProviderDown.

    `at` is the business time, for the provider's record; when a call is repeated the first one stands.
    """

    async def charge(self, key: str, order: UUID, amount: Money, method: str, at: datetime) -> Outcome:
        """Takes the money, or only secures it where the provider is set up so (`Outcome.captured`)."""
        ...

    async def capture(self, key: str, reference: str, amount: Money, at: datetime) -> Outcome:
        """Takes what was secured; `declined` or `voided` where it cannot be taken any more."""
        ...

    async def void(self, key: str, reference: str, at: datetime) -> Outcome:
        """Lets go what was secured or waits for the customer: `voided`, or `succeeded` where it was taken first."""
        ...

    async def save_method(self, key: str, customer: UUID, method: str) -> SavedMethod:
        """Keeps a method (a token from the provider's script) for the customer. Raises MethodRefused."""
        ...

    async def forget_method(self, token: str) -> None:
        """The opposite of save_method; of an unknown token nothing."""
        ...

    async def refund(self, key: str, reference: str, amount: Money, at: datetime) -> Outcome: ...

    async def find_charge(self, key: str, order: UUID) -> Outcome:
        """What is known of a charge by its key, else by the order in its metadata."""
        ...

    async def find_refund(self, key: str, reference: str) -> Outcome: ...


class Booked(msgspec.Struct, frozen=True):
    """Money that the provider has moved.

    Attributes:
        key: the idempotency key of the call, where the provider tells it.
        order: whose charge it is; None for a refund.
        amount: negative for a refund.
        at: the business time.
        reference: the provider's id, that of an `Outcome`.
        dispute: the bank took it for the cardholder (negative), or gave it back as the shop won (positive);
            `reference` is the dispute's id.
    """

    key: str
    order: UUID | None
    amount: Money
    at: datetime
    reference: str = ""
    dispute: bool = False


class ProviderRecord(Protocol):
    """The provider's own record, to reconcile with."""

    def booked(self, since: datetime | None = None, until: datetime | None = None) -> AsyncIterator[Booked]:
        """Charges whose money was taken, then refunds, of [since, until), and disputes. Raises ProviderDown."""
        ...


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider tells by itself (a webhook).

    Attributes:
        id: the same whenever the same notice is sent again.
        kind: `charge`, `refund` or `dispute`.
        outcome: as if the provider had been asked; of a dispute `status` is open, won or lost, `code` its
            reason and `reference` its id.
        order: whose; None where the provider did not say.
        refund: our id of the refund.
        charge: the provider's id of the payment that a dispute is about.
    """

    id: str
    kind: str
    outcome: Outcome
    amount: Money
    order: UUID | None = None
    refund: UUID | None = None
    charge: str | None = None


class BadNotice(Exception):  # noqa: N818
    """A webhook whose signature, time or body is not right."""


class Notices(Protocol):
    """Reads a provider's webhooks. `name` is the provider's."""

    name: str

    def read(self, body: bytes, signature: str, now: datetime) -> Notice | None:
        """The notice; None for one that says nothing which matters here. Raises BadNotice."""
        ...

    async def order_of(self, charge: str) -> UUID | None:
        """Whose payment it is, by the provider's id; None where it is not ours. Raises ProviderDown."""
        ...


class Label(msgspec.Struct, frozen=True):
    """A parcel that the carrier has taken on; `label_url` is where its label can be printed from, if anywhere."""

    carrier: str
    tracking_number: str
    tracking_url: str
    label_url: str = ""


class Address(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a parcel goes, in clear: lives in memory only. `region` is a state or province."""

    name: str
    lines: tuple[str, ...]
    city: str
    postcode: str
    country: str
    region: str = ""


class Carrier(Protocol):
    """A parcel carrier. Every call carries an idempotency key and may be repeated. Raises ProviderDown.

    `at` is the business time, by which parcels travel; when a call is repeated the first one stands.
    """

    async def book(
        self,
        key: str,
        order: UUID,
        parcel: int,
        address: Address,
        items: Mapping[str, int],
        service: str | None = None,
    ) -> Label:
        """A label for the parcel, for a service of the carrier's where one is named. Raises AddressRefused."""
        ...

    async def status(self, tracking_number: str, at: datetime) -> str:
        """`labelled`, `in_transit`, `delivered`, `lost`, `returned` or `unknown`."""
        ...

    async def void(self, key: str) -> None:
        """Gives back the label that was booked with this key, for nobody uses it; nothing where there is none."""
        ...

    async def hand_over(self, key: str, tracking_number: str, at: datetime) -> bool:
        """Says that the carrier is given the parcel; whether it has it, False while that is for people to do."""
        ...


class AddressRefused(Exception):
    """The carrier cannot deliver there; its text is a reason without anything personal."""


class ParcelNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What a carrier tells by itself of a parcel (a webhook).

    Attributes:
        id: the same whenever the same notice is sent again.
        status: as if the carrier had been asked.
        shipment: the carrier's own id of what was booked.
    """

    id: str
    tracking_number: str
    status: str
    shipment: str | None = None


class ParcelNotices(Protocol):
    """Reads the webhooks of a carrier, whose name in the settings is `carrier`."""

    carrier: str

    def read(self, body: bytes, signature: str, now: datetime) -> ParcelNotice | None:
        """The notice; None for one that says nothing which matters here. Raises BadNotice."""
        ...

    async def key_of(self, notice: ParcelNotice) -> str | None:
        """With which key the parcel was booked; None where it is not ours. Raises ProviderDown."""
        ...


# --- messages --------------------------------------------------------------------------------------


class Letter(msgspec.Struct, frozen=True):
    """What a message says: its subject on one line, the whole as plain text and as a page of HTML, and in one line."""

    subject: str
    text: str
    html: str
    short: str


class Letters(Protocol):
    """Puts messages into words. Fast enough for the event loop once it was asked a first time."""

    def write(self, kind: str, language: str, values: Mapping[str, Any]) -> Letter:
        """The letter of a kind in a language, English where there is none in that one. Raises KeyError, ValueError."""
        ...

    @property
    def languages(self) -> Sequence[str]:
        """The languages that every kind is written in."""
        ...


# --- papers -----------------------------------------------------------------------------------------


class PaperLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of goods. On a packing slip there are no prices; `rate` is of the tax, in percent."""

    line: int
    sku: str
    title: str
    quantity: int
    unit_price: Money | None = None
    rate: str | None = None
    total: Money | None = None


class Paper(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on an invoice, a credit note or a packing slip; personal data is in clear.

    Attributes:
        kind: invoice, credit_note or packing_slip.
        number: the document's, by which it is called.
        made_at: its date; supplied_at: when the goods left.
        language: in which it is to be written, where that can be done.
        recipient: line by line.
        sums: what leads from the lines to the total, as (word, amount): discount, shipping, shipping_discount, tax.
        taxes: what it says of each rate; tax_inclusive: the amounts above contain the tax.
        corrects: of a credit note: the number of the invoice, and `corrects_at` its date; `reason` is a word of ours.
        facts: what else is to be said, as (word, text).
    """

    kind: str
    number: str
    made_at: datetime
    language: str
    order_number: str
    ordered_at: datetime
    seller: Seller
    recipient: tuple[str, ...]
    lines: tuple[PaperLine, ...]
    sums: tuple[tuple[str, Money], ...] = ()
    total: Money | None = None
    taxes: tuple[TaxPart, ...] = ()
    tax_inclusive: bool = True
    supplied_at: datetime | None = None
    corrects: str | None = None
    corrects_at: datetime | None = None
    reason: str | None = None
    facts: tuple[tuple[str, str], ...] = ()


class Papers(Protocol):
    """Puts papers on pages."""

    async def pdf(self, paper: Paper) -> bytes:
        """The paper as PDF: the same bytes for the same paper. Raises Overloaded where too many wait."""
        ...


class Undelivered(Exception):  # noqa: N818
    """A message was not taken; `permanent` says that trying again does not help. Names no address."""

    def __init__(self, text: str, *, permanent: bool = False) -> None:
        super().__init__(text)
        self.permanent = permanent


class Sender(Protocol):
    """Carries messages by one channel. `name` says how, such as `smtp`."""

    name: str

    async def send(self, key: UUID, to: str, letter: Letter, unsubscribe: str | None = None) -> None:
        """Gives the letter to whoever delivers it.

        Args:
            key: names the message; a repeated one can be told by it.
            to: an e-mail address, a phone number or a device's token.
            unsubscribe: the address at which the person can end such messages with one click.

        Raises Undelivered.
        """
        ...


class Webhooks(Protocol):
    """Calls other programs by HTTP."""

    async def check(self, url: str) -> None:
        """Raises Undelivered, with the reason, for an address that may not or cannot be called."""
        ...

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The HTTP status of the answer; redirections are not followed.

        Raises Undelivered where there was none, or the address may not be called.
        """
        ...
