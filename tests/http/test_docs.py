"""What README.md and the pages on orders, shipping and documents show by curl is done as it stands, in a row."""

import asyncio
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from emporium.infra.settings import Settings
from tests.http.client import Caller, House
from tests.http.conftest import running
from tests.http.test_process import outside
from tests.support.sandbox import SandboxProcess

ROOT = Path(__file__).resolve().parents[2]


def blocks(page: str) -> list[str]:
    """The shell scripts of a page."""
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.S | re.M)


class Shell:
    """Runs one script after the other in a folder; what they set stays."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._folder = folder
        self._kept = folder / "variables"
        self._kept.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))

    async def run(self, script: str) -> str:
        """What it says. Every call must succeed."""
        # `set` would list what is bash's own as well: only the words of the pages are kept.
        names = "shop cart number token staff return invoice"
        lines = f"""
            set -euo pipefail
            curl() {{ command curl --fail-with-body "$@"; }}
            . ./variables
            {{
            {script}
            }}
            for name in {names}; do [ -z "${{!name-}}" ] || echo "$name=${{!name}}"; done > variables
        """
        done = await asyncio.to_thread(
            subprocess.run, ["bash", "-c", lines], cwd=self._folder, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def __getitem__(self, name: str) -> str:
        return dict(line.split("=", 1) for line in self._kept.read_text().splitlines())[name]


@pytest.mark.timeout(180)
async def test_what_the_pages_show_by_curl_can_be_done(settings: Settings, folder: Path) -> None:
    with SandboxProcess(folder / "sandbox.sqlite") as sandbox:
        there = msgspec.structs.replace(settings, provider_url=sandbox.url, carrier_url=sandbox.url)
        async with running(there, saga=True) as house, outside(house, folder / "serve.log") as (client, _):
            await house.stock_demo()
            await through(house, client, folder)


async def through(house: House, client: httpx.AsyncClient, folder: Path) -> None:
    admin = await house.staff()
    staff = admin.headers["authorization"].removeprefix("Bearer ")
    shell = Shell(folder, staff=staff)
    [readme] = [one for one in blocks("README.md") if "curl" in one]
    # The stream of events ends with the order, which waits for us here; the audit is a command.
    lines = [line for line in readme.splitlines() if not line.startswith("curl -sN") and ".venv/bin" not in line]
    script = "\n".join(lines).replace("http://127.0.0.1:8000", str(client.base_url))
    bought, looked = re.split(r"(?=^# Paid)", script, flags=re.M)
    await shell.run(bought)
    number, guest = shell["number"], Caller(client)
    guest.headers["order-token"] = shell["token"]
    await house.order_is(guest, number, "confirmed")
    assert number in await shell.run(looked)
    before = (await house.labelled(admin, number))["parcels"][0]["tracking_number"]
    desk, afterwards = blocks("docs/orders.md")
    said = await shell.run(desk)
    assert number in said

    def there(body: Any) -> bool:
        return bool(body["shipping_address"]["postcode"] == "W1U 6QJ" and body["refunds"])

    await house.until(guest, f"/orders/{number}", there)
    await packable(house, number, before)
    [warehouse] = blocks("docs/shipping.md")
    assert number in await shell.run(warehouse)
    await house.order_is(guest, number, "fulfilled")
    await house.until(guest, f"/orders/{number}/documents", lambda body: body["items"])
    [papers] = blocks("docs/documents.md")
    await shell.run(papers)
    assert [one[:4] for one in invoices(folder)] == [b"%PDF"]
    await shell.run(afterwards)
    await house.until(guest, f"/payments/{number}", lambda body: body["refunded"]["amount"] > 300)
    stream = next(line for line in readme.splitlines() if line.startswith("curl -sN"))
    assert "event: end" in await shell.run(stream)


async def packable(house: House, number: str, before: str) -> None:
    """Returns when the parcel waits to be packed, with another label than that of `before` the address changed."""

    def listed(body: Any) -> bool:
        return any(one["order_number"] == number and one["tracking_number"] != before for one in body["items"])

    await house.until(await house.staff("warehouse"), "/shipments/packing?warehouse=GB-LEEDS", listed)


def invoices(folder: Path) -> list[bytes]:
    return [one.read_bytes() for one in folder.glob("INV-*.pdf")]
