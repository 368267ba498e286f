"""Every failure that banger can tell: one class each, and this module is their table.

A class carries a stable ``code`` (for programs), the HTTP status that the daemon answers with, the exit status that
the CLI ends with, a message template and a hint that says what to do. The values that fill the template travel with
the error, so that a program never parses a message. Only the CLI prints, and only the CLI exits.

Exit statuses: 1 a failure, 2 wrong usage, 3 not found, 4 a conflict with what exists, 125 banger itself failed while
running a guest command, 126 the command could not be executed, 127 the command was not found (as Docker's users
expect); 124 a time limit ran out (as timeout(1)); 128+N the guest command died of signal N.
"""

import errno

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar


class _Values(dict[str, object]):
    """The values of a hint; one that the error does not carry is shown as a word to fill in."""

    def __missing__(self, key: str) -> str:
        return key.upper()


class BangerError(Exception):
    """Base of all failures that banger reports. ``data`` holds the template's values."""

    code: "ClassVar[str]" = "internal"
    http: "ClassVar[int]" = 500
    exit_status: "ClassVar[int]" = 1
    template: "ClassVar[str]" = "something went wrong inside banger: {detail}"
    hint: "ClassVar[str]" = "see 'banger daemon status' for the daemon's log"

    operation: str | None = None
    """The id of the change that failed, which the daemon's log carries on each of its lines."""

    def __init__(self, **data: object) -> None:
        self.data = data
        super().__init__(self.template.format(**data))

    @property
    def message(self) -> str:
        return str(self)

    @property
    def advice(self) -> str:
        """The hint with the error's values filled in."""
        sent = self.__dict__.get("_hint")
        return str(sent) if sent is not None else self.hint.format_map(_Values(self.data))

    def advise(self, hint: str) -> None:
        """Say something else than the class's hint, where whoever raises it knows better."""
        self.__dict__["_hint"] = hint


class InternalError(BangerError):
    """A fault of banger's own."""


# -- asking -----------------------------------------------------------------------------------------------------------


class UsageError(BangerError):
    """The request makes no sense, whatever the state of the system."""

    code, http, exit_status = "usage", 400, 2
    template = "{detail}"
    hint = ""


class InvalidName(BangerError):
    code, http, exit_status = "invalid_name", 400, 2
    template = "{name!r} is not a valid name"
    hint = "names are lower-case letters, digits and hyphens, up to 63, starting with a letter or digit"


class InvalidReference(BangerError):
    code, http, exit_status = "invalid_reference", 400, 2
    template = "{reference!r} is not an image reference: {reason}"
    hint = (
        "try a name from 'banger image list', 'docker.io/library/debian:bookworm', 'oci:DIR' or 'docker-archive:FILE'"
    )


class NotFound(BangerError):
    """``kind`` is the noun (machine, image, kernel, operation, session), ``name`` what was asked for."""

    code, http, exit_status = "not_found", 404, 3
    template = "there is no {kind} named {name!r}"
    hint = "'banger {verb} list' shows what there is"

    def __init__(self, **data: object) -> None:
        nouns = {"machine": "vm", "image": "image", "kernel": "kernel", "session": "vm session"}
        data.setdefault("verb", nouns.get(str(data.get("kind")), "vm"))
        super().__init__(**data)


class NoSuchPath(BangerError):
    """``path`` is a path of this host, or ``MACHINE:PATH``."""

    code, http, exit_status = "no_such_path", 404, 3
    template = "{path}: there is no such {kind}"
    hint = ""


class Ambiguous(BangerError):
    code, http, exit_status = "ambiguous", 409, 4
    template = "{name!r} could be any of: {candidates}"
    hint = "give more letters of the id, or the name"


class AlreadyExists(BangerError):
    code, http, exit_status = "already_exists", 409, 4
    template = "there is already a {kind} named {name!r}"
    hint = "choose another name, or delete the old one first"


class TokenReused(BangerError):
    code, http, exit_status = "token_reused", 409, 4
    template = "the token {token!r} belongs to a machine that was asked for in other words"
    hint = "give every new request a token of its own"


