"""The provider `inbox` on a real PostgreSQL."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from mailboat.errors import Rejected, Unavailable
from mailboat.providers.inbox import CHANNEL, Inbox


@pytest.fixture
def inbox(pool):
    return Inbox("inbox", pool)


class Counting:
    """A pool that counts statements, and can be told to hold them back."""

    def __init__(self, pool):
        self.pool, self.statements, self.open = pool, 0, asyncio.Event()

    async def execute(self, *arguments):
        self.statements += 1
        await self.open.wait()
        return await self.pool.execute(*arguments)


async def test_a_mail_is_kept_as_it_was_sent(mail_of, inbox, pool):
    mail = mail_of(to=["Ada <ada@example.com>"], bcc=["b@example.com"], subject="Grüße", text="für Ada")
    receipt = await inbox.send(inbox.build(mail))
    row = await pool.fetchrow("SELECT * FROM inbox")
    assert (row["message_id"], row["client"], row["sender"]) == (mail.id, "storefront", "orders@shop.example.com")
    assert (row["recipients"], row["subject"]) == (["ada@example.com", "b@example.com"], "Grüße")
    assert "für Ada".encode() in row["raw"]
    assert receipt.provider_message_id == str(mail.id)


async def test_the_same_mail_twice_is_kept_once_and_told_once(mail_of, inbox, pool):
    told = []

    def hear(connection, process, channel, payload):
        told.append(payload)

    mail = mail_of()
    async with pool.acquire() as connection:
        await connection.add_listener(CHANNEL, hear)
        await asyncio.gather(*(inbox.send(inbox.build(mail)) for _ in range(3)))
        await inbox.send(inbox.build(mail))
        await connection.execute("SELECT 1")  # notifications come before its answer
        await connection.remove_listener(CHANNEL, hear)
    assert await pool.fetchval("SELECT count(*) FROM inbox") == 1
    assert told == [str(mail.id)]


async def test_mails_sent_at_once_share_a_statement(mail_of, pool):
    counting = Counting(pool)
    inbox = Inbox("inbox", counting)
    sends = [asyncio.create_task(inbox.send(inbox.build(mail_of(number=number)))) for number in range(1, 101)]
    await asyncio.sleep(0)
    late = asyncio.create_task(inbox.send(inbox.build(mail_of(number=101))))
    counting.open.set()
    await asyncio.gather(*sends, late)
    assert await pool.fetchval("SELECT count(*) FROM inbox") == 101
    assert counting.statements <= 2


async def test_a_cancelled_sender_disturbs_nobody(mail_of, pool):
    counting = Counting(pool)
    inbox = Inbox("inbox", counting)
    gone, stays = (asyncio.create_task(inbox.send(inbox.build(mail_of(number=number)))) for number in (1, 2))
    await asyncio.sleep(0.01)
    gone.cancel()
    counting.open.set()
    await stays
    await inbox.close()
    assert gone.cancelled()


async def test_without_its_table_or_its_server_it_is_unavailable(mail_of, inbox, pool):
    await pool.execute("ALTER TABLE inbox RENAME TO elsewhere")
    try:
        with pytest.raises(Unavailable, match="inbox in PostgreSQL"):
            await inbox.send(inbox.build(mail_of()))
        with pytest.raises(Unavailable):
            await inbox.check()
    finally:
        await pool.execute("ALTER TABLE elsewhere RENAME TO inbox")
    await inbox.send(inbox.build(mail_of()))
    gone = asyncpg.create_pool("postgresql://postgres@127.0.0.1:1/none", min_size=0)
    async with gone:
        with pytest.raises(Unavailable):
            await Inbox("inbox", gone).send(inbox.build(mail_of()))


async def test_check_says_what_answered(mail_of, inbox):
    assert "PostgreSQL" in await inbox.check()


def test_a_mail_without_recipients_cannot_be_built(mail_of):
    with pytest.raises(Rejected, match="no recipients"):
        Inbox("inbox", None).build(mail_of(recipients=()))
