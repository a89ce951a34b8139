"""The master key comes from a file that only its owner can read, or from a setting, or not at all."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from emporium.infra.vault import MasterKey, MasterKeyError, masters_from_file, masters_from_text, masters_in_folder

SUBJECT = uuid4()


def text_of(*keys: bytes) -> str:
    return "\n".join(base64.b64encode(key).decode() for key in keys)


def test_the_first_start_makes_a_key_that_only_the_owner_can_read(tmp_path: Path) -> None:
    made = masters_in_folder(tmp_path)
    again = masters_in_folder(tmp_path)
    [file] = tmp_path.iterdir()
    assert file.name == "master.key"
    assert file.stat().st_mode & 0o777 == 0o600
    wrapped = made.current.wrap(SUBJECT, b"k" * 32)
    assert again.unwrap(SUBJECT, made.current.id, wrapped) == b"k" * 32


def test_the_mask_of_the_process_does_not_matter(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        masters_in_folder(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600


def test_two_first_starts_at_once_use_one_key(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from emporium.infra.vault import masters_in_folder; sys.stdin.readline();"
        "print(masters_in_folder(pathlib.Path(sys.argv[1])).current.id)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )
        for _ in range(4)
    ]  # fmt: skip
    for start in starts:
        assert start.stdin is not None
        start.stdin.write("\n")
        start.stdin.flush()
    assert len({start.communicate(timeout=30)[0] for start in starts}) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]


def test_a_crash_leaves_no_half_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", crash)
        with pytest.raises(KeyboardInterrupt):
            masters_in_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []
    masters_in_folder(tmp_path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    masters_in_folder(tmp_path)
    file = tmp_path / "master.key"
    file.chmod(mode)
    with pytest.raises(MasterKeyError, match=rf"open to others \(mode 0{mode:o}\).*chmod 600 {file}`"):
        masters_in_folder(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"not base64!", base64.b64encode(b"short"), base64.b64encode(b"k" * 33), b"\xff\x00", b"A" * 100_000],
)
def test_a_malformed_key_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "elsewhere"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(MasterKeyError, match=rf"{file} (is malformed|holds no master key)") as caught:
        masters_from_file(file)
    assert "head -c 32" in str(caught.value)
    assert len(content) < 5 or content.decode("latin1").strip() not in str(caught.value)


def test_a_file_elsewhere_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyError, match="cannot be read: No such file or directory"):
        masters_from_file(tmp_path / "elsewhere")
    with pytest.raises(MasterKeyError, match="cannot be made: No such file or directory"):
        masters_in_folder(tmp_path / "nowhere")
    with pytest.raises(MasterKeyError, match="cannot be read: Is a directory"):
        masters_from_file(tmp_path)


def test_of_several_keys_the_first_wraps_and_all_unwrap() -> None:
    new, old = b"n" * 32, b"o" * 32
    before = masters_from_text(text_of(old), "EMPORIUM_MASTER_KEY")
    both = masters_from_text(text_of(new, old), "EMPORIUM_MASTER_KEY")
    after = masters_from_text(text_of(new), "EMPORIUM_MASTER_KEY")
    assert both.current.id == after.current.id
    for masters in (before, after):
        wrapped = masters.current.wrap(SUBJECT, b"k" * 32)
        assert both.unwrap(SUBJECT, masters.current.id, wrapped) == b"k" * 32
    with pytest.raises(MasterKeyError, match="wrapped by master key"):
        after.unwrap(SUBJECT, before.current.id, b"")


def test_base64_in_both_alphabets_and_hexadecimal_are_read() -> None:
    raw = b"\xfb\xff" * 16
    written = [
        base64.b64encode(raw).decode(),
        f" {base64.urlsafe_b64encode(raw).decode()}\n",
        raw.hex(),
        raw.hex().upper(),
    ]
    assert len(set(written)) == 4
    assert {masters_from_text(text, "x").current.id for text in written} == {MasterKey(raw).id}


def test_a_wrapped_key_belongs_to_its_subject() -> None:
    master = masters_from_text(text_of(b"m" * 32), "x").current
    wrapped = master.wrap(SUBJECT, b"k" * 32)
    for subject, content in ((uuid4(), wrapped), (SUBJECT, wrapped[:-1]), (SUBJECT, b"")):
        with pytest.raises(ValueError, match="altered or moved"):
            master.unwrap(subject, content)


def test_neither_key_nor_masters_show_themselves() -> None:
    masters = masters_from_text(text_of(b"m" * 32), "x")
    assert "mmmm" not in repr(masters) + repr(masters.current) + masters.current.id
