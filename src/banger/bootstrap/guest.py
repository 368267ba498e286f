"""What carries a plan out in a machine: two shell programs, which every image with a shell can run.

They take what they work on as arguments, so that nothing of a repository's or a profile's ever becomes their text.
Tools are best effort: what fails is told and the next is tried, and what that says goes to a log, and to whoever waits.
Packages are all there in the end, or their program fails.
"""

from collections.abc import Sequence

from banger.bootstrap import distribution
from banger.bootstrap.plan import Plan

LOGS = "/root/.cache/banger"
MISE_PLACES = "/root/.local/bin:/usr/local/bin:/root/.local/share/mise/bin"
"""Where mise's own installers put it, besides what is in PATH."""

SHIMS = "/root/.local/share/mise/shims"
"""Where mise puts a program for each tool that it has installed, which runs the version of the directory it is in."""

PROFILE = "/etc/profile.d/banger-tools.sh"
"""What has login shells find them, whose /etc/profile sets PATH anew; commands are given it by the daemon."""

_FOUND = f"""\
# What mise has installed for a repository that banger brought.
[ "$(id -u)" != 0 ] || PATH={SHIMS}:$PATH
"""

PREPARE = (
    "/bin/sh",
    "-c",
    f"PATH=$PATH:{MISE_PLACES}\n"
    "command -v mise >/dev/null 2>&1 || exit 1\n"
    '[ ! -d "${1%/*}" ] || printf %s "$2" >"$1" || :',
    "prepare",
    PROFILE,
    _FOUND,
)
"""Fails where there is no mise. Before any shell begins, and not with the rest in the background."""

LACKS_MISE = "the image has no mise (https://mise.jdx.dev)"
NO_MISE = f"{LACKS_MISE}: the repository's tools will not be installed"
"""What is told of a machine before it is made."""

NO_TOOL = 69
"""The status where there is nothing to install with (EX_UNAVAILABLE); 1 means that something failed."""

SCRIPT = f"""\
directory=$1 log=$2 install=$3
shift 3
PATH=$PATH:{MISE_PLACES} MISE_YES=1
export PATH MISE_YES
work() {{
    failed=0
    cd "$directory" || return 1
    mise trust "$directory" </dev/null || :
    if [ "$install" = yes ]; then
        echo "+ mise install"
        mise install </dev/null || failed=1
    fi
    for each in "$@"; do
        echo "+ mise use --global $each"
        mise use --global "$each" </dev/null || failed=1
    done
    if [ "$failed" = 0 ]; then echo "all tools are there"; else echo "not all tools are there"; fi
    return "$failed"
}}
command -v mise >/dev/null 2>&1 || exit {NO_TOOL}
umask 077
mkdir -p "${{log%/*}}" && : >"$log" || exit 1
exec 4>&1
status=$({{ {{ work "$@" 4>&-; echo $? >&3; }} 2>&1 | tee "$log" >&4; }} 3>&1)
exit "$status"
"""

STEP = "+ "
"""What a line begins with that says what is done next."""

PACKAGES_SCRIPT = f"""\
exec </dev/null 2>&1
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin DEBIAN_FRONTEND=noninteractive
export PATH DEBIAN_FRONTEND
{distribution.install_script()}\
[ "$tool" ] || exit {NO_TOOL}
for each in "$@"; do
    shift
    present "$each" || set -- "$@" "$each"
done
if [ "$#" -gt 0 ]; then
    echo "{STEP}$tool: $*"
    add "$@" || exit 1
    sync
fi
echo "all packages are there"
"""
"""Its output is no log's as well: a service that a package starts would keep the pipe to it open for good."""


def log(name: str) -> str:
    """Where the log of a repository's bootstrap is, in the guest."""
    return f"{LOGS}/bootstrap-{name}.log"


def command(plan: Plan, directory: str, name: str) -> list[str]:
    """What carries out the plan's part of mise's, for the repository at ``directory``."""
    steps = [f"{each.tool}@{each.version}" for each in plan.steps]
    return ["/bin/sh", "-c", SCRIPT, "bootstrap", directory, log(name), "yes" if plan.managed else "no", *steps]


def packages_command(names: Sequence[str]) -> list[str]:
    """What installs those packages that are not there; it is root's."""
    return ["/bin/sh", "-c", PACKAGES_SCRIPT, "packages", *names]
