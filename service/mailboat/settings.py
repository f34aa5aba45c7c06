"""Settings: read once from the environment, frozen, handed down."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mailboat.errors import ConfigurationError

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One field per environment variable: `MAILBOAT_` and the field's name in capitals, or the name in NAMES.

    `docs/settings.md` is written from these comments by `make docs`.
    """

    database_url: str = "postgresql://postgres@127.0.0.1:5432/mailboat"
    """PostgreSQL 15 or newer; holds everything that must survive."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Valkey, or Redis 7 and newer; holds hints and limits, and may be lost at any time."""
    host: str = "127.0.0.1"
    """Address on which the API listens."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    """Port of the API."""
    admin_token: str = ""
    """Bearer token of /admin. Empty: /admin answers 404."""
    viewer_token: str = ""
    """Second token, of those who may look at /admin and the dashboard and change nothing. Empty: none."""
    public_url: str = ""
    """How callers reach the API, written into answers and the quick start. Empty: http://HOST:PORT."""
    client_file: str = ""
    """The client.json of `mailboat up`: the dashboard's first steps show its key in their curl line."""
    dashboard: Literal["open", "login", "closed"] = "closed"
    """open: /ui answers without a login, and only requests whose Host is a loopback name (localhost, *.localhost,
    127.0.0.1, [::1]); `mailboat up` opens it. login: one signs in with the admin token, the viewer token or
    MAILBOAT_OIDC_ISSUER. closed: /ui answers 404."""
    oidc_issuer: str = ""
    """OpenID Connect provider with which one may sign in to the dashboard: its issuer, exactly as it names itself.
    MAILBOAT_PUBLIC_URL/ui/login/oidc/callback is what it sends back to. Empty: none."""
    oidc_client_id: str = ""
    """By which that provider knows us."""
    oidc_client_secret: str = ""
    """What it gave us to prove it. Empty: we are a public client, and PKCE is all there is."""
    oidc_scopes: str = "openid email profile"
    """What is asked of that provider. Some send groups only when `groups` is among them."""
    oidc_claim: str = "groups"
    """Claim of the ID token that decides: one word or a list. A dot leads below another: realm_access.roles."""
    oidc_admins: str = ""
    """Values of that claim, comma-separated, that make an admin, who may do everything."""
    oidc_viewers: str = ""
    """Values of that claim, comma-separated, that make a viewer, who may look. *: whoever signs in there."""
    oidc_domains: str = ""
    """Domains of mail addresses, comma-separated: nobody else may sign in, and the provider has to say that the
    address is verified. Empty: any."""
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """Port of /metrics, /livez and /readyz on MAILBOAT_HOST, for every role and without a token: keep it inside.
    0: none; the API then shows /metrics on its own port, see docs/metrics.md. Not for `mailboat up`."""
    log_level: str = "info"
    """debug, info, warning or error."""
    templates: str = "templates"
    """Source volume: the folder with templates. Read only."""
    mounted: str = ""
    """Folder where the ConfigMaps of MAILBOAT_SHARDS are mounted: declared templates, also while PostgreSQL is away.
    Empty: none."""
    dist: str = ""
    """Dist volume: a folder for compiled templates, which may be emptied at any time. Its owner is the user who runs
    Mailboat, and nobody else may write there. Empty: compiled templates are kept in memory, and in Valkey if
    MAILBOAT_SEALING_KEY is set."""
    smtp_url: str = ""
    """The provider `smtp`: smtp://user:password@host:587?tls=starttls (tls: none, starttls, auto) or smtps://…"""
    smtp_connections: Count = 20
    """Connections that each worker keeps to the SMTP server at most."""
    smtp_timeout: Seconds = 30.0
    """Seconds to wait for any answer of the SMTP server."""
    smtp_ca_file: str = ""
    """PEM file of the authorities that sign the SMTP server's certificate. Empty: the system's."""
    dkim_domain: str = ""
    """Domain in whose name the provider `smtp` signs mail from it and its subdomains (DKIM). Empty: unsigned."""
    dkim_selector: str = "mailboat"
    """Selector of the DKIM key: the public key is looked up at SELECTOR._domainkey.DOMAIN."""
    dkim_key_file: str = ""
    """PEM file of the private DKIM key, RSA (2048 bits are usual) or Ed25519."""
    unsubscribe_key: str = ""
    """Secret behind the one-click links of messages with `"unsubscribe": true`, which lead to MAILBOAT_PUBLIC_URL
    (mail programs ask for https). Several, comma-separated: the first signs, links of the others go on working. Empty:
    such messages are refused."""
    providers_file: str = ""
    """YAML file with a list of further providers, each shaped like an EmailProvider: name, one of smtp, ses, sendgrid,
    mailgun, postmark or inbox, credentials, limits. Read at start."""
    sealing_key: str = ""
    """Seals the secrets of declared providers in PostgreSQL: 32 random octets in base64 (openssl rand -base64 32). To
    rotate, put a new key before the old one, separated by a comma; what is sealed with the old one is still read."""
    egress_allow: str = ""
    """Networks of our own that webhooks may be sent to, and attachments fetched from, comma-separated (10.20.0.0/16,
    127.0.0.0/8), on any port and without TLS. Empty: only addresses on the open internet, over https."""
    simulators: bool = False
    """1: a provider's `ses.snsOrigin` may put an SNS simulator on this machine in Amazon's place. For tests only."""
    route: str = ""
    """Providers for clients without a route of their own, comma-separated, the first one first; `new=10,old=90` shares
    the mail by weight. Empty: smtp if set, else inbox."""
    render_processes: Annotated[int, Meta(ge=0)] = 0
    """Render processes per worker. 0: one per core, at most four."""
    worker_slots: Count = 8
    """Batches that one worker delivers at once."""
    worker_batch: Annotated[int, Meta(ge=1, le=512)] = 64
    """Messages per batch at most."""
    worker_name: str = ""
    """Stable name of this worker's slot: after a restart under the same name its mail goes on at once."""
    heartbeat_seconds: Seconds = 1.0
    """How often a worker says that it lives."""
    lease_seconds: Seconds = 10.0
    """A worker silent for so long is taken for dead, and its mail goes to others."""
    drain_seconds: Seconds = 30.0
    """How long a stopping worker may finish what it claimed; the rest is given back."""
    retry_attempts: Count = 12
    """Tries before a message becomes a dead letter."""
    retry_base_seconds: Seconds = 5.0
    """First wait between tries; doubles each time, with jitter."""
    retry_cap_seconds: Seconds = 1800.0
    """Longest wait between tries."""
    retention_days: Count = 400
    """How long messages are kept; whole months are dropped."""
    idempotency_days: Count = 7
    """How long an idempotency key is remembered."""
    max_body_bytes: Count = 10_485_760
    """Largest request body, and what the files that one request names by URL may have together."""
    bodies_bytes: Count = 67_108_864
    """Octets of request bodies, and of files fetched for them, that an API process holds at once. Over it requests are
    answered with 503 and Retry-After before their body is read; one alone is always let in."""
    body_seconds: Seconds = 30.0
    """How long a request's body may take to arrive."""
    max_recipients: Count = 50
    """Most recipients of one message: to, cc and bcc together."""

    data_folder: str = "data"
    """Where `mailboat data` keeps its PostgreSQL and its Valkey."""
    data_password: str = ""
    """Password of the two servers of `mailboat data`: letters and digits."""
    watch_namespaces: str = ""
    """Namespaces that the operator serves, comma-separated. Empty: all of them."""
    lease: str = "default/mailboat-operator"
    """NAMESPACE/NAME of the Lease that decides which of several operators works."""
    shards: str = ""
    """NAMESPACE/PREFIX of 32 ConfigMaps, PREFIX-00 to PREFIX-31, into which the operator puts the declared templates.
    The chart makes and mounts them. Empty: none."""
    sweep_seconds: Seconds = 600.0
    """How often the operator looks at every resource, whatever it may have missed."""

    @property
    def url(self) -> str:
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def namespaces(self) -> list[str]:
        return [name for name in map(str.strip, self.watch_namespaces.split(",")) if name]

    @property
    def default_route(self) -> list[str]:
        """Entries as in a client's route: `provider` or `provider=weight`."""
        named = [name.strip() for name in self.route.split(",") if name.strip()]
        return named or (["smtp"] if self.smtp_url else ["inbox"])

    @property
    def unsubscribe_keys(self) -> list[str]:
        return [key for key in map(str.strip, self.unsubscribe_key.split(",")) if key]


