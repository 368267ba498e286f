"""Replies as structures. Apart from the client, because who reads plain data must not pay for loading msgspec."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from banger.sdk.transport import not_understood

T = TypeVar("T")


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """What reads structures of a kind. It raises as `not_understood` says."""
    known = msgspec.json.Decoder(kind)

    def decode(document: bytes) -> T:
        try:
            return known.decode(document)
        except msgspec.MsgspecError as error:
            raise not_understood(error) from error

    return decode