class NotTrusted(BangerError):
    """``directory`` is as a shell takes it."""

    code, http, exit_status = "not_trusted", 409, 4
    template = "nobody has agreed to what {path} sets"
    hint = "'banger config trust {directory}' shows it and agrees to it, --no-profile goes without it"


class InUse(BangerError):
    code, http, exit_status = "in_use", 409, 4
    template = "the {kind} {name!r} is used by: {users}"
    hint = "delete those first"


class WrongState(BangerError):
    """``needed`` and ``state`` are machine states."""

    code, http, exit_status = "wrong_state", 409, 4
    template = "the machine {name!r} is {state}, not {needed}"
    hint = "'banger vm show {name}' tells its state"


class Busy(BangerError):
    code, http, exit_status = "busy", 409, 4
    template = "the {kind} {name!r} is in the middle of another change ({change})"
    hint = "wait for it, or try again"


class NoRepository(BangerError):
    """A path of this host whose repository cannot be imported."""

    code, http, exit_status = "no_repository", 422, 2
    template = "{path}: {reason}"
    hint = ""


class NoWorkspace(BangerError):
    code, http, exit_status = "no_workspace", 404, 3
    template = "nothing was imported into {name!r} yet"
    hint = "'banger vm workspace prepare {name} PATH' imports a repository"


class RepositoryChanged(BangerError):
    code, http, exit_status = "repository_changed", 409, 4
    template = "{path} was changed on this host while it was imported"
    hint = "import again: 'banger vm workspace prepare {name}'"


class WorkspaceConflict(BangerError):
    code, http, exit_status = "workspace_conflict", 409, 4
    template = "changed on this host and in {name!r} since the last import ({count}): {paths}"
    hint = "save what the machine has, then import with --overwrite, which takes this host's"


class WorkspaceBusy(BangerError):
    code, http, exit_status = "workspace_busy", 409, 4
    template = "another command imports into the workspace of {name!r}, or has just done so"
    hint = "wait for it, then try again"


class Cancelled(BangerError):
    code, http, exit_status = "cancelled", 409, 130
    template = "cancelled; what had been done was undone"
    hint = ""


class RequestTooLarge(BangerError):
    code, http, exit_status = "request_too_large", 413, 2
    template = "the request is larger than {limit} bytes"
    hint = ""


class NoSuchRoute(BangerError):
    code, http, exit_status = "no_such_route", 404, 1
    template = "the daemon has no {path}"
    hint = "the daemon may be older than this program: 'banger daemon status' shows its version"


class WrongMethod(BangerError):
    code, http, exit_status = "wrong_method", 405, 1
    template = "{path} does not take {method}"
    hint = "see /v1/openapi.json for what it takes"


class Interrupted(BangerError):
    """The daemon ended while the change was under way; its next start undid the change."""

    code, http, exit_status = "interrupted", 500, 1
    template = "the daemon ended in the middle of this; what had been done was undone"
    hint = "run the command again"


# -- the daemon -------------------------------------------------------------------------------------------------------


class DaemonUnreachable(BangerError):
    code, http, exit_status = "daemon_unreachable", 503, 1
    template = "cannot reach the daemon at {socket}: {reason}"
    hint = "'banger daemon start' starts it; its log is {log}"


RESTART_SYSTEM = "'sudo banger system restart' starts it again; 'sudo banger system status' tells more"


class UnsafeDirectory(BangerError):
    code, http, exit_status = "unsafe_directory", 500, 1
    template = "refusing to use {path}: {reason}"
    hint = "remove it, or point BANGER_RUNTIME_DIR at a directory of your own"


class PermissionRefused(BangerError):
    code, http, exit_status = "permission_refused", 403, 1
    template = "uid {uid} may not use this daemon; it serves uid {owner}"
    hint = "run banger as that user"


class PrivilegeRefused(BangerError):
    """A gate of the root helper's said no. ``reason`` is printable."""

    code, http, exit_status = "privilege_refused", 403, 1
    template = "{operation} was refused: {reason}"
    hint = "the helper's log ('journalctl -u bangerd-root') has the request"


class PrivilegeFailed(BangerError):
    """The host could not do what root was asked for. With ``busy``, the same request may succeed later."""

    code, http, exit_status = "privilege_failed", 500, 1
    template = "{operation} failed: {reason}"
    hint = "'banger doctor' checks this host"