ROUTE_ENTRY = re.compile(r"[^=\s]+(=[0-9]{1,4})?")
SHORTEST_KEY = 16  # characters of an unsubscribe key
NAMES = {"database_url": "DATABASE_URL", "redis_url": "REDIS_URL"}


def variable(field: str) -> str:
    """The environment variable of a field."""
    return NAMES.get(field, f"MAILBOAT_{field.upper()}")


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings that the environment asks for. Raises ConfigurationError naming the variable."""
    environment = os.environ if environment is None else environment
    given = {f: environment[variable(f)] for f in Settings.__struct_fields__ if environment.get(variable(f), "") != ""}
    try:
        settings = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`")
        raise ConfigurationError(
            f"{variable(field)}={given.get(field, '')!r}: {reason}. Correct it or unset it to use "
            f"{getattr(Settings(), field, None)!r}."
        ) from None
    if settings.log_level.lower() not in ("debug", "info", "warning", "error"):
        raise ConfigurationError(f"MAILBOAT_LOG_LEVEL={settings.log_level!r}: use debug, info, warning or error.")
    for entry in settings.default_route:
        if not ROUTE_ENTRY.fullmatch(entry):
            raise ConfigurationError(
                f"MAILBOAT_ROUTE={settings.route!r}: {entry!r} is neither a provider nor provider=weight, with a "
                "weight of 0 to 9999."
            )
    if any(len(key) < SHORTEST_KEY for key in settings.unsubscribe_keys):
        raise ConfigurationError(
            f"MAILBOAT_UNSUBSCRIBE_KEY: each key needs {SHORTEST_KEY} characters; take 32 random ones."
        )
    if settings.viewer_token and settings.viewer_token == settings.admin_token:
        raise ConfigurationError("MAILBOAT_VIEWER_TOKEN is the admin token: viewers need one of their own.")
    return settings
