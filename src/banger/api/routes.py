"""The table of routes: the daemon's handlers, the SDK's methods and the OpenAPI document follow from these rows.

Structures are named, not imported: a verb that only lists machines must not pay for loading them (`structure` finds
one when it is needed). A route whose reply is ``Operation`` starts a change and answers 202 at once; the client
follows the change at `OPERATION_EVENTS`. A route with a ``stream`` speaks something else than one document:

- ``ndjson``: one JSON document a line until the end;
- ``bytes``: raw bytes as they come (a console);
- ``tar``: a tar archive;
- ``bytes`` and ``tar`` of a PUT: the same in the request;
- ``websocket``: messages as described at `banger.api.vm.ExecEvent`.
"""

API_VERSION = 1
"""Grows when a change breaks an older client."""


BODY_LIMIT = 1 << 20
"""Most bytes of a body that is decoded, unless the row says otherwise; archives are streamed and have no limit."""


class Route:
    """A row: ``name`` is the handler's and the SDK method's.

    ``{ref}`` in the path is a name or an id, ``{session}`` that of a session. ``request`` and ``reply`` are written
    ``module.Structure`` below `banger.api`; ``query`` names the parameters.
    """

    __slots__ = ("limit", "method", "name", "path", "query", "reply", "request", "stream", "summary")

    def __init__(
        self,
        name: str,
        call: str,
        summary: str,
        *,
        request: str = "daemon.Empty",
        reply: str = "daemon.Empty",
        stream: str = "",
        query: tuple[str, ...] = (),
        limit: int = BODY_LIMIT,
    ) -> None:
        self.name = name
        self.method, self.path = call.split()
        self.summary = summary
        self.request = request
        self.reply = reply
        self.stream = stream
        self.query = query
        self.limit = limit


def structure(name: str) -> type:
    """The class that a row names, e.g. ``vm.CreateVm``."""
    import importlib

    module, _, attribute = name.partition(".")
    found: type = getattr(importlib.import_module(f"banger.api.{module}"), attribute)
    return found


DAEMON_STATUS = Route("daemon_status", "GET /v1/daemon", "What the daemon is and has", reply="daemon.DaemonStatus")
DAEMON_STOP = Route("daemon_stop", "POST /v1/daemon/stop", "End the daemon; its machines go on")
CONFIG_SHOW = Route("config_show", "GET /v1/config", "The settings in force", reply="config.SettingList")
DOCTOR = Route("doctor", "GET /v1/doctor", "Check this host", reply="daemon.Report")
DOCTOR_FIX = Route("doctor_fix", "POST /v1/doctor/fix", "Clear away what is left over", reply="daemon.Report")
OPENAPI = Route("openapi", "GET /v1/openapi.json", "This interface as an OpenAPI 3.1 document", stream="bytes")

OPERATION_LIST = Route(
    "operation_list", "GET /v1/operations", "Changes under way and lately ended", reply="daemon.OperationList"
)
OPERATION_SHOW = Route("operation_show", "GET /v1/operations/{ref}", "One change", reply="operation.Operation")
OPERATION_EVENTS = Route(
    "operation_events",
    "GET /v1/operations/{ref}/events",
    "Follow a change to its end",
    reply="operation.Operation",
    stream="ndjson",
)
OPERATION_CANCEL = Route(
    "operation_cancel",
    "POST /v1/operations/{ref}/cancel",
    "Cancel a change and undo what it did",
    reply="operation.Operation",
)

DF = Route("df", "GET /v1/df", "What takes space, and how much of it really", reply="space.Space")
EVENTS = Route(
    "events", "GET /v1/events", "What changes, from now on and without end", reply="event.Event", stream="ndjson"
)

