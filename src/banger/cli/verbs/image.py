"""Rows of the group ``image``."""

from banger.cli.verb import JSON, Argument, Group, Verb

_IMAGE = Argument("IMAGE", "name of an image, or the beginning of its id", complete="image")
_IMAGES = Argument("IMAGE", "name of an image, or the beginning of its id", many="several", complete="image")
_SIZE = Argument(
    "--size",
    "size of its filesystem; 1.5 times its content and at least 8G when left out",
    kind="size",
    metavar="SIZE",
)

IMAGE = Group(
    "image",
    "images: what machines are made from",
    """\
An image is a root filesystem. 'banger image pull' makes one from a name that banger knows, from any container image
in a registry, from an OCI layout or from a docker archive; 'banger run --image' does so on the way. Once an image is
here, machines made of it share it: deleting it is refused while one does.""",
    (
        "banger image pull debian-bookworm",
        "banger image pull docker.io/library/alpine:3.20 --name alpine",
        "banger image list",
        "banger run --image alpine --rm -- cat /etc/os-release",
    ),
    (
        Verb(
            "image pull",
            "make an image from a name that banger knows, or from any reference",
            description="""\
REFERENCE is a name of a catalog ('banger image list --catalog' shows them), a registry reference
(docker.io/library/debian:bookworm), oci:DIR[:TAG], docker-archive:FILE, or whatever else skopeo reads. Catalogs of
your own are TOML files in the directory 'catalogs' beside config.toml. What is downloaded is kept for the next pull;
'banger image cache prune' removes it. Credentials are those that skopeo, podman or docker already have.""",
            arguments=(
                Argument("REFERENCE", "catalog name or reference", complete="image-catalog"),
                Argument("--name", "name of the image; follows from the reference when left out", metavar="NAME"),
                _SIZE,
                Argument("--force", "make it again although it is here", kind="flag"),
                JSON,
            ),
            examples=("banger image pull debian-bookworm", "banger image pull oci:./layout:latest --name mine"),
        ),
        Verb(
            "image import",
            "make an image from an archive of a root filesystem, or from a directory",
            description="""\
A directory is read as it is, without following links: types, modes, times, hard links, holes and the extended
attributes that can be read. What belongs to you belongs to root in the image; other owners stay. Devices, fifos,
sockets and file systems mounted below it are left out.""",
            arguments=(
                Argument("FILE", "tar archive, compressed or not", many="optional", complete="file"),
                Argument("--dir", "a directory that holds a root filesystem", metavar="DIR", complete="file"),
                Argument("--name", "name of the image", metavar="NAME", required=True),
                _SIZE,
                JSON,
            ),
            examples=(
                "banger image import rootfs.tar.zst --name mine",
                "banger image import --dir ./rootfs --name mine",
            ),
        ),
        Verb(
            "image build",
            "build an image by a recipe: packages, files, commands",
            description="""\
Packages are installed first, then files are put in place, then commands run as root; each must succeed. Of a Debian
suite (the default) the image is built without root and without a machine. On a base, which is an image here or any
reference, a machine is made for it, and its disk becomes the image. What is given here is added to the recipe, or takes
the place of its single values. On a base, without --size, the file system is as large as that machine's disk. A recipe
that was carried out before costs nothing: the images share one file.""",
            arguments=(
                Argument("NAME", "name of the image; may be left out when the recipe has one", many="optional"),
                Argument("--recipe", "a recipe: a TOML file", metavar="FILE", complete="file"),
                Argument("--base", "the image to build on: a name or a reference", metavar="REF", complete="image"),
                Argument("--suite", "the Debian suite to build of (bookworm)", metavar="SUITE"),
                Argument("--package", "a package to install (repeatable)", kind="list", metavar="PACKAGE"),
                Argument("--command/--run", "a shell line to run (repeatable)", kind="list", metavar="LINE"),
                Argument(
                    "--file",
                    "a file to put in: HOST:GUEST[:MODE] (repeatable)",
                    kind="list",
                    metavar="FILE",
                    complete="file",
                ),
                Argument("--systemd", "install systemd: machines of the image boot it", kind="flag"),
                Argument("--ssh", "install an ssh server; each machine makes its own host keys", kind="flag"),
                Argument("--mirror", "where a suite's packages come from", metavar="URL"),
                _SIZE,
                Argument("--force", "build anew, and take the name of an image that has it", kind="flag"),
                JSON,
            ),
            examples=(
                "banger image build tools --package git --package make",
                "banger image build --recipe tools.toml",
                "banger image build web --base docker.io/library/debian:bookworm --systemd --ssh --package nginx",
                "banger image build mine --base alpine --file ./motd:/etc/motd --command 'adduser -D worker'",
            ),
        ),
        Verb(
            "image list",
            "show all images, or what can be pulled by a name",
            arguments=(
                Argument("--catalog", "show what the catalogs have instead", kind="flag"),
                Argument("-q/--quiet", "print names only, one a line", kind="flag"),
                JSON,
            ),
            examples=("banger image list", "banger image list --catalog"),
            aliases=("image ls",),
        ),
        Verb(
            "image register",
            "use a root file system of your own where it is",
            description="""\
The file holds an ext4 file system and stays yours: machines only ever read it, and deleting the image leaves it where
it is. It is checked first; machines start as long as it does not change. 'banger image promote' makes it an image that
no longer needs the file.

Two options change the file itself, in place. Whoever cannot do without it keeps a copy: when the daemon or the host
dies meanwhile, the file may be left half edited.""",
            arguments=(
                Argument("NAME", "name of the image"),
                Argument("--rootfs", "the file", metavar="FILE", required=True, complete="file"),
                Argument("--kernel", "what its machines boot", metavar="KERNEL", complete="kernel"),
                Argument(
                    "--root-owned", "first give to root what is yours in it; changes the file in place", kind="flag"
                ),
                Argument(
                    "--guest-assets",
                    "first put the guest's part of banger into it; changes the file in place",
                    kind="flag",
                ),
                JSON,
            ),
            examples=("banger image register mine --rootfs ./rootfs.ext4",),
        ),
        Verb(
            "image promote",
            "make a managed copy of a registered image, under its name",
            description="The copy gets the guest's part of banger. Machines of the registered image keep it.",
            arguments=(_IMAGE, JSON),
            examples=("banger image promote mine",),
        ),
        Verb("image show", "show one image", arguments=(_IMAGE, JSON), examples=("banger image show debian-bookworm",)),
        Verb(
            "image delete",
            "delete images that no machine uses",
            arguments=(_IMAGES, JSON),
            examples=("banger image delete alpine",),
            aliases=("image rm",),
        ),
        Verb(
            "image cache prune",
            "remove what pulls have downloaded",
            description="""\
What pulls download is kept, so that the next version of an image brings only the layers that are new. Images and
machines do not need it: this removes all of it, and the next pull downloads again. Pulls that are under way are waited
for, and Ctrl-C ends the wait.""",
            arguments=(
                Argument("-n/--dry-run", "show how much there is and remove nothing", kind="flag"),
                JSON,
            ),
            examples=("banger image cache prune --dry-run", "banger image cache prune"),
        ),
    ),
    next=(
        ("banger run --image alpine", "a machine made of it"),
        ("banger image build tools --package git", "an image with what your machines need in it"),
        ("banger df", "what takes space"),
    ),
)

GROUPS = (IMAGE,)
SINGLE: tuple[Verb, ...] = ()
