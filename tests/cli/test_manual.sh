#!/bin/sh
# Help, man pages, completions and README say the same. DLM_SOURCE is the source tree.
. "${0%/*}/lib.sh"

source=${DLM_SOURCE:?says where the source tree is}
pages=$source/man
completions=$source/completions
commands=$("$dlm" --help | awk '/^commands:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }')

# The options of a command as help has them, one a line, sorted.
options_of_()
{
    "$dlm" "$1" --help | sed -n 's/^ \{2,6\}\(-[a-z], \)\{0,1\}\(--[a-z-]*\).*/\2/p' | sort
}

case_ "every command has a page with the options that help has"
holds_ test -n "$commands"
for command in $commands; do
    options_of_ $command > want
    holds_ test -s want
    sed 's/\\fB//g; s/\\fR//g; s/\\-/-/g' "$pages/dlm-$command.1" |
        sed -n 's/^\(-[a-z], \)\{0,1\}\(--[a-z-]*\).*/\2/p' | sort > out
    same_ want out
    grep -q "^\.BR dlm\\\\-$command (1)" "$pages/dlm.1" || fail_ "dlm.1 does not name $command"
done
run_ ls "$pages"
for page in $(sed -n 's/^dlm-\(.*\)\.1$/\1/p' out); do
    echo "$commands" | grep -qx "$page" || fail_ "dlm-$page.1 is no command's page"
done

if command -v man > /dev/null && man --version > /dev/null 2>&1; then
    case_ "pages render without a warning"
    for page in "$pages"/*.1; do
        run_ man --warnings -E UTF-8 -l -Tutf8 "$page"
        status_is 0
        err_is
    done
else
    skipped=$((skipped + 1))
fi

case_ "the README names every command, and no option that there is not"
for command in $commands; do
    grep -q "dlm $command\|\`$command\`" "$source/README.md" || fail_ "README.md: no dlm $command"
done
for command in $commands; do options_of_ $command; done | sort -u > known
grep -o -- '`\(dlm [a-z. -]*\)\{0,1\}--[a-z-]*' "$source/README.md" | grep -o -- '--[a-z-]*$' |
    sort -u | grep -vxF -e --install -e --no-install -e --family > named
grep -vxFf known named > out && fail_ "no command has what README.md names"

# What versions and folders are offered of; completions call the program by its name.
PATH=${dlm%/*}:$PATH
mkdir adapter adapters
: > ad.txt
cp -r "$data/../share/sample" sample
for seed in 1 2; do
    "$dlm" -q train sample/sample.dlm --backend cpu --max-steps 2 --fresh --seed $seed \
        > out 2> err || { cat err; exit 1; }
done

# offers_ SHELL-FUNCTION: for `dlm COMMAND --` a shell offers what help lists, for --backend its
# choices, for the first word the commands.
offers_()
{
    for command in $commands; do
        options_of_ $command > want
        $1 "dlm $command --" | sort -u > out
        same_ want out
    done
    printf '%s\n' auto cpu opencl vulkan | sort > want
    $1 "dlm train --backend " | sort -u > out
    same_ want out
    printf '%s\n' $commands | sort > want
    $1 "dlm " | sort -u > out
    same_ want out
    : > other.txt
    : > "bird song.dlm"
    echo "bird song.dlm" > want
    $1 "dlm train bird" > out
    same_ want out
    # verbs, one of which is called like a command, and what stands behind them
    printf '%s\n' clear prune show > want
    $1 "dlm cache " | sort -u > out
    same_ want out
    $1 "dlm --threads 2 cache --older-than 3d " | sort -u > out
    same_ want out
    echo prune > want
    $1 "dlm cache pr" > out
    same_ want out
    echo "bird song.dlm" > want
    $1 "dlm cache show bird" > out
    same_ want out
    options_of_ cache > want
    $1 "dlm cache show --" | sort -u > out
    same_ want out
    # folders where folders are meant, and the versions of the document that stands before
    printf '%s\n' adapter adapters | sort > want
    for line in "dlm import ad" "dlm export t.dlm --out ad" "dlm prompt --adapter ad" \
        "dlm train t.dlm --init-adapter ad" "dlm --home ad"; do
        $1 "$line" | sed 's#/$##' | sort -u > out
        same_ want out
    done
    # files where files are, and where an archive is written
    printf '%s\n' ad.txt adapter adapters > want
    for line in "dlm export t.dlm --tar --out ad" "dlm init t.dlm --mmproj ad" \
        "dlm prompt --image ad" "dlm prompt --chat ad" "dlm prompt --mmproj ad"; do
        $1 "$line" | sed 's#/$##' | sort -u > out
        same_ want out
    done
    echo "bird song.dlm" > want
    for line in "dlm import --document bird" "dlm init bird"; do
        $1 "$line" > out
        same_ want out
    done
    printf '%s\n' v0001 v0002 > want
    for line in "dlm use sample/sample.dlm " "dlm rm sample/sample.dlm " \
        "dlm rm --yes sample/sample.dlm v" "dlm prompt sample/sample.dlm --adapter-version " \
        "dlm score sample/sample.dlm --adapter-version v0"; do
        $1 "$line" | sort -u > out
        same_ want out
    done
    $1 "dlm use other.dlm " | grep . && fail_ "versions of another document"
}

in_bash_()
{
    bash -c '. "$1/dlm.bash"; read -ra COMP_WORDS <<< "$2"; [[ $2 == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); compopt() { :; }; _dlm
        printf "%s\n" "${COMPREPLY[@]}"' - "$completions" "$1"
}

# fish unescapes a name of a file only on a terminal.
in_fish_()
{
    HOME="$dir" fish --no-config -c "source '$completions/dlm.fish'; complete -C '$1'" |
        sed 's/[[:cntrl:]].*//; s/\\ / /g' | if [ "${1%--}" != "$1" ]; then grep '^--'; else cat; fi
}

