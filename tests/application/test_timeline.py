"""The timeline's words: every event that a story holds can be told, in both languages, and keeps the shop's secrets."""

import msgspec
import pytest

from emporium.application.timeline import LANGUAGES, facts_for_customers, told
from emporium.domain.registry import AGGREGATES
from emporium.projections.order_history import LOGS, _entry
from tests.support import stories

ENTRIES = [
    _entry(log, one)
    for log, events in stories.recorded(stories.year(22)).items()
    if log in LOGS
    for one in events
    if type(one.event) in LOGS[log]
]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_event_of_a_story_is_told_or_left_out(language: str) -> None:
    sentences = {}
    for entry in ENTRIES:
        facts = msgspec.json.decode(msgspec.json.encode(entry.facts))
        text = told(entry.name, facts, language)
        sentences[entry.name] = text
        assert text is None or (text.endswith(".") and "{" not in text)
        hidden = {"actor", "detail", "code", "short", "lines"} | ({"reason"} if entry.name != "OrderFailed" else set())
        assert not hidden & facts_for_customers(entry.name, facts).keys()
    quiet = {name for name, text in sentences.items() if text is None}
    assert {"PaymentRequested", "StockReserved", "ParcelLabelled", "ParcelRefused"} <= quiet
    assert sentences["InvoiceIssued"] is not None and sentences["OrderReturned"] is not None


def test_failures_say_why_in_the_customer_s_words_and_nobody_pays_nothing() -> None:
    assert told("OrderFailed", {"reason": "out_of_stock"}, "en") != told("OrderFailed", {"reason": "new"}, "en")
    assert told("OrderPaid", {"amount": {"amount": 0, "currency": "GBP"}}, "en") is None
    assert told("OrderPaid", {"amount": {"amount": 5, "currency": "GBP"}}, "fr") == "Your payment of £0.05 is secured."
    # What staff do among themselves has no words.
    known = {event.__name__ for aggregate in AGGREGATES for event in aggregate.events}
    for name in ("OrderHeld", "OrderReleased", "OrderNoteAdded", "OrderMessageRequested"):
        assert name in known and told(name, {"reason": "fraud"}, "en") is None
