"""Diagnosis: what a refusal means to a person, and what to do about it. Pure.

Servers say it in enhanced status codes (RFC 3463, registry RFC 5248), and the APIs of providers in HTTP answers, whose
numbers mean something else; both have words of their own besides. All of these are tables here. What is in none is
answered by its class, so that there is always a sentence.
"""

from __future__ import annotations

import re

import msgspec


class Diagnosis(msgspec.Struct, frozen=True):
    """`meaning`: what happened. `remedy`: what to do. Both are whole sentences."""

    meaning: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.meaning} {self.remedy}"


_ASK_FOR_ANOTHER = "Ask the person for another address, or for a correction of this one."
_WAIT = "Nothing needs to be done: it is tried again."
_AGAIN = "It is not tried again: send it again later."
_PLAINER = "Send it without unusual attachments or headers."
_SMALLER = "Send smaller attachments, or links to them."
_CHECK_DOMAIN = "Check the domain of the address, then send again."
_ANOTHER_PROVIDER = "Try another provider."
_CREDENTIALS = "Correct the provider's credentials."
_PERMISSION = "Give the key the right to send, and verify the domain in From with the provider."
_ACCOUNT = "Look at the account with the provider; meanwhile, add another one to the route."
_SLOWER = "Set limits.maxPerSecond of the provider to what it allows."
_CORRECT = "Read its words, and correct what they name."
_SPEC = "Correct domain, region or endpoint of the provider."
_REPUTATION = (
    "Look up the sending address and domain in the blocklist that the answer names, stop what caused complaints, and "
    "ask for removal."
)
_AUTHENTICATION = "Publish SPF, DKIM and DMARC for the domain in From, and let the provider sign as that domain."

