#!/bin/sh
# Wrong usage, help, version, exit codes of the program itself.
. "${0%/*}/lib.sh"

case_ "no arguments print help"
run_ dlm
status_is 0
out_has "usage: dlm COMMAND [options] ..."
err_is

case_ "version"
run_ dlm --version
status_is 0
out_is "dlm 0.1.0"

case_ "help of each command comes from its table"
for command in init train prompt show migrate tokenize preprocess score bench doctor use bases \
    pull cache verify-store list rm export import; do
    run_ dlm $command --help
    status_is 0
    out_has "usage: dlm $command [options]"
    for option in "--home DIR" "--threads N" "-v, --verbose" "-q, --quiet" --version \
        "-h, --help"; do
        out_has "$option"
    done
    err_is
    run_ dlm $command -h
    status_is 0
done
run_ dlm train --help
out_has "--backend auto|cpu|opencl|vulkan"
out_has "--max-steps N"

case_ "help states the default of every option that has one"
for command in train prompt show use migrate tokenize preprocess score bench doctor pull cache; do
    run_ dlm $command --help
    # an option with a value stands in one line with its help, or in the line before it
    awk '/^ +(-[a-z], )?--/ { head = $0; if (match($0, /  --[a-z-]+ [^ ]+$/)) next }
         { print head " " $0; head = "" }' out | grep -E '^ +(-[a-z], )?--[a-z-]+ [^ ]' |
        grep -v -e '(default ' -e '; default ' -e '--base KEY' -e '--image PATH' \
            -e '--prompt TEXT' -e '--target TEXT' -e '--gradients FILE' \
            -e '--tokenizer FILE' -e '--shape NAME' -e '--chat FILE' \
            -e '--out FILE' -e '--init-adapter DIR' -e '--adapter DIR' > undocumented &&
        { fail_ "$command: no default is stated"; cat undocumented; }
done
run_ dlm prompt --help
out_has "longest answer (1 to 1048576; default 256)"
out_has "(0 to 100; default the base's generation_config.json, else 0)"
run_ dlm bench --help
out_has "tokens to generate (1 to 1048576; default 32)"

case_ "bench: a plan runs nothing, layers are a shape's"
run_ dlm bench --shape mistral-small-24b --layers 1 --plan --backend cpu
status_is 0
out_has "planned_total"
holds_ sh -c "! grep -q prefill out"
run_ dlm bench --shape mistral-small-24b --layers 41 --plan --backend cpu
status_is 2
err_has "dlm: the decoder of shape 'mistral-small-24b' has 40 layers, not 41"
run_ dlm bench --base x --layers 1
status_is 2
err_is "dlm: --layers needs --shape" "try 'dlm bench --help'"
for wrong in "--limits --plan" "--tune --explain" "--tune --quant nf4" "--limits --precision bf16" \
    "--limits --repeat 7" "--tune --batch 2" "--limits --max-memory 100" \
    "--base tiny-shapes --plan --explain" "--base tiny-shapes --tune-seconds 5"; do
    run_ dlm bench $wrong
    status_is 2
    out_is
done

case_ "bench: one thing at a time"
run_ dlm bench
status_is 2
err_is "dlm: give one of --base, --shape, --limits and --tune" "try 'dlm bench --help'"
run_ dlm bench --limits --base x
status_is 2
run_ dlm bench --limits --backend cpu
status_is 0
out_has "cpu: "
out_has "read  "
run_ dlm bench --limits --backend cpu --json
out_has '{"backend": "cpu", "device": '
out_has '"limits": {"copy_bytes_per_sec": '

case_ "unknown command"
run_ dlm frobnicate
status_is 2
out_is
err_is "dlm: unknown command 'frobnicate'" "try 'dlm --help'"

case_ "a near miss is called by its name"
for typed in trian:train tran:train trainn:train Train:train promt:prompt pormpt:prompt shw:show \
    tokenise:tokenize doc:doctor pre:preprocess; do
    run_ dlm ${typed%:*} x.dlm
    status_is 2
    err_is "dlm: unknown command '${typed%:*}'" "hint: did you mean '${typed#*:}'?" \
        "try 'dlm --help'"
done
for typed in --max-step:--max-steps --sede:--seed --treads:--threads --quite:--quiet \
    --verbos:--verbose --backed=cpu:--backend --hepl:--help; do
    run_ dlm train x.dlm ${typed%:*}
    status_is 2
    name=${typed%:*}
    err_is "dlm: unknown option '${name%=*}'" "hint: did you mean '${typed#*:}'?" \
        "try 'dlm train --help'"
done
for typed in zzz x moon; do
    run_ dlm $typed
    err_is "dlm: unknown command '$typed'" "try 'dlm --help'"
done

case_ "unknown options"
run_ dlm train --frob x.dlm
status_is 2
err_is "dlm: unknown option '--frob'" "try 'dlm train --help'"
run_ dlm show -z x.dlm
status_is 2
err_is "dlm: unknown option '-z'" "try 'dlm show --help'"
run_ dlm --frob
status_is 2
err_is "dlm: unknown option '--frob'" "try 'dlm --help'"

