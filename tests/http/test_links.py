"""The pages behind the links of messages: there for every link, with nothing from elsewhere, calling what exists."""

import base64
import hashlib
import re

import pytest

from emporium.application import mail_tokens
from emporium.http.links import PAGES
from tests.http.client import API, House

pytestmark = pytest.mark.asyncio(loop_scope="module")

PURPOSES = (
    mail_tokens.VERIFY_EMAIL,
    mail_tokens.RESET_PASSWORD,
    mail_tokens.CONFIRM_NEW_EMAIL,
    mail_tokens.CONFIRM_OLD_EMAIL,
    mail_tokens.ACCEPT_INVITATION,
)


async def page(shared: House, path: str, language: str = "en-GB,en;q=0.9") -> str:
    answer = await shared.client.get(path, headers={"accept-language": language})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["referrer-policy"] == "same-origin", "the token in the address is nobody else's"
    assert not re.search(r"(src|href)=|//\w", answer.text)
    script = re.search(r"<script>(.*)</script>", answer.text, re.DOTALL)
    if script is not None:
        digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    return answer.text


@pytest.mark.parametrize("purpose", PURPOSES)
async def test_every_link_leads_to_a_page_that_calls_the_api(shared: House, purpose: str) -> None:
    path = purpose.replace("_", "-")
    text = await page(shared, f"/account/{path}?token=abc")
    assert "abc" not in text
    call = PAGES[path].call
    assert f'data-call="{call}"' in text
    document = (await shared.client.get(f"{API}/openapi.json")).json()
    body = document["paths"][call]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    fields = document["components"]["schemas"][body.rpartition("/")[2]]
    assert set(PAGES[path].fields) | {"token"} <= set(fields["properties"])
    assert set(fields["required"]) <= set(PAGES[path].fields) | {"token"}
    german = await page(shared, f"/account/{path}?token=abc", "de-AT,de;q=0.9,en;q=0.5")
    assert '<html lang="de">' in german and german != text


async def test_an_order_is_shown_to_who_has_its_code(shared: House) -> None:
    text = await page(shared, "/orders/K7QM-3XWD-9D0Z")
    assert 'data-order="/api/v1/orders/K7QM-3XWD-9D0Z"' in text
    hostile = await page(shared, '/orders/"><img onerror=x>')
    assert "<img" not in hostile


async def test_there_is_a_page_for_a_cart_that_was_left_and_none_for_nothing(shared: House) -> None:
    assert "waits where you filled it" in await page(shared, "/cart")
    assert "what has arrived" in await page(shared, "/reviews/new?order=K7QM-3XWD-9D0Z")
    assert (await shared.client.get("/account/nothing")).status_code == 404
