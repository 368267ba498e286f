"""banger: a whole Linux machine in one command.

    from banger import Client, Sandbox, errors

`Sandbox` is a machine for the length of a ``with`` block, `Client` the daemon's whole interface, `errors` every
failure that either can raise.
"""

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from banger import errors as errors
    from banger.sdk.client import Client as Client
    from banger.sdk.sandbox import Sandbox as Sandbox

    __version__: str

__all__ = ["Client", "Sandbox", "__version__", "errors"]


def __getattr__(name: str) -> object:
    """Load the public names when they are asked for: a verb must not pay for what it does not use."""
    if name == "__version__":
        from importlib import metadata

        try:
            return metadata.version("banger")
        except metadata.PackageNotFoundError:
            return "0+uninstalled"  # run from the source tree
    if name == "Client":
        from banger.sdk.client import Client

        return Client
    if name == "Sandbox":
        from banger.sdk.sandbox import Sandbox

        return Sandbox
    if name == "errors":
        import banger.errors

        return banger.errors
    raise AttributeError(f"module 'banger' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
