"""Git, asked in a guest what was changed there: a script for the guest's shell, and what its answer begins with.

Nothing of the guest's is changed by that. The index is a copy, in a directory of its own inside git's (what is renamed
into place there may not cross file systems), and objects that git thinks it needs go there too. New files are entered
by name alone (``add --intent-to-add``) and read when they are compared, so that nothing is written for them. What a
repository's settings could do to the answer is turned off; attributes and filters hold, as they do in a commit.
"""

import re
from collections.abc import Sequence

from banger import errors
from banger.workspace.lines import refused
from banger.workspace.quoting import unquoted

NO_GIT, NO_REPOSITORY, NO_BASE = 91, 92, 93
"""Exit statuses."""

EMPTY = ":empty"
"""A base: the tree without files."""

IMPORTED = "refs/banger/imported-"
"""With the id of an import behind it: the tree that it brought, where that is no commit's."""

PRISTINE, PRISTINE_OF = b".git/banger-index", b".git/banger-commit"
"""The index as an import brought it, and the commit whose index that is: until something is marked in it."""

_GIT = r"""
cd "$1" 2>/dev/null || exit 92
shift
command -v git >/dev/null || exit 91
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_NAMESPACE GIT_DIFF_OPTS GIT_EXTERNAL_DIFF
export LC_ALL=C

g() {
    git --literal-pathspecs -c safe.directory='*' -c core.fsmonitor=false -c core.hooksPath=/dev/null \
        -c core.splitIndex=false -c core.untrackedCache=false -c core.quotePath=true -c core.safecrlf=false \
        -c advice.addEmbeddedRepo=false "$@"
}
"""
"""Goes to the first argument. In an emulated guest each process less is worth a twentieth of a second."""

_REPOSITORY = r"""
places=$(g rev-parse --is-inside-work-tree --absolute-git-dir --git-path objects --git-path index --show-cdup \
    -q --verify "$1^{}" 2>/dev/null)
{
    IFS= read -r inside; IFS= read -r directory; IFS= read -r objects; IFS= read -r index
    IFS= read -r up; IFS= read -r id
} <<places
$places
places
[ "$inside" = true ] || exit 92
case $objects in /*) ;; *) objects=$PWD/$objects ;; esac
case $index in /*) ;; *) index=$PWD/$index ;; esac
cd "./$up" || exit 92
"""
"""Finds the repository there, and what the next argument names in it, if anything."""

_OWN = r"""
own=$directory/banger-export.$$
for old in "$directory"/banger-export.*; do
    [ ! -e "$old" ] || kill -0 "${old##*.}" 2>/dev/null || rm -rf "$old"
done
trap 'rm -rf "$own"' EXIT
trap 'exit 1' HUP INT TERM
"""
"""Has a name inside git's directory for what is gone at the end; what others left who were killed goes first."""

_CHANGES = r"""
base() {
    for base; do
        if [ "$base" = :empty ]; then
            id=$(g hash-object -t tree /dev/null) && return
        fi
        id=$(g rev-parse -q --verify "$base^{}") && return
    done
    exit 93
}
shift
[ "$id" ] || base "$@"
mkdir "$own" || exit 1
[ ! -e "$index" ] || cp -p "$index" "$own/index" || exit 1
export GIT_INDEX_FILE="$own/index"
writes() {
    export GIT_OBJECT_DIRECTORY="$own/objects"
    mkdir -p "$own/objects/info" && printf '%s\n' "$objects" >"$own/objects/info/alternates" || exit 1
}

case $(g update-index -q --really-refresh) in
*': needs merge'*)
    writes
    g ls-files --unmerged | cut -f 2 | sort -u | g update-index --add --remove --replace --stdin || exit 1
    ;;
esac
g ls-files --others --exclude-standard >"$own/others" || exit 1
if [ -s "$own/others" ]; then
    writes
    sed -e '/\/"\{0,1\}$/{w '"$own"'/nested' -e 'd' -e '}' "$own/others" >"$own/new"
    g add -N --pathspec-from-file="$own/new" 2>/dev/null ||
        g update-index --add --remove --replace --stdin <"$own/new" || exit 1
fi
printf 'base %s\n' "$id"
[ ! -s "$own/nested" ] || sed 's/^\(.*\)\/\("\{0,1\}\)$/left \1\2/' "$own/nested"
printf '\n'
g diff-index -p --binary --full-index -M --no-color --no-ext-diff --no-textconv --src-prefix=a/ --dst-prefix=b/ \
    --ignore-submodules=all "$id" -- || exit 1
"""
"""Arguments: the repository, then the bases, of which the first that is there is taken. A file that comes or goes
meanwhile is in the answer, or not."""

