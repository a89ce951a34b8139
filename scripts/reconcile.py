"""`emporium reconcile`: a day's money in our events against the payment provider's own record."""

import asyncio
from datetime import date

import click

from emporium.application import bootstrap
from emporium.application.ports import ProviderDown
from emporium.application.reconcile import Difference, Reconciliation, reconcile
from emporium.infra.settings import Settings
from emporium.scripts.output import brief, moment, print_json

__all__ = ["run", "told"]


def run(settings: Settings, day: date, *, as_json: bool) -> int:
    """Prints every difference of a day; 1 where there is one. Raises click.ClickException without a provider."""
    try:
        outcome = asyncio.run(_reconcile(settings, day))
    except ProviderDown as down:
        raise click.ClickException(f"The payment provider cannot be asked: {down}.") from down
    if as_json:
        print_json(outcome)
    else:
        print("\n".join(told(outcome)))
    return 1 if outcome.differences else 0


async def _reconcile(settings: Settings, day: date) -> Reconciliation:
    async with (
        bootstrap.open_shop(settings, follows=False) as opened,
        bootstrap.provider_record(settings) as record,
    ):
        return await reconcile(opened.shop.logs["payments"], record, day)


def told(outcome: Reconciliation) -> list[str]:
    """The outcome for people."""
    lines = []
    for one in outcome.totals:
        ours = f"{one.our_payments} paid, {-one.our_refunds} given back"
        theirs = f"{one.their_payments} and {-one.their_refunds}"
        if one.our_disputes or one.their_disputes:
            ours += f", {-one.our_disputes} disputed"
            theirs += f" and {-one.their_disputes}"
        lines.append(f"{one.currency} (minor units): {ours} by our events; {theirs} by the provider's record.")
    lines += [_line(one) for one in outcome.differences]
    count = len(outcome.differences)
    if count:
        lines.append(f"{outcome.day}: {count} of {outcome.compared} payments, refunds and disputes differ.")
    else:
        lines.append(
            f"{outcome.day}: all {outcome.compared} payments, refunds and disputes are the same on both sides."
        )
    return lines


def _line(one: Difference) -> str:
    what = {
        "unknown_here": "the provider moved money that we do not know of",
        "unknown_there": "we recorded money that the provider does not know of",
        "amount": "the amounts differ",
    }[one.kind]
    order = f"order {one.order_id}" if one.order_id is not None else "no order"
    ours, theirs = ("nothing" if amount is None else brief(amount) for amount in (one.ours, one.theirs))
    return f"  {moment(one.at)}  {one.reference}  {order}: {what} (ours {ours}, theirs {theirs})"
