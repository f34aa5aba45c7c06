"""An example of every command, as its --help and docs/cli.md show it. A test reads each with the real command line."""

from __future__ import annotations

import click

ID, REVISION = "01a20c6c-929c-7118-9ed3-82ca1bcc024b", "3f2a9c1d07be"

EXAMPLES = {
    "up": ("mailboat up --port 9000 --smtp smtp://user:password@smtp.example.com:587",),
    "apply": ("mailboat apply -f manifests/",),
    "get": ("mailboat get emp --output wide", "mailboat get all -n shop --output yaml"),
    "describe": ("mailboat describe emc storefront -n shop",),
    "delete": ("mailboat delete emp relay -n shop",),
    "diff": ("mailboat diff -f manifests/",),
    "export": ("mailboat export -n shop",),
    "client create": ("mailboat client create shop/web --sender 'Shop <orders@example.com>' --template 'shop-*'",),
    "client get": ("mailboat client get shop/web",),
    "client list": ("mailboat client list --output json",),
    "client update": ("mailboat client update shop/web --quota 50000 --provider ses-eu --provider relay",),
    "client suspend": ("mailboat client suspend shop/web",),
    "client resume": ("mailboat client resume shop/web",),
    "key create": ("mailboat key create shop/web --expires 90d",),
    "key list": ("mailboat key list shop/web",),
    "key rotate": ("mailboat key rotate shop/web --overlap 24h",),
    "key revoke": ("mailboat key revoke shop/web mb_3kTq0Z",),
    "key reseal": ("mailboat key reseal --data data",),
    "send": (
        """mailboat send receipt --to ada@example.com --data '{"order": "A-1042"}' --watch""",
        "mailboat send --to ada@example.com --subject Ahoy --text Hello",
    ),
    "template new": ("mailboat template new welcome --engine react",),
    "template list": ("mailboat template list",),
    "template check": ("mailboat template check templates/",),
    "template render": ("""mailboat template render receipt --data '{"order": "A-1042"}' --locale de""",),
    "template preview": ("mailboat template preview templates/",),
    "template history": ("mailboat template history receipt",),
    "template rollback": ("mailboat template rollback receipt", f"mailboat template rollback receipt {REVISION}"),
    "message list": ("mailboat message list --status bounced --since 2026-12-01T09:00:00Z",),
    "message get": (f"mailboat message get {ID}",),
    "message cancel": (f"mailboat message cancel {ID}",),
    "dlq list": ("mailboat dlq list --since 24h --provider ses-eu",),
    "dlq reasons": ("mailboat dlq reasons --since 7d",),
    "dlq show": (f"mailboat dlq show {ID} --part source",),
    "dlq replay": ("mailboat dlq replay --since 24h", f"mailboat dlq replay {ID}"),
    "dlq release": (f"mailboat dlq release {ID}",),
    "dlq fail": ("mailboat dlq fail --client shop/web",),
    "backup": ("mailboat backup /backups/mailboat-2026-11-24.zip",),
    "restore": ("mailboat restore /backups/mailboat-2026-11-24.zip --data data",),
    "archive": ("mailboat archive --older-than 365d --to /archive",),
    "suppression list": ("mailboat suppression list --reason bounce --global",),
    "suppression get": ("mailboat suppression get ada@example.com",),
    "suppression add": ("mailboat suppression add ada@example.com --detail 'asked by phone'",),
    "suppression remove": ("mailboat suppression remove ada@example.com",),
    "suppression import": ("mailboat suppression import addresses.csv --global",),
    "suppression export": ("mailboat suppression export --format csv",),
    "provider list": ("mailboat provider list",),
    "provider open": ("mailboat provider open shop/relay --reason 'their maintenance until noon'",),
    "provider close": ("mailboat provider close shop/relay",),
    "provider test": ("mailboat provider test shop/relay",),
    "webhook list": ("mailboat webhook list",),
    "webhook get": (f"mailboat webhook get {ID}",),
    "webhook create": ("mailboat webhook create https://shop.example.com/mail --event delivered --event bounced",),
    "webhook update": (f"mailboat webhook update {ID} --to https://shop.example.com/mail-events",),
    "webhook delete": (f"mailboat webhook delete {ID}",),
    "webhook pause": (f"mailboat webhook pause {ID}",),
    "webhook resume": (f"mailboat webhook resume {ID}",),
    "webhook rotate": (f"mailboat webhook rotate {ID} --overlap 24h",),
    "webhook test": (f"mailboat webhook test {ID}",),
    "webhook log": (f"mailboat webhook log {ID} --state failed",),
    "webhook replay": (f"mailboat webhook replay {ID}",),
    "webhook explain": ("mailboat webhook explain postmark body.json",),
    "doctor": ("mailboat doctor --data data", "mailboat doctor --output json"),
    "completion": ("mailboat completion bash",),
    "bench": ("mailboat bench --to ada@example.com --mails 2000 --connections 32",),
    "simulate ses": ("mailboat simulate ses --port 9100",),
    "simulate sendgrid": ("mailboat simulate sendgrid --port 9100",),
    "simulate mailgun": ("mailboat simulate mailgun --port 9100",),
    "simulate postmark": ("mailboat simulate postmark --port 9100",),
}


def attach(path: str, command: click.Command) -> click.Command:
    """The command with its examples below its help; of a group, each command when it is asked for."""
    if lines := EXAMPLES.get(path):
        command.epilog = "\n".join(
            ["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {one}" for one in lines)]
        )
    if isinstance(command, click.Group):
        found = command.get_command

        def get_command(ctx: click.Context, cmd_name: str) -> click.Command | None:
            inner = found(ctx, cmd_name)
            return inner and attach(f"{path} {cmd_name}", inner)

        command.get_command = get_command  # type: ignore[method-assign]
    return command
