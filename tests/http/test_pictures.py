"""Pictures: cleaned, bounded, addressed by their content, and made smaller afterwards."""

import asyncio
import io
import os
import socket
import struct
import zlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from PIL import Image

from emporium.application import bootstrap
from emporium.application.catalog import LOG
from emporium.application.together import end
from emporium.infra.media import MediaStore
from emporium.infra.settings import Settings
from emporium.projections import picture_owners
from tests.http.client import API, Caller, House
from tests.http.conftest import running
from tests.http.test_product_pages import put, shop

__all__ = ["shop"]


def photo(width: int = 1_000, height: int = 500, kind: str = "JPEG", **more: Any) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(out, kind, **more)
    return out.getvalue()


def from_a_phone() -> bytes:
    """Taken sideways, with the place where it was."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "my kitchen"
    exif.get_ifd(0x8825)[1] = "N"
    return photo(exif=exif)


def bomb() -> bytes:
    """A small PNG that says it is a wall."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1_000)) + chunk(b"IEND", b"")
    )


async def upload(caller: Caller, content: bytes) -> httpx.Response:
    headers = {**caller.headers, "content-type": "image/jpeg"}
    return await caller.client.post(f"{API}/admin/pictures", content=content, headers=headers)


async def test_a_picture_is_cleaned_shown_and_made_smaller(shop: House) -> None:
    staff, guest = await shop.staff("catalog_manager"), shop.guest()
    answer = await upload(staff, from_a_phone())
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["width"], made["height"]) == (500, 1_000), "it stands upright"
    assert (await upload(staff, from_a_phone())).json()["url"] == made["url"]
    stored = await shop.client.get(made["url"])
    assert stored.headers["content-type"] == "image/jpeg"
    picture = Image.open(io.BytesIO(stored.content))
    assert dict(picture.getexif()) == {} and b"kitchen" not in stored.content
    path = f"/admin/pictures/{made['picture_id']}"
    done = await shop.until(staff, path, lambda body: body["sizes"] is not None)
    assert [(one["width"], one["height"]) for one in done["sizes"]] == [(320, 640)]
    small = await shop.client.get(done["sizes"][0]["url"])
    assert small.headers["content-type"] == "image/webp" and Image.open(io.BytesIO(small.content)).size == (320, 640)
    image = {"url": made["url"], "alt": "A kitchen", "width": 500, "height": 1_000}
    await put(staff, "Lamp", "LAMP", 900, images=[image])
    await shop.shows(LOG, await shop.shop.logs[LOG].head(), "catalog_pages")
    page = (await guest.get("/products/lamp")).json()
    assert page["images"] == [{**image, "sizes": done["sizes"]}]
    assert (await guest.get("/products?limit=1")).status_code == 200


REFUSED = {
    "empty": b"", "head": b"GIF89a", "svg": b"<svg onload='alert(1)'/>", "bomb": bomb(), "cut": photo()[:3_000],
    "pdf": b"%PDF-1.4",
}  # fmt: skip


async def test_what_cannot_be_taken_is_refused_and_colours_seen_through_are_kept(house: House) -> None:
    staff = await house.staff("catalog_manager")
    for name, content in REFUSED.items():
        answer = await upload(staff, content)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/picture_refused"), name
    assert (await upload(staff, b"\xff" * 10_000_001)).status_code == 413
    out = io.BytesIO()
    Image.new("RGBA", (40, 40), (255, 0, 0, 100)).save(out, "PNG")
    made = (await upload(staff, out.getvalue())).json()
    assert made["url"].endswith(".png")
    assert (await upload(house.guest(), out.getvalue())).status_code == 401


BUCKET = os.environ.get("S3_TEST_URL")


@pytest.mark.skipif(BUCKET is None, reason="S3_TEST_URL names no bucket of a server that speaks like S3")
async def test_pictures_lie_in_a_store_that_speaks_like_s3(settings: Settings) -> None:
    there = msgspec.structs.replace(settings, media_url=f"{BUCKET}/{uuid4()}")
    async with running(there) as house:
        keeper = asyncio.create_task(bootstrap.catalog_keeper(house.opened, name="test").run())
        try:
            await test_a_picture_is_cleaned_shown_and_made_smaller(house)
        finally:
            await end([keeper])
        reads, traces, who = house.services.reads, house.services.traces, uuid4()
        path = await asyncio.to_thread(house.services.media.put, photo(20, 10), "jpg")
        await reads.run(lambda connection: picture_owners.note(connection, who, [path], used=True))
        shown = await house.client.get(path)
        assert (shown.status_code, shown.headers["content-type"], shown.content) == (200, "image/jpeg", photo(20, 10))
        assert await traces.forget([who]) == 1
        assert (await house.client.get(path)).status_code == 404
        assert not (there.data_dir / "media").exists()


async def test_while_the_store_is_away_that_is_said_and_nothing_is_lost(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    for name, value in {"ENDPOINT_URL": nobody, "ALLOW_HTTP": "true", "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x",
                        "REGION": "us-east-1"}.items():  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    async with running(msgspec.structs.replace(settings, media_url="s3://pictures")) as house:
        staff, who, path = await house.staff("catalog_manager"), uuid4(), f"/media/{'0' * 64}.jpg"
        for answer in (await upload(staff, photo()), await house.client.get(path)):
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
            assert answer.headers["retry-after"]
        reads, traces = house.services.reads, house.services.traces
        await reads.run(lambda connection: picture_owners.note(connection, who, [path], used=True))
        assert await traces.forget([who]) == 0
        assert await reads.run(lambda connection: picture_owners.held(connection, who)) == [path]


def test_a_store_of_objects_keeps_the_same_promises(tmp_path: Path) -> None:
    for url in ("memory:///", f"file://{tmp_path}"):
        store = MediaStore(url)
        address = store.put(b"<svg/>", "svg")
        assert address == store.put(b"<svg/>", "svg")
        found = store.get(address.removeprefix("/media/"))
        assert found is not None and found.content == b"<svg/>" and found.headers["content-type"] == "image/svg+xml"
        for name in ("0" * 64 + ".svg", "../x.svg", ""):
            assert store.get(name) is None
        with pytest.raises(KeyError):
            store.put(b"", "sh")
        name = store.keep(b"hello")
        assert store.kept(name) == b"hello" and store.kept("0" * 64 + ".kept") is None
        for path in (address, address, "/media/../x.svg"):
            store.delete(path)
        assert store.get(address.removeprefix("/media/")) is None
    assert Settings().media_url is None
