"""/api/v1/account: register, prove an address, log in and out, who am I."""

from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import Controller, get, post, put
from litestar.params import JSONBody
from msgspec import Meta

from emporium.application import accounts, carts, guest_orders, two_factor
from emporium.domain.cart import cart_id_of
from emporium.domain.customer import CustomerState
from emporium.http import browsers
from emporium.http.auth import person
from emporium.http.bodies import Body, Line
from emporium.http.caching import tagged
from emporium.http.consistency import token_after
from emporium.http.idempotency import Answer, once
from emporium.http.problems import KINDS
from emporium.http.reply import Headers, Nothing, Reply
from emporium.http.request import Request, actor_of, cart_of_header
from emporium.http.trials import Trial, evenly

__all__ = ["AccountController", "Code", "Email", "LinkToken", "Password"]

Email = Annotated[str, Meta(min_length=3, max_length=254, description="E-mail address.", examples=["ada@example.org"])]
Password = Annotated[str, Meta(min_length=8, max_length=256, description="8 to 256 characters, none of the common.")]
GivenPassword = Annotated[str, Meta(max_length=1024)]
LinkToken = Annotated[str, Meta(min_length=1, max_length=200, description="The token of a link in a mail.")]
Code = Annotated[str, Meta(min_length=1, max_length=40, description="Of the authenticator, or a recovery code.")]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}$", description="ISO 639.", examples=["en"])]

BROWSER_DAYS: Final = 90
_NO_STORE: Final = (b"cache-control", b"no-store")


class Register(Body, frozen=True, kw_only=True):
    """A new account. `language` is what the shop writes in."""

    email: Email
    password: Password
    name: Line | None = None
    language: Language = "en"


class LogIn(Body, frozen=True, kw_only=True):
    """Who wants to log in.

    Attributes:
        code: where the account has two-factor log-in.
        browser: the session goes into a cookie that no page can read.
    """

    email: Email
    password: GivenPassword
    code: Code | None = None
    browser: bool = False


class Registered(msgspec.Struct, frozen=True):
    """The account that was made; where the address had one already, its owner is told, and nobody else."""

    customer_id: UUID


class LoggedIn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session.

    Attributes:
        token: for `Authorization: Bearer …`; missing where it is in a cookie.
        csrf_token: for the header X-CSRF-Token, where the session is in a cookie.
        two_factor_needed: more than a customer may do needs two-factor log-in, which is to be set up now.
        cart_merged: the anonymous cart was taken over.
    """

    token_type: str
    customer_id: UUID
    roles: list[str]
    cart_merged: bool
    token: str | None = None
    csrf_token: str | None = None
    two_factor_needed: bool = False


class UseLink(Body, frozen=True, kw_only=True):
    """The token of a link in a mail."""

    token: LinkToken


class EmailVerified(msgspec.Struct, frozen=True, kw_only=True):
    """The address is proved; so many guest orders of it belong to the account now."""

    customer_id: UUID
    orders_claimed: int


class ProfileBody(Body, frozen=True, kw_only=True):
    """All of the profile: what is left out or null is emptied."""

    name: Line | None = None
    phone: Annotated[str, Meta(min_length=6, max_length=40, examples=["+44 20 7946 0000"])] | None = None
    language: Language = "en"


class AccountController(Controller):
    """Accounts."""

    path = "/account"
    tags = ["account"]

    @post("/register", status_code=201, opt={"idempotent": True})
    async def register(self, request: Request, data: JSONBody[Register]) -> Reply[Registered]:
        """Makes an account and sends a link that proves its address. The answer tells nothing about the address."""
        return await evenly(
            once(
                request,
                "accounts",
                "anonymous",
                lambda customer_id: Answer.of(Registered(customer_id), location="/api/v1/account/me"),
                lambda keep: accounts.register(
                    request.services.shop,
                    email=data.email,
                    password=data.password,
                    name=data.name,
                    language=data.language,
                    cause=request.cause("", ""),
                    keep=keep,
                ),
            )
        )

    @post("/verification", status_code=200)
    async def verify(self, request: Request, data: JSONBody[UseLink]) -> Reply[EmailVerified]:
        """Proves the address by the link that was sent to it; guest orders of the address then are the account's."""
        shop = request.services.shop
        customer_id = await accounts.verify_email(shop, token=data.token, cause=request.cause("", ""))
        count = await guest_orders.claim(shop, customer_id, request.cause(f"customer:{customer_id}", ""))
        return Reply.of(EmailVerified(customer_id=customer_id, orders_claimed=count))

    @post("/verification/request", status_code=202, guards=[person])
    async def ask_for_verification(self, request: Request) -> Reply[Nothing]:
        """Sends another link that proves the address, unless one was sent a minute ago or none is needed."""
        session = await request.customer()
        cause = request.cause(actor_of(session), "")
        await accounts.request_verification(request.services.shop, customer_id=session.customer, cause=cause)
        return Reply.of(Nothing(), 202)

    @post("/login", status_code=200, opt={"cart": True})
    async def log_in(self, request: Request, data: JSONBody[LogIn]) -> Reply[LoggedIn]:
        """Begins a session. An anonymous cart (header Cart-Token) moves into the account's cart."""
        services = request.services
        source = cart_of_header(request)
        if data.browser:
            browsers.refuse_foreign(request.header(b"sec-fetch-site"))
        trial = await Trial.begin(request, data.email)
        customer = await accounts.log_in(services.shop, email=data.email, password=data.password)
        if customer is None:
            raise KINDS.invalid_credentials()
        await _check_code(request, customer, data.code)
        await trial.succeeded()
        return await begin_session(request, customer, source, browser=data.browser)

    @post("/logout", status_code=204, guards=[person])
    async def log_out(self, request: Request) -> Reply[None]:
        """Ends the session."""
        session = await request.customer()
        await request.services.sessions.revoke(session.customer, session.id)
        return Reply(b"", 204, [(b"set-cookie", browsers.clearing())])

    @post("/logout-all", status_code=204, guards=[person])
    async def log_out_everywhere(self, request: Request) -> Reply[None]:
        """Ends all sessions of the account."""
        session = await request.customer()
        await request.services.sessions.revoke_all(session.customer)
        return Reply(b"", 204, [(b"set-cookie", browsers.clearing())])

    @get("/me", guards=[person], opt={"tagged": True})
    async def me(self, request: Request) -> Reply[accounts.Profile]:
        """The caller's own account."""
        session = await request.customer()
        profile = await accounts.profile(request.services.shop, session.customer)
        if profile is None:
            raise KINDS.not_found()
        return tagged(request, profile)

    @put("/profile", guards=[person])
    async def change_profile(self, request: Request, data: JSONBody[ProfileBody]) -> Reply[accounts.Profile]:
        """Name, phone number and language, all at once."""
        session = await request.customer()
        shop = request.services.shop
        committed = await accounts.change_profile(
            shop,
            customer_id=session.customer,
            name=data.name,
            phone=data.phone,
            language=data.language,
            cause=request.cause(actor_of(session), ""),
        )
        profile = await accounts.profile(shop, session.customer)
        if profile is None:
            raise KINDS.not_found()
        headers = Headers()
        if committed.position:
            headers.append((b"consistency-token", token_after(request, "accounts", committed.position)))
        return Reply.of(profile, 200, headers)