CODES = {
    "5.1.0": Diagnosis("The recipient's server does not accept this address.", _ASK_FOR_ANOTHER),
    "5.1.1": Diagnosis("There is no such mailbox at the recipient's domain.", _ASK_FOR_ANOTHER),
    "5.1.2": Diagnosis("The recipient's domain does not exist or takes no mail.", _ASK_FOR_ANOTHER),
    "5.1.3": Diagnosis("The recipient's address is not written as addresses are.", "Correct the address."),
    "5.1.4": Diagnosis("The address stands for several mailboxes there.", _ASK_FOR_ANOTHER),
    "5.1.6": Diagnosis("The mailbox has moved and left no new address.", _ASK_FOR_ANOTHER),
    "5.1.7": Diagnosis("The sender's address is not written as addresses are.", "Correct From."),
    "5.1.8": Diagnosis("The sender's domain does not exist.", "Publish MX or A records for the domain in From."),
    "5.1.10": Diagnosis("The recipient's domain says that it takes no mail at all.", _ASK_FOR_ANOTHER),
    "5.2.0": Diagnosis("The mailbox cannot take mail.", _ASK_FOR_ANOTHER),
    "5.2.1": Diagnosis("The mailbox is switched off.", _ASK_FOR_ANOTHER),
    "5.2.2": Diagnosis("The mailbox is full.", "Send again in a few days; an abandoned mailbox stays full."),
    "4.2.2": Diagnosis("The mailbox is full.", _WAIT),
    "4.2.1": Diagnosis("The mailbox is switched off for now, or gets more mail than it takes.", _WAIT),
    "5.2.4": Diagnosis("The address is a mailing list that does not work.", _ASK_FOR_ANOTHER),
    "5.2.3": Diagnosis("The mail is larger than this mailbox takes.", _SMALLER),
    "5.3.0": Diagnosis("The recipient's mail system cannot take the mail.", "Send again later."),
    "5.3.1": Diagnosis("The recipient's mail system is full.", "Send again later."),
    "5.3.2": Diagnosis("The recipient's mail system takes no mail now.", "Send again later."),
    "5.3.3": Diagnosis(
        "The server lacks something that the mail needs.", "Send it without unusual parts, or by another provider."
    ),
    "5.3.5": Diagnosis("The server is not set up well.", "Correct the server, if it is ours, or use another provider."),
    "5.3.4": Diagnosis("The mail is larger than the server takes.", _SMALLER),
    "5.4.1": Diagnosis("The recipient's server refuses mail for this address.", _ASK_FOR_ANOTHER),
    "5.4.4": Diagnosis("The recipient's domain has no server for mail.", _ASK_FOR_ANOTHER),
    "5.4.0": Diagnosis("The mail's way to the recipient's server is broken.", _CHECK_DOMAIN),
    "5.4.3": Diagnosis("The directory that says where to deliver failed.", _CHECK_DOMAIN),
    "5.4.6": Diagnosis("The mail went round in a circle between servers.", _CHECK_DOMAIN),
    "4.4.5": Diagnosis("The recipient's servers are overloaded.", _WAIT),
    "4.4.1": Diagnosis("The recipient's server does not answer.", _WAIT),
    "4.4.2": Diagnosis("The connection to the recipient's server broke.", _WAIT),
    "4.4.7": Diagnosis(
        "It was tried for so long that the provider gave up.",
        "Check that the recipient's domain still takes mail, then send again.",
    ),
    "5.4.7": Diagnosis(
        "It was tried for so long that the provider gave up.",
        "Check that the recipient's domain still takes mail, then send again.",
    ),
    "5.5.1": Diagnosis("The servers do not understand each other.", _ANOTHER_PROVIDER),
    "5.5.2": Diagnosis("The servers do not understand each other.", _ANOTHER_PROVIDER),
    "5.5.3": Diagnosis("The mail has more recipients than the server takes.", "Send it to fewer at once."),
    "5.5.4": Diagnosis("The server does not know something that the mail asks for.", _ANOTHER_PROVIDER),
    "5.6.0": Diagnosis("The server cannot read the mail's content.", _PLAINER),
    "5.6.1": Diagnosis("The server takes no content of this kind.", _PLAINER),
    "5.6.3": Diagnosis("The server would have to convert the mail, and cannot.", _PLAINER),
    "5.6.7": Diagnosis("The server takes no addresses with letters beyond ASCII.", _ASK_FOR_ANOTHER),
    "5.7.0": Diagnosis("The recipient's server refuses the mail by a rule of its own.", _AUTHENTICATION),
    "5.7.1": Diagnosis(
        "The recipient's server refuses the mail by policy: it takes it for unwanted, or the sender for not allowed.",
        f"Read the server's words. {_AUTHENTICATION} If it names a blocklist, ask for removal there.",
    ),
    "5.7.2": Diagnosis("The sender may not write to this mailing list.", "Ask the list's owner to allow it."),
    "5.7.3": Diagnosis("The server wants us to log in, or to be somebody else.", _CREDENTIALS),
    "5.7.8": Diagnosis("The SMTP server does not accept our name and password.", "Correct the provider's credentials."),
    "5.7.9": Diagnosis(
        "The SMTP server wants another kind of login.", "Use an app password, or another port, as its manual says."
    ),
    "5.7.10": Diagnosis("The server wants an encrypted connection.", "Set tls: starttls or implicit for the provider."),
    "5.7.11": Diagnosis("The server wants an encrypted connection.", "Set tls: starttls or implicit for the provider."),
    "5.7.13": Diagnosis("Our account at the SMTP server is switched off.", _ACCOUNT),
    "5.7.14": Diagnosis("The server wants us to log in in a browser first.", _ACCOUNT),
    "5.7.20": Diagnosis("The mail has no DKIM signature that holds.", _AUTHENTICATION),
    "5.7.23": Diagnosis("SPF does not allow this server to send for the domain.", _AUTHENTICATION),
    "5.7.25": Diagnosis("The sending address has no name in DNS.", "Publish a PTR record for the sending address."),
    "5.7.26": Diagnosis("Neither SPF nor DKIM proves that the mail is from its From.", _AUTHENTICATION),
    "5.7.28": Diagnosis("The recipient's server gets more mail from us than it takes.", _SLOWER),
    "5.7.30": Diagnosis("A server on the way cannot encrypt, and the mail must be.", _ANOTHER_PROVIDER),
    "5.7.27": Diagnosis("The sender's domain says that it takes no mail, so answers would be lost.", "Correct From."),
    "4.7.0": Diagnosis("The recipient's server makes us wait.", _WAIT),
    "4.7.1": Diagnosis("The recipient's server does not know us yet, and takes the mail later (greylisting).", _WAIT),
}
SUBJECTS = {
    "1": Diagnosis("Something is wrong with an address.", _ASK_FOR_ANOTHER),
    "2": Diagnosis("The mailbox cannot take the mail.", "Send again later, or ask for another address."),
    "3": Diagnosis("The recipient's mail system cannot take the mail.", "Send again later."),
    "4": Diagnosis("The way to the recipient's server is broken.", _CHECK_DOMAIN),
    "5": Diagnosis("The servers do not understand each other.", _ANOTHER_PROVIDER),
    "6": Diagnosis("The mail's content cannot be carried.", _PLAINER),
    "7": Diagnosis("The recipient's server refuses the mail by policy.", _AUTHENTICATION),
}
CLASSES = {
    "4": Diagnosis("The recipient's server cannot take the mail now.", _WAIT),
    "5": Diagnosis("The recipient's server refuses the mail for good.", "Read its words; the same mail will not pass."),
}
# Replies without an enhanced code (RFC 5321, RFC 4954).
REPLIES = {
    "421": Diagnosis("The server ends the connection for now.", _WAIT),
    "450": Diagnosis("The mailbox is busy, or its server takes mail of strangers later.", _WAIT),
    "451": Diagnosis("The server has a fault of its own, or takes mail of strangers later.", _WAIT),
    "452": Diagnosis("The server is short of room, or takes fewer recipients at once.", _WAIT),
    "530": Diagnosis("The SMTP server wants us to log in.", "Set the provider's credentials."),
    "534": CODES["5.7.9"],
    "535": CODES["5.7.8"],
    "538": CODES["5.7.11"],
    "552": Diagnosis("The mail is too large, or the mailbox is full.", "Send a smaller mail, or again in a few days."),
    "553": CODES["5.1.3"],
    "556": CODES["5.1.10"],
}
_BLOCKED = Diagnosis("The sending address or domain is on a blocklist.", _REPUTATION)
_UNPROVEN = Diagnosis("The recipient's server cannot tell that the mail is from its From.", _AUTHENTICATION)
_HELD_BACK = Diagnosis(
    "The provider holds the address on a suppression list of its own, and did not send.",
    "Remove it from that list in the provider's console, if the person wants our mail again.",
)
_UNVERIFIED = Diagnosis(
    "The provider does not know the sender or the recipient yet.",
    "Verify the domain in From with the provider, and leave its sandbox.",
)
_PLAN = Diagnosis("The provider's plan is used up.", "Raise the plan, or add a provider to the route.")
_SPAM = Diagnosis("The content is taken for spam or malware.", "Change what the words, links or attachments look like.")
# Of us and a provider, without a code.
CONNECTION = (
    (r"may (?:have been sent|have taken)",
     Diagnosis("The provider's answer never came, so the mail may have been sent.",
               "Look for it at the provider before it is sent again by hand.")),
    (r"certificate", Diagnosis("The provider shows a certificate that we do not trust.",
                               "Check its host name, and set caSecretRef where it has an authority of its own.")),
    (r"does not offer STARTTLS", Diagnosis("The SMTP server does not encrypt.",
                                           "Check host and port; set tls: none only on a network of our own.")),
    (r"not SMTP", Diagnosis("What answers there is no SMTP server.", "Correct host and port of the provider.")),
    (r"(?:can ?not|could not) be reached|did not answer within|TLS with the|connection to the SMTP server was lost|"
     r"closed the connection", Diagnosis("The provider could not be reached.", _WAIT)),
)  # fmt: skip
WORDS = (
    (r"spamhaus|block ?list|blacklist|\brbl\b|dnsbl|barracuda|listed (?:at|by|in|on)|reputation", _BLOCKED),
    (r"dmarc|\bspf\b|\bdkim\b|unauthenticated", _UNPROVEN),
    (r"suppress|bounced address|inactive|unsubscribed address|spam reporting address", _HELD_BACK),
    (r"greylist|graylist|try again later", Diagnosis("The recipient's server takes mail of strangers later.", _WAIT)),
    (r"not verified|sandbox", _UNVERIFIED),
    (r"mailbox ?(?:is )?full|over ?quota|quota exceeded for", CODES["5.2.2"]),
    (r"quota|package|credits|limit exceeded", _PLAN),
    (r"spam|content rejected|bad content|virus", _SPAM),
    (r"no mx|nxdomain|domain not found|host not found|(?:domain|host)\b.{0,60}does not exist", CODES["5.1.2"]),
    (r"unknown user|no such user|user unknown|does not exist|noemail|mailbox unavailable|^invalid$|"
     r"invalid (?:recipient|mailbox|user|address)", CODES["5.1.1"]),
)  # fmt: skip
# What an API says beside its status: the same status stands for many things (research: each provider's error classes).
API_WORDS = (
    (r"credits|daily (?:message )?quota", _PLAN),
    (r"toomanyrequests|throttling|maximum sending rate|too many requests|rate ?exceeded",
     Diagnosis("The provider asks us to send more slowly.", _WAIT)),
    (r"quota|limit ?exceeded|\bplan\b|package|payment", _PLAN),
    (r"sending ?paused|account ?suspended|sending is disabled|"
     r"account .{0,40}(?:suspended|disabled|paused|under review|pending approval)",
     Diagnosis("The provider has stopped our account.", _ACCOUNT)),
    (r"not ?verified|sandbox|verified sender|sender signature|authorized recipients", _UNVERIFIED),
    (r"inactive|suppress|blocked address|bounced address", _HELD_BACK),
    (r"configuration set", Diagnosis("The provider does not know our configuration set.",
                                     "Make it there, or correct ses.configurationSet.")),
    (r"signature (?:expired|not yet current)|requestexpired|requesttimetooskewed",
     Diagnosis("The provider finds our clock wrong.", "Set the clock of the worker's machine.")),
    (r"signaturedoesnotmatch|incompletesignature|invalidclienttoken|unrecognizedclient|security token|"
     r"authorization grant|server token|api token|invalid (?:private|api) key",
     Diagnosis("The provider does not accept our credentials.", _CREDENTIALS)),
    (r"accessdenied|access denied|not authorized|access forbidden|permission",
     Diagnosis("The provider does not let our key send.", _PERMISSION)),
    (r"too many recipients|max(?:imum)? (?:is|of) \d+ recipients|recipient count exceeds", CODES["5.5.3"]),
    (r"too large|too long|larger than|exceeds|entity too large",
     Diagnosis("The mail is larger than the provider takes.", _SMALLER)),
    (r"bad content|virus|spam|attachment type|forbidden attachment", _SPAM),
    (r"(?:not|isn't|contain) a valid (?:email|address)|parameter is not a valid|valid email|illegal email|"
     r"invalid (?:'?to'?|recipient|email|address|domain)|missing final '@domain'",
     Diagnosis("The provider finds an address of the mail malformed.", "Correct the address.")),
)  # fmt: skip
STATUSES = {
    200: Diagnosis("Something else than the provider's API answered.", _SPEC),
    401: Diagnosis("The provider does not accept our credentials.", _CREDENTIALS),
    402: _PLAN,
    403: Diagnosis("The provider does not let our key send.", _PERMISSION),
    404: Diagnosis("The provider does not know what we ask for.", _SPEC),
    405: Diagnosis("The provider does not know what we ask for.", _SPEC),
    408: Diagnosis("The provider was too slow.", _WAIT),
    413: Diagnosis("The mail is larger than the provider takes.", _SMALLER),
    425: Diagnosis("The provider was too slow.", _WAIT),
    429: Diagnosis("The provider asks us to send more slowly.", _WAIT),
}
"""HTTP statuses, where the words beside them say nothing; the rest by class."""
STATUS_CLASSES = {
    "3": Diagnosis("Something else than the provider's API answered.", _SPEC),
    "4": Diagnosis("The provider refuses the request.", _CORRECT),
    "5": Diagnosis("The provider has a fault of its own.", _WAIT),
}
EVENTS = {
    "complained": Diagnosis(
        "The recipient marked the mail as spam.",
        "Do not write to the address again, except where the person asks for it; it is suppressed.",
    ),
    "rejected": Diagnosis("The provider did not send the mail.", "Read its words, and correct what they name."),
    "failed": Diagnosis("The mail was not sent.", "Read the error, and correct what it names."),
    "bounced hard": Diagnosis("The address cannot take mail, now or later.", f"{_ASK_FOR_ANOTHER} It is suppressed."),
    "bounced soft": Diagnosis(
        "The address could not take this mail.", "Send again later; a repeat of it points to a dead mailbox."
    ),
    "deferred": CLASSES["4"],
    "dead": Diagnosis(
        "Every attempt failed, and no more are made.", "Correct what the last error names, then replay it."
    ),
    "held": Diagnosis(
        "The mail may have been sent, and its client wants a person to decide.",
        "Look for it at the provider, then release or fail it.",
    ),
}