class HelperUnavailable(BangerError):
    code, http, exit_status = "helper_unavailable", 503, 1
    template = "the root helper does not answer: {reason}"
    hint = RESTART_SYSTEM


class InstallRefused(BangerError):
    """The system installation cannot be made, changed or removed as things are. ``reason`` says why."""

    code, http, exit_status = "install_refused", 409, 4
    template = "{reason}"
    hint = "nothing was changed"


class DaemonRunning(BangerError):
    code, http, exit_status = "daemon_running", 409, 4
    template = "a daemon is already running here (pid {pid})"
    hint = "'banger daemon stop' ends it; its machines go on"


class StoreTooNew(BangerError):
    code, http, exit_status = "store_too_new", 500, 1
    template = "{path} was written by a newer banger (schema {found}; this one knows {known})"
    hint = "run the newer banger, or move the file away to begin anew"


class StoreUnreadable(BangerError):
    code, http, exit_status = "store_unreadable", 500, 1
    template = "{path} cannot be read: {reason}"
    hint = "put a copy in its place, or move it away to begin anew (disks and images stay where they are)"


class BadSetting(BangerError):
    """``path`` is the file, ``line`` where in it (0 where that is not known), ``key`` the setting."""

    code, http, exit_status = "bad_setting", 500, 2
    template = "{where}: {key}: {reason}"
    hint = "'banger config init --print' explains every setting"

    def __init__(self, **data: object) -> None:
        line = data.setdefault("line", 0)
        data.setdefault("where", f"{data.get('path')}:{line}" if line else data.get("path"))
        super().__init__(**data)


# -- the host ---------------------------------------------------------------------------------------------------------


class ToolMissing(BangerError):
    code, http, exit_status = "tool_missing", 500, 1
    template = "{tool} is not installed"
    hint = "install it: sudo apt-get install {package}"


class ToolFailed(BangerError):
    """A host tool ended with a failure. ``detail`` is the last of what it said."""

    code, http, exit_status = "tool_failed", 500, 1
    template = "{tool} failed ({status}): {detail}"
    hint = ""


class TimedOut(BangerError):
    code, http, exit_status = "timed_out", 504, 124
    template = "{what} did not finish within {seconds} s"
    hint = ""


class DiskFull(BangerError):
    code, http, exit_status = "disk_full", 507, 1
    template = "no space left on the disk that holds {path}"
    hint = "free some space and try again; 'banger image list' and 'banger image cache prune -n' show what is large"


class NoRoom(BangerError):
    """Refused before anything began: ``resource`` is disk or memory, ``needed`` and ``available`` are bytes of it."""

    code, http, exit_status = "no_room", 507, 1
    template = "{reason}"
    hint = "'banger df' and 'banger vm stats' show what takes {resource}"


class LimitReached(BangerError):
    """The owner has ruled it out: ``setting`` is the limit's name, ``asked`` what it would come to."""

    code, http, exit_status = "limit_reached", 409, 4
    template = "{reason}"
    hint = "{setting} in config.toml sets the limit"


class PortUnavailable(BangerError):
    """``port`` of the host's ``address`` cannot be listened on; ``reason`` says why."""

    code, http, exit_status = "port_unavailable", 409, 4
    template = "port {port} of {address} cannot be used: {reason}"
    hint = "choose another port of this host, as in 18080:80; of a machine that is there, 'banger vm set' changes them"


class NetworkFull(BangerError):
    code, http, exit_status = "network_full", 507, 1
    template = "the guests' network {network} has addresses for {count} machines, and not for one more"
    hint = "delete machines that are not needed: one that is stopped keeps its address"


class SubordinateIdsMissing(BangerError):
    code, http, exit_status = "subuid_missing", 500, 1
    template = "user {user!r} has no subordinate user ids, which building an image without root needs"
    hint = "sudo usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {user}"


# -- images and kernels -----------------------------------------------------------------------------------------------


class SourceUnavailable(BangerError):
    """The registry, directory or archive that an image comes from cannot be read."""

    code, http, exit_status = "source_unavailable", 502, 1
    template = "cannot read {reference}: {reason}"
    hint = ""


