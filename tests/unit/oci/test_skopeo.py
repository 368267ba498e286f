"""What skopeo's last words mean."""

import pytest

from banger import errors
from banger.oci import reference, skopeo

WORDS = [
    ("writing blob: write /c/oci-put-blob1: no space left on device", errors.DiskFull, "/cache"),
    (
        'choosing image instance: no image found in manifest list for architecture "amd64"',
        errors.WrongPlatform,
        "amd64",
    ),
    ("Digest did not match, expected sha256:" + "a" * 64 + ", got x", errors.CorruptBlob, "sha256:" + "a" * 64),
    ("reading manifest x in y: manifest unknown: manifest unknown", errors.SourceUnavailable, "no such image"),
    ("dial tcp 127.0.0.1:1: connect: connection refused", errors.SourceUnavailable, "nothing answers"),
    ("dial tcp: lookup nowhere.invalid: no such host", errors.SourceUnavailable, "cannot be resolved"),
    ("unauthorized: authentication required", errors.SourceUnavailable, "skopeo login"),
    ("http: server gave HTTP response to HTTPS client", errors.SourceUnavailable, "loopback only"),
    ("dial tcp 10.0.0.1:443: i/o timeout", errors.SourceUnavailable, "gave no answer"),
    ("open /etc/containers/policy.json: no such file or directory", errors.SourceUnavailable, "policy.json"),
    ("exit status 127, output: script: 2: unsquashfs: not found", errors.ToolMissing, "unsquashfs is not installed"),
    ("writing blob: happened during read: unexpected EOF", errors.SourceUnavailable, "the connection broke"),
    ("received unexpected HTTP status: 503 Service Unavailable", errors.SourceUnavailable, "out of order"),
    ("StatusCode: 429, ", errors.SourceUnavailable, "too many requests"),
    ("stat /x/index.json: no such file or directory", errors.SourceUnavailable, "no such file"),
    ('loading index: archive file not found: "/x"', errors.SourceUnavailable, "no such file"),
    ("something \x1b[31mnew", errors.SourceUnavailable, "something \\x1b[31mnew"),
]


@pytest.mark.parametrize(("words", "kind", "said"), WORDS)
def test_complaints(words: str, kind: type[errors.BangerError], said: str) -> None:
    line = 'time="2026-01-01T00:00:00Z" level=fatal msg="' + words.replace('"', '\\"') + '"\n'
    error = skopeo.complaint(b"level=info\n" + line.encode(), reference.parse("x"), ("linux", "amd64"), "/cache").error
    assert type(error) is kind
    assert said in error.message


def test_silence_is_told_too() -> None:
    error = skopeo.complaint(b"", reference.parse("x"), ("linux", "amd64"), "/cache").error
    assert "without a word" in error.message
