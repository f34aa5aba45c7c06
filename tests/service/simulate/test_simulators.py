"""Every simulator: what it takes, what it refuses, and what it can be told to do wrong."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from mailboat.simulate import courier

KINDS = ["ses", "sendgrid", "mailgun", "postmark"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


async def test_mail_is_kept_for_inspection(kind, simulated):
    it = await simulated(kind)
    assert (await it.send("ada@example.com", "b@example.com")).status_code in (200, 202)
    listed = (await it.client.get("/_simulator/mails")).json()
    assert listed["total"] == 1
    mail = listed["items"][0]
    assert (mail["sender"], mail["recipients"]) == ("orders@shop.example.com", ["ada@example.com", "b@example.com"])
    assert (mail["subject"], mail["variables"]) == ("Receipt", {"mailboat_id": "7"})
    whole = (await it.client.get(f"/_simulator/mails/{mail['id']}")).json()
    assert (whole["text"].strip(), whole["html"], whole["attachments"]) == ("Thank you", None, [])
    assert b"Subject: Receipt\r\n" in (await it.client.get(f"/_simulator/mails/{mail['id']}/raw")).content
    assert (await it.client.get("/_simulator/mails/other")).status_code == 404
    assert (await it.client.get("/_simulator/mails/other/raw")).status_code == 404
    assert (await it.client.delete("/_simulator/mails")).status_code == 204
    assert (await it.client.get("/_simulator/mails")).json() == {"total": 0, "items": []}


async def test_only_so_many_mails_are_kept_and_all_are_counted(kind, simulated):
    it = await simulated(kind, keep=2)
    for number in range(3):
        await it.send(f"a{number}@example.com")
    listed = (await it.client.get("/_simulator/mails")).json()
    assert listed["total"] == 3
    assert [mail["recipients"] for mail in listed["items"]] == [["a1@example.com"], ["a2@example.com"]]


async def test_wrong_credentials_are_refused_and_nothing_is_kept(kind, simulated):
    it = await simulated(kind)
    answer = await it.send("ada@example.com", key="wrong")
    assert answer.status_code == (403 if kind == "ses" else 401)
    assert it.simulator.mails.total == 0


async def test_a_failure_is_no_acceptance(kind, simulated):
    it = await simulated(kind, switches={"failureRate": 1, "failureStatus": 502})
    assert (await it.send("ada@example.com")).status_code == 502
    assert it.simulator.mails.total == 0


async def test_a_lost_answer_is_an_acceptance(kind, simulated):
    it = await simulated(kind, switches={"lostAnswerRate": 1})
    with pytest.raises(httpx.TransportError):
        await it.send("ada@example.com")
    assert it.simulator.mails.total == 1


async def test_sends_over_the_pace_are_throttled(kind, simulated):
    it = await simulated(kind, switches={"maxPerSecond": 3})
    answers = [await it.send("ada@example.com") for _ in range(4)]
    assert [answer.status_code == 429 for answer in answers][:4] == [False, False, False, True]
    if kind == "mailgun":
        assert answers[3].headers["retry-after"] == "1"
    if kind == "sendgrid":
        assert int(answers[3].headers["x-ratelimit-reset"]) >= time.time() - 1


async def test_the_same_seed_gives_the_same_failures(kind, simulated):
    runs = []
    for _ in range(2):
        it = await simulated(kind, switches={"failureRate": 0.5}, seed=7)
        runs.append([(await it.send("ada@example.com")).status_code for _ in range(12)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 2


async def test_a_recipient_may_make_the_api_refuse_the_mail(kind, simulated):
    it = await simulated(kind)
    answer = await it.send("ada@example.com", "refused+1@example.com")
    assert answer.status_code in (400, 422)
    assert it.simulator.mails.total == 0


async def test_addresses_that_are_none_are_refused(kind, simulated):
    it = await simulated(kind)
    for address in ("", "nobody", "a b@example.com", "jürgen@example.com"):
        assert (await it.send(address)).status_code in (400, 422), address
    assert it.simulator.mails.total == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff"])
async def test_rubbish_is_refused_in_the_apis_own_form(kind, body, simulated):
    it = await simulated(kind)
    it.simulator.unauthorised = lambda request, body: None
    path = it.simulator.send_paths[0].format(domain="mg.example.com")
    answer = await it.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()


async def test_switches_change_while_it_runs_and_a_wrong_one_is_named(kind, simulated):
    it = await simulated(kind)
    changed = await it.client.put("/_simulator/settings", json={"failureRate": 1})
    assert changed.json()["failureRate"] == 1
    assert (await it.send("ada@example.com")).status_code == 503
    back = await it.client.put("/_simulator/settings", json={"failureRate": 0})
    assert back.json() == (await it.client.get("/_simulator/settings")).json()
    assert (await it.send("ada@example.com")).status_code in (200, 202)
    for wrong, word in [
        ({"failureRate": 2}, "failureRate"),
        ({"failure": 1}, "failure"),
        ({"latency": "x"}, "latency"),
    ]:
        refused = await it.client.put("/_simulator/settings", json=wrong)
        assert (refused.status_code, word in refused.text) == (422, True)
    assert (await it.client.put("/_simulator/settings", content=b"[")).status_code == 422
    assert (await it.client.get("/_simulator/settings")).json() == back.json()


# --- events


def event_count(kind):
    """Calls for one mail that is delivered: SendGrid puts two events in one, Postmark has no `accepted`."""
    return {"ses": 2, "mailgun": 2}.get(kind, 1)


async def listening(simulated, kind, webhook, **switches):
    it = await simulated(kind, switches={"webhookUrl": webhook.url, **switches})
    if kind == "ses":
        await webhook.until(1)
        webhook.calls.clear()
    return it


async def test_events_are_sent_again_until_somebody_takes_them(kind, simulated, webhook):
    it = await listening(simulated, kind, webhook)
    webhook.statuses[:] = [500, 404]
    await it.send("ada@example.com")
    calls = await webhook.until(event_count(kind) + 2)
    bodies = [body for _, _, body in calls]
    assert len(set(bodies)) == event_count(kind)
    log = (await it.client.get("/_simulator/webhooks")).json()
    assert sorted(call["status"] for call in log["items"] if call["status"] != 200) == [404, 500]


async def test_a_subscription_is_asked_for_until_somebody_is_there_to_confirm_it(simulated, webhook, monkeypatch):
    """A simulator is started before Mailboat, which needs its keys."""
    monkeypatch.setattr(courier, "FIRST_PAUSE", 0.001)
    webhook.statuses[:] = [503] * (courier.ATTEMPTS + 2)
    await simulated("ses", switches={"webhookUrl": webhook.url})
    calls = await webhook.until(courier.ATTEMPTS + 3)
    assert {headers["x-amz-sns-message-type"] for _, headers, _ in calls} == {"SubscriptionConfirmation"}
    assert len({body for _, _, body in calls}) == 1


async def test_a_subscription_is_not_asked_for_where_events_no_longer_go(simulated, webhook, monkeypatch):
    monkeypatch.setattr(courier, "FIRST_PAUSE", 0.001)
    webhook.statuses[:] = [503] * 1000
    it = await simulated("ses", switches={"webhookUrl": webhook.url})
    await webhook.until(courier.ATTEMPTS + 1)
    await it.client.put("/_simulator/settings", json={"webhookUrl": ""})
    await asyncio.sleep(0.1)
    webhook.calls.clear()
    await asyncio.sleep(0.2)
    assert webhook.calls == []
    assert (await it.client.get("/_simulator/webhooks")).json()["open"] == 0


async def test_a_406_is_never_sent_again(kind, simulated, webhook):
    it = await listening(simulated, kind, webhook)
    webhook.statuses[:] = [406] * event_count(kind)
    await it.send("ada@example.com")
    await webhook.until(event_count(kind))
    await asyncio.sleep(0.4)
    assert len(webhook.calls) == event_count(kind)
    assert (await it.client.get("/_simulator/webhooks")).json()["open"] == 0


async def test_events_are_repeated_byte_for_byte(kind, simulated, webhook):
    it = await listening(simulated, kind, webhook, eventCopies=3)
    await it.send("ada@example.com")
    calls = await webhook.until(3 * event_count(kind))
    bodies = [body for _, _, body in calls]
    assert sorted(bodies.count(body) for body in set(bodies)) == [3] * event_count(kind)


async def test_events_come_late_when_told_so(kind, simulated, webhook):
    it = await listening(simulated, kind, webhook, eventDelay=0.3)
    await it.send("ada@example.com")
    assert webhook.calls == []
    assert (await it.client.get("/_simulator/webhooks")).json()["open"] == event_count(kind)
    await webhook.until(event_count(kind))


async def test_nobody_hears_of_a_silent_recipient(kind, simulated, webhook):
    it = await listening(simulated, kind, webhook)
    await it.send("silent@example.com")
    assert (await it.client.get("/_simulator/webhooks")).json()["open"] == 0
    assert webhook.calls == []


@pytest.mark.parametrize("kind", ["ses", "mailgun", "postmark"])
async def test_events_come_in_any_order_when_told_so(kind, simulated, webhook):
    it = await listening(simulated, kind, webhook, shuffleEvents=True)
    orders = set()
    for number in range(6):
        webhook.calls.clear()
        await it.send("click@example.com")
        count = 3 + (kind != "postmark")
        calls = await webhook.until(count)
        orders.add(tuple(order(kind, body) for _, _, body in calls))
        assert len(calls) == count, number
    assert len(orders) > 1


def order(kind, body):
    """Which event it is."""
    words = {"ses": b"Send Delivery Open Click", "mailgun": b"accepted delivered opened clicked"}
    known = words.get(kind, b"Delivery Open Click").split()
    marks = {"ses": b'\\"eventType\\":\\"%b\\"', "mailgun": b'"event":"%b"', "postmark": b'"RecordType":"%b"'}
    return next(word for word in known if marks[kind] % word in body)
