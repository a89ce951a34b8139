"""`emporium admin rewrap-keys`: after it the new master key alone opens what was sealed under the old one."""

import base64
import os
from pathlib import Path
from uuid import uuid4

import msgspec

from emporium.application.bootstrap import open_shop, rewrap_keys
from emporium.infra.settings import Settings


async def test_the_new_master_key_alone_opens_what_the_old_one_sealed(database: str, folder: Path) -> None:
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    before = msgspec.structs.replace(Settings(), database_url=database, data_dir=folder, master_key=old)
    subject, stream = uuid4(), uuid4()
    async with open_shop(before) as opened:
        await opened.shop.vault.key_for(subject)
        sealed = opened.shop.vault.seal(subject, "Event", stream, "name", "Ada")
    both = msgspec.structs.replace(before, master_key=f"{new} {old}")
    assert await rewrap_keys(both) >= 1
    assert await rewrap_keys(both) == 0
    async with open_shop(msgspec.structs.replace(before, master_key=new)) as opened:
        await opened.shop.vault.load_keys([subject])
        assert opened.shop.vault.unseal(sealed, stream, "name") == "Ada"
