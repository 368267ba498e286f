"""``banger completion``: scripts that ask `banger internal complete` and know nothing themselves."""

from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace

BASH = r"""# banger completion for bash
_banger() {
    local IFS=$'\n' left=${COMP_LINE:0:COMP_POINT} words=() number word each before
    # bash splits words at colons and equals signs: join what no space separates
    left=${left#*"${COMP_WORDS[0]}"}
    for ((number = 1; number <= COMP_CWORD; number++)); do
        word=${left%%[![:space:]]*}
        left=${left#"$word"}
        [[ -n $word || $number -eq 1 ]] && words+=("")
        word=${COMP_WORDS[number]}
        [[ $number -eq $COMP_CWORD ]] && word=$left
        words[-1]+=$word
        left=${left#"$word"}
    done
    before=${words[-1]%"${words[-1]##*[:=]}"}  # of the word, bash has this already
    COMPREPLY=()
    for each in $(command banger internal complete -- "${words[@]}" 2>/dev/null); do
        if [[ $each == :files ]]; then
            COMPREPLY+=($(compgen -f -- "${words[-1]#"$before"}"))
            compopt -o filenames
        else
            compopt +o filenames  # a name ends in a colon, which would be quoted
            each=${each%%$'\t'*}
            COMPREPLY+=("${each#"$before"}")
        fi
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:=] ]] && compopt -o nospace
}
complete -F _banger banger
"""

ZSH = r"""#compdef banger
# banger completion for zsh
_banger() {
    local line files=0
    local -a found open
    for line in ${(f)"$(command banger internal complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"}; do
        if [[ $line == :files ]]; then
            files=1
        elif [[ $line == *:$'\t'* ]]; then
            open+=("${line%%$'\t'*}")  # a path goes on behind the colon
        elif [[ $line == *$'\t'* ]]; then
            found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        else
            found+=("${line//:/\\:}")
        fi
    done
    (( ${#found} )) && _describe 'banger' found
    (( ${#open} )) && compadd -S '' -- $open
    if (( files )); then
        compset -P '--*='
        _files
    fi
    return 0
}
if [[ ${funcstack[1]} == _banger ]]; then
    _banger "$@"  # found in fpath, and called for the first time
else
    compdef _banger banger
fi
"""

FISH = r"""# banger completion for fish
function __banger_complete
    set -l current (commandline -ct)
    set -l before (string match -r -- '^--[^=]*=' $current)
    for line in (command banger internal complete -- (commandline -opc)[2..-1] "$current" 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path (string replace -- "$before" "" "$current") | string replace -r -- '^' "$before"
        else
            echo $line
        end
    end
end
complete -c banger -f -a '(__banger_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def run(arguments: Namespace, terminal: Terminal) -> int:
    terminal.print(SCRIPTS[arguments.shell].rstrip("\n"))
    return 0