class WrongPlatform(BangerError):
    code, http, exit_status = "wrong_platform", 400, 1
    template = "{reference} is for {found}, not for {wanted}"
    hint = "pick a tag that is built for {wanted}"


class CorruptBlob(BangerError):
    code, http, exit_status = "corrupt_blob", 502, 1
    template = "{digest}: {reason}"
    hint = "pull again; if it fails again, the source is damaged"


class DamagedBlob(CorruptBlob):
    """A file of the cache that is not the blob of its name; the source may well be sound."""

    code = "damaged_blob"
    template = "{digest}: its bytes are not what its digest says"


class UnsafeLayer(BangerError):
    """An archive entry that must not become a file. ``entry`` is safe to print."""

    code, http, exit_status = "unsafe_layer", 422, 1
    template = "layer {layer}: {entry}: {reason}"
    hint = "the image is broken or hostile; it was not imported"


class ImageTooSmall(BangerError):
    code, http, exit_status = "image_too_small", 400, 1
    template = "{size} is too small: this image needs at least {needed}"
    hint = "leave the size out, or give a larger one"


class UnusableDisk(BangerError):
    """A file system that cannot be read or edited as it is. ``reason`` is printable."""

    code, http, exit_status = "unusable_disk", 422, 1
    template = "{path}: {reason}"
    hint = "'e2fsck -fn' tells what is wrong with a file system"


class RootStrategyUnavailable(BangerError):
    code, http, exit_status = "root_strategy_unavailable", 400, 1
    template = "machines' disks cannot be made by the strategy {name!r}: {reason}"
    hint = "unset root_strategy in the configuration; 'banger doctor' tells which strategies this host has"


class BuildFailed(BangerError):
    code, http, exit_status = "build_failed", 500, 1
    template = "building {name} failed: {reason}"
    hint = ""


class BadBundle(BangerError):
    """``reason`` is safe to print."""

    code, http, exit_status = "bad_bundle", 422, 1
    template = "{bundle}: {reason}"
    hint = "the bundle is broken or hostile; nothing of it was kept"


class NotAKernel(BangerError):
    code, http, exit_status = "not_a_kernel", 422, 1
    template = "{path} is not a usable kernel: {reason}"
    hint = "banger needs an x86_64 bzImage or ELF vmlinux and the module tree that belongs to it"


# -- machines ---------------------------------------------------------------------------------------------------------


class VmmFailed(BangerError):
    code, http, exit_status = "vmm_failed", 500, 1
    template = "the virtual machine monitor failed: {reason}"
    hint = "'banger vm logs {name}' shows the console"


class NoWayOut(BangerError):
    """A machine was asked for that reaches the outside."""

    code, http, exit_status = "no_way_out", 409, 4
    template = "the machine would not reach the outside"
    hint = "--nat lets it"


class GuestPanicked(BangerError):
    code, http, exit_status = "guest_panicked", 500, 1
    template = "the guest's kernel panicked: {reason}"
    hint = "'banger vm logs {name}' shows the console"


class GuestSilent(BangerError):
    code, http, exit_status = "guest_silent", 504, 1
    template = "the guest's agent did not answer within {seconds} s"
    hint = "'banger vm logs {name}' shows the console; the machine is kept for you to look at"


class AgentLost(BangerError):
    code, http, exit_status = "agent_lost", 502, 125
    template = "the connection to the guest's agent was lost: {reason}"
    hint = "'banger vm health {name}' tells whether it is back"


class ProtocolViolation(BangerError):
    """The peer sent what the agent protocol does not allow."""

    code, http, exit_status = "protocol_violation", 502, 125
    template = "the guest's agent broke the protocol: {reason}"
    hint = ""


class GuestRefused(BangerError):
    """The agent could not do what was asked. ``reason`` comes from the guest and is printable."""

    code, http, exit_status = "guest_refused", 422, 125
    template = "{reason}"
    hint = ""


class NoWorkingDirectory(GuestRefused):
    """A command was to run where it cannot. ``reason`` comes from the guest and is printable."""

    code = "no_working_directory"
    hint = "'-w DIR' names another; 'banger vm workspace prepare' brings a workspace back that is gone"


