"""The scripts for tab completion, and their protocol with segzoo.

click finds out what to complete. Its scripts are replaced, because they lose the text before ``=`` or ``:``
in a word (bash ends words there), cut a value at its first comma (fish), and add a blank after ``lr=``.
Errors here must stay invisible, because the user is typing a line.
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

#: For each shell, the line that enables completion, and the file for it.
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
                    # Hidden files are offered only after a dot, as usual.
                    [[ "${path##*/}" == .* && "${value##*/}" != .* ]] || paths+=("$path")
                done < <(compgen "-${kind:0:1}" -- "$value") ;;
        esac
    done < <(_SEGZOO_LINE="${COMP_LINE:0:COMP_POINT}" _SEGZOO_BREAKS="$COMP_WORDBREAKS" \
        %(complete_var)s=bash_complete "$program" 2>/dev/null)
    if [[ ${#words[@]} == 0 ]]; then
        # Bash then quotes blanks and adds a slash to folders; it would quote the = of a word too.
        # The bash of macOS has no compopt, and works without it.
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
    """Completes whole words: the text before a value is part of the word."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Return the possible words; for ``--model=un`` they include the option."""
        found = [
            CompletionItem(one.value, type=one.type, help=printable(one.help or ""))
            for one in super().get_completions(args, incomplete)
            # A name with invisible characters cannot be offered: spelled otherwise it is another name.
            if one.value == printable(one.value)
        ]
        option, equals, _ = incomplete.partition("=")
        if not (equals and incomplete.startswith("-")):
            return found
        return [CompletionItem(f"{option}={one.value}", type=one.type, help=one.help) for one in found]


class Bash(_Whole, BashComplete):
    """Bash, whose script sends the whole line, because bash splits words at other characters."""

    source_template: ClassVar[str] = _BASH
    _before = ""

    def source(self) -> str:
        """Return the script; click's method would start bash to read its version."""
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the line up to the cursor by the rules of bash, including quotes."""
        line = os.environ.get("_SEGZOO_LINE")
        if line is None:
            return super().get_completion_args()
        # The added letter keeps the last word even if it is empty.
        *words, last = split_arg_string(f"{line}x")
        incomplete = last[:-1]
        end = max((incomplete.rfind(mark) for mark in os.environ.get("_SEGZOO_BREAKS", "")), default=-1)
        self._before = incomplete[: end + 1]
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Leave out the text before the last character that ends a word in bash: bash keeps that text."""
        return f"{item.type},{item.value.removeprefix(self._before)}"


class Zsh(_Whole, ZshComplete):
    """Zsh."""

    source_template: ClassVar[str] = _ZSH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the words; the last one may be empty."""
        words = split_arg_string(os.environ["COMP_WORDS"])
        place = int(os.environ["COMP_CWORD"])
        return words[1:place], words[place] if place < len(words) else ""

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return kind, word and meaning, each on its own line."""
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
    """Register these classes with click."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)


def script(shell: str, program: Command) -> str:
    """Return the completion script of a program for a shell, with a comment on how to install it."""
    line, file = INSTALL[shell]
    source = SHELLS[shell](program, {}, "segzoo", "_SEGZOO_COMPLETE").source()
    about = (
        f"# Completion of segzoo's commands, options and names in {shell}.\n"
        f"# To enable it in every new shell, add this line to {file}:\n#     {line}\n"
    )
    # zsh recognises the script by its first line.
    mark, _, rest = source.partition("\n") if shell == "zsh" else ("", "", source)
    return f"{mark}\n{about}{rest}" if mark else f"{about}{rest}"
