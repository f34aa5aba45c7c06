"""The inbox and the first steps, as a person uses them."""

from __future__ import annotations

from email.message import EmailMessage


def receipt(number: int = 1042, **headers: str) -> EmailMessage:
    mail = EmailMessage()
    for name, value in {
        "From": "Northwind <orders@northwind.example>",
        "To": "Ada Lovelace <ada@example.com>",
        "Subject": f"Receipt A-{number} from Northwind",
        **headers,
    }.items():
        mail[name] = value
    mail.set_content(f"Thank you, Ada. Your order is at https://shop.northwind.example/orders/A-{number} now.")
    mail.add_alternative(f"<h1>Thank you, Ada</h1><p>Order A-{number}</p>", subtype="html")
    return mail


async def test_a_mail_appears_while_one_watches(site, page, keep) -> None:
    await keep(receipt(1))
    await page.goto(f"{site.url}/ui/inbox")
    await page.locator(".mails a").first.wait_for()
    await page.evaluate("window.untouched = true")
    await keep(receipt(2))
    await page.get_by_text("Receipt A-2 from Northwind").first.wait_for()
    assert await page.locator(".mails a .subj").all_inner_texts() == [
        "Receipt A-2 from Northwind",
        "Receipt A-1 from Northwind",
    ]
    assert await page.evaluate("window.untouched")
