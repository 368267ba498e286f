"""banger: a whole Linux machine in one command."""


def __getattr__(name: str) -> object:
    """Load the public names when they are asked for: a verb must not pay for what it does not use."""
    if name == "__version__":
        from importlib import metadata

        try:
            return metadata.version("banger")
        except metadata.PackageNotFoundError:
            return "0+uninstalled"  # run from the source tree
    raise AttributeError(f"module 'banger' has no attribute {name!r}")
