"""Mailboat: a self-hosted transactional email platform."""


def __getattr__(name: str) -> str:
    """`__version__`, looked up when somebody asks: importlib.metadata is a slow import for every start."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version

    return version("mailboat")
