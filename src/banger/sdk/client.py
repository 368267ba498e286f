"""The daemon's interface as typed Python: one method a row of `banger.api.routes`, of the same name.

A method returns the structure that the row names. Where that is an `Operation`, the change has only begun: `wait`
for its end, or `follow` it. Failures are classes of `banger.errors`, wherever they happened.

Structures are decoded with msgspec, which is loaded with the first typed reply. `document` and `begin` do without, on
plain data, for those who must be done before it would be loaded; what a change has begun as, it is followed as.
"""

from banger import document
from banger.api import routes
from banger.paths import Paths
from banger.sdk.transport import Reply, Transport, encoded, not_understood, target

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Self, TypeVar

    from banger.api.catalog import CatalogList
    from banger.api.config import SettingList
    from banger.api.daemon import DaemonStatus, OperationList, Report
    from banger.api.event import Event
    from banger.api.image import CacheUse, Image, ImageList, ImportImage, PullImage, RegisterImage
    from banger.api.kernel import ImportKernel, KernelInfo, KernelList, PullKernel
    from banger.api.operation import Operation
    from banger.api.port import Forwarded, VmPorts
    from banger.api.recipe import BuildImage
    from banger.api.routes import Route
    from banger.api.space import Space
    from banger.api.vm import CreateVm, ExecVm, Health, SetVm, Vm, VmList, VmStatsList
    from banger.api.workspace import AskStates, FileStates, Import, Workspace
    from banger.sdk.change import Change
    from banger.sdk.exec import Command
    from banger.sdk.sessions import Sessions
    from banger.sdk.transport import Body, Query, Reference

    T = TypeVar("T")
    Either = TypeVar("Either", Operation, Change)


