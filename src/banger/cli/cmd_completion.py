"""``banger completion``: scripts that ask `banger internal complete` and know nothing themselves."""

from banger.cli.terminal import Terminal
from banger.cli.verb import Namespace

BASH = r"""# banger completion for bash
_banger() {
    local IFS=$'\n' line current
    local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    # bash splits words at colons: join VM:PATH again, and give back only the part after the colon
    current=${COMP_LINE:0:COMP_POINT}
    current=${current##*[[:space:]]}
    while [[ ${#words[@]} -gt 1 && $current == *:* && ${words[-1]} != "$current" ]]; do
        words=("${words[@]:0:${#words[@]}-1}")
        [[ $current == "${words[-1]}"* ]] && words[-1]=$current
    done
    COMPREPLY=()
    for line in $(command banger internal complete -- "${words[@]}" 2>/dev/null); do
        if [[ $line == :files ]]; then
            compopt -o filenames
            COMPREPLY+=($(compgen -f -- "$current"))
        else
            COMPREPLY+=("${line%%$'\t'*}")
        fi
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *: ]] && compopt -o nospace
    if [[ $current == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%:*}:"}")
    fi
}
complete -F _banger banger
"""

ZSH = r"""#compdef banger
# banger completion for zsh
_banger() {
    local line files=0
    local -a found
    for line in ${(f)"$(command banger internal complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"}; do
        if [[ $line == :files ]]; then
            files=1
        elif [[ $line == *$'\t'* ]]; then
            found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        else
            found+=("${line//:/\\:}")
        fi
    done
    (( ${#found} )) && _describe 'banger' found
    (( files )) && _files
    return 0
}
compdef _banger banger
"""

FISH = r"""# banger completion for fish
function __banger_complete
    set -l words (commandline -opc)[2..-1] (commandline -ct)
    for line in (command banger internal complete -- $words 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path (commandline -ct)
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