class GuestDiskFull(GuestRefused):
    """``reason`` comes from the guest and is printable."""

    code, http = "guest_disk_full", 507
    template = "a disk of the machine is full: {reason}"
    hint = "remove something in it, or give it more: 'banger vm set VM --disk-size SIZE --work-disk SIZE'"


class CommandNotFound(BangerError):
    code, http, exit_status = "command_not_found", 422, 127
    template = "{command!r} was not found in the guest"
    hint = ""


class CommandNotExecutable(BangerError):
    code, http, exit_status = "command_not_executable", 422, 126
    template = "{command!r} cannot be executed in the guest: {reason}"
    hint = ""


class CommandFailed(BangerError):
    """What the SDK raises for a checked command that failed. ``ending`` says how, ``stderr`` is printable."""

    code, http, exit_status = "command_failed", 422, 125
    template = "{command} {ending}: {stderr}"
    hint = ""


class PackagesFailed(BangerError):
    """``reason`` is the last of what the machine said, or what it lacks; printable."""

    code, http, exit_status = "packages_failed", 422, 125
    template = "the packages could not be installed: {reason}"
    hint = "what the package manager said is above; --no-bootstrap does without packages and tools"


class SessionEnded(BangerError):
    code, http, exit_status = "session_ended", 409, 4
    template = "the session {name!r} has ended"
    hint = "'banger vm session show' tells how, 'banger vm session logs' what it said"


class StdinTaken(BangerError):
    """A session's stdin takes from one attachment at a time."""

    code, http, exit_status = "stdin_taken", 409, 4
    template = "somebody is attached to the stdin of the session {name!r}"
    hint = "'banger vm session attach --read-only' only looks on"


class StdinClosed(BangerError):
    """``taken`` is how many bytes of what was sent went in before."""

    code, http, exit_status = "stdin_closed", 409, 4
    template = "the stdin of the session {name!r} is closed ({taken} bytes were taken)"
    hint = "a session is fed if it was started with --stdin or --tty, until --eof or until its command closes it"


class StdinStuck(BangerError):
    """``taken`` is how many bytes of what was sent went in; the rest was thrown away."""

    code, http, exit_status = "stdin_stuck", 504, 124
    template = "the session {name!r} took {taken} bytes and no more within {seconds:g} s; the rest was thrown away"
    hint = "its command does not read its stdin, or reads slowly: --timeout waits longer"


class UnsafeArchive(BangerError):
    """What came out of a guest must not be written here. ``entry`` is safe to print."""

    code, http, exit_status = "unsafe_archive", 422, 1
    template = "refusing what the guest sent: {entry}: {reason}"
    hint = "nothing outside the destination was touched"


class UnsafePatch(BangerError):
    """A patch that came out of a guest must not be applied here. ``path`` is safe to print."""

    code, http, exit_status = "unsafe_patch", 422, 1
    template = "refusing the machine's patch: {path}: {reason}"
    hint = "nothing was written; 'banger vm workspace diff' shows it, 'banger cp' brings files out without a patch"


def from_os(error: OSError, path: str) -> BangerError:
    """What a failed system call on our own files means to the user; ``path`` is where it happened."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(path=path)
    return InternalError(detail=f"{error.filename or path}: {error.strerror or error}")


def all_errors() -> list[type[BangerError]]:
    """Every error class, in the order of this module. The reference page is made from it."""
    found: list[type[BangerError]] = []
    waiting: list[type[BangerError]] = [BangerError]
    while waiting:
        current = waiting.pop(0)
        if current is not BangerError:
            found.append(current)
        waiting.extend(current.__subclasses__())
    return found


def from_wire(
    code: str, message: str, hint: str, data: "Mapping[str, object]", operation: str | None = None
) -> BangerError:
    """The error that a daemon sent, as its own class again; an unknown code becomes an InternalError.

    The message is the sender's, so that both ends print the same words.
    """
    kind = next((each for each in all_errors() if each.code == code), InternalError)
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.data = dict(data)
    error.operation = operation
    error.advise(hint)
    return error
