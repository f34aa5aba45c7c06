"""Servers that speak the providers' APIs, keep the mail and send back signed webhooks: for tests, ours and yours.

Each provider is one module with a subclass of `server.Simulator`; `mailboat simulate NAME` runs it. Requests, answers
and events are as the providers document them; nothing here is shared with `mailboat.providers`, MIME writing aside,
so that an error in one does not hide in the other.
"""