VM_LIST = Route("vm_list", "GET /v1/vms", "All machines, or those with labels", reply="vm.VmList", query=("label",))
VM_CREATE = Route(
    "vm_create", "POST /v1/vms", "Create a machine, and start it", request="vm.CreateVm", reply="operation.Operation"
)
VM_SHOW = Route("vm_show", "GET /v1/vms/{ref}", "One machine", reply="vm.Vm")
VM_SET = Route(
    "vm_set",
    "PATCH /v1/vms/{ref}",
    "Change a machine: its processors, memory, disk and network",
    request="vm.SetVm",
    reply="operation.Operation",
)
VM_KEEP = Route(
    "vm_keep", "POST /v1/vms/{ref}/keep", "Begin a machine's time limit anew", request="vm.KeepVm", reply="vm.Vm"
)
VM_START = Route("vm_start", "POST /v1/vms/{ref}/start", "Start a machine", reply="operation.Operation")
VM_STOP = Route(
    "vm_stop",
    "POST /v1/vms/{ref}/stop",
    "Power a machine off in order",
    request="vm.StopVm",
    reply="operation.Operation",
)
VM_RESTART = Route(
    "vm_restart",
    "POST /v1/vms/{ref}/restart",
    "Power off in order, then start",
    request="vm.StopVm",
    reply="operation.Operation",
)
VM_KILL = Route(
    "vm_kill",
    "POST /v1/vms/{ref}/kill",
    "Switch a machine off at once",
    request="vm.KillVm",
    reply="operation.Operation",
)
VM_DELETE = Route(
    "vm_delete",
    "DELETE /v1/vms/{ref}",
    "Switch off a machine and delete it with its disk",
    request="vm.DeleteVm",
    reply="operation.Operation",
)
VM_STATS = Route(
    "vm_stats",
    "GET /v1/stats",
    "What machines take: those that run, or those that are named",
    reply="vm.VmStatsList",
    query=("vm",),
)
VM_HEALTH = Route("vm_health", "GET /v1/vms/{ref}/health", "Ask a machine's agent how it is", reply="vm.Health")
VM_PORTS = Route(
    "vm_ports", "GET /v1/vms/{ref}/ports", "What listens in a machine, and how to reach it", reply="port.VmPorts"
)
VM_FORWARD = Route(
    "vm_forward",
    "GET /v1/vms/{ref}/forward",
    "Forward ports of the host into a machine for as long as this stays open",
    reply="port.Forwarded",
    stream="ndjson",
    query=("port",),
)
VM_LOGS = Route("vm_logs", "GET /v1/vms/{ref}/logs", "A machine's console", stream="bytes", query=("follow",))
VM_EXEC = Route(
    "vm_exec",
    "GET /v1/vms/{ref}/exec",
    "Run a command in a machine",
    request="vm.ExecVm",
    reply="vm.ExecEvent",
    stream="websocket",
    query=("persistent",),
)
VM_PUT = Route(
    "vm_put",
    "PUT /v1/vms/{ref}/files",
    "Unpack an archive below a directory in a machine",
    stream="tar",
    query=("path",),
)
VM_GET = Route(
    "vm_get", "GET /v1/vms/{ref}/files", "Pack a path of a machine into an archive", stream="tar", query=("path",)
)
VM_STATES = Route(
    "vm_states",
    "POST /v1/vms/{ref}/states",
    "What names in a machine are: kind and mode, size, time of change",
    request="workspace.AskStates",
    reply="workspace.FileStates",
    limit=64 << 20,
)
VM_WORKSPACE = Route(
    "vm_workspace",
    "PUT /v1/vms/{ref}/workspace",
    "Import a repository into a machine",
    reply="workspace.Workspace",
    stream="tar",
    query=("path", "source", "commit", "branch", "start", "untracked", "base"),
)
VM_WORKSPACE_LISTING = Route(
    "vm_workspace_listing",
    "GET /v1/vms/{ref}/workspace/listing",
    "What the last import into a machine brought, or was to bring",
    stream="bytes",
)
VM_SESSION_START = Route(
    "vm_session_start",
    "POST /v1/vms/{ref}/sessions",
    "Start a command in a machine that outlives its client",
    request="session.StartSession",
    reply="session.SessionInfo",
)
VM_SESSION_LIST = Route(
    "vm_session_list", "GET /v1/vms/{ref}/sessions", "A machine's sessions", reply="session.SessionList"
)
VM_SESSION_SHOW = Route(
    "vm_session_show", "GET /v1/vms/{ref}/sessions/{session}", "One session", reply="session.SessionInfo"
)
VM_SESSION_WAIT = Route(
    "vm_session_wait",
    "GET /v1/vms/{ref}/sessions/{session}/wait",
    "A session as it is, and as it has ended",
    reply="session.SessionWait",
    stream="ndjson",
)
VM_SESSION_LOGS = Route(
    "vm_session_logs",
    "GET /v1/vms/{ref}/sessions/{session}/logs",
    "What a session said",
    reply="session.SessionLog",
    stream="ndjson",
    query=("follow", "stream", "tail"),
)
VM_SESSION_ATTACH = Route(
    "vm_session_attach",
    "GET /v1/vms/{ref}/sessions/{session}/attach",
    "Hear a session and speak to it",
    request="session.AttachSession",
    reply="vm.ExecEvent",
    stream="websocket",
)
VM_SESSION_SEND = Route(
    "vm_session_send",
    "PUT /v1/vms/{ref}/sessions/{session}/stdin",
    "Write to a session's stdin",
    reply="session.SentToSession",
    stream="bytes",
    query=("eof", "timeout"),
)
VM_SESSION_STOP = Route(
    "vm_session_stop",
    "POST /v1/vms/{ref}/sessions/{session}/stop",
    "Ask a session to end, and kill it when it does not",
    request="session.StopSession",
    reply="session.SessionInfo",
)
VM_SESSION_KILL = Route(
    "vm_session_kill",
    "POST /v1/vms/{ref}/sessions/{session}/kill",
    "Send a signal to a session's processes",
    request="session.KillSession",
)
VM_HOLD = Route(
    "vm_hold", "GET /v1/vms/{ref}/hold", "Keep an ephemeral machine for as long as this stays open", stream="bytes"
)

