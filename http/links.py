"""Where the links of messages lead while a shop has no pages of its own: small pages that call the API."""

import base64
import hashlib
from html import escape
from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, get
from litestar.params import FromQuery, PathParameter

from emporium.http.problems import KINDS
from emporium.http.reply import Reply
from emporium.http.request import Request

__all__ = ["PAGES", "LinkController"]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What a page asks, by language, and the call that it makes with the token of its link.

    Attributes:
        call: the API's path; None where nothing can be done here.
        words: language → title, text, button, what it says when it is done.
        fields: asked for beside the token: name → language → label. A name of `password` is typed unseen.
    """

    call: str | None
    words: dict[str, tuple[str, str, str, str]]
    fields: dict[str, dict[str, str]] = {}


_PASSWORD: Final = {"en": "New password", "de": "Neues Passwort"}

PAGES: Final = {
    "verify-email": Page(
        call="/api/v1/account/verification",
        words={
            "en": ("Confirm your address", "Is this e-mail address yours?", "Confirm", "Your address is confirmed."),
            "de": (
                "Adresse bestätigen",
                "Gehört diese E-Mail-Adresse Ihnen?",
                "Bestätigen",
                "Die Adresse ist bestätigt.",
            ),
        },
    ),
    "reset-password": Page(
        call="/api/v1/account/password/reset",
        words={
            "en": (
                "Set a new password",
                "All your devices will have to log in again.",
                "Set the password",
                "The new password holds from now on.",
            ),
            "de": (
                "Neues Passwort festlegen",
                "Alle Ihre Geräte müssen sich danach neu anmelden.",
                "Passwort festlegen",
                "Ab jetzt gilt das neue Passwort.",
            ),
        },
        fields={"password": _PASSWORD},
    ),
    "confirm-new-email": Page(
        call="/api/v1/account/email/confirm",
        words={
            "en": (
                "Confirm your new address",
                "The change holds once both addresses have agreed.",
                "Confirm",
                "This address has agreed.",
            ),
            "de": (
                "Neue Adresse bestätigen",
                "Die Änderung gilt, sobald beide Adressen zugestimmt haben.",
                "Bestätigen",
                "Diese Adresse hat zugestimmt.",
            ),
        },
    ),
    "confirm-old-email": Page(
        call="/api/v1/account/email/confirm",
        words={
            "en": (
                "Agree to the change of your address",
                "The change holds once both addresses have agreed. If you did not ask for it, do nothing here and"
                " change your password.",
                "Agree",
                "This address has agreed.",
            ),
            "de": (
                "Der Änderung Ihrer Adresse zustimmen",
                "Die Änderung gilt, sobald beide Adressen zugestimmt haben. Wenn Sie sie nicht gewünscht haben, tun Sie"
                " hier nichts und ändern Sie Ihr Passwort.",
                "Zustimmen",
                "Diese Adresse hat zugestimmt.",
            ),
        },
    ),
    "accept-invitation": Page(
        call="/api/v1/account/invitations/accept",
        words={
            "en": (
                "Accept the invitation",
                "Choose a password for your account of staff. If you have an account with this address already, its"
                " password stays as it is.",
                "Accept",
                "Welcome: you can log in now.",
            ),
            "de": (
                "Einladung annehmen",
                "Wählen Sie ein Passwort für Ihr Konto. Wenn Sie mit dieser Adresse schon ein Konto haben, bleibt"
                " dessen Passwort, wie es ist.",
                "Annehmen",
                "Willkommen: Sie können sich jetzt anmelden.",
            ),
        },
        fields={"name": {"en": "Name", "de": "Name"}, "password": _PASSWORD},
    ),
}
"""By the last part of the link's path."""

_ORDER: Final = Page(
    call=None,
    words={
        "en": ("Order {number}", "The code is in the mail that confirmed the order.", "Look", ""),
        "de": ("Bestellung {number}", "Der Code steht in der Mail, die die Bestellung bestätigt hat.", "Ansehen", ""),
    },
    fields={"token": {"en": "Code", "de": "Code"}},
)
_CART: Final = Page(
    call=None,
    words={
        "en": ("Your cart", "It waits where you filled it: open the shop there.", "", ""),
        "de": ("Ihr Warenkorb", "Er wartet, wo Sie ihn gefüllt haben: Öffnen Sie dort den Shop.", "", ""),
    },
)
_REVIEW: Final = Page(
    call=None,
    words={
        "en": (
            "Write a review",
            "Log in where you shop: what has arrived and waits for your word is listed there.",
            "",
            "",
        ),
        "de": (
            "Bewertung schreiben",
            "Melden Sie sich im Shop an: Dort steht, was angekommen ist und bewertet werden kann.",
            "",
            "",
        ),
    },
)
_FAILED: Final = {"en": "That did not work. Please try again.", "de": "Das hat nicht geklappt. Bitte noch einmal."}

