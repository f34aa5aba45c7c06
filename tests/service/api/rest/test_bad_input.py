"""Whatever is wrong with a request is answered with a problem that names the field, and nothing is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

INJECTIONS = ["\r\nBcc: eve@example.com", "\nBcc: eve@example.com", "\rX: y", "\0", "\x7f", "\x1b[31m"]
UNKNOWN = "a field that is not there"


def nested(levels: int, of: str = "[") -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] if of == "[" else {"a": value}
    return value


# name: (what is changed in a good body, status, code, field)
BODIES: dict[str, tuple[dict[str, Any], int, str, str | None]] = {
    "no recipient": ({"to": None}, 422, "missing_field", "to"),
    "an empty list of recipients": ({"to": []}, 422, "missing_field", "to"),
    "a number as recipient": ({"to": 7}, 422, "invalid_field", "to"),
    "a number among the recipients": ({"to": ["ada@example.com", 7]}, 422, "invalid_field", "to[1]"),
    "an object as recipient": ({"to": {"email": "ada@example.com"}}, 422, "invalid_field", "to"),
    "no address": ({"to": "ada"}, 422, "invalid_address", "to"),
    "no address in a list": ({"to": ["ada@example.com", "bob"]}, 422, "invalid_address", "to[1]"),
    "no address in cc": ({"cc": ["nobody"]}, 422, "invalid_address", "cc[0]"),
    "no address in bcc": ({"bcc": "nobody"}, 422, "invalid_address", "bcc"),
    "no address in reply_to": ({"reply_to": ["a@b.c", "nobody"]}, 422, "invalid_address", "reply_to[1]"),
    "no address in from": ({"from": "nobody"}, 422, "invalid_address", "from"),
    "two addresses in one": ({"to": "a@b.c, d@e.f"}, 422, "invalid_address", "to"),
    "too many recipients": ({"to": ["a@b.c"] * 20, "cc": ["d@e.f"] * 20, "bcc": ["g@h.i"] * 11}, 422,
                            "too_many_recipients", "to"),
    "too many reply_to": ({"reply_to": ["a@b.c"] * 51}, 422, "invalid_field", "reply_to"),
    "an unknown field": ({UNKNOWN: 1}, 422, "unknown_field", UNKNOWN),
    "a name that JavaScript writes": ({"replyTo": "a@b.c"}, 422, "unknown_field", "replyTo"),
    "a subject that is a number": ({"subject": 7}, 422, "invalid_field", "subject"),
    "a subject of 2,001 characters": ({"subject": "x" * 2001}, 422, "invalid_header", "subject"),
    "no subject": ({"subject": None}, 422, "missing_field", "subject"),
    "no html and no text": ({"text": None}, 422, "missing_field", "html"),
    "nothing to send": ({"text": None, "subject": None}, 422, "missing_field", "template"),
    "a text beside a template": ({"template": "receipt"}, 422, "invalid_field", "text"),
    "html beside a template": ({"template": "receipt", "text": None, "html": "<p>x"}, 422, "invalid_field", "html"),
    "a subject of two lines": ({"template": "receipt", "subject": "a\nb", "text": None}, 422, "invalid_header",
                               "subject"),
    "an unknown template": ({"template": "nowhere", "subject": None, "text": None}, 422, "template_not_found",
                            "template"),
    "a template outside the folder": ({"template": "../receipt", "subject": None, "text": None}, 422,
                                      "template_not_found", "template"),
    "a template with a NUL": ({"template": "re\0ceipt", "subject": None, "text": None}, 422, "template_not_found",
                              "template"),
    "an endless template name": ({"template": "x" * 10_000, "subject": None, "text": None}, 422, "template_not_found",
                                 "template"),
    "data that is a list": ({"data": [1]}, 422, "invalid_field", "data"),
    "data that is text": ({"data": "order=1"}, 422, "invalid_field", "data"),
    "data nested in lists": ({"data": {"a": nested(200)}}, 400, "too_deep", "data"),
    "data nested in objects": ({"data": nested(65, "{")}, 400, "too_deep", "data"),
    "metadata nested too deep": ({"metadata": {"a": nested(100)}}, 400, "too_deep", "metadata"),
    "headers that are a list": ({"headers": ["X-Flow: a"]}, 422, "invalid_field", "headers"),
    "a header's value that is a number": ({"headers": {"X-A": "1", "X-B": 1}}, 422, "invalid_field", "headers.X-B"),
    "a tag's value that is a list": ({"tags": {"flow": ["a"]}}, 422, "invalid_field", "tags.flow"),
    "a header with a space in its name": ({"headers": {"X Flow": "a"}}, 422, "invalid_header", "headers.X Flow"),
    "a header with a colon in its name": ({"headers": {"X:": "a"}}, 422, "invalid_header", "headers.X:"),
    "a header without a name": ({"headers": {"": "a"}}, 422, "invalid_header", "headers."),
    "a header that mail is made of": ({"headers": {"Bcc": "eve@example.com"}}, 422, "invalid_header", "headers.Bcc"),
    "the same header twice": ({"headers": {"X-Flow": "a", "x-flow": "b"}}, 422, "invalid_header", "headers.x-flow"),
    "too many headers": ({"headers": {f"X-{n}": "a" for n in range(51)}}, 422, "invalid_field", "headers"),
    "an endless header": ({"headers": {"X-Flow": "a " * 5000}}, 422, "invalid_header", "headers.X-Flow"),
    "a tag with a space": ({"tags": {"two words": "a"}}, 422, "invalid_field", "tags.two words"),
    "a tag that is too long": ({"tags": {"flow": "x" * 257}}, 422, "invalid_field", "tags.flow"),
    "too many tags": ({"tags": {f"t{n}": "a" for n in range(21)}}, 422, "invalid_field", "tags"),
    "a locale that is none": ({"locale": "../de"}, 422, "invalid_field", "locale"),
    "a lane that is none": ({"lane": "urgent"}, 422, "invalid_field", "lane"),
    "a time without a zone": ({"send_at": "2026-12-01T09:00:00"}, 422, "invalid_field", "send_at"),
    "a time that is none": ({"send_at": "tomorrow"}, 422, "invalid_field", "send_at"),
    "a time in two years": ({"send_at": "2999-01-01T00:00:00Z"}, 422, "invalid_field", "send_at"),
    "the last of all times": ({"send_at": "9999-12-31T23:59:59-23:59"}, 422, "invalid_field", "send_at"),
    "an attachment without content": ({"attachments": [{"filename": "a.pdf"}]}, 422, "missing_field",
                                      "attachments[0].content"),
    "an attachment without a name": ({"attachments": [{"content": ""}]}, 422, "missing_field",
                                     "attachments[0].filename"),
    "an attachment with content and url": ({"attachments": [{"filename": "a.pdf", "content": "", "url":
                                            "https://example.com/a.pdf"}]}, 422, "invalid_attachment",
                                           "attachments[0].url"),
    "an attachment in a file of ours": ({"attachments": [{"url": "file:///etc/passwd"}]}, 422, "invalid_attachment",
                                        "attachments[0].url"),
    "an attachment on our own network": ({"attachments": [{"url": "https://127.0.0.1:8443/a.pdf"}]}, 422,
                                         "invalid_attachment", "attachments[0].url"),
    "an attachment that is not base64": ({"attachments": [{"filename": "a.pdf", "content": "%%%"}]}, 422,
                                         "invalid_attachment", "attachments[0].content"),
    "an attachment with a path": ({"attachments": [{"filename": "../a", "content": ""}]}, 422, "invalid_attachment",
                                  "attachments[0].filename"),
    "an attachment with a header in its type": ({"attachments": [{"filename": "a", "content": "", "content_type":
                                                 "text/plain\r\nX: y"}]}, 422, "invalid_attachment",
                                                "attachments[0].content_type"),
    "an attachment with a header in its id": ({"attachments": [{"filename": "a", "content": "", "content_id":
                                               "a>\r\nX: y"}]}, 422, "invalid_attachment",
                                              "attachments[0].content_id"),
}  # fmt: skip
# name: (the bytes, status, code, field)
TEXTS: dict[str, tuple[bytes, int, str, str | None]] = {
    "nothing": (b"", 400, "malformed_json", None),
    "half a body": (b'{"to": "ada@exam', 400, "malformed_json", None),
    "two bodies": (b'{"to":"a@b.c"}{}', 400, "malformed_json", None),
    "a form": (b"to=ada%40example.com&subject=Ahoy", 400, "malformed_json", None),
    "XML": (b"<mail/>", 400, "malformed_json", None),
    "a list": (b"[]", 422, "invalid_field", ""),
    "a word": (b'"ada@example.com"', 422, "invalid_field", ""),
    "null": (b"null", 422, "invalid_field", ""),
    "a hundred thousand brackets": (b'{"data": {"a":' + b"[" * 100_000, 400, "too_deep", None),
    "brackets that close": (b'{"to":"a@b.c","data":{"a":' + b"[" * 9000 + b"]" * 9000 + b"}}", 400, "too_deep", None),
    "a number beyond every float": (b'{"to":"a@b.c","data":{"n":1e999}}', 422, "invalid_field", "data[]"),
    "a number of ten thousand digits": (b'{"to":"a@b.c","data":{"n":' + b"9" * 10_000 + b"}}", 422, "invalid_field",
                                        "data[]"),
    "no number": (b'{"to":"a@b.c","data":{"n":NaN}}', 400, "malformed_json", None),
    "half a surrogate pair": (b'{"to":"a@b.c","subject":"\\ud800","text":""}', 400, "malformed_json", None),
    "half a surrogate pair in data": (b'{"to":"a@b.c","data":{"a":["\\udfff"]}}', 400, "malformed_json", None),
    "an octet that is not UTF-8": (b'{"to":"a@b.c","subject":"\xff","text":""}', 400, "malformed_json", None),
    "UTF-16": ('{"to":"a@b.c"}'.encode("utf-16"), 400, "malformed_json", None),
    "a byte order mark": (b"\xef\xbb\xbf" + b'{"to":"a@b.c"}', 400, "malformed_json", None),
    "a comment": (b'{"to":"a@b.c"} // Ada', 400, "malformed_json", None),
    "a raw line break in text": (b'{"to":"a@b.c","subject":"a\nb","text":""}', 400, "malformed_json", None),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_body_with_a_fault_is_refused_by_its_field(name, caller, body_of, stored, problem):
    changes, status, code, field = BODIES[name]
    problem(caller.post("/v1/send", json=body_of(**changes)), status, code, field)
    assert stored() == 0


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_no_request_is_refused(name, caller, stored, problem):
    text, status, code, field = TEXTS[name]
    problem(caller.post("/v1/send", content=text), status, code, field)
    assert stored() == 0


def places(injection: str) -> dict[str, dict[str, Any]]:
    """Every field that becomes a header, with this in it."""
    address = f"Ada{injection} <ada@example.com>"
    return {
        "to": {"to": address},
        "cc": {"cc": f"ada{injection}@example.com"},
        "bcc": {"bcc": f"ada@example.com{injection}"},
        "from": {"from": address},
        "reply_to[0]": {"reply_to": [address]},
        "subject": {"subject": f"Ahoy{injection}"},
        "headers.X-Flow": {"headers": {"X-Flow": f"a{injection}"}},
        f"headers.X-Flow{injection}": {"headers": {f"X-Flow{injection}": "a"}},
        "tags.flow": {"tags": {"flow": f"a{injection}"}},
        f"tags.flow{injection}": {"tags": {f"flow{injection}": "a"}},
        "attachments[0].filename": {"attachments": [{"filename": f"a{injection}.txt", "content": ""}]},
    }


@pytest.mark.parametrize("injection", INJECTIONS, ids=repr)
def test_nothing_that_becomes_a_header_can_carry_another(injection, caller, body_of, stored):
    for field, changes in places(injection).items():
        answer = caller.post("/v1/send", json=body_of(**changes))
        assert (answer.status_code, answer.json()["field"]) == (422, field)
        assert answer.json()["code"] in ("invalid_address", "invalid_header", "invalid_field", "invalid_attachment")
    assert stored() == 0


def test_a_sender_that_is_not_allowed_is_refused_with_those_that_are(new_client, http, body_of, problem, query):
    client = new_client(senders=["Shop <orders@shop.example.com>", "*@news.example.com"])
    for sender in ("eve@evil.example", "orders@shop.example.com.evil.example", "eve@sub.news.example.com"):
        answer = http.post("/v1/send", json=body_of(**{"from": sender}), headers=client.headers)
        members = problem(answer, 422, "sender_not_allowed", "from")
        assert "orders@shop.example.com" in members["detail"]
    for sender in ("ORDERS@shop.example.com", "Anybody <anybody@news.example.com>"):
        assert http.post("/v1/send", json=body_of(**{"from": sender}), headers=client.headers).status_code == 202
    assert query("select count(*) from messages where client_id = $1", client.id)[0][0] == 2


def test_a_client_without_a_default_sender_has_to_name_one(new_client, http, body_of, problem):
    client = new_client(senders=["*@news.example.com"])
    problem(http.post("/v1/send", json=body_of(), headers=client.headers), 422, "missing_field", "from")


def test_a_template_that_the_client_may_not_use_is_refused(new_client, http, templates, problem):
    (templates / "order-paid.html.j2").write_text("<p>Paid</p>")
    client = new_client(templates=["order-*"])
    body = {"to": "ada@example.com", "template": "receipt"}
    problem(http.post("/v1/send", json=body, headers=client.headers), 422, "template_not_allowed", "template")
    answer = http.post("/v1/send", json=body | {"template": "order-paid"}, headers=client.headers)
    assert answer.status_code == 202


def test_a_template_that_cannot_be_read_is_refused_with_the_place_of_its_fault(
    caller, templates: Path, stored, problem
):
    (templates / "broken.html.j2").write_text('---\nsubject: "open\n---\n<p>Hello</p>\n')
    answer = caller.post("/v1/send", json={"to": "ada@example.com", "template": "broken"})
    members = problem(answer, 422, "template_broken", "template")
    assert "broken.html.j2:3:1:" in members["detail"]
    assert stored() == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(chunked, caller, body_of, stored, problem):
    text = json.dumps(body_of(text="x" * 200_001)).encode()
    content = (text[n : n + 65536] for n in range(0, len(text), 65536)) if chunked else text
    problem(caller.post("/v1/send", content=content), 413, "body_too_large")
    assert stored() == 0
    assert caller.post("/v1/send", json=body_of()).status_code == 202


def test_a_body_in_chunks_is_a_body(caller, body_of, stored):
    text = json.dumps(body_of()).encode()
    assert caller.post("/v1/send", content=(text[n : n + 3] for n in range(0, len(text), 3))).status_code == 202
    assert stored() == 1


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON;charset=UTF-8",
        "application/vnd.api+json",
        "application/json; charset=latin-1",  # JSON is UTF-8 whatever is said of it (RFC 8259)
        "application/x-www-form-urlencoded",  # what curl -d says by itself
    ],
)
def test_the_body_is_json_in_utf_8(kind, caller, body_of, query, client):
    text = json.dumps(body_of(subject="Grüße"), ensure_ascii=False).encode()
    answer = caller.post("/v1/send", content=text, headers={"Content-Type": kind})
    assert answer.status_code == 202
    ((content,),) = query("select content ->> 'subject' from messages where client_id = $1", client.id)
    assert content == "Grüße"


def test_a_body_that_says_nothing_of_its_kind_is_taken_for_json(raw, head, body_of, stored):
    text = json.dumps(body_of()).encode()
    assert raw(head + b"Content-Length: %d\r\n\r\n" % len(text) + text).startswith(b"HTTP/1.1 202 ")
    assert stored() == 1


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "json"])
@pytest.mark.parametrize("path", ["/v1/send", "/v1/batch"])
def test_a_body_that_says_it_is_no_json_is_415_with_the_remedy(path, kind, caller, body_of, problem, stored):
    answer = caller.post(path, content=json.dumps(body_of()), headers={"Content-Type": kind})
    detail = problem(answer, 415, "unsupported_media_type")["detail"]
    assert "-H 'Content-Type: application/json'" in detail
    assert answer.headers["accept"] == "application/json"
    assert stored() == 0


def test_of_two_equal_names_the_last_one_counts(caller, query, client):
    answer = caller.post("/v1/send", content=b'{"to":"a@b.c","subject":"1","subject":"2","text":"","to":"d@e.f"}')
    assert answer.status_code == 202
    ((to, subject),) = query(
        "select envelope -> 'to' -> 0 ->> 'email', content ->> 'subject' from messages where client_id = $1", client.id
    )
    assert (to, subject) == ("d@e.f", "2")


def test_numbers_keep_their_value(caller, query, client):
    numbers = '{"n":[0,-1,9007199254740993,18446744073709551616,1.5,1e-7]}'
    body = f'{{"to":"a@b.c","template":"receipt","data":{numbers}}}'
    assert caller.post("/v1/send", content=body).status_code == 202
    ((data,),) = query("select data::text from messages where client_id = $1", client.id)
    assert json.loads(data) == json.loads(numbers)


def test_a_body_that_is_cut_off_stores_nothing(raw, head, body_of, stored):
    text = json.dumps(body_of()).encode()
    raw(head + b"Content-Length: %d\r\n\r\n" % (len(text) + 1) + text, hang_up=True)
    raw(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(text) + text + b"\r\n", hang_up=True)
    raw(head + b"Content-Length: %d\r\n\r\n" % len(text) + text[:20], hang_up=True)
    assert raw(head + b"Content-Length: %d\r\n\r\n" % len(text) + text).startswith(b"HTTP/1.1 202 ")
    assert stored() == 1


@pytest.mark.parametrize(
    "request_line",
    [b"GARBAGE\r\n\r\n", b"POST /v1/send HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET /livez HTTP/9.9\r\n\r\n"],
)
def test_what_is_no_http_is_answered_with_400_and_the_next_one_is_served(request_line, raw, http):
    assert raw(request_line).startswith(b"HTTP/1.1 400 ")
    assert http.get("/livez").status_code == 200


def test_two_ways_to_measure_a_body_do_not_smuggle_a_second_request(raw, head):
    """A proxy in front that believes the other length must not be led to see one request where we see two."""
    head = head.replace(b"Connection: close\r\n", b"")
    smuggled = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = raw(head + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled)
    assert b"HTTP/1.1 200" not in answers


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "tab\there", "ümlaut"])
def test_an_idempotency_key_that_cannot_be_kept_is_refused(key, raw, head, body_of, stored):
    text = json.dumps(body_of()).encode()
    head += f"Idempotency-Key: {key}\r\nContent-Length: {len(text)}\r\n\r\n".encode("latin-1")
    answer = raw(head + text)
    assert b'"code":"invalid_idempotency_key"' in answer
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert stored() == 0
