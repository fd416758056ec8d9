# Transcripts of the program, for the scripts beside this file: sourced, POSIX sh.
#
#     case_ "no command"
#     run_ dlm frobnicate
#     status_is 2
#     err_is "dlm: unknown command 'frobnicate'" "try 'dlm --help'"
#     summary_
#
# A case fails when one of its checks does. The last line printed is
# `# N passed, N failed, N skipped`; the exit status 0 pass, 1 fail. Each script works in a folder
# of its own that goes away, with its own DLM_HOME. DLM_PROGRAM is the program, DLM_TEST_DATA the
# folder tests/.

dlm=${DLM_PROGRAM:?says which program to test}
data=$(cd "${DLM_TEST_DATA:-tests}" && pwd) || exit 1
case $dlm in
/*) ;;
*) dlm=$PWD/$dlm ;;
esac
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
dir=$(pwd -P)
export DLM_HOME="$dir/home" LC_ALL=C
passed=0 failed=0 skipped=0 case_name= case_ok=

close_case_()
{
    if [ -n "$case_name" ]; then
        if [ "$case_ok" = yes ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    fi
    case_name=
}

# Starts a case; the one before it ends.
case_()
{
    close_case_
    case_name=$1 case_ok=yes
}

fail_()
{
    case_ok=no
    printf 'FAIL %s: %s\n' "$case_name" "$1"
    sed 's/^/     out  /' out
    sed 's/^/     err  /' err
}

# Runs a command with nothing on standard input ("dlm" is the program): files out and err, $status.
run_()
{
    [ "$1" != dlm ] || { shift; set -- "$dlm" "$@"; }
    "$@" > out 2> err < /dev/null
    status=$?
}

# The same with standard input from a file.
run_with_()
{
    input=$1
    shift
    [ "$1" != dlm ] || { shift; set -- "$dlm" "$@"; }
    "$@" > out 2> err < "$input"
    status=$?
}

status_is() { [ "$status" = "$1" ] || fail_ "exit status $status, not $1"; }

# The stream is exactly these lines; none: nothing.
is_()
{
    file=$1
    shift
    if [ $# -gt 0 ]; then printf '%s\n' "$@" > want; else : > want; fi
    cmp -s "$file" want || { fail_ "$file is not:"; sed 's/^/     want /' want; }
}
out_is() { is_ out "$@"; }
err_is() { is_ err "$@"; }

# The stream holds this text.
out_has() { grep -qF -- "$1" out || fail_ "out has no '$1'"; }
err_has() { grep -qF -- "$1" err || fail_ "err has no '$1'"; }
err_lines_are() { [ "$(wc -l < err)" -eq "$1" ] || fail_ "err has not $1 lines"; }

# A file equals another, or a command holds.
same_() { cmp -s "$1" "$2" || fail_ "$1 differs from $2"; }
holds_() { "$@" || fail_ "does not hold: $*"; }

summary_()
{
    close_case_
    echo "# $passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}
