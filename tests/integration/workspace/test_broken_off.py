"""Imports that break off, and two at once."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from banger import errors
from banger.api.workspace import Workspace
from banger.sdk.client import Client
from banger.workspace import bundle
from tests.integration.workspace.conftest import VM, Repo, Scene


class Interrupted(Exception):
    """The client dies here."""


class Knife:
    """Cuts the next import after so many bytes of its archive, once they have ``arrived``; pieces are small."""

    def __init__(self) -> None:
        self.after: int | None = None
        self.arrived: Callable[[], bool] = lambda: True
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def cut(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        sent = 0
        for piece in pieces:
            for at in range(0, len(piece), 4096):
                if self.after is not None and sent >= self.after:
                    self.reached.set()
                    if not self.go_on.is_set():
                        self.go_on.wait(60)
                    else:
                        wait_until(self.arrived)
                        raise Interrupted
                yield piece[at : at + 4096]
                sent += 4096


@pytest.fixture
def knife(monkeypatch: pytest.MonkeyPatch) -> Knife:
    made = Knife()
    stream = bundle.stream
    monkeypatch.setattr(bundle, "stream", lambda *words: made.cut(stream(*words)))
    return made


def interrupted(scene: Scene, knife: Knife, repo: Repo, after: int, arrived: Callable[[], bool] = lambda: True) -> None:
    """An import that breaks off."""
    knife.after, knife.arrived = after, arrived
    with pytest.raises((Interrupted, errors.BangerError)):
        scene.prepare(repo)
    knife.after = None


def wait_until(condition: Callable[[], bool]) -> None:
    """Until the daemon has done with what it was sent; where it never does, the suite's own limit ends a test."""
    while not condition():
        time.sleep(0.02)


def patiently(scene: Scene, repo: Repo | None = None) -> Workspace:
    """An import, once the daemon knows that the one before it is over."""
    stop = time.monotonic() + 60
    while True:
        try:
            return scene.prepare(repo)
        except errors.WorkspaceBusy:
            assert time.monotonic() < stop
            time.sleep(0.05)


@pytest.mark.parametrize("after", [0, 8192, 40_000, 200_000, 1_000_000, 2_050_000])
def test_the_next_one_mends_it(scene: Scene, app: Repo, knife: Knife, after: int) -> None:
    for number in range(20):
        app.write(f"many/{number}", bytes([number]) * 100_000)
    app.commit()
    interrupted(scene, knife, app, after)
    found = scene.client.vm_show(VM).workspace
    assert found is None or not found.complete
    done = patiently(scene, app)
    assert done.complete and scene.guest().status() == [] and scene.guest().git("fsck", "--full") == ""


def test_what_several_broken_ones_brought_goes_in_the_end(scene: Scene, app: Repo, knife: Knife) -> None:
    scene.prepare(app)
    for name in ("first", "second", "third"):
        app.write(name, name * 10_000)
        app.write(f"z{name}", "x" * 100_000)
        app.git("add", "-A")
        knife.after, knife.arrived = 60_000, (scene.root / "app" / name).exists
        with pytest.raises((Interrupted, errors.BangerError)):
            patiently(scene)
        (app.top / name).unlink()
        (app.top / f"z{name}").unlink()
        app.git("add", "-A")
    knife.after = None
    patiently(scene)
    guest = scene.guest()
    assert guest.status() == [] and {each.name for each in guest.top.iterdir()} == {".git", "deep", "file"}


def test_what_the_machine_made_meanwhile_is_not_lost(scene: Scene, app: Repo, knife: Knife) -> None:
    scene.prepare(app)
    guest = scene.guest()
    app.write("file", "ours\n")
    app.write("large", "x" * 500_000)
    app.git("add", "-A")
    interrupted(scene, knife, app, 100_000, lambda: (guest.top / "file").read_text() == "ours\n")
    guest.write("deep/er/1", "theirs\n")
    guest.write("file", "theirs too\n")
    with pytest.raises(errors.WorkspaceConflict) as raised:
        patiently(scene)
    assert raised.value.data["paths"] == "file"
    guest.write("file", "ours\n")
    patiently(scene)
    assert (guest.top / "deep" / "er" / "1").read_text() == "theirs\n"
    assert (guest.top / "large").stat().st_size == 500_000


def test_the_second_of_two_at_once_is_refused(scene: Scene, app: Repo, knife: Knife) -> None:
    scene.prepare(app)
    app.write("file", "x" * 100_000)
    knife.after, knife.go_on = 20_000, threading.Event()
    first = threading.Thread(target=scene.prepare, kwargs={})
    first.start()
    try:
        assert knife.reached.wait(60)
        with Client(scene.home.paths.socket) as client:
            wait_until(lambda: not Scene(scene.home, client, scene.root).workspace.complete)
        knife.after = None
        with Client(scene.home.paths.socket) as client, pytest.raises(errors.WorkspaceBusy):
            Scene(scene.home, client, scene.root).prepare()
    finally:
        knife.go_on.set()
        first.join()
    assert scene.workspace.complete


def test_files_that_change_while_they_travel_are_sent_again_the_next_time(
    scene: Scene, app: Repo, knife: Knife
) -> None:
    app.write("a/grows", "x" * 300_000)
    app.write("b/shrinks", "x" * 700_000)
    app.git("add", "-A")
    knife.after, knife.go_on = 0, threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            scene.prepare(app)
        except errors.BangerError as error:
            failed.append(error)

    importing = threading.Thread(target=run)
    importing.start()
    assert knife.reached.wait(60)
    app.write("a/grows", "y" * 1_000_000)
    app.write("b/shrinks", "y")
    knife.after = None
    knife.go_on.set()
    importing.join()
    assert [type(each) for each in failed] == [errors.RepositoryChanged]
    patiently(scene, app)
    guest = scene.guest()
    assert (guest.top / "a" / "grows").stat().st_size == 1_000_000
    assert (guest.top / "b" / "shrinks").read_text() == "y"
