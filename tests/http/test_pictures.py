"""Pictures: cleaned, bounded, addressed by their content, and made smaller afterwards."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from emporium.application.catalog import LOG
from emporium.infra.media import MediaStore
from emporium.infra.settings import Settings
from tests.http.client import API, Caller, House
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
    assert Settings().media_url is None