_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
# A reply stands at the beginning of what a server said; other numbers are ports, sizes or the words' own.
_BASIC = re.compile(
    r"(?:^|[:;>)]\s+|\bsmtp;\s*|\b(?:smtp|error|code|said|reply|response)[:;]?\s+)([45]\d\d)(?=[\s-]|$)", re.IGNORECASE
)
_HTTP = re.compile(r"\bHTTP (\d{3})\b:?")
_LEFT_TO_WORDS = frozenset({"5.7.0", "5.7.1", "5.7.26"})  # said for many things; the words beside them tell them apart


def _compiled(table: tuple[tuple[str, Diagnosis], ...]) -> tuple[tuple[re.Pattern[str], Diagnosis], ...]:
    return tuple((re.compile(words, re.IGNORECASE), found) for words, found in table)


_WORDS, _API_WORDS, _CONNECTION = _compiled(WORDS), _compiled(API_WORDS), _compiled(CONNECTION)


def of(status: str, detail: str, bounce: str = "") -> Diagnosis | None:
    """What a recipient's status means, with the server's words in `detail`; None where nothing went wrong."""
    if status == "complained":
        return EVENTS["complained"]
    said = of_words(detail)
    if status in ("scheduled", "queued", "deferred"):
        return said or EVENTS.get(status)
    known = EVENTS.get(f"{status} {bounce or 'soft'}" if status == "bounced" else status)
    if known is None or said is None:
        return known
    # What a server meant to take later is over all the same, once nobody tries any more.
    return Diagnosis(said.meaning, _AGAIN) if said.remedy == _WAIT else said


