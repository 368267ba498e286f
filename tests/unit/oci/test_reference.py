"""Image references: Docker's defaults, skopeo's transports, and what is refused."""

import pytest

from banger import errors
from banger.oci.reference import parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "skopeo"),
    [
        ("debian", "docker://docker.io/library/debian:latest"),
        ("debian:bookworm", "docker://docker.io/library/debian:bookworm"),
        ("user/tool", "docker://docker.io/user/tool:latest"),
        ("index.docker.io/debian", "docker://docker.io/library/debian:latest"),
        ("ghcr.io/a/b/c:1", "docker://ghcr.io/a/b/c:1"),
        ("localhost/x", "docker://localhost/x:latest"),
        ("registry:5000/x", "docker://registry:5000/x:latest"),
        ("[::1]:5000/x:y", "docker://[::1]:5000/x:y"),
        (f"x@{DIGEST}", f"docker://docker.io/library/x@{DIGEST}"),
        (f"h:5000/x:tag@{DIGEST}", f"docker://h:5000/x@{DIGEST}"),
        ("docker://ghcr.io/a/b", "docker://ghcr.io/a/b:latest"),
        ("docker:dind", "docker://docker.io/library/docker:dind"),
        ("oci:/a/b:tag", "oci:/a/b:tag"),
        ("oci:b", "oci:/srv/b"),
        ("docker-archive:x.tar:name:tag", "docker-archive:/srv/x.tar:name:tag"),
        ("docker-daemon:debian:latest", "docker-daemon:debian:latest"),
        ("containers-storage:debian", "containers-storage:debian"),
        ("dir:/a b", "dir:/a b"),
    ],
)
def test_what_skopeo_gets(text: str, skopeo: str) -> None:
    assert parse(text, "/srv").skopeo == skopeo


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "-x", "--help", "oci:-x", "oci:", "docker://", "docker://-x", "UPPER", "a//b", "a/", "/a", "x:", "x@",
        "x@sha256:abc", "x\ny", "x\0", "x\x1b[2J", " x", "x ", "foo://x", "x:" + "t" * 129, "a" * 300, "x" * 5000,
        "a..b", "http://example.org/x", "$(id)", "x;y", "oci:a\u202eb",
    ],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidReference) as caught:
        parse(text)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:5000/x", True), ("localhost/x", True), ("[::1]:5000/x", True), ("127.0.0.2/x", False),
        ("localhost.example.org/x", False), ("127.0.0.1.example.org:80/x", False), ("debian", False),
        ("oci:localhost/x", False),
    ],
)  # fmt: skip
def test_what_counts_as_loopback(text: str, loopback: bool) -> None:
    assert parse(text, "/").loopback is loopback
