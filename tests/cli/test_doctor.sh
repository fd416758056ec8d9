#!/bin/sh
# doctor: devices, and the table of ops.
. "${0%/*}/lib.sh"

case_ "devices"
run_ dlm doctor
status_is 0
err_is
out_has "Backend:        "
out_has "Determinism:    strong"
holds_ grep -q '^RAM:            [0-9.]* GiB, of which [0-9.]* are free$' out
# what the kernel says of the CPU; other instructions may be there and slow
if grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo; then
    holds_ grep -q '^Instructions:   AVX2' out
fi
if ! grep -qw avx512f /proc/cpuinfo; then
    holds_ sh -c '! grep -q "^Instructions:.*AVX-512" out'
fi
out_has "  --backend cpu    --device 0"
run_ dlm doctor --json
status_is 0
out_has '"capabilities": {'
out_has '"plan": null'
out_has '"ram_free_gb": '
out_has '"kind": "cpu",'

case_ "every op of the list has a row, and runs on the CPU"
run_ dlm doctor --ops --backend cpu
status_is 0
sed -n 's/^    X(\([a-z_]*\), .*/\1/p' "$data/../src/ops/op_list.h" > ops
holds_ test "$(wc -l < ops)" -gt 20
while read -r op; do
    grep -q "^$op[ (]" out || fail_ "op '$op' has no row"
done < ops
grep -q ' no$' out && fail_ "an op does not run on the CPU"
holds_ grep -q '^matmul (weight)  *bf16  *yes$' out
for form in q8_0 nf4 nf4_dq; do
    for use in "" ", one row" ", backward"; do
        for type in f32 bf16 f16; do
            holds_ grep -q "^matmul ($form$use)  *$type  *yes\$" out
        done
    done
    holds_ grep -q "^embedding ($form)  *f32  *yes\$" out
done

case_ "the same as JSON"
run_ dlm doctor --ops --backend cpu --json
status_is 0
out_has '"op": "attention_backward",'
out_has '"cpu:0": true'

case_ "each tensor of an answer beside a reference"
golden=$data/golden/models/f32_old
run_ dlm doctor --verify --base "dir:$golden/base" --backend cpu --image "$golden/images/one.png"
status_is 0
out_has "base:       dir:$golden/base"
out_has "reference:  plain C for 80 of 80 tensors"
out_has "no tensor differs: 80 compared, each from what the device's own had given it"
run_ dlm doctor --verify --base "dir:$golden/base" --backend cpu --precision bf16 --json
status_is 0
out_has '"differ": 0,'
out_has '"first": null,'
out_has '"precision": "bf16",'

case_ "a base in 4 or 8 bits beside its reference, larger products too"
verify_() { # BASE PRECISION QUANT SCOPE
    run_ dlm doctor --verify --base "$1" --backend cpu --precision "$2" --quant "$3" \
        --quant-scope "$4" --image "$data/../share/sample/heldout/wuggle-1.png"
    status_is 0
    out_has "tensors, else the CPU's kernels"
    out_has "no tensor differs: "
}
verify_ tiny-shapes bf16 nf4 decoder
verify_ tiny-shapes fp16 nf4_dq all
verify_ tiny-shapes-qwen2-vl bf16 q8_0 all
verify_ tiny-shapes-mistral3 fp16 nf4 linears

case_ "what --verify needs, and what needs it"
run_ dlm doctor --verify
status_is 2
err_is "dlm: --verify needs --base"
run_ dlm doctor --image x.png
status_is 2
err_is "dlm: --image and --prompt need --verify"

