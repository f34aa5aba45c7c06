"""Mailboat: a self-hosted transactional email platform."""

from importlib.metadata import version

__version__ = version("mailboat")
