"""What a transfer between two warehouses does, and a count."""

from datetime import timedelta

from emporium.domain.base import QUANTITY_OUT_OF_RANGE
from emporium.domain.stock import Cost
from emporium.domain.stock_count import (
    COUNT_LINES,
    COUNT_OUT_OF_RANGE,
    COUNTED_WHEN,
    OLDEST,
    CountLine,
    RecordCount,
    StockCounted,
)
from emporium.domain.text import TEXT_LENGTH, WRONG_SHAPE
from emporium.domain.transfer import (
    ENDED,
    NO_SUCH_TRANSFER,
    NOT_ON_THE_WAY,
    ON_THE_WAY,
    TRANSFER_ENDED,
    TRANSFER_LINES,
    TRANSFER_NOWHERE,
    LoseTransfer,
    ReceiveTransfer,
    SendTransfer,
    TransferArrived,
    TransferLine,
    TransferLost,
    TransferSent,
)
from tests.domain.spec import NOW, given, uid

IT = uid(1)
MUGS, CUPS = TransferLine("MUG", 5, Cost(10_000, "GBP")), TransferLine("CUP", 2)
SENT = TransferSent(transfer_id=IT, source="NORTH", target="SOUTH", lines=(MUGS, CUPS))


def send(*lines: TransferLine, target: str = "SOUTH") -> SendTransfer:
    return SendTransfer(transfer_id=IT, source="NORTH", target=target, lines=lines)


def arrived(*lines: TransferLine) -> TransferArrived:
    return TransferArrived(transfer_id=IT, lines=lines)


def test_units_leave_arrive_in_part_and_the_rest_is_lost() -> None:
    given().when(send(MUGS, CUPS)).then(SENT).leads_to(status=ON_THE_WAY, on_the_way={"MUG": 5, "CUP": 2})
    given(SENT).when(send(MUGS)).then()
    part = arrived(TransferLine("MUG", 3, Cost(10_000, "GBP")))
    given(SENT).when(ReceiveTransfer(transfer_id=IT, units={"MUG": 3})).then(part).leads_to(
        on_the_way={"MUG": 2, "CUP": 2}
    )
    lost = TransferLost(transfer_id=IT, lines=(TransferLine("MUG", 2, Cost(10_000, "GBP")), CUPS), reason="stolen")
    given(SENT, part).when(LoseTransfer(transfer_id=IT, reason="stolen")).then(lost).leads_to(
        status=ENDED, arrived={"MUG": 3}, lost={"MUG": 2, "CUP": 2}
    )
    given(SENT, part, lost).when(ReceiveTransfer(transfer_id=IT)).rejected(TRANSFER_ENDED)


def test_nothing_arrives_that_is_not_on_the_way() -> None:
    more = ReceiveTransfer(transfer_id=IT, units={"MUG": 6})
    given(SENT).when(more).rejected(NOT_ON_THE_WAY, sku="MUG", on_the_way=5, quantity=6)
    given(SENT).when(ReceiveTransfer(transfer_id=IT, units={"POT": 1})).rejected(NOT_ON_THE_WAY, on_the_way=0)
    given(SENT).when(ReceiveTransfer(transfer_id=IT, units={"MUG": 0})).rejected(NOT_ON_THE_WAY, quantity=0)
    given(SENT).when(ReceiveTransfer(transfer_id=IT, units={})).rejected(TRANSFER_LINES)
    given(SENT).when(LoseTransfer(transfer_id=IT, reason=" ")).rejected(TEXT_LENGTH)
    given().when(ReceiveTransfer(transfer_id=IT)).rejected(NO_SUCH_TRANSFER)


def test_what_is_no_transfer() -> None:
    given().when(send(MUGS, target="NORTH")).rejected(TRANSFER_NOWHERE)
    given().when(send()).rejected(TRANSFER_LINES, lines=0)
    given().when(send(MUGS, MUGS)).rejected(TRANSFER_LINES, lines=2, skus=1)
    given().when(send(TransferLine("MUG", 0))).rejected(QUANTITY_OUT_OF_RANGE)
    given().when(send(TransferLine("", 1))).rejected(WRONG_SHAPE)


def count(*lines: CountLine) -> RecordCount:
    return RecordCount(count_id=IT, warehouse="NORTH", lines=lines, now=NOW)


def test_a_count_says_what_was_found_and_never_changes() -> None:
    lines = (CountLine("MUG", 7, 9, NOW), CountLine("CUP", 0, 0, NOW - OLDEST))
    counted = StockCounted(count_id=IT, warehouse="NORTH", lines=lines)
    given().when(count(*lines)).then(counted)
    assert [line.difference for line in lines] == [-2, 0]
    given(counted).when(count(CountLine("MUG", 1, 1, NOW))).then()


def test_what_is_no_count() -> None:
    given().when(count()).rejected(COUNT_LINES, lines=0)
    given().when(count(CountLine("MUG", 1, 1, NOW), CountLine("MUG", 2, 1, NOW))).rejected(COUNT_LINES, skus=1)
    given().when(count(CountLine("MUG", -1, 1, NOW))).rejected(COUNT_OUT_OF_RANGE, counted=-1)
    second = timedelta(seconds=1)
    for at in (NOW + second, NOW - OLDEST - second):
        given().when(count(CountLine("MUG", 1, 1, at))).rejected(COUNTED_WHEN)
