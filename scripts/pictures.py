"""Pictures of the demo products, drawn from their data: the same article always gives the same bytes."""

import hashlib
from html import escape
from textwrap import wrap
from typing import Final

__all__ = ["HEIGHT", "WIDTH", "picture"]

WIDTH, HEIGHT = 800, 800
"""Pixels."""

# One drawing per shop floor, in a box of 200 by 200, stroked in white.
_DRAWINGS: Final = {
    "demo-kitchen": (
        '<path d="M40 60h95v75a32 32 0 0 1-32 32H72a32 32 0 0 1-32-32z"/>'
        '<path d="M135 78h12a22 22 0 0 1 0 44h-12"/><path d="M66 42c-8-10 8-14 0-26M96 42c-8-10 8-14 0-26"/>'
    ),
    "demo-home": (
        '<path d="M70 26h60l28 66H42z"/><path d="M100 92v70"/><path d="M66 170h68"/><path d="M128 92v26"/>'
        '<circle cx="128" cy="124" r="5"/>'
    ),
    "demo-garden": (
        '<path d="M100 176V92"/><path d="M100 110C60 112 44 86 42 52c36 0 58 20 58 58z"/>'
        '<path d="M100 92c0-34 22-58 60-60 0 38-22 60-60 60z"/>'
    ),
    "demo-clothing": ('<path d="M72 34 34 54l14 36 18-8v84h68V82l18 8 14-36-38-20c-4 14-14 20-28 20s-24-6-28-20z"/>'),
    "demo-electronics": (
        '<path d="M38 118V98a62 62 0 0 1 124 0v20"/>'
        '<rect x="28" y="112" width="28" height="52" rx="12"/><rect x="144" y="112" width="28" height="52" rx="12"/>'
    ),
    "demo-stationery": (
        '<path d="M46 26h92a12 12 0 0 1 12 12v124a12 12 0 0 1-12 12H46z"/><path d="M66 26v148"/>'
        '<path d="M84 66h46M84 90h46M84 114h28"/>'
    ),
    "demo-toys-games": (
        '<rect x="30" y="100" width="68" height="68" rx="10"/><rect x="104" y="100" width="68" height="68" rx="10"/>'
        '<rect x="67" y="26" width="68" height="68" rx="10"/>'
        '<circle cx="101" cy="60" r="7"/><circle cx="50" cy="120" r="7"/><circle cx="78" cy="148" r="7"/>'
        '<circle cx="138" cy="134" r="7"/>'
    ),
    "demo-sports-outdoors": (
        '<path d="M18 160 78 52l36 64 18-28 50 72z"/><path d="M60 84l18 14 16-16"/><circle cx="150" cy="46" r="16"/>'
    ),
}
_LINE: Final = 22
_ROOM: Final = 64


def picture(code: str, title: str, brand: str, floor: str) -> str:
    """An SVG of WIDTH by HEIGHT pixels: a drawing of what is sold on its floor, the title, the brand.

    Args:
        code: decides the colours.
        floor: the slug of the topmost category.
    """
    chance = hashlib.sha256(code.encode()).digest()
    hue = chance[0] * 360 // 256
    tilt = chance[1] % 30 - 15
    across, down, size = 120 + chance[2] * 2, 60 + chance[3], 150 + chance[4]
    lines = wrap(title, _LINE, break_on_hyphens=False)
    top = 690 - _ROOM * (len(lines) - 1)
    words = "".join(
        f'<text x="400" y="{top + _ROOM * number}" font-size="52" font-weight="700">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(title)}">'
        f'<defs><linearGradient id="g" gradientTransform="rotate({45 + tilt} .5 .5)">'
        f'<stop offset="0" stop-color="hsl({hue},58%,46%)"/>'
        f'<stop offset="1" stop-color="hsl({(hue + 42) % 360},62%,30%)"/></linearGradient></defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="url(#g)"/>'
        f'<circle cx="{across}" cy="{down}" r="{size}" fill="#fff" fill-opacity=".1"/>'
        f'<circle cx="{WIDTH - across // 2}" cy="{HEIGHT - down}" r="{size // 2 + 90}" fill="#000" fill-opacity=".09"/>'
        f'<g transform="translate(200 110) scale(2) rotate({tilt // 3} 100 100)" fill="none" stroke="#fff" '
        f'stroke-width="9" stroke-linejoin="round" stroke-linecap="round">{_DRAWINGS[floor]}</g>'
        f'<g fill="#fff" text-anchor="middle" font-family="system-ui,sans-serif">{words}'
        f'<text x="400" y="752" font-size="30" fill-opacity=".8">{escape(brand)}</text></g></svg>\n'
    )
