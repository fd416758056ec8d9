# For the scripts about bad input: lib.sh, and a tiny base with its document, adapter and images in
# the working folder, of which each case damages a copy.
. "${0%/*}/lib.sh"

golden=$data/golden/models/f32_old
cp -R "$golden/." .
chmod -R u+w .

# The last run ended with status $1 and one line of error, in which each of the other texts stands;
# a hint or a warning may stand beside it.
fails_()
{
    status_is "$1"
    shift
    grep -v -e '^hint: ' -e '^warning: ' err > errors
    [ "$(wc -l < errors)" -eq 1 ] || fail_ "not one line of error"
    for text; do
        grep -qF -- "$text" errors || fail_ "the error does not name '$text'"
    done
}

score_() { run_ dlm -q score --backend cpu "$@" --prompt "blue an?" --target caption --json; }

# Copies the base to bad/.
damage_()
{
    rm -rf bad
    cp -R base bad
}

# The base in bad/ is refused by score, and the error says all of the texts.
base_fails_()
{
    score_ --base dir:bad --image images/one.png
    fails_ 1 "$@"
    out_is
}

# edit_ FILE SED-SCRIPT: changes a file in place, which must change.
edit_()
{
    cp "$1" edit.tmp
    sed "$2" edit.tmp > "$1"
    cmp -s "$1" edit.tmp && fail_ "'$2' changes nothing in $1"
}

# cut_ FILE BYTES: keeps the first BYTES.
cut_()
{
    head -c "$2" "$1" > cut.tmp
    mv cut.tmp "$1"
}

# poke_ FILE OFFSET OCTAL...: overwrites bytes.
poke_()
{
    file=$1 at=$2
    shift 2
    printf "$(printf '\\%s' "$@")" | dd of="$file" bs=1 seek="$at" conv=notrunc 2> dd.log
}

# at_ N COMMAND...: the command with the library that counts calls below home (or $below); its N-th
# is meant.
at_()
{
    n=$1
    shift
    run_ env LD_PRELOAD="$DLM_FULL_DISK" \
        ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        FULL_DISK_BELOW="${below:-$dir/home}" FULL_DISK_AT="$n" FULL_DISK_COUNT="$dir/count" "$@"
}
