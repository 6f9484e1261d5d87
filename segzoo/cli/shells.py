"""The scripts that make shells complete, and what they and segzoo say to one another.

click knows how to find out what is to be completed; its scripts are replaced, since they lose what stands
before ``=`` or ``:`` in a word (bash takes these for ends of words), cut a value at its first comma (fish),
and set a blank after ``lr=``. Nothing that goes wrong here may be seen: people are in the middle of a line.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from segzoo.printing import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click import Command

#: How each shell is told, once, and for every new one.
INSTALL: Mapping[str, tuple[str, str]] = {
    "bash": ('eval "$(segzoo completion bash)"', "~/.bashrc"),
    "zsh": ('eval "$(segzoo completion zsh)"', "~/.zshrc, below `autoload -Uz compinit && compinit`"),
    "fish": ("segzoo completion fish | source", "~/.config/fish/config.fish"),
}

_BASH = r"""%(complete_func)s() {
    local IFS=$'\n' kind value path words=() paths=()
    local program="${1/#\~/$HOME}"
    while IFS=',' read -r kind value; do
        case "$kind" in
            plain) words+=("$value") ;;
            dir|file)
                while IFS= read -r path; do
                    # As elsewhere, what is hidden is offered when it is asked for.
                    [[ "${path##*/}" == .* && "${value##*/}" != .* ]] || paths+=("$path")
                done < <(compgen "-${kind:0:1}" -- "$value") ;;
        esac
    done < <(_SEGZOO_LINE="${COMP_LINE:0:COMP_POINT}" _SEGZOO_BREAKS="$COMP_WORDBREAKS" \
        %(complete_var)s=bash_complete "$program" 2>/dev/null)
    if [[ ${#words[@]} == 0 ]]; then
        # Bash then quotes blanks, and ends folders in a slash; it would quote the = of a word, too.
        # The bash of macOS knows no compopt, and completes without.
        compopt -o filenames 2>/dev/null
    else
        for path in "${!paths[@]}"; do
            if [[ -d "${paths[path]}" ]]; then paths[path]+=/; fi
            paths[path]="$(printf %%q "${paths[path]}")"
        done
    fi
    COMPREPLY=("${paths[@]}" "${words[@]}")
    if [[ ${#COMPREPLY[@]} == 1 && "${COMPREPLY[0]}" == *[=.,:/] ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -F %(complete_func)s %(prog_name)s
"""

_ZSH = r"""#compdef %(prog_name)s
%(complete_func)s() {
    local -a response words_plain words_open
    local kind value about paths=''
    local line="${(j: :)${(@q)${(@Q)words[1,CURRENT-1]}}} ${(q)${(Q)PREFIX}}"
    response=("${(@f)$(COMP_WORDS="$line" COMP_CWORD=$((CURRENT-1)) \
        %(complete_var)s=zsh_complete ${words[1]/#\~/$HOME} 2>/dev/null)}")
    for kind value about in "${response[@]}"; do
        case "$kind" in
            plain)
                if [[ "$value" == *[=.,:/] ]]; then
                    words_open+=("${value//:/\\:}:$about")
                else
                    words_plain+=("${value//:/\\:}:$about")
                fi ;;
            dir) paths='-/' ;;
            file) paths='-f' ;;
        esac
    done
    (( ${#words_plain} )) && _describe -V segzoo words_plain -U
    (( ${#words_open} )) && _describe -V segzoo-open words_open -U -S ''
    if [[ -n "$paths" ]]; then
        [[ "$PREFIX" == *=* ]] && compset -P '*='
        _path_files $paths
    fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = r"""function %(complete_func)s
    set -l program (commandline -opc)[1]
    test -n "$program"; or set program %(prog_name)s
    set program (string replace -r '^~' $HOME -- $program)
    type -q $program; or return
    set -lx COMP_WORDS (commandline -cp | string collect)
    set -lx COMP_CWORD (commandline -ct | string collect)
    set -lx %(complete_var)s fish_complete
    for line in ($program 2>/dev/null)
        set -l found (string split -m 1 , -- $line)
        set -l before (string match -r '^.*=' -- $found[2])
        set -l path (string replace -r '^.*=' '' -- $found[2])
        switch $found[1]
            case dir
                for one in (__fish_complete_directories $path ' ')
                    echo "$before$one"
                end
            case file
                for one in (__fish_complete_path $path ' ')
                    echo "$before$one"
                end
            case plain
                echo $found[2]
        end
    end
end
complete --no-files --keep-order --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _Whole(ShellComplete):
    """Completes whole words: what stands before the value is part of it."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Return what may follow; of ``--model=un`` whole words too."""
        found = [
            CompletionItem(one.value, type=one.type, help=printable(one.help or ""))
            for one in super().get_completions(args, incomplete)
            # A name that cannot be shown as it is cannot be offered: spelled otherwise it is another.
            if one.value == printable(one.value)
        ]
        option, equals, _ = incomplete.partition("=")
        if not (equals and incomplete.startswith("-")):
            return found
        return [CompletionItem(f"{option}={one.value}", type=one.type, help=one.help) for one in found]


class Bash(_Whole, BashComplete):
    """Bash, which is told the line instead of its idea of the words in it."""

    source_template: ClassVar[str] = _BASH
    _before = ""

    def source(self) -> str:
        """Return the script; click would start a bash to ask for its version."""
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the line up to the cursor as bash will, quotes and all."""
        line = os.environ.get("_SEGZOO_LINE")
        if line is None:
            return super().get_completion_args()
        # With a letter at its end, the last word is there even where it is empty.
        *words, last = split_arg_string(f"{line}x")
        incomplete = last[:-1]
        end = max((incomplete.rfind(mark) for mark in os.environ.get("_SEGZOO_BREAKS", "")), default=-1)
        self._before = incomplete[: end + 1]
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Leave out what stands before bash's last end of a word: that stays as it is."""
        return f"{item.type},{item.value.removeprefix(self._before)}"


class Zsh(_Whole, ZshComplete):
    """Zsh."""

    source_template: ClassVar[str] = _ZSH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the words, of which the last may be empty."""
        words = split_arg_string(os.environ["COMP_WORDS"])
        place = int(os.environ["COMP_CWORD"])
        return words[1:place], words[place] if place < len(words) else ""

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Say kind, word and what it stands for in a line each."""
        return f"{item.type}\n{item.value}\n{' '.join((item.help or '').split()) or ' '}"


class Fish(_Whole, FishComplete):
    """Fish."""

    source_template: ClassVar[str] = _FISH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the line up to the cursor."""
        *words, last = split_arg_string(f"{os.environ['COMP_WORDS']}x")
        return words[1:], last[:-1]


SHELLS: Mapping[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def register() -> None:
    """Make click complete by these."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)


def script(shell: str, program: Command) -> str:
    """Return the script by which a shell completes a program, with how to install it."""
    line, file = INSTALL[shell]
    source = SHELLS[shell](program, {}, "segzoo", "_SEGZOO_COMPLETE").source()
    about = (
        f"# Completion of segzoo's commands, options and names in {shell}.\n"
        f"# To have it in every new shell, put this line into {file}:\n#     {line}\n"
    )
    # What zsh finds the script by has to be its first line.
    mark, _, rest = source.partition("\n") if shell == "zsh" else ("", "", source)
    return f"{mark}\n{about}{rest}" if mark else f"{about}{rest}"
