"""An example of every body, by operation, in the words of the demo shop; and the sandbox's test values."""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["EXAMPLES", "TEST_ADDRESSES", "TEST_METHODS"]

_SKU: Final = "DEMO-MUG-SAND"
_EMAIL: Final = "ada@example.org"
_PASSWORD: Final = "a teapot full of stars"
_NEW_PASSWORD: Final = "a kettle full of comets"
_TOKEN: Final = "the-token-of-the-link-in-the-mail"
_HOME: Final = {
    "name": "Ada Lovelace",
    "lines": ["12 St James Square"],
    "city": "London",
    "postcode": "SW1Y 4JH",
    "country": "GB",
}
_OFFER: Final = {"name": "Ten percent off in spring", "kind": "percentage", "percent": "10", "limit": 500}

EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "account_register": {"email": _EMAIL, "password": _PASSWORD, "name": "Ada Lovelace", "language": "en"},
    "account_verify": {"token": _TOKEN},
    "account_log_in": {"email": _EMAIL, "password": _PASSWORD},
    "account_change_profile": {"name": "Ada Lovelace", "phone": "+44 20 7946 0000", "language": "en"},
    "account_ask_for_reset": {"email": _EMAIL},
    "account_reset": {"token": _TOKEN, "password": _NEW_PASSWORD},
    "account_change_password": {"password": _PASSWORD, "new_password": _NEW_PASSWORD},
    "account_change_email": {"email": "ada.lovelace@example.org", "password": _PASSWORD},
    "account_confirm_email": {"token": _TOKEN},
    "account_prepare": {"password": _PASSWORD},
    "account_enable": {"code": "123456"},
    "account_renew_codes": {"code": "123456"},
    "account_disable": {"code": "123456"},
    "account_accept": {"token": _TOKEN, "password": _PASSWORD, "name": "Sam Porter"},
    "account_add_address": {**_HOME, "default_for": ["shipping"]},
    "account_change_address": {**_HOME, "lines": ["5 Dorset Street"], "postcode": "W1U 6QJ"},
    "account_add_method": {"method": "pm_ok"},
    "account_change_preferences": {"email": ["orders", "watched"], "sms": ["orders"], "push": [], "views": True},
    "account_add_watch": {"sku": _SKU, "kind": "price_drop"},
    "account_erase": {"password": _PASSWORD},
    "admin_create_key": {"name": "Handheld scanner", "scopes": ["warehouse:write"], "days": 90},
    "admin_invite": {"email": "sam@example.org", "roles": ["support"]},
    "admin_set_roles": {"roles": ["support", "warehouse"]},
    "cart_add": {"sku": _SKU, "quantity": 2},
    "cart_change": {"quantity": 3},
    "cart_choose": {"note": "A present: please no invoice in the parcel.", "language": "en"},
    "cart_use_coupon": {"code": "SPRING10"},
    "checkout_ask": {"country": "GB"},
    "checkout_check_out": {"email": _EMAIL, "payment_method": "pm_ok", "shipping_address": _HOME},
    "orders_cancel": {"reason": "changed_mind"},
    "orders_readdress": {**_HOME, "lines": ["5 Dorset Street"], "postcode": "W1U 6QJ"},
    "orders_take_back": {"lines": [{"line": 1, "quantity": 1}], "reason": "damaged", "restock": False},
    "orders_ask_return": {"lines": [{"line": 1, "quantity": 1, "reason": "too small"}]},
    "orders_judge_return": {"approved": True},
    "orders_receive_return": {"lines": [{"line": 1, "quantity": 1, "restock": True}]},
    "orders_take_order": {
        "email": _EMAIL,
        "lines": [{"sku": _SKU, "quantity": 10, "agreed_price": "11.995"}],
        "shipping_address": _HOME,
        "note": "Rings back on Friday.",
    },
    "orders_search": {"email": _EMAIL, "sku": _SKU, "limit": 20},
    "orders_hold": {"reason": "The customer rings back about the address."},
    "orders_tell_again": {"message": "order_created", "channel": "email"},
    "orders_write_note": {"text": "Called: wants it before Friday."},
    "payments_give_back": {"amount": 500, "reason": "goodwill"},
    "inventory_receive": {"sku": _SKU, "warehouse": "GB-LEEDS", "quantity": 50, "reference": "PO-1042"},
    "inventory_adjust": {"sku": _SKU, "warehouse": "GB-LEEDS", "change": -1, "reason": "broken"},
    "shipments_give_up": {"reason": "No carrier goes there."},
    "inventory_open_warehouse": {"code": "GB-EDINBURGH", "name": "Edinburgh", "country": "GB", "priority": 3},
    "inventory_change_warehouse": {"name": "Leith"},
    "inventory_set_mark": {"mark": 5},
    "inventory_allow_backorder": {"kind": "backorder", "limit": 20, "expected": "2099-05-04"},
    "inventory_count": {"warehouse": "GB-LEEDS", "lines": [{"sku": _SKU, "counted": 900}]},
    "inventory_send": {"source": "GB-LEEDS", "target": "GB-EDINBURGH", "lines": [{"sku": _SKU, "quantity": 3}]},
    "inventory_arrive": {"lines": [{"sku": _SKU, "quantity": 1}]},
    "inventory_lose": {"reason": "The lorry never came."},
    "catalog_create_category": {"name": "Enamelware"},
    "catalog_rename_category": {"name": "Enamel", "slug": "enamel"},
    "catalog_move_category": {"parent": None},
    "catalog_define_attribute": {"kind": "number", "unit": "ml"},
    "catalog_create_product": {"title": "Enamel mug", "description": "Light, and hard to break.", "brand": "Emporium"},
    "catalog_change_product": {"description": "Light, and *very* hard to break."},
    "catalog_add_variant": {"sku": "ENAMEL"},
    "catalog_change_price": {"amount": 950},
    "catalog_schedule_price": {
        "sku": "ENAMEL",
        "price": {"amount": 750, "currency": "GBP"},
        "starts_at": "2099-11-27T00:00:00Z",
        "ends_at": "2099-12-01T00:00:00Z",
    },
    "search_set_synonyms": {"words": ["sofa", "couch"]},
    "search_set_placement": {"query": "mug", "pins": ["d64858f6-4f19-51a5-85f7-ce403aa409ec"]},
    "search_note_outcome": {"q": "mug", "kind": "click", "product_id": "d64858f6-4f19-51a5-85f7-ce403aa409ec"},
    "reviews_write": {
        "product": "demo-tideline-stoneware-mug",
        "rating": 4,
        "name": "Ada",
        "title": "Keeps warm",
        "text": "Keeps tea warm for an hour, and stacks well.",
    },
    "reviews_change": {"rating": 5},
    "reviews_vote": {"helpful": True},
    "reviews_report": {"reason": "spam"},
    "reviews_decide": {"edition": 2, "publish": True},
    "reviews_answer": {"answer": "Thank you for telling others!"},
    "settings_change": {
        "legal_name": "Emporium Ltd",
        "vat_id": "GB123456789",
        "sender_address": {**_HOME, "name": "Emporium Ltd"},
    },
    "promotions_create": {"code": "SPRING10", "promotion": _OFFER},
    "promotions_change": {**_OFFER, "percent": "12.5"},
    "notifications_subscribe": {"channels": ["email"], "skus": [_SKU]},
    "webhooks_register": {
        "url": "https://erp.example/emporium",
        "topics": ["ordering.OrderCreated", "shipping.OrderShipped"],
        "description": "Our books",
    },
    "webhooks_change": {"topics": ["ordering.OrderCreated"], "active": True},
    "webhooks_replay": {"log": "ordering", "after": 0},
    "webhooks_rotate": {"overlap_hours": 24},
}
"""One that succeeds as it stands, where its codes, tokens and passwords are the caller's own."""