HEAD_LIMIT = 1 << 20

_BASE = re.compile(rb"base ([0-9a-f]{40}|[0-9a-f]{64})")


_MARK = r"""
[ -f .git/HEAD ] || exit 92
last=$1 new=$2 kept=$PWD/.git/banger-
export GIT_INDEX_FILE="$kept${new##*/}"
if [ "$last" ] && [ -e "$kept${last##*/}" ]; then
    mv "$kept${last##*/}" "$GIT_INDEX_FILE" || exit 1
elif { read -r of <"${kept}commit"; } 2>/dev/null && [ "$of" = "$3" ] && [ -e "${kept}index" ]; then
    mv "${kept}index" "$GIT_INDEX_FILE" || exit 1
elif [ ! "$last" ] || ! g read-tree "$last" 2>/dev/null; then
    g read-tree "$3" || exit 1
fi
g update-index --index-version 4 --add --remove --replace -z --stdin && tree=$(g write-tree) || exit 1
[ ! -e "${kept}index" ] || rm -f "${kept}index"
{
    [ ! "$last" ] || printf 'delete %s\n' "$last"
    for old in "$kept"imported-*; do
        case $old in
        "$GIT_INDEX_FILE" | "$kept${last##*/}") ;;
        *.lock) rm -f "$old" ;;
        *) rm -f "$old" && printf 'delete refs/banger/%s\n' "${old#"$kept"}" ;;
        esac
    done
    printf 'update %s %s\n' "$new" "$tree"
} | g update-ref --stdin
"""
"""An import has its repository nowhere else than there. Arguments: the repository, the reference of the import before
or nothing, the one to make, and the commit that is marked from where that reference is not there. The index that a tree
was made of stays beside git's own, for the next; the first is made of `PRISTINE`."""


def changes(path: str, bases: Sequence[str]) -> list[str]:
    """The command that tells what was changed. A base is a commit's id, a name of git's, or `EMPTY`."""
    return ["/bin/sh", "-c", _GIT + _REPOSITORY + _OWN + _CHANGES, "banger-export", path, *bases]


def mark(path: str, new: str, last: str | None, commit: str | None) -> list[str]:
    """The command that keeps what import ``new`` brought, as a tree to compare with later.

    ``last`` is the import before it, ``commit`` that one's, or without one its own. Stdin has names, each with a zero
    byte behind it: all that this import has brought or removed, or for the first one those that are not as its commit
    has them.
    """
    before = IMPORTED + last if last is not None else ""
    return ["/bin/sh", "-c", _GIT + _MARK, "banger-export", path, before, IMPORTED + new, commit or "--empty"]


def head(text: bytes) -> tuple[str, list[bytes]]:
    """What comes before the patch: the id of the base that was taken, and repositories within the repository, which
    are left out. Raises `errors.UnsafePatch`."""
    first, *others = text.split(b"\n")
    base = _BASE.fullmatch(first)
    left = [unquoted(each.removeprefix(b"left ")) if each.startswith(b"left ") else None for each in others]
    if base is None or None in left:
        raise not_understood()
    return base[1].decode(), [each for each in left if each is not None]


def not_understood() -> errors.UnsafePatch:
    return refused(b"the answer", "it does not begin as it should")