_SCRIPT: Final = """
const form = document.querySelector('form'), told = document.querySelector('output');
const money = (one) => {
  const format = new Intl.NumberFormat(document.documentElement.lang, {style: 'currency', currency: one.currency});
  return format.format(one.amount / 10 ** format.resolvedOptions().maximumFractionDigits);
};
const line = (text) => { const row = document.createElement('p'); row.textContent = text; told.append(row); };
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = form.querySelector('button'), given = Object.fromEntries(new FormData(form));
  button.disabled = true;
  told.textContent = '';
  try {
    const answer = form.dataset.order
      ? await fetch(form.dataset.order, {headers: {'Order-Token': given.token.trim()}})
      : await fetch(form.dataset.call, {
          method: 'POST',
          headers: {'Content-Type': 'application/json'},
          body: JSON.stringify({
            token: new URLSearchParams(location.search).get('token') ?? '',
            ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== '')),
          }),
        });
    const body = answer.status === 204 ? null : await answer.json();
    if (!answer.ok) {
      line([body.detail, ...(body.errors ?? []).map((one) => one.detail)].join(' '));
    } else if (form.dataset.order) {
      line(body.status);
      const kept = body.lines.filter((one) => one.quantity);
      for (const one of kept) line(`${one.quantity} × ${one.title}: ${money(one.total)}`);
      line(`= ${money(body.total)}`);
      for (const one of body.parcels) line([one.carrier, one.tracking_number, one.status].filter(Boolean).join(' '));
    } else {
      line(form.dataset.done);
      form.hidden = true;
    }
  } catch {
    line(form.dataset.failed);
  }
  button.disabled = false;
});
"""
_DIGEST: Final = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest())
_HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; form-action 'none'; base-uri 'none';"
        b" script-src 'sha256-" + _DIGEST + b"'",
    ),
    (b"cache-control", b"no-store"),
    (b"vary", b"accept-language"),
)
_STYLE: Final = (
    ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}"
    "body{max-width:36rem;margin:3rem auto;padding:0 1rem}label{display:block;margin:1rem 0}"
    "input{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.4rem}"
    "button{font:inherit;padding:.4rem 1.2rem}[hidden]{display:none}"
)


class LinkController(Controller):
    """The pages."""

    path = "/"
    include_in_schema = False

    @get("/account/{page:str}")
    async def account(
        self, request: Request, page: Annotated[str, PathParameter(max_length=64)], token: FromQuery[str | None] = None
    ) -> Reply[Any]:
        """What the links about accounts lead to. It changes nothing by itself: programs look at links, too."""
        found = PAGES.get(page)
        if found is None:
            raise KINDS.not_found()
        return _shown(request, found, f'data-call="{found.call}"')

    @get("/orders/{number:str}")
    async def order(self, request: Request, number: Annotated[str, PathParameter(max_length=64)]) -> Reply[Any]:
        """An order, for who has its code."""
        safe = escape("".join(character for character in number if character.isalnum() or character == "-"))
        return _shown(request, _ORDER, f'data-order="/api/v1/orders/{safe}"', number=safe)

    @get("/cart")
    async def cart(self, request: Request) -> Reply[Any]:
        """There is no cart without the shop's own pages."""
        return _shown(request, _CART, None)

    @get("/reviews/new")
    async def review(self, request: Request, order: FromQuery[str | None] = None) -> Reply[Any]:
        """Where invitations to review lead: a shop's own page asks `/api/v1/reviews/due?order=` what can be said."""
        return _shown(request, _REVIEW, None)


def _shown(request: Request, page: Page, call: str | None, **values: str) -> Reply[Any]:
    """The page in the language that the browser asks for first, where it is one of ours; `values` are escaped."""
    asked = (request.header(b"accept-language") or b"").decode("latin-1").strip().lower()
    language = "de" if asked.startswith("de") else "en"
    title, text, button, done = (escape(words).format(**values) for words in page.words[language])
    form = ""
    if call is not None:
        fields = "".join(_field(name, labels[language]) for name, labels in page.fields.items())
        form = (
            f'<form method="post" {call} data-done="{done}" data-failed="{escape(_FAILED[language])}">{fields}'
            f"<button>{button}</button></form><output></output><script>{_SCRIPT}</script>"
        )
    html = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1><p>{text}</p>{form}</main></body></html>"
    )
    return Reply(html.encode(), headers=list(_HEADERS), media_type=b"text/html; charset=utf-8")


def _field(name: str, label: str) -> str:
    kind = 'type="password" autocomplete="new-password" minlength="8" required' if name == "password" else 'type="text"'
    needed = " required" if name == "token" else ""
    return f'<label>{escape(label)}<input name="{name}" {kind}{needed} maxlength="256"></label>'
