#!/bin/sh
# doctor: devices, and the table of ops.
. "${0%/*}/lib.sh"

case_ "devices"
run_ dlm doctor
status_is 0
err_is
out_has "Backend:        "
out_has "Determinism:    strong"
out_has "  --backend cpu    --device 0"
run_ dlm doctor --json
status_is 0
out_has '"capabilities": {'
out_has '"plan": null'

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

case_ "the same as JSON"
run_ dlm doctor --ops --backend cpu --json
status_is 0
out_has '"op": "attention_backward",'
out_has '"cpu:0": true'

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
else
    skipped=$((skipped + 2))
fi

summary_
