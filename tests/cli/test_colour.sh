#!/bin/sh
# Colours: on terminals alone, and where nobody says no. DLM_PTY is the program of pty.c.
. "${0%/*}/lib.sh"

pty=${DLM_PTY:?says which program makes terminals}

# on_terminal_ VARIABLE=VALUE... -- ARGUMENT...: dlm's on a terminal, where <31> is red.
on_terminal_()
{
    set -- "$@" end
    while [ "$1" != -- ]; do
        set -- "$@" "$1"
        shift
    done
    shift
    words=
    while [ "$1" != end ]; do
        words="$words $1"
        shift
    done
    shift
    # shellcheck disable=SC2086
    run_ env -u NO_COLOR TERM=xterm "$@" "$pty" 200 colours -- "$dlm" $words
    sed -i '/^# widest/d' out
}

case_ "errors, warnings and hints"
on_terminal_ -- train gone.dlm
status_is 1
holds_ grep -q "^<31>train<0>: cannot open 'gone.dlm': " out
on_terminal_ -- frobnicate
status_is 2
holds_ grep -q "^<31>dlm<0>: unknown command 'frobnicate'$" out
on_terminal_ -- bases --json --keys
holds_ grep -q "^<31>bases<0>: --json and --keys are mutually exclusive$" out
mkdir -p home/bases.d
echo "key: x" > home/bases.d/x.yaml
on_terminal_ -- bases --keys
status_is 0
holds_ grep -q "^<33>warning<0>: .*x.yaml" out
rm home/bases.d/x.yaml
on_terminal_ -- doctor --base qwen --backend cpu
status_is 1
holds_ grep -q "^<31>dlm<0>: unknown base model 'qwen'" out
on_terminal_ -- doctor --base qwen/x --backend cpu
holds_ grep -q "^<36>hint<0>: a model of the hub is " out
on_terminal_ -- train gone.dlm --backend cpu --image-size 0
status_is 2
holds_ grep -q "^<31>dlm<0>: " out

case_ "a message that says nothing bad has none, and a subject of its own one"
on_terminal_ -- prompt --base tiny-shapes --backend cpu what
status_is 0
holds_ grep -q "^prompt: device cpu: " out
on_terminal_ -- init doc.dlm --base qwen2-vl-2b-instruct
status_is 0
on_terminal_ -- train doc.dlm --backend cpu
status_is 1
holds_ grep -q "^<31>doctor<0>: refusing to train a 2200M-parameter model on CPU" out

case_ "verdicts"
on_terminal_ -- doctor --base qwen2-vl-2b-instruct --backend cpu
status_is 0
holds_ grep -q "^Training:  *<31>refusing to train<0> a 2200M-parameter model on CPU: " out
on_terminal_ -- doctor --base tiny-shapes --backend cpu
holds_ grep -q "^Training:  *<32>may start<0>$" out
on_terminal_ -- export --matrix
holds_ grep -q "^tiny-shapes-qwen2-vl  *<32>SUPPORTED<0>  " out
holds_ grep -q "^tiny-shapes  *<31>UNSUPPORTED<0>  " out
holds_ grep -q "^internvl2-2b  *<33>PARTIAL<0>  " out

case_ "not where somebody says no, and not for programs"
for variable in NO_COLOR=1 TERM=dumb TERM=; do
    on_terminal_ $variable -- doctor --base tiny-shapes --backend cpu
    holds_ grep -q "^Training:  *may start$" out
    on_terminal_ $variable -- frobnicate
    holds_ grep -q "^dlm: unknown command 'frobnicate'$" out
done
on_terminal_ NO_COLOR= -- frobnicate # empty: not set, as no-color.org has it
holds_ grep -q "^<31>dlm<0>: unknown command" out
on_terminal_ -- doctor --base tiny-shapes --backend cpu --json
grep -q '<3' out && fail_ "JSON in colours"
on_terminal_ -- export --matrix --json
grep -q '<3' out && fail_ "JSON in colours"
run_ env -u NO_COLOR TERM=xterm "$dlm" doctor --base tiny-shapes --backend cpu
holds_ grep -q "^Training:  *may start$" out
run_ env -u NO_COLOR TERM=xterm "$dlm" frobnicate
err_is "dlm: unknown command 'frobnicate'" "try 'dlm --help'"

summary_