def of_words(detail: str) -> Diagnosis | None:
    """By the exact code, by the words, by the code's class; None for words without a meaning here."""
    if answer := _HTTP.search(detail):
        return _of_answer(int(answer[1]), detail[answer.end() :])
    enhanced = _ENHANCED.search(detail)
    if enhanced and enhanced[1] in CODES and enhanced[1] not in _LEFT_TO_WORDS:
        return CODES[enhanced[1]]
    basic = _BASIC.search(detail)
    # Where no server spoke, the connection failed.
    tables = (_WORDS,) if enhanced or basic else (_CONNECTION, _WORDS)
    return _first(tables, detail) or (_of_code(enhanced[1]) if enhanced else _of_reply(basic[1]) if basic else None)


def _of_answer(status: int, words: str) -> Diagnosis:
    """An API's answer. One that quotes a server is about what that said."""
    quoted = _ENHANCED.search(words)
    if quoted and quoted[1] in CODES:
        return CODES[quoted[1]]
    known = STATUSES.get(status) or STATUS_CLASSES.get(str(status)[0], STATUS_CLASSES["4"])
    return known if status >= 500 else _first((_API_WORDS,), words) or known


def _of_code(code: str) -> Diagnosis | None:
    """An enhanced code that the words do not explain. What is permanent in one class passes in the other."""
    if code in CODES:
        return CODES[code]
    kind, subject, detail = code.split(".")
    if kind == "4":
        permanent = CODES.get(f"5.{subject}.{detail}")
        return Diagnosis(permanent.meaning, _WAIT) if permanent else CLASSES["4"]
    return SUBJECTS.get(subject, CLASSES["5"]) if kind == "5" else None


def _of_reply(code: str) -> Diagnosis:
    return REPLIES.get(code) or CLASSES[code[0]]


def _first(tables: tuple[tuple[tuple[re.Pattern[str], Diagnosis], ...], ...], detail: str) -> Diagnosis | None:
    return next((found for table in tables for words, found in table if words.search(detail)), None)