class Client:
    """A connection to the daemon of this user, started on demand.

    ``socket`` is the path of another daemon's socket; ``start`` allows to start the daemon when none answers at the
    usual one. ``timeout`` is the longest silence in seconds that a reply may have. Use it as a context manager, or
    `close` it; it is not for several threads at once. Every method raises `errors.DaemonUnreachable`,
    `errors.UnsafeDirectory` and `errors.PermissionRefused`, besides what its own docstring names.
    """

    def __init__(self, socket: str | None = None, *, start: bool = True, timeout: float | None = 60.0) -> None:
        self._paths = Paths.from_environment()
        revive = self._start_daemon if start and socket is None else None
        self._transport = Transport(socket or self._paths.socket, timeout=timeout, revive=revive)

    def _start_daemon(self) -> None:
        from banger.sdk import start

        start.ensure(self._paths)

    @property
    def transport(self) -> Transport:
        """The HTTP below, for what has no method here."""
        return self._transport

    def connect(self) -> None:
        """Reach the daemon before the first request, for those who want to know how long that takes."""
        self._transport.reach()

    def close(self) -> None:
        """Give the connection back. The client can be used again."""
        self._transport.close()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- a row of the table ------------------------------------------------------------------------------------------

    def open(
        self,
        route: "Route",
        ref: "Reference" = "",
        *,
        body: "Body | None" = None,
        query: "Query | None" = None,
        quiet: bool = False,
    ) -> Reply:
        """Send a request; the reply's body is the caller's to read."""
        kind = {"tar": "application/x-tar", "bytes": "application/octet-stream"}.get(route.stream, "application/json")
        return self._transport.request(route.method, target(route, ref, query), body, kind=kind, quiet=quiet)

    def _ask(self, route: "Route", ref: "Reference", request: object, query: "Query | None" = None) -> bytes:
        body = None if request is None else encoded(request).encode()
        return self.open(route, ref, body=body, query=query).read()

    def document(
        self, route: "Route", ref: "Reference" = "", *, request: object = None, query: "Query | None" = None
    ) -> "dict[str, Any]":
        """The reply as plain data; the request is plain data or a structure."""
        reply = self._ask(route, ref, request, query)
        try:
            found: dict[str, Any] = document.loads(reply)
        except ValueError as error:
            raise not_understood(error) from error
        return found

    def begin(self, route: "Route", ref: str = "", request: object = None) -> "Change":
        """Begin the change of a row, as plain data; the request is plain data or a structure."""
        from banger.sdk import change

        return change.read(self._ask(route, ref, request))

    def _call(
        self, route: "Route", kind: "type[T]", ref: str = "", request: object = None, query: "Query | None" = None
    ) -> "T":
        from banger.sdk.decoding import decoder

        return decoder(kind)(self._ask(route, ref, request, query))

    def _begin(self, route: "Route", ref: str = "", request: object = None) -> "Operation":
        from banger.api.operation import Operation

        return self._call(route, Operation, ref, request)

    def follow(self, operation: "Either") -> "Iterator[Either]":
        """The change as it is now and after every step, up to and including its end.

        When the daemon dies on the way, the next one is asked: it has undone the change or goes on with it.
        """
        from banger.sdk import change

        if isinstance(operation, change.Change):
            return change.follow(self, operation, change.read)
        from banger.sdk.decoding import decoder

        return change.follow(self, operation, decoder(type(operation)))

    def wait(self, operation: "Either") -> "Either":
        """Wait for the end of a change. Raises its error when it failed, `errors.Cancelled` when it was cancelled."""
        ended = operation
        for each in self.follow(operation):
            ended = each
        return self.result(ended)

    def result(self, operation: "Either") -> "Either":
        """A change that has ended well, or its error raised."""
        from banger.sdk import change

        change.judge(operation)
        return operation

    def operation_list(self) -> "OperationList":
        """Changes under way and lately ended, newest first."""
        from banger.api.daemon import OperationList

        return self._call(routes.OPERATION_LIST, OperationList)

    def operation_show(self, ref: str) -> "Operation":
        """One change, by id. Raises `errors.NotFound`."""
        return self._begin(routes.OPERATION_SHOW, ref)

    def operation_events(self, ref: str) -> "Iterator[Operation]":
        """`follow`, by id."""
        return self.follow(self.operation_show(ref))

    def operation_cancel(self, ref: str) -> "Operation":
        """Ask a change to go back; `wait` tells when it has."""
        return self._begin(routes.OPERATION_CANCEL, ref)

    def events(self) -> "Iterator[Event]":
        """What changes, from this call on. Raises, in the end, `errors.DaemonUnreachable`: the daemon has ended."""
        from banger.sdk import events

        return events.listen(self)

    def df(self) -> "Space":
        """What takes space on this host, and how much of it really."""
        from banger.api.space import Space

        return self._call(routes.DF, Space)

    def daemon_status(self) -> "DaemonStatus":
        from banger.api.daemon import DaemonStatus

        return self._call(routes.DAEMON_STATUS, DaemonStatus)

    def daemon_stop(self) -> None:
        """End the daemon; its machines go on."""
        self.open(routes.DAEMON_STOP).read()

    def config_show(self) -> "SettingList":
        """The settings in force, and who has decided each."""
        from banger.api.config import SettingList

        return self._call(routes.CONFIG_SHOW, SettingList)

    def doctor(self, route: "Route" = routes.DOCTOR) -> "Report":
        """What this host offers, and what it lacks."""
        from banger.api.daemon import Report

        return self._call(route, Report)

    def doctor_fix(self) -> "Report":
        """The same, after what is left over was cleared away. What has a disk is entered again or set aside."""
        return self.doctor(routes.DOCTOR_FIX)

    def openapi(self) -> bytes:
        """The interface as an OpenAPI 3.1 document in JSON."""
        return self.open(routes.OPENAPI).read()

    # -- machines ----------------------------------------------------------------------------------------------------

    def vm_list(self, labels: "Sequence[str]" = ()) -> "VmList":
        """All machines, or those that have each of ``labels``, written ``KEY=VALUE`` or ``KEY``."""
        from banger.api.vm import VmList

        return self._call(routes.VM_LIST, VmList, query={"label": labels})

    def vm_create(self, request: "CreateVm") -> "Operation":
        """Create a machine and, unless told otherwise, start it. The operation's ``subject`` is its name.

        A request with a ``token`` may be sent again when its answer was lost: it makes one machine. Raises
        `errors.AlreadyExists`, `errors.InvalidName`, `errors.UsageError`, `errors.TokenReused`.
        """
        return self._begin(routes.VM_CREATE, request=request)

    def vm_show(self, ref: str) -> "Vm":
        """One machine, by name or by the beginning of its id. Raises `errors.NotFound`, `errors.Ambiguous`."""
        from banger.api.vm import Vm

        return self._call(routes.VM_SHOW, Vm, ref)

    def vm_set(self, ref: str, request: "SetVm") -> "Operation":
        """Change a machine's processors, memory, disk or network.

        What a machine that runs cannot take over waits for its next start: `Vm.pending`. Raises `errors.UsageError`.
        """
        return self._begin(routes.VM_SET, ref, request)

    def vm_keep(self, ref: str, ttl: float | None = None, *, forever: bool = False) -> "Vm":
        """Begin a machine's time limit anew: ``ttl`` seconds from now, or as many as it had; or ``forever``.

        Raises `errors.UsageError` where it has none, `errors.Busy` when it is being ended.
        """
        from banger.api.vm import KeepVm, Vm

        return self._call(routes.VM_KEEP, Vm, ref, KeepVm(ttl=ttl, forever=forever))

    def vm_start(self, ref: str) -> "Operation":
        """Start a machine, unless it runs already. Raises `errors.NotFound`, `errors.Busy`."""
        return self._begin(routes.VM_START, ref)

    def vm_stop(self, ref: str, timeout: float = 30.0) -> "Operation":
        """Power a machine off in order, if it runs; after ``timeout`` seconds it is switched off."""
        from banger.api.vm import StopVm

        return self._begin(routes.VM_STOP, ref, StopVm(timeout=timeout))

    def vm_restart(self, ref: str, timeout: float = 30.0) -> "Operation":
        """`vm_stop`, then `vm_start`, as one change."""
        from banger.api.vm import StopVm

        return self._begin(routes.VM_RESTART, ref, StopVm(timeout=timeout))

    def vm_kill(self, ref: str) -> "Operation":
        """Switch a machine off at once, if it runs."""
        return self._begin(routes.VM_KILL, ref)

    def vm_delete(self, ref: str, *, at_rest: bool = False) -> "Operation":
        """Switch a machine off and delete it with its disk; ``at_rest``: raises `errors.WrongState` if it runs."""
        from banger.api.vm import DeleteVm

        return self._begin(routes.VM_DELETE, ref, DeleteVm(at_rest=at_rest))

    def vm_stats(self, *refs: str) -> "VmStatsList":
        """What machines take: those that run, or those that are named. Raises `errors.NotFound`."""
        from banger.api.vm import VmStatsList

        return self._call(routes.VM_STATS, VmStatsList, query={"vm": refs})

    def vm_health(self, ref: str) -> "Health":
        """What the machine's agent says. Raises `errors.WrongState`, `errors.AgentLost`."""
        from banger.api.vm import Health

        return self._call(routes.VM_HEALTH, Health, ref)

    def vm_ports(self, ref: str) -> "VmPorts":
        """What listens in a machine. Raises `errors.WrongState`, `errors.GuestSilent`, `errors.AgentLost`."""
        from banger.api.port import VmPorts

        return self._call(routes.VM_PORTS, VmPorts, ref)

    def vm_forward(self, ref: str, *ports: str) -> "Iterator[Forwarded]":
        """Forward ports of this host into a machine, written ``[ADDRESS:]PORT[:GUEST]``, until the iterator is closed.

        It tells once where the host listens, and ends when the machine does. Raises `errors.WrongState`,
        `errors.PortUnavailable`, `errors.UsageError`; `errors.DaemonUnreachable` in the end when the daemon has ended.
        """
        from banger.sdk import forwarding

        return forwarding.hold(self, ref, ports)

    def vm_logs(self, ref: str, *, follow: bool = False) -> "Iterator[bytes]":
        """The machine's console as bytes of the guest's making; with ``follow``, for as long as it runs."""
        query = {"follow": "true"} if follow else None
        with self.open(routes.VM_LOGS, ref, query=query, quiet=follow) as reply:
            yield from reply.chunks()

    def vm_exec(self, ref: str, request: "ExecVm | dict[str, object]") -> "Command":
        """Run a command in a machine; the request may be plain data. Raises what `Command` does."""
        from banger.sdk.exec import Command

        return Command(self._transport, ref, request)

    def sessions(self, ref: str) -> "Sessions":
        """A machine's sessions."""
        from banger.sdk.sessions import Sessions

        return Sessions(self, ref)

    def vm_put(self, ref: str, path: str, archive: "Body") -> None:
        """Unpack a tar archive below the directory ``path`` of a machine."""
        self.open(routes.VM_PUT, ref, body=archive, query={"path": path}, quiet=True).read()

    def vm_get(self, ref: str, path: str) -> Reply:
        """A path of a machine as a tar archive; its bytes are the guest's making."""
        return self.open(routes.VM_GET, ref, query={"path": path}, quiet=True)

    def vm_states(self, ref: str, request: "AskStates") -> "FileStates":
        """What names in a machine are. Raises `errors.WrongState`, `errors.GuestRefused`."""
        from banger.api.workspace import FileStates

        return self._call(routes.VM_STATES, FileStates, ref, request)

    def vm_workspace(self, ref: str, wanted: "Import", archive: "Body") -> "Workspace":
        """Unpack a repository into a machine and put that on record (`banger.sdk.workspace` makes the archive).

        Raises `errors.WorkspaceBusy`, `errors.WrongState`, `errors.GuestRefused`.
        """
        from banger.api.workspace import Workspace
        from banger.sdk.decoding import decoder

        facts = {name: getattr(wanted, name) for name in routes.VM_WORKSPACE.query}
        query = {name: value if isinstance(value, str) else "true" for name, value in facts.items() if value}
        with self.open(routes.VM_WORKSPACE, ref, body=archive, query=query, quiet=True) as reply:
            return decoder(Workspace)(reply.read())

    def vm_workspace_listing(self, ref: str) -> bytes:
        """What the last import's client wrote down of it, and one that broke off. Raises `errors.NoWorkspace`."""
        return self.open(routes.VM_WORKSPACE_LISTING, ref).read()

    def vm_hold(self, ref: str) -> Reply:
        """Keep an ephemeral machine until the reply is closed, or this process is gone."""
        return self.open(routes.VM_HOLD, ref, quiet=True)

    def catalog(self) -> "CatalogList":
        """What can be pulled by a name, images and kernels."""
        from banger.api.catalog import CatalogList

        return self._call(routes.CATALOG, CatalogList)

    def image_list(self) -> "ImageList":
        from banger.api.image import ImageList

        return self._call(routes.IMAGE_LIST, ImageList)

    def image_show(self, ref: str) -> "Image":
        """One image, by name or by the beginning of its id. Raises `errors.NotFound`."""
        from banger.api.image import Image

        return self._call(routes.IMAGE_SHOW, Image, ref)

    def image_pull(self, request: "PullImage") -> "Operation":
        """Make an image from a catalog name or a reference. Raises `errors.InvalidReference`."""
        return self._begin(routes.IMAGE_PULL, request=request)

    def image_import(self, request: "ImportImage") -> "Operation":
        """Make an image from an archive on this host."""
        return self._begin(routes.IMAGE_IMPORT, request=request)

    def image_build(self, request: "BuildImage") -> "Operation":
        """Build an image by a recipe (`banger.sdk.recipe.read` reads one from a file)."""
        return self._begin(routes.IMAGE_BUILD, request=request)

    def image_register(self, request: "RegisterImage") -> "Operation":
        """Use a root file system on this host where it is. Raises `errors.UsageError`, `errors.AlreadyExists`."""
        return self._begin(routes.IMAGE_REGISTER, request=request)

    def image_promote(self, ref: str) -> "Operation":
        """Make a managed copy of a registered image, under its name. Raises `errors.NotFound`, `errors.UsageError`."""
        return self._begin(routes.IMAGE_PROMOTE, ref)

    def image_delete(self, ref: str) -> "Operation":
        """Delete an image. Raises `errors.InUse` while machines are made of it."""
        return self._begin(routes.IMAGE_DELETE, ref)

    def image_cache(self) -> "CacheUse":
        """What downloads take on this host."""
        from banger.api.image import CacheUse

        return self._call(routes.IMAGE_CACHE, CacheUse)

    def image_cache_prune(self) -> "Operation":
        """Remove downloads that no pull needs; ``result`` tells how much that was."""
        return self._begin(routes.IMAGE_CACHE_PRUNE)

    def kernel_list(self) -> "KernelList":
        from banger.api.kernel import KernelList

        return self._call(routes.KERNEL_LIST, KernelList)

    def kernel_show(self, ref: str) -> "KernelInfo":
        """One kernel, by name. Raises `errors.NotFound`."""
        from banger.api.kernel import KernelInfo

        return self._call(routes.KERNEL_SHOW, KernelInfo, ref)

    def kernel_pull(self, request: "PullKernel") -> "Operation":
        """Take a kernel of a catalog, or the distribution's out of its package. Raises `errors.AlreadyExists`."""
        return self._begin(routes.KERNEL_PULL, request=request)

    def kernel_import(self, request: "ImportKernel") -> "Operation":
        """Take a kernel and its modules from a directory on this host. Raises `errors.NotAKernel`."""
        return self._begin(routes.KERNEL_IMPORT, request=request)

    def kernel_delete(self, ref: str) -> "Operation":
        """Delete a kernel. Raises `errors.InUse` while machines boot from it."""
        return self._begin(routes.KERNEL_DELETE, ref)
