"""Webhooks of providers: verify the bytes, then read what they say. One file per provider."""
