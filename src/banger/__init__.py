"""banger: a whole Linux machine in one command."""

from importlib import metadata as _metadata


def __getattr__(name: str) -> object:
    """Load the public names when they are asked for: a verb must not pay for what it does not use."""
    if name == "__version__":
        return _metadata.version("banger")
    raise AttributeError(f"module 'banger' has no attribute {name!r}")
