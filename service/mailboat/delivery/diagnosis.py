"""Diagnosis: what a refusal means to a person, and what to do about it. Pure.

Servers say it in enhanced status codes (RFC 3463, registry RFC 5248) and providers in words of their own; both are
tables here. What is in neither is answered by its class, so that there is always a sentence.
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
    "5.1.6": Diagnosis("The mailbox has moved and left no new address.", _ASK_FOR_ANOTHER),
    "5.1.7": Diagnosis("The sender's address is not written as addresses are.", "Correct From."),
    "5.1.8": Diagnosis("The sender's domain does not exist.", "Publish MX or A records for the domain in From."),
    "5.1.10": Diagnosis("The recipient's domain says that it takes no mail at all.", _ASK_FOR_ANOTHER),
    "5.2.0": Diagnosis("The mailbox cannot take mail.", _ASK_FOR_ANOTHER),
    "5.2.1": Diagnosis("The mailbox is switched off.", _ASK_FOR_ANOTHER),
    "5.2.2": Diagnosis("The mailbox is full.", "Send again in a few days; an abandoned mailbox stays full."),
    "4.2.2": Diagnosis("The mailbox is full.", _WAIT),
    "5.2.3": Diagnosis("The mail is larger than this mailbox takes.", "Send smaller attachments, or links to them."),
    "5.3.4": Diagnosis("The mail is larger than the server takes.", "Send smaller attachments, or links to them."),
    "5.4.1": Diagnosis("The recipient's server refuses mail for this address.", _ASK_FOR_ANOTHER),
    "5.4.4": Diagnosis("The recipient's domain has no server for mail.", _ASK_FOR_ANOTHER),
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
    "5.6.0": Diagnosis("The server cannot read the mail's content.", "Send it without unusual attachments or headers."),
    "5.7.0": Diagnosis("The recipient's server refuses the mail by a rule of its own.", _AUTHENTICATION),
    "5.7.1": Diagnosis(
        "The recipient's server refuses the mail by policy: it takes it for unwanted, or the sender for not allowed.",
        f"Read the server's words. {_AUTHENTICATION} If it names a blocklist, ask for removal there.",
    ),
    "5.7.8": Diagnosis("The SMTP server does not accept our name and password.", "Correct the provider's credentials."),
    "5.7.9": Diagnosis(
        "The SMTP server wants another kind of login.", "Use an app password, or another port, as its manual says."
    ),
    "5.7.20": Diagnosis("The mail has no DKIM signature that holds.", _AUTHENTICATION),
    "5.7.23": Diagnosis("SPF does not allow this server to send for the domain.", _AUTHENTICATION),
    "5.7.25": Diagnosis("The sending address has no name in DNS.", "Publish a PTR record for the sending address."),
    "5.7.26": Diagnosis("Neither SPF nor DKIM proves that the mail is from its From.", _AUTHENTICATION),
    "5.7.27": Diagnosis("The sender's domain says that it takes no mail, so answers would be lost.", "Correct From."),
    "4.7.0": Diagnosis("The recipient's server makes us wait.", _WAIT),
    "4.7.1": Diagnosis("The recipient's server does not know us yet, and takes the mail later (greylisting).", _WAIT),
}
SUBJECTS = {
    "1": Diagnosis("Something is wrong with an address.", _ASK_FOR_ANOTHER),
    "2": Diagnosis("The mailbox cannot take the mail.", "Send again later, or ask for another address."),
    "3": Diagnosis("The recipient's mail system cannot take the mail.", "Send again later."),
    "4": Diagnosis("The way to the recipient's server is broken.", "Check the domain of the address, then send again."),
    "5": Diagnosis("The servers do not understand each other.", "Try another provider."),
    "6": Diagnosis("The mail's content cannot be carried.", "Send it without unusual attachments or headers."),
    "7": Diagnosis("The recipient's server refuses the mail by policy.", _AUTHENTICATION),
}
CLASSES = {
    "4": Diagnosis("The recipient's server cannot take the mail now.", _WAIT),
    "5": Diagnosis("The recipient's server refuses the mail for good.", "Read its words; the same mail will not pass."),
}
WORDS = (
    (r"spamhaus|blocklist|blacklist|\brbl\b|dnsbl|barracuda|listed (?:at|by|in|on)|reputation",
     Diagnosis("The sending address or domain is on a blocklist.", _REPUTATION)),
    (r"dmarc|\bspf\b|\bdkim\b|unauthenticated",
     Diagnosis("The recipient's server cannot tell that the mail is from its From.", _AUTHENTICATION)),
    (r"suppress|bounced address|inactive|unsubscribed address|spam reporting address",
     Diagnosis("The provider holds the address on a suppression list of its own, and did not send.",
               "Remove it from that list in the provider's console, if the person wants our mail again.")),
    (r"greylist|graylist|try again later", Diagnosis("The recipient's server takes mail of strangers later.", _WAIT)),
    (r"not verified|sandbox",
     Diagnosis("The provider does not know the sender or the recipient yet.",
               "Verify the domain in From with the provider, and leave its sandbox.")),
    (r"mailbox ?full|over ?quota|quota exceeded for", CODES["5.2.2"]),
    (r"quota|package|credits|limit exceeded",
     Diagnosis("The provider's plan is used up.", "Raise the plan, or add a provider to the route.")),
    (r"spam|content rejected|bad content|virus",
     Diagnosis("The content is taken for spam or malware.", "Change what the words, links or attachments look like.")),
    (r"unknown user|no such user|user unknown|does not exist|noemail|mailbox unavailable|invalid", CODES["5.1.1"]),
    (r"no mx|nxdomain|domain not found|host not found", CODES["5.1.2"]),
)  # fmt: skip
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
_BASIC = re.compile(r"(?<![\d.])([45])\d\d(?![\d.])")
_COMPILED = tuple((re.compile(words, re.IGNORECASE), found) for words, found in WORDS)


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
    enhanced = _ENHANCED.search(detail)
    # 5.7.x is said for many things; the words beside it tell them apart.
    if enhanced and enhanced[1] in CODES and not enhanced[1].startswith("5.7."):
        return CODES[enhanced[1]]
    for words, found in _COMPILED:
        if words.search(detail):
            return found
    if enhanced:
        kind, subject, _ = enhanced[1].split(".")
        return CODES.get(enhanced[1]) or (SUBJECTS.get(subject) if kind == "5" else None) or CLASSES.get(kind)
    basic = _BASIC.search(detail)
    return CLASSES[basic[1]] if basic else None