async def _check_code(request: Request, customer: CustomerState, code: str | None) -> None:
    """Raises Problem (two_factor_required, wrong_code) where the account needs a code and this is none."""
    if customer.two_factor is None or not customer.two_factor.enabled:
        return
    if code is None:
        raise KINDS.two_factor_required()
    cause = request.cause(f"customer:{customer.customer_id}", "")
    if not await two_factor.passes(request.services.shop, customer_id=customer.customer_id, code=code, cause=cause):
        raise KINDS.wrong_code()


async def begin_session(
    request: Request, customer: CustomerState, source: UUID | None, *, browser: bool
) -> Reply[LoggedIn]:
    """Lets the customer in: a session, the anonymous cart `source`, guest orders, word of a new device."""
    services, customer_id = request.services, customer.customer_id
    cause = request.cause(f"customer:{customer_id}", "")
    device = _device(request)
    secured = customer.two_factor is not None and customer.two_factor.enabled
    needed = services.staff_two_factor and customer.is_staff and not secured
    roles = ["customer"] if needed else sorted(customer.roles)
    unknown = await services.sessions.is_new_device(customer_id, device)
    token = await services.sessions.create(customer_id, roles, device)
    if unknown and customer.email is not None:
        await accounts.note_new_device(services.shop, customer_id=customer_id, device=device, cause=cause)
    if customer.verified:
        await guest_orders.claim(services.shop, customer_id, cause)
    merged, headers = False, Headers()
    if source is not None:
        merged, committed = await carts.merge(
            services.shop,
            source=source,
            customer_id=customer_id,
            cause=request.cause(f"customer:{customer_id}", source),
        )
        if committed is not None and committed.position:
            headers.append((b"consistency-token", token_after(request, "ordering", committed.position)))
        keep = await accounts.remembers_views(services.shop, customer_id)
        await services.adviser.join(source, cart_id_of(customer_id) if keep else None)
    headers.append(_NO_STORE)
    csrf = None
    if browser:
        session = await services.sessions.resolve(token)
        assert session is not None, "it has just begun"
        csrf = browsers.csrf_token(services.secret, session.id)
        headers.append((b"set-cookie", browsers.setting(token, BROWSER_DAYS * 86_400)))
    answer = LoggedIn(
        token_type="Cookie" if browser else "Bearer",
        customer_id=customer_id,
        roles=roles,
        cart_merged=merged,
        token=None if browser else token,
        csrf_token=csrf,
        two_factor_needed=needed,
    )
    return Reply.of(answer, 200, headers)


def _device(request: Request) -> str | None:
    """What the device calls itself, in characters that can be shown."""
    given = request.header(b"user-agent")
    if given is None:
        return None
    text = given.decode("latin-1")[: accounts.DEVICE_MOST]
    return "".join(character for character in text if character.isprintable()) or None
