"""Listings on their way to the daemon and back."""

import pytest

from banger import errors
from banger.workspace import listing
from banger.workspace.listing import Entry

ONE = {b"a": Entry(0o100644, 1, 2), b"with space \n\xff": Entry(0o120777, 3, 1_700_000_000_123_456_789)}
TWO = {b"b": Entry(0o100755, 0, -1)}


def test_what_is_dumped_is_loaded() -> None:
    assert listing.load(listing.dump(ONE)) == [ONE]
    assert listing.load(listing.dump(ONE) + listing.dump(TWO) + listing.dump({})) == [ONE, TWO, {}]
    assert listing.load(b"") == []


@pytest.mark.parametrize("data", [b"x\0", b"100644 1 2 a\0", listing.HEADER + b"\0100644 1 a\0", b"\0"])
def test_what_is_no_listing_is_told(data: bytes) -> None:
    with pytest.raises(errors.InternalError):
        listing.load(data)