# zsh completes only on a terminal: one of its own, where the list of `$1` must have the words of
# want.
lists_in_zsh_()
{
    run_ timeout 60 zsh -f -c 'zmodload zsh/zpty; zpty shell zsh -f -i
        zpty -w shell "PS1=; LISTMAX=9999 LINES=200 COLUMNS=200 fpath=($1 \$fpath)
            autoload -Uz compinit; compinit -u -D; print re""ady"
        zpty -r shell out "*ready*"; zpty -w -n shell "$2"$'"'\\t\\t'"'
        pattern="*"; for word in $(< want); do pattern+="$word*"; done
        zpty -r shell out "$pattern"; result=$?; zpty -d shell; exit $result' - \
        "$completions" "$1"
    status_is 0
}

for shell in bash fish; do
    if command -v $shell > /dev/null; then
        case_ "$shell completes what help lists"
        offers_ in_${shell}_
    else
        skipped=$((skipped + 1))
    fi
done

if command -v zsh > /dev/null; then
    case_ "zsh lists what help lists"
    printf '%s\n' auto cpu opencl vulkan > want
    lists_in_zsh_ "dlm train --backend "
    printf '%s\n' $commands | sort > want
    lists_in_zsh_ "dlm "
    printf '%s\n' clear prune show > want
    lists_in_zsh_ "dlm cache "
    : > "other song.dlm"
    : > "bird song.dlm"
    printf '%s\n' bird song other song > want
    lists_in_zsh_ "dlm cache show "
    printf '%s\n' adapter/ adapters/ > want
    for line in "dlm import a" "dlm export t.dlm --out a" "dlm --home a"; do
        lists_in_zsh_ "$line"
    done
    printf '%s\n' ad.txt adapter/ adapters/ > want
    for line in "dlm export t.dlm --tar --out a" "dlm prompt --image a" "dlm prompt --chat a" \
        "dlm init t.dlm --mmproj a"; do
        lists_in_zsh_ "$line"
    done
    printf '%s\n' bird song other song > want
    lists_in_zsh_ "dlm import adapter --document "
    printf '%s\n' v0001 v0002 > want
    for line in "dlm use sample/sample.dlm " "dlm rm sample/sample.dlm " \
        "dlm prompt sample/sample.dlm --adapter-version "; do
        lists_in_zsh_ "$line"
    done
    for command in $commands; do
        { options_of_ $command; echo --help; } | sort -u > want
        lists_in_zsh_ "dlm $command --"
    done
else
    skipped=$((skipped + 1))
fi

case_ "bash completes --name=value and what stands behind global options"
if command -v bash > /dev/null; then
    run_ bash -c '. "$0/dlm.bash"; compopt() { :; }
        COMP_WORDS=(dlm --threads 2 train --backend = vu) COMP_CWORD=6; _dlm
        echo "${COMPREPLY[@]}"' "$completions"
    out_is vulkan
    err_is
fi

summary_
