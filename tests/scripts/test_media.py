"""Files under the hash of their content: stored once and whole, found by nothing but their name."""

import os
from pathlib import Path

import pytest

from emporium.infra.media import MediaFolder


def test_what_was_put_comes_back_with_its_type_and_may_be_kept_for_ever(tmp_path: Path) -> None:
    media = MediaFolder(tmp_path)
    url = media.put(b"<svg/>", "svg")
    assert url.startswith("/media/")
    found = media.get(url.removeprefix("/media/"))
    assert found is not None
    assert found.content == b"<svg/>"
    assert found.headers["content-type"] == "image/svg+xml"
    assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "default-src 'none'" in found.headers["content-security-policy"]


def test_the_same_content_is_stored_once(tmp_path: Path) -> None:
    media = MediaFolder(tmp_path)
    assert media.put(b"<svg/>", "svg") == media.put(b"<svg/>", "svg") != media.put(b"<svg></svg>", "svg")
    assert len(list((tmp_path / "media").iterdir())) == 2


def test_a_file_that_could_not_be_finished_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        MediaFolder(tmp_path).put(b"<svg/>", "svg")
    assert list((tmp_path / "media").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["", "..", "../secret.svg", "a.svg", "0" * 64 + ".svg", "0" * 64 + ".txt", "0" * 64 + ".svg\n", "%2e%2e/x", "\0"],
)
def test_no_other_name_leads_anywhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.svg").write_text("secret")
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.svg").write_text("not by hash")
    assert MediaFolder(tmp_path).get(name) is None


def test_kinds_that_cannot_be_served_are_not_taken(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        MediaFolder(tmp_path).put(b"#!/bin/sh", "sh")
