#!/bin/sh
# The progress line on terminals of several widths, while they change, and around Ctrl-Z. DLM_PTY is
# the program of pty.c, DLM_ONE_STEP that of one_step.c.
. "${0%/*}/hostile.sh"

pty=${DLM_PTY:?says which program makes terminals}
sed 's/num_epochs: 20/num_epochs: 1000000/' doc.dlm > long.dlm

# on_terminal_ PTY-ARGUMENT... -- TRAIN-ARGUMENT...: trains on a terminal.
on_terminal_()
{
    rm -rf home
    set -- "$@" end
    while [ "$1" != -- ]; do
        set -- "$@" "$1"
        shift
    done
    shift
    options=
    while [ "$1" != end ]; do
        options="$options $1"
        shift
    done
    shift
    "$pty" "$@" -- "$dlm" train --backend cpu --ask 0 $options > out 2> err
    status=$?
    grep -E '^ *[0-9]+/[0-9]+( |$)' out > progress
}

# The longest line on a terminal of $1 columns, not counting the first, on which messages stand.
widest_() { sed -n "s/^# widest \([0-9]*\) of $1\$/\1/p" out; }

# No line on the screen but messages and whole progress lines.
nothing_else_()
{
    progress_='^[0-9]+/[0-9]+(  \[[#.]+\])?(  loss [0-9.]+( -> [0-9.]+)?)?(  [0-9:]+ left)?'
    progress_="$progress_(  [0-9]+ tokens/s)?(  lr [0-9.e-]+)?(\\^C)?\$"
    grep -Ev -e '^# (widest|stopped)' -e '^(train|sft|adapter|log|loss|dlm|hint|warning): ' \
        -e '^-?[0-9.]+(e-?[0-9]+)?$' -e "$progress_" out > rest &&
        { fail_ "left over on the screen"; cat rest; }
}

for columns in 200 80 50 30 12; do
    case_ "a terminal of $columns columns"
    on_terminal_ $columns -- doc.dlm
    status_is 0
    [ "$(wc -l < progress)" -eq 1 ] || fail_ "not one progress line"
    awk -v c=$columns 'length >= c { exit 1 }' progress ||
        fail_ "the line is as wide as the terminal"
    nothing_else_
done

case_ "a wide line has all fields, a narrow one what matters most"
on_terminal_ 120 -- doc.dlm
grep -Eq '^20/20  \[#{38,40}\]  loss 7.383 -> [0-9.]+  0:00 left  [0-9]+ tokens/s  lr [0-9.e-]+$' \
    progress || fail_ "not all fields at 120 columns"
on_terminal_ 50 -- doc.dlm
grep -Eq '^20/20  \[#+\]  loss 7.383 -> [0-9.]+  0:00 left$' progress || fail_ "50 columns"
on_terminal_ 34 -- doc.dlm
grep -Eq '^20/20  loss [0-9.]+  0:00 left$' progress || fail_ "34 columns"

case_ "the line follows the width, and leaves nothing behind"
on_terminal_ 100 8:50 11:30 14:60 17:interrupt -- long.dlm
status_is 130
for columns in 50 30 60; do
    [ "$(widest_ $columns)" ] || fail_ "no terminal of $columns columns"
done
[ "$(widest_ 50)" -lt 50 ] || fail_ "a line of $(widest_ 50) on 50 columns"
[ "$(widest_ 30)" -lt 30 ] || fail_ "a line of $(widest_ 30) on 30 columns"
[ "$(wc -l < progress)" -le 2 ] || fail_ "more lines than before and after the note of Ctrl-C"
nothing_else_

case_ "the line follows the width during a long step too"
"$pty" 80 1:40 -- "${DLM_ONE_STEP:?is a program in a long step}" > out
[ "$(widest_ 80)" -gt 40 ] || fail_ "no line of more than 40 columns before"
[ "$(widest_ 40)" -gt 20 ] || fail_ "not drawn again"
[ "$(widest_ 40)" -lt 40 ] || fail_ "a line of $(widest_ 40) on 40 columns"

case_ "Ctrl-Z takes the line away, fg draws it again"
on_terminal_ 80 8:stop 12:stop 15:interrupt -- long.dlm
status_is 130
[ "$(grep -c "^# stopped with ''\$" out)" -eq 2 ] || fail_ "not stopped twice with an empty line"
[ "$(wc -l < progress)" -le 2 ] || fail_ "more lines than before and after the note of Ctrl-C"
nothing_else_

case_ "nothing is drawn with --quiet"
on_terminal_ 80 -- --quiet doc.dlm
status_is 0
[ ! -s progress ] || fail_ "a progress line"

summary_