case_ "options of the program stand before the command or behind it"
for options in "--home other show x.dlm" "show --home other x.dlm" "show x.dlm --home=other" \
    "show x.dlm --home other -v --threads 2"; do
    run_ dlm $options
    status_is 1
    err_has "cannot open 'x.dlm'"
done
run_ dlm init --home behind --base tiny-shapes a.dlm
status_is 0
holds_ test -d behind/store
err_has "init: wrote a.dlm"
run_ dlm init -q --home behind --base tiny-shapes b.dlm
err_is
run_ dlm show --version
status_is 2 # what the command needs comes first
run_ dlm show --version x.dlm
out_is "dlm 0.1.0"
run_ dlm --threads 2 show x.dlm --threads 0
status_is 2
err_is "dlm: option '--threads': '0' is not a whole number from 1 to 1024" "try 'dlm show --help'"

case_ "verbose and quiet"
run_ dlm -vq show x.dlm
status_is 2
err_is "dlm: --verbose and --quiet are mutually exclusive" "try 'dlm --help'"
run_ dlm -v show -q x.dlm
status_is 2
run_ dlm -v
status_is 2
err_is "dlm: missing command" "try 'dlm --help'"

case_ "missing values and arguments"
run_ dlm train x.dlm --seed
status_is 2
err_is "dlm: option '--seed' needs a value" "try 'dlm train --help'"
run_ dlm train
status_is 2
err_is "dlm: missing argument DOCUMENT" "try 'dlm train --help'"
run_ dlm show a.dlm b.dlm
status_is 2
err_is "dlm: unexpected argument 'b.dlm'" "try 'dlm show --help'"
run_ dlm show --json=yes a.dlm
status_is 2
err_is "dlm: option '--json' takes no value" "try 'dlm show --help'"

case_ "numbers are checked against their range"
run_ dlm train --max-steps 0 x.dlm
status_is 2
err_is "dlm: option '--max-steps': '0' is not a whole number of at least 1" \
    "try 'dlm train --help'"
run_ dlm train --max-steps=3x x.dlm
status_is 2
run_ dlm train --max-steps 99999999999999999999 x.dlm
status_is 2
for p in 0 -0.5 1.5; do
    run_ dlm prompt --top-p=$p x.dlm hello
    status_is 2
    err_is "dlm: option '--top-p': '$p' is not a number above 0 and at most 1" \
        "try 'dlm prompt --help'"
done
run_ dlm prompt --help
out_has "that sum to P (above 0, at most 1; default the base's, else all tokens)"
run_ dlm prompt --top-p 1 x.dlm " "
err_is "prompt: empty query (pass a string or pipe on stdin)"
run_ dlm prompt --temp nan x.dlm hello
status_is 2

case_ "choices"
run_ dlm train --backend cuda x.dlm
status_is 2
err_is "dlm: option '--backend': 'cuda' is none of auto, cpu, opencl, vulkan" \
    "try 'dlm train --help'"

case_ "options that exclude each other"
run_ dlm train --resume --fresh x.dlm
status_is 2
err_is "dlm: --resume and --fresh are mutually exclusive" "try 'dlm train --help'"

case_ "two dashes end options"
run_ dlm show -- --json
status_is 1
err_has "'--json'"

case_ "prompt wants a query, and images that are there"
run_ dlm prompt x.dlm
status_is 2
err_is "prompt: empty query (pass a string or pipe on stdin)"
run_ dlm prompt x.dlm "  "
status_is 2
err_is "prompt: empty query (pass a string or pipe on stdin)"
run_ dlm prompt x.dlm --image no.png hello
status_is 2
err_is "prompt: image not found: no.png"
run_ dlm prompt
status_is 2
err_is "dlm: missing argument DOCUMENT" "try 'dlm prompt --help'"

case_ "a question that is the name of a file"
: > photo.jpg
run_ dlm prompt x.dlm photo.jpg
status_is 1
err_is "warning: the question 'photo.jpg' is the name of a file" \
    "hint: --image photo.jpg shows the file to the model" \
    "prompt: cannot open 'x.dlm': No such file or directory"
run_ dlm prompt x.dlm "what is photo.jpg?"
err_is "prompt: cannot open 'x.dlm': No such file or directory"
run_ dlm prompt --image photo.jpg x.dlm photo.jpg
err_is "prompt: cannot open 'x.dlm': No such file or directory"

case_ "a device that is not there"
run_ dlm doctor --ops --backend cpu --device 99
status_is 1
err_lines_are 1

case_ "standard output that takes nothing"
if [ -c /dev/full ]; then
    "$dlm" --version > /dev/full 2> err
    status=$?
    : > out
    status_is 1
    err_has "cannot write standard output"
fi

summary_