CATALOG = Route("catalog", "GET /v1/catalog", "What can be pulled by a name", reply="catalog.CatalogList")

IMAGE_LIST = Route("image_list", "GET /v1/images", "All images", reply="image.ImageList")
IMAGE_SHOW = Route("image_show", "GET /v1/images/{ref}", "One image", reply="image.Image")
IMAGE_PULL = Route(
    "image_pull",
    "POST /v1/images/pull",
    "Make an image from a catalog name or a reference",
    request="image.PullImage",
    reply="operation.Operation",
)
IMAGE_IMPORT = Route(
    "image_import",
    "POST /v1/images/import",
    "Make an image from an archive",
    request="image.ImportImage",
    reply="operation.Operation",
)
IMAGE_BUILD = Route(
    "image_build",
    "POST /v1/images/build",
    "Build an image by a recipe",
    request="recipe.BuildImage",
    reply="operation.Operation",
    limit=24 << 20,  # 16 MiB of files as base64, and all else
)
IMAGE_REGISTER = Route(
    "image_register",
    "POST /v1/images/register",
    "Use a root file system where it is",
    request="image.RegisterImage",
    reply="operation.Operation",
)
IMAGE_PROMOTE = Route(
    "image_promote",
    "POST /v1/images/{ref}/promote",
    "Make a managed copy of a registered image",
    reply="operation.Operation",
)
IMAGE_DELETE = Route(
    "image_delete", "DELETE /v1/images/{ref}", "Delete an image that no machine uses", reply="operation.Operation"
)
IMAGE_CACHE = Route("image_cache", "GET /v1/cache", "What downloads take on this host", reply="image.CacheUse")
IMAGE_CACHE_PRUNE = Route(
    "image_cache_prune",
    "POST /v1/cache/prune",
    "Remove downloads that no pull needs",
    reply="operation.Operation",
)

KERNEL_LIST = Route("kernel_list", "GET /v1/kernels", "All kernels", reply="kernel.KernelList")
KERNEL_SHOW = Route("kernel_show", "GET /v1/kernels/{ref}", "One kernel", reply="kernel.KernelInfo")
KERNEL_PULL = Route(
    "kernel_pull",
    "POST /v1/kernels/pull",
    "Take a kernel of a catalog, or the distribution's",
    request="kernel.PullKernel",
    reply="operation.Operation",
)
KERNEL_IMPORT = Route(
    "kernel_import",
    "POST /v1/kernels/import",
    "Take a kernel from a directory",
    request="kernel.ImportKernel",
    reply="operation.Operation",
)
KERNEL_DELETE = Route(
    "kernel_delete", "DELETE /v1/kernels/{ref}", "Delete a kernel that no machine uses", reply="operation.Operation"
)

ROUTES: tuple[Route, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Route))
"""All rows, in the order of this module."""
