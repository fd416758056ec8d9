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

# lavapipe has no pipeline cache of its own: what it compiles lies in Mesa's, whose index alone
# changes when nothing new does.
export MESA_SHADER_CACHE_DIR="$dir/mesa"
compiled_()
{
    if grep -q llvmpipe err; then
        (cd "$MESA_SHADER_CACHE_DIR" && find . -type f ! -name index -exec cksum '{}' + | sort)
    else
        grep "compiled kernel" err
    fi
}

start_ vulkan
if [ "$status" -ne 0 ] && grep -qE "backend 'vulkan' (has no device|is not part)" err; then
    skipped=$((skipped + 1))
else
    case_ "the first start on Vulkan compiles"
    status_is 0
    compiled_ > first
    holds_ test -s first
    holds_ test -n "$(find "$DLM_KERNEL_CACHE" -name 'vulkan-*.bin')"

    case_ "the second start on Vulkan compiles nothing"
    start_ vulkan
    status_is 0
    grep -q llvmpipe err || : > first
    compiled_ > second
    holds_ cmp first second
fi

summary_
