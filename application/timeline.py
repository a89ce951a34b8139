"""What happened to an order, in its customer's words; what is nobody's business but the shop's is left out."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from emporium.domain.amounts import money
from emporium.domain.base import Money
from emporium.domain.days import day

__all__ = ["LANGUAGES", "facts_for_customers", "told"]

LANGUAGES: Final = ("en", "de")
"""The first is that of people whose own is not here."""

_TOLD: Final[dict[str, tuple[str, str]]] = {
    "OrderCreated": ("We have your order.", "Ihre Bestellung ist bei uns eingegangen."),
    "PaymentActionRequired": ("Your payment needs your confirmation.", "Ihre Zahlung braucht Ihre Bestätigung."),
    "OrderPaid": ("Your payment of {amount} is secured.", "Ihre Zahlung über {amount} ist gesichert."),
    "OrderBackordered": (
        "Not all of your goods are here yet: we expect them on {expected} and send everything together then.",
        "Noch sind nicht alle Ihre Waren da: Wir erwarten sie am {expected} und versenden dann alles zusammen.",
    ),
    "OrderConfirmed": (
        "Your goods are set aside and will be packed.",
        "Ihre Waren sind reserviert und werden verpackt.",
    ),
    "OrderStockShort": (
        "Not all of your goods are in stock any more: your money goes back.",
        "Nicht alle Ihre Waren sind noch vorrätig: Sie erhalten Ihr Geld zurück.",
    ),
    "ParcelPacked": ("Parcel {parcel} is packed.", "Paket {parcel} ist verpackt."),
    "OrderDispatched": (
        "Parcel {parcel} of {of} is on its way. Tracking number: {tracking_number}.",
        "Paket {parcel} von {of} ist unterwegs. Sendungsnummer: {tracking_number}.",
    ),
    "ParcelDelivered": ("Parcel {parcel} was delivered.", "Paket {parcel} wurde zugestellt."),
    "ParcelLost": (
        "Parcel {parcel} was lost on its way: what was in it is paid back.",
        "Paket {parcel} ging auf dem Weg verloren: Der Inhalt wird erstattet.",
    ),
    "ParcelReturned": (
        "Parcel {parcel} could not be delivered and came back: what was in it is paid back.",
        "Paket {parcel} war nicht zustellbar und kam zurück: Der Inhalt wird erstattet.",
    ),
    "ParcelGivenUp": (
        "Parcel {parcel} cannot be sent: what was to be in it is paid back.",
        "Paket {parcel} kann nicht versandt werden: Der Inhalt wird erstattet.",
    ),
    "OrderCompleted": ("Your order is complete.", "Ihre Bestellung ist abgeschlossen."),
    "OrderFailed": ("Your order came to nothing.", "Ihre Bestellung kam nicht zustande."),
    "OrderCancellationRequested": ("The order is to be cancelled.", "Die Bestellung soll storniert werden."),
    "OrderCancelled": ("The order was cancelled.", "Die Bestellung wurde storniert."),
    "OrderCancellationRefused": (
        "It was too late to cancel the order.",
        "Für eine Stornierung war es zu spät.",
    ),
    "LinesCancellationRequested": ("Goods are to be cancelled.", "Waren sollen storniert werden."),
    "OrderLinesCancelled": (
        "Goods were cancelled (units: {units}): {amount} less is to be paid for the order.",
        "Waren wurden storniert (Stückzahl: {units}): Die Bestellung kostet {amount} weniger.",
    ),
    "LinesCancellationRefused": (
        "It was too late to cancel these goods: they are packed.",
        "Für eine Stornierung dieser Waren war es zu spät: Sie sind verpackt.",
    ),
    "OrderAddressChanged": ("The delivery address was changed.", "Die Lieferadresse wurde geändert."),
    "OrderClaimed": ("The order belongs to your account now.", "Die Bestellung gehört jetzt zu Ihrem Konto."),
    "ReturnRequested": ("You want to send goods back.", "Sie möchten Waren zurücksenden."),
    "ReturnApproved": ("You may send the goods back.", "Sie können die Waren zurücksenden."),
    "ReturnRefused": ("The goods are not taken back.", "Die Waren werden nicht zurückgenommen."),
    "ReturnReceived": ("The goods that you sent back are here.", "Ihre Rücksendung ist angekommen."),
    "OrderReturned": ("{amount} will be paid back to you for goods.", "{amount} werden Ihnen für Waren erstattet."),
    "GoodwillGranted": ("We give you {amount} back.", "Wir erstatten Ihnen {amount}."),
    "OrderRefunded": ("{amount} was paid back to you.", "{amount} wurden Ihnen erstattet."),
    "InvoiceIssued": ("Your invoice {number} is ready.", "Ihre Rechnung {number} liegt bereit."),
    "CreditNoteIssued": ("Your credit note {number} is ready.", "Ihre Rechnungskorrektur {number} liegt bereit."),
}
"""Event → English, German. What the customer is not told is not here: holds, notes, labels, stock, and whatever
another event of the same moment tells already."""

_FAILED: Final = {
    "payment_declined": (
        "Your payment was declined: the order came to nothing.",
        "Ihre Zahlung wurde abgelehnt: Die Bestellung kam nicht zustande.",
    ),
    "payment_timed_out": (
        "Your payment did not arrive in time: the order came to nothing.",
        "Ihre Zahlung kam nicht rechtzeitig an: Die Bestellung kam nicht zustande.",
    ),
    "out_of_stock": (
        "Not all of your goods are in stock any more: the order came to nothing.",
        "Nicht alle Ihre Waren sind noch vorrätig: Die Bestellung kam nicht zustande.",
    ),
}

_UNTAKEN: Final = (
    "{amount} less is taken from you than was secured.",
    "Es werden {amount} weniger abgebucht, als reserviert waren.",
)

_KEPT: Final = frozenset(
    {
        "amount",
        "expected",
        "total",
        "parcel",
        "of",
        "tracking_number",
        "number",
        "return_id",
        "refund_id",
        "note",
        "until",
        "units",
    }
)
_SAID: Final = {"OrderFailed": "reason", "ReturnRefused": "reason"}


def told(name: str, facts: Mapping[str, Any], language: str) -> str | None:
    """The sentence for an event with these (JSON) facts; None for what customers are not told."""
    words = _FAILED.get(facts.get("reason", "")) if name == "OrderFailed" else None
    if name == "OrderRefunded" and facts.get("untaken"):
        words = _UNTAKEN
    words = words or _TOLD.get(name)
    if words is None or (name == "OrderPaid" and not facts["amount"]["amount"]):
        return None
    place = LANGUAGES.index(language) if language in LANGUAGES else 0
    return words[place].format(**{key: _shown(key, value, language) for key, value in facts.items()})


def _shown(key: str, value: Any, language: str) -> Any:
    if key == "amount":
        return money(Money(value["amount"], value["currency"]), language)
    return day(date.fromisoformat(value), language) if key == "expected" else value


def facts_for_customers(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts without what staff and providers keep to themselves."""
    return {key: value for key, value in facts.items() if key in _KEPT or key == _SAID.get(name)}
