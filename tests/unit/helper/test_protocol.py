"""Frames between two ends of a socket pair: whole, cut, slow, too large, and with descriptors."""

import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from banger.helper import protocol
from banger.helper.operation import Failed, Outcome, Refused

SECONDS = 5.0
BRIEF = 0.05


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        yield left, right


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_frame_and_descriptors_arrive(ends: tuple[socket.socket, socket.socket]) -> None:
    left, right = ends
    reader, writer = os.pipe()
    data = protocol.frame({"text": "x" * 3_000_000})
    sender = threading.Thread(target=protocol.send, args=(left, data, [writer], SECONDS))
    sender.start()
    body, received = protocol.receive(right, SECONDS)
    sender.join()
    assert json.loads(body) == {"text": "x" * 3_000_000}
    (descriptor,) = received
    assert not os.get_inheritable(descriptor)
    os.write(descriptor, b"through")
    assert os.read(reader, 100) == b"through"
    protocol.close_all([descriptor, reader, writer])


def test_a_header_may_come_in_pieces(ends: tuple[socket.socket, socket.socket]) -> None:
    left, right = ends

    def trickle() -> None:
        for byte in protocol.frame({"a": 1}):
            left.sendall(bytes([byte]))

    sender = threading.Thread(target=trickle)
    sender.start()
    assert protocol.receive(right, SECONDS) == (b'{"a":1}', [])
    sender.join()


def test_no_more_than_a_frame_is_read(ends: tuple[socket.socket, socket.socket]) -> None:
    left, right = ends
    left.sendall(protocol.frame({}) + b"more")
    assert protocol.receive(right, SECONDS)[0] == b"{}"
    assert right.recv(100) == b"more"


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\5", b"\0\0\0\5abcd"])
def test_a_sender_that_ends_early(ends: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    left, right = ends
    before = open_descriptors()
    if sent:
        socket.send_fds(left, [sent], [0, 0])
    left.shutdown(socket.SHUT_WR)
    with pytest.raises(protocol.Lost):
        protocol.receive(right, SECONDS)
    assert open_descriptors() == before


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\5", b"\0\0\0\5abcd"])
def test_a_sender_that_stops(ends: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    left, right = ends
    left.sendall(sent)
    with pytest.raises(protocol.Lost, match="took too long"):
        protocol.receive(right, BRIEF)


def test_a_receiver_that_stops(ends: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(protocol.Lost, match="took too long"):
        protocol.send(ends[0], bytes(8 << 20), (), BRIEF)


def test_a_receiver_that_went_away(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].close()
    with pytest.raises(protocol.Lost, match="Broken pipe"):
        protocol.send(ends[0], b"x", (), SECONDS)


def test_a_frame_that_is_too_large_is_refused_at_its_header(ends: tuple[socket.socket, socket.socket]) -> None:
    left, right = ends
    before = open_descriptors()
    socket.send_fds(left, [struct.pack(">I", protocol.LIMIT + 1)], [0])
    with pytest.raises(Refused, match="8388609 bytes"):
        protocol.receive(right, SECONDS)
    assert open_descriptors() == before


def test_too_many_descriptors_are_refused_and_closed(ends: tuple[socket.socket, socket.socket]) -> None:
    left, right = ends
    before = open_descriptors()
    socket.send_fds(left, [protocol.frame({})], [0] * (protocol.DESCRIPTORS + 1))
    with pytest.raises(Refused, match="more than 8 descriptors"):
        protocol.receive(right, SECONDS)
    assert open_descriptors() == before


def test_descriptors_with_later_bytes_are_not_taken(ends: tuple[socket.socket, socket.socket]) -> None:
    left, right = ends
    before = open_descriptors()
    data = protocol.frame({"a": 1})
    left.sendall(data[:6])
    socket.send_fds(left, [data[6:]], [0] * 4)
    assert protocol.receive(right, SECONDS) == (b'{"a":1}', [])
    assert open_descriptors() == before


def test_what_is_too_large_is_not_sent() -> None:
    with pytest.raises(Failed, match="more than the"):
        protocol.frame({"text": "x" * protocol.LIMIT})


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "no object"),
        (b"null", "no object"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b'{"operation":"a","operation":"b"}', "twice"),
        (b'{"operation":"a","arguments":{"x":NaN}}', "no number"),
        (b'{"operation":"a","arguments":{"x":' + b"9" * 5000 + b"}}", "not JSON"),
        (b'{"operation":"a","arguments":' + b"[" * 19_000, "nested too deeply"),
        (b'{"operation":"a","arguments":[' + b"0," * protocol.VALUES + b"0]}", "too many values"),
        (b'{"operation":1}', "names an operation"),
        (b'{"arguments":{}}', "names an operation"),
        (b'{"operation":"a","undo":1}', "names an operation"),
        (b'{"operation":"a","change":null}', "names an operation"),
        (b'{"operation":"a","change":"A"}', "id of a change"),
        (b'{"operation":"a","other":1}', "has no 'other'"),
    ],
)
def test_what_is_no_request_is_refused(document: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says):
        protocol.parse_request(document)


def test_a_request_there_and_back() -> None:
    request = protocol.Request("noun.verb", {"a": [1, "b"]}, True, "0a")
    assert protocol.parse_request(protocol.request_frame(request)[4:]) == request


def test_replies() -> None:
    assert protocol.parse_reply(b'{"values":{"a":1}}') == {"a": 1}
    with pytest.raises(Refused, match="no"):
        protocol.parse_reply(b'{"refused":"no"}')
    with pytest.raises(Failed) as failed:
        protocol.parse_reply(b'{"failed":"later","busy":true}')
    assert failed.value.busy


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"failed":"x"}', b'{"values":[]}', b'{"refused":null}'])
def test_what_is_no_reply(body: bytes) -> None:
    with pytest.raises(ValueError):
        protocol.parse_reply(body)


def test_values_are_the_same_whichever_way_they_go() -> None:
    values: dict[str, Any] = {"list": ("a", 1), "none": None}
    assert protocol.plain(Outcome(values)) == {"list": ["a", 1], "none": None}
    with pytest.raises(TypeError):
        protocol.plain(Outcome({"content": b"bytes are no JSON"}))
