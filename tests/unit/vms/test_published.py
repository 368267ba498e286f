"""How published ports are written, and where they are bound."""

from ipaddress import IPv4Address

import pytest

from banger import errors
from banger.vms import published
from banger.vms.published import Place, Published


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8080", ("127.0.0.1", 8080, 8080)),
        ("8080:80", ("127.0.0.1", 8080, 80)),
        ("0.0.0.0:8080:80", ("0.0.0.0", 8080, 80)),  # noqa: S104 - what is written
        ("192.168.1.5:443", ("192.168.1.5", 443, 443)),
        ("[::1]:8080:80", ("::1", 8080, 80)),
        ("[0::1]:65535", ("::1", 65535, 65535)),
    ],
)
def test_what_is_written(text: str, meant: tuple[str, int, int]) -> None:
    assert published.parse(text) == Published(*meant)


@pytest.mark.parametrize(
    "text",
    ["", "0", "65536", "80:0", "999999999999999999999999", "-1", "a", "80:", ":80", "1:2:3", "localhost:80:80",
     "256.0.0.1:80", "[::1", "[::1]", "[::g]:80", "::1:80", "1.2.3.4.5:80", "80/udp", "80 ", "\u0660\u0661"],
)  # fmt: skip
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(errors.UsageError) as refused:
        published.parse(text)
    assert len(refused.value.message) < 200


def test_one_place_is_published_once() -> None:
    (first,) = published.read(["8080:80"])
    assert published.read(["127.0.0.1:8081:80", "[::1]:8080"], [first])[0] == first
    for again in ("8080", "127.0.0.1:8080:443"):
        with pytest.raises(errors.UsageError, match="twice"):
            published.read([again], [first])
    with pytest.raises(errors.UsageError, match="twice"):
        published.read(["[::1]:80", "[0:0::1]:80"])
    with pytest.raises(errors.UsageError, match="at most"):
        published.read([str(port) for port in range(1, published.MOST + 2)])


def test_what_is_taken_back() -> None:
    present = published.read(["8080:80", "[::1]:8080:81", "9090:80"])
    assert published.without(present, ["8080"]) == present[2:]
    assert published.without(present, ["[::1]:8080"]) == (present[0], present[2])
    assert published.without(present, ["8080:81", "9090"]) == present[:1]
    for wrong in ("80", "9090:81", "[::1]:9090"):
        with pytest.raises(errors.UsageError, match="not published"):
            published.without(present, [wrong])


def test_the_name_leads_to_the_guests_own_numbers() -> None:
    present = published.read(["8080:80", "9090:80", "127.64.0.2:5432:1", "5432"])
    assert published.places(present, None) == {}
    own = IPv4Address("127.64.0.2")
    assert published.places(present, own) == {Place(str(own), 80): 80, Place(str(own), 1): 1}


def test_what_other_hosts_reach() -> None:
    inside, outside = (
        published.read(["1", "[::1]:1", "127.9.9.9:1"]),
        published.read(["0.0.0.0:2", "[::]:2", "10.0.0.1:2"]),
    )
    assert not any(each.place.open for each in inside)
    assert all(each.place.open for each in outside)
    assert [str(each.place) for each in published.read(["1", "[::1]:1"])] == ["127.0.0.1:1", "[::1]:1"]
