#!/bin/sh
# What drivers compile is kept: a second start of the program compiles no kernel.
. "$(dirname "$0")/lib.sh"

# start_ BACKEND: a small model trains and answers, with all that it takes.
start_()
{
    run_ dlm -v bench --base "dir:$data/../share/tiny-shapes" --backend "$1" --prompt-tokens 4 \
        --decode-tokens 2 --repeat 1
}

# The first start tries the driver in another process, which compiles most of them.
export DLM_KERNEL_CACHE="$dir/kernels"
start_ opencl
if [ "$status" -ne 0 ] && grep -qE "backend 'opencl' (has no device|is not part)" err; then
    skipped=$((skipped + 1))
else
    case_ "the first start keeps what it compiles"
    status_is 0
    err_has "tries driver '"
    holds_ test -n "$(find "$DLM_KERNEL_CACHE" -name '*.clbin')"

    case_ "the second start compiles nothing"
    start_ opencl
    status_is 0
    grep -q "tries driver '" err && fail_ "the driver is tried again"
    grep -q "compiled kernel" err && fail_ "kernels are compiled again"
    grep -q "is of no use" err && fail_ "a kept kernel is of no use"
fi

summary_
