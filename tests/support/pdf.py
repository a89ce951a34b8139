"""The text of a PDF as its reader would copy it: streams are inflated, glyphs read by the fonts' own tables."""

import re
import zlib

__all__ = ["pages", "text"]

_OBJECT = re.compile(rb"(\d+) 0 obj\n(.*?)\nendobj", re.DOTALL)
_STREAM = re.compile(rb"stream\n(.*)\nendstream", re.DOTALL)
_SHOW = re.compile(rb"/(F\d+) [\d.]+ Tf|\((.*?)(?<!\\)\) ?Tj|\[(.*?)\] TJ|(BT)", re.DOTALL)
_ESCAPED = re.compile(rb"\\(n|r|t|b|f|\(|\)|\\)", re.DOTALL)
_PLAIN = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}


def _content(body: bytes) -> bytes:
    found = _STREAM.search(body)
    if found is None:
        return b""
    data = found.group(1)
    return zlib.decompress(data) if b"/FlateDecode" in body else data


def _glyphs(cmap: bytes) -> dict[int, str]:
    """Glyph → characters, from a ToUnicode table."""
    return {
        int(glyph, 16): bytes.fromhex(shown.decode()).decode("utf-16-be")
        for glyph, shown in re.findall(rb"<([0-9A-Fa-f]{4})> <([0-9A-Fa-f]+)>\n", cmap)
    }


def pages(document: bytes) -> list[str]:
    """The text of each page, one shown piece a line."""
    objects = {int(number): body for number, body in _OBJECT.findall(document)}
    fonts: dict[str, dict[int, str]] = {}
    for body in objects.values():
        for name, number in re.findall(rb"/(F\d+) (\d+) 0 R", body):
            unicode = re.search(rb"/ToUnicode (\d+) 0 R", objects[int(number)])
            assert unicode is not None
            fonts[name.decode()] = _glyphs(_content(objects[int(unicode.group(1))]))
    found = []
    for _, body in sorted(objects.items()):
        contents = re.search(rb"/Contents (\d+) 0 R", body)
        if b"/Type /Page\n" in body and contents is not None:
            found.append(_text(_content(objects[int(contents.group(1))]), fonts))
    return found


def _text(content: bytes, fonts: dict[str, dict[int, str]]) -> str:
    shown, font = [], next(iter(fonts))
    for name, piece, pieces, _ in _SHOW.findall(content):
        if name:
            font = name.decode()
            continue
        raw = piece or b"".join(re.findall(rb"\((.*?)(?<!\\)\)", pieces, re.DOTALL))
        codes = _ESCAPED.sub(lambda one: _PLAIN.get(one.group(1), one.group(1)), raw)
        glyphs = fonts[font]
        line = "".join(
            glyphs.get(int.from_bytes(codes[at : at + 2], "big"), "\ufffd") for at in range(0, len(codes), 2)
        )
        if line:
            shown.append(line)
    return "\n".join(shown)


def text(document: bytes) -> str:
    """The text of all pages."""
    return "\n".join(pages(document))