# no folder can be made below /dev/null, not even by root
pocl=/etc/OpenCL/vendors/pocl.icd
if [ -f "$pocl" ] && "$dlm" doctor | grep -q -- '--backend opencl'; then
    case_ "PoCL without a folder for its cache: what helps is said"
    run_ env -u POCL_CACHE_DIR -u XDG_CACHE_HOME HOME=/dev/null OCL_ICD_VENDORS="$pocl" "$dlm" \
        doctor --ops --backend opencl
    status_is 1
    err_is "dlm: backend 'opencl' has no device" \
        "hint: PoCL has no device where it cannot write its cache: set POCL_CACHE_DIR to a folder \
that can be written"
    run_ env POCL_CACHE_DIR="$dir/pocl" HOME=/dev/null OCL_ICD_VENDORS="$pocl" "$dlm" \
        doctor --ops --backend opencl
    status_is 0

    case_ "no OpenCL driver"
    run_ env OCL_ICD_VENDORS=/dev/null "$dlm" doctor --ops --backend opencl
    status_is 1
    err_is "dlm: backend 'opencl' has no device" "hint: no OpenCL driver is installed"

    # A driver of which clBuildProgram() crashes on rms_norm.cl, or hangs on rope.cl.
    export OCL_ICD_VENDORS="$pocl" DLM_KERNEL_CACHE="$dir/kernels"
    case_ "a kernel that crashes the driver is named, and the others are tried"
    run_ env LD_PRELOAD="$DLM_TEST_BAD_DRIVER" DLM_TEST_CRASH=rms_norm.cl "$dlm" \
        doctor --ops --backend opencl
    status_is 0
    holds_ grep -q '^rms_norm  *f32  *no$' out
    holds_ grep -q '^rms_norm_backward  *f32  *no$' out
    holds_ grep -q '^select  *f32  *yes$' out
    holds_ grep -q "^opencl:0: op 'rms_norm' needs kernel 'rms_norm_nolocal': the driver '.*' \
crashed compiling it$" out

    # the kernels that compiled are kept, and no longer compiled from their source: start afresh
    rm -rf kernels
    case_ "and one on which it hangs"
    run_ env LD_PRELOAD="$DLM_TEST_BAD_DRIVER" DLM_TEST_HANG=rope.cl "$dlm" \
        doctor --ops --backend opencl --limit 20
    status_is 0
    holds_ grep -q "^opencl:0: op 'rope' needs kernel 'rope': the driver '.*' hung compiling it$" \
        out
    holds_ grep -q '^rms_norm  *f32  *yes$' out

    rm -rf kernels
    case_ "train does not die of it, and remembers"
    cp -R "$data/../share/sample" sample
    run_ env LD_PRELOAD="$DLM_TEST_BAD_DRIVER" DLM_TEST_CRASH=rms_norm.cl "$dlm" \
        train --backend opencl sample/sample.dlm
    status_is 1
    err_has "tries driver '"
    holds_ grep -q "^train: the driver '.*' of device '.*' crashed compiling kernel \
'rms_norm_nolocal'$" err
    err_has "hint: take another device or driver; 'dlm doctor --ops' says what runs where"
    run_ dlm train --backend opencl sample/sample.dlm
    status_is 1
    holds_ grep -q "crashed compiling kernel 'rms_norm_nolocal'$" err
    grep -q "tries driver '" err && fail_ "the driver is tried again"

    case_ "a prompt does without the kernels of training"
    rm -rf kernels
    run_ env LD_PRELOAD="$DLM_TEST_BAD_DRIVER" DLM_TEST_CRASH=adamw.cl "$dlm" \
        -q prompt --backend opencl --no-adapter sample/sample.dlm "what?"
    status_is 0
else
    skipped=$((skipped + 6))
fi

case_ "kernels one by one"
run_ dlm doctor --try --backend cpu
status_is 0
out_has attention
holds_ test "$(tail -n 1 out)" = "done"
last=$(tail -n 2 out | head -n 1)
run_ dlm doctor --try --backend cpu --after "$last"
status_is 0
out_is "done"
run_ dlm doctor --try --ops
status_is 2
err_is "dlm: --ops, --try, --probe and --verify are mutually exclusive"
run_ dlm doctor --after x
status_is 2
err_is "dlm: --after needs --try"

summary_
