"""Which image is meant, and what is refused before anything is made."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from banger import errors
from banger.api.image import ImportImage, PullImage
from banger.config import settings
from banger.engine.engine import Engine
from banger.images.record import ImageRecord
from banger.images.service import ImageService
from banger.paths import Paths
from banger.store.database import Database
from banger.store.records import Records

DEFAULT = settings.build({}).default_image
REFERENCE = "docker.io/library/debian:bookworm"


class World:
    def __init__(self, root: Path) -> None:
        self.paths = Paths(*(str(root / each) for each in ("config", "state", "cache", "run")))
        database = Database(str(root / "banger.db"))
        self.engine = Engine(database)
        self.records = Records(database, "images", ImageRecord)
        self.images = ImageService(self.engine, self.records, self.paths, settings.build({}), agent="")

    def add(self, name: str, source: str = "x", number: int = 1) -> ImageRecord:
        record = ImageRecord(
            id=f"{number:016x}",
            name=name,
            kind="oci",
            source=source,
            digest="sha256:0",
            writer=1,
            architecture="amd64",
            size=1 << 30,
            created=0.0,
        )
        self.records.insert(record)
        return record


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_image_is_found_by_name_by_id_and_by_where_it_came_from(world: World) -> None:
    record = world.add(REFERENCE, REFERENCE)
    named = world.add("mine", "quay.io/some/thing:1", 2)
    for ref in (REFERENCE, record.id, "debian:bookworm", "docker://debian:bookworm", "library/debian:bookworm"):
        assert world.images.find(ref) == record, ref
    assert world.images.find("mine") == world.images.find("quay.io/some/thing:1") == named
    for ref in ("absent", "debian:trixie", "", "not a reference"):
        with pytest.raises(errors.NotFound):
            world.images.find(ref)


def test_a_catalog_name_is_never_taken_for_a_reference(world: World) -> None:
    world.add("docker.io/library/debian-bookworm:latest", "docker.io/library/debian-bookworm:latest")
    assert world.images._wanted(PullImage(reference=DEFAULT)).kind == "debian"
    with pytest.raises(errors.NotFound):
        world.images.find(DEFAULT)


def test_what_would_be_pulled_is_known_to_be_missing_and_what_cannot_be_is_refused(world: World) -> None:
    assert world.images.expect("debian:trixie") is None
    with pytest.raises(errors.InvalidReference):
        world.images.expect("Not A Reference")


def test_a_name_is_a_catalog_name_a_canonical_reference_or_ones_own(world: World) -> None:
    def name(**fields: str) -> str:
        return world.images._wanted(PullImage(**fields)).name  # type: ignore[arg-type]

    assert name(reference=DEFAULT) == DEFAULT
    assert name(reference="busybox") == "docker.io/library/busybox:latest"
    assert name(reference="busybox", name="mine") == "mine"


REFUSED: list[tuple[Callable[[ImageService, str], Coroutine[None, None, object]], type[errors.BangerError]]] = [
    (lambda images, _: images.pull(PullImage(reference="debian:bookworm", name="Not OK")), errors.InvalidName),
    (lambda images, _: images.pull(PullImage(reference="debian:bookworm", name="taken")), errors.AlreadyExists),
    (lambda images, _: images.pull(PullImage(reference="--help")), errors.InvalidReference),
    (lambda images, _: images.import_archive(ImportImage(path="relative.tar", name="a")), errors.UsageError),
    (lambda images, _: images.import_archive(ImportImage(path="/absent.tar", name="a")), errors.SourceUnavailable),
    (lambda images, here: images.import_archive(ImportImage(path=here, name="a")), errors.SourceUnavailable),
    (lambda images, _: images.import_archive(ImportImage(path=__file__, name="taken")), errors.AlreadyExists),
    (lambda images, _: images.import_archive(ImportImage(path=__file__, name="../a")), errors.InvalidName),
    (lambda images, _: images.delete("absent"), errors.NotFound),
]


@pytest.mark.parametrize(("ask", "error"), REFUSED)
def test_bad_requests_begin_nothing(
    world: World,
    tmp_path: Path,
    ask: Callable[[ImageService, str], Coroutine[None, None, object]],
    error: type[errors.BangerError],
) -> None:
    world.add("taken")
    with pytest.raises(error):
        asyncio.run(ask(world.images, str(tmp_path)))
    assert world.engine.operations() == [] and len(world.records.list()) == 1


def test_pulling_what_is_here_changes_nothing_and_says_so(world: World) -> None:
    record = world.add(REFERENCE, REFERENCE)

    async def run() -> None:
        operation = await world.engine.join((await world.images.pull(PullImage(reference="debian:bookworm"))).id)
        assert any("here already" in each for each in operation.notices)

    asyncio.run(run())
    assert world.records.list() == [record]


def test_an_image_in_use_is_not_deleted_even_when_it_came_into_use_meanwhile(world: World, tmp_path: Path) -> None:
    record = world.add("used")
    users = ["one", "two"]
    world.images.guard(lambda image_id, name: users if image_id == record.id else [])

    async def refuse() -> None:
        with pytest.raises(errors.InUse, match="one, two"):
            await world.images.delete("used")
        taken = users[:]
        users.clear()
        operation = await world.images.delete("used")
        users.extend(taken)
        with pytest.raises(errors.InUse):
            await world.engine.join(operation.id)

    asyncio.run(refuse())
    assert world.records.list() == [record]


def test_an_unused_image_is_deleted_with_its_files(world: World) -> None:
    record = world.add("unused")
    directory = Path(world.paths.image(record.id))
    directory.mkdir(parents=True)
    (directory / "rootfs.ext4").write_bytes(b"x")

    async def run() -> None:
        await world.engine.join((await world.images.delete("unused")).id)

    asyncio.run(run())
    assert world.records.list() == [] and not directory.exists()
    assert list(Path(world.paths.staging).iterdir()) == []


def test_work_in_progress_of_an_earlier_daemon_is_removed_and_nothing_else(world: World) -> None:
    staging = Path(world.paths.staging)
    (staging / "image-0123").mkdir(parents=True)
    (staging / "image-0123" / "rootfs.ext4").write_bytes(b"half")
    (staging / "other").mkdir()
    world.images.recover()
    assert [each.name for each in staging.iterdir()] == ["other"]