TEST_METHODS: Final = {
    "pm_ok": "charged",
    "pm_declined": "declined: card_declined",
    "pm_insufficient_funds": "declined: insufficient_funds",
    "pm_timeout_before": "no answer to the first two calls, nothing charged; charged at the third",
    "pm_timeout_after": "charged, but no answer to the first call",
    "pm_fail_once": "the first call fails with 500; charged at the second",
    "pm_garbage_once": "charged, but the first answer cannot be read",
    "pm_answer_twice": "charged once, answered twice",
    "pm_slow": "charged at once, answered after 2 s",
    "pm_never": "never answered, nothing charged",
    "pm_late": "pending; charged after 1 s",
    "pm_pending_forever": "pending for ever; no money taken",
    "pm_3ds": "3-D Secure: charged once the customer has authenticated at the payment's next_action",
    "pm_3ds_declined": "3-D Secure, then declined: card_declined",
    "pm_capture_refused": "charged; where the money is only secured, it cannot be taken",
}
"""What the sandbox's provider does, by payment method."""

TEST_ADDRESSES: Final = {
    "FAIL-ONCE": "the first call fails with 500; booked at the second",
    "REFUSED": "refused: staff find the parcel in the queue of addresses",
    "TIMEOUT-AFTER": "booked, but no answer to the first call",
    "LOST": "booked; the parcel is lost on its way",
    "RETURNED": "booked; the parcel comes back",
}
"""What the sandbox's carrier does, by the name in the address."""
