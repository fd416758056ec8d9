#!/bin/sh
# `dlm bench --tune`: what it measures is kept and used; what is kept and is not this device's, or
# is damaged, is told and does no harm.
. "${0%/*}/hostile.sh"

export DLM_KERNEL_CACHE="$dir/kernels"
mkdir "$DLM_KERNEL_CACHE"
cp "$DLM_TEST_KERNEL_CACHE"/*.clbin "$DLM_KERNEL_CACHE" 2> cp.err # what is compiled already

# A run that opens the device and little else.
open_()
{
    run_ dlm -v bench --base "dir:$data/../share/tiny-shapes" --backend opencl --prompt-tokens 4 \
        --decode-tokens 1 --repeat 1
}

case_ "the CPU has one way"
run_ dlm bench --tune --backend cpu
status_is 1
out_is
err_has "nothing to tune on '"
run_ dlm bench --tune --limits
status_is 2

run_ dlm bench --tune --tune-seconds 3 --backend opencl --json
if [ "$status" -ne 0 ] && grep -qE "backend 'opencl' (has no device|is not part)" err; then
    skipped=$((skipped + 1))
    summary_
    exit
fi

case_ "what is measured is kept"
status_is 0
out_has '{"backend": "opencl", "device": "'
out_has '"use": "decode, A", "shapes": "f32, m 1-8, n 1-64, k over 1024", "m": 1, "n": 16, '
file=$(echo "$DLM_KERNEL_CACHE"/*.tiles.json)
out_has "\"file\": \"$file\""
holds_ grep -q '"sha256"' "$file"
device=$(sed -n 's/^  "device": "\(.*\)",$/\1/p' "$file")
driver=$(sed -n 's/^  "driver": "\(.*\)",$/\1/p' "$file")
version=$(sed -n 's/^  "version": "\(.*\)"$/\1/p' "$file")
cp "$file" kept

case_ "and used"
open_
status_is 0
err_has "tiles of '$file'"
holds_ sh -c '! grep -q "are not used" err'

case_ "the time is about what was asked for"
run_ dlm bench --tune --tune-seconds 1 --backend opencl
status_is 0
out_has "no time left for it"
out_has "kept in '$file'"

# keep_ DEVICE DRIVER VERSION ROWS: a whole file, as another program might write it.
keep_()
{
    text="{\"backend\":\"opencl\",\"device\":\"$1\",\"driver\":\"$2\",\"rows\":[$4],"
    text="$text\"version\":\"$3\""
    sha=$(printf '%s}' "$text" | sha256sum | cut -c1-64)
    printf '%s,"sha256":"%s"}' "$text" "$sha" > "$file"
}

# is_told_ WHY: the file is not used, the reason is said, and the run is none the worse.
is_told_()
{
    open_
    status_is 0
    err_has "warning: tiles measured on the device are not used: '$file' $1"
    err_has "hint: 'dlm bench --tune --backend opencl --device 0' measures them anew"
}

all='{"groups_per_unit":4,"shapes":"f32, m 1-8, n 1-64, k over 1024","tile":"32x32"}'

case_ "a file by hand is as good"
keep_ "$device" "$driver" "$version" "$all"
open_
status_is 0
holds_ sh -c '! grep -q "are not used" err'

case_ "a library's products are a choice, taken where this build has one to be trusted"
keep_ "$device" "$driver" "$version" \
    '{"groups_per_unit":4,"shapes":"f32, m 1-8, n 1-64, k over 1024","tile":"library"}'
open_
status_is 0
holds_ sh -c '! grep -q "are not used" err'

case_ "shapes of another precision keep what was measured for them"
keep_ "$device" "$driver" "$version" \
    '{"groups_per_unit":4,"shapes":"16 bit, m 9-32, n over 4096, k over 1024","tile":"64x64"}'
run_ dlm bench --tune --tune-seconds 1 --backend opencl --precision fp32 --json
status_is 0
out_has '"use": "head", "shapes": "f32, m 9-32, n over 4096, k over 1024"'
holds_ grep -q '"shapes": "16 bit, m 9-32, n over 4096, k over 1024"' "$file"
run_ dlm bench --tune --tune-seconds 1 --backend opencl --precision bf16
status_is 0
holds_ sh -c "! grep -q '16 bit, m 9-32, n over 4096' '$file'"

case_ "another device, driver or version"
keep_ "Another" "$driver" "$version" "$all"
is_told_ "is of another device"
keep_ "$device" "Another 1.0" "$version" "$all"
is_told_ "is of another driver"
keep_ "$device" "$driver" "0.0.0" "$all"
is_told_ "is of another version of dlm"

case_ "a damaged file"
head -c 200 kept > "$file"
is_told_ "is damaged"
sed 's/"groups_per_unit": [0-9]*/"groups_per_unit": 16/; s/"device": "/&x/' kept > "$file"
is_told_ "is damaged"
: > "$file"
is_told_ "is damaged"
echo '[1, {"rows": 3}]' > "$file"
is_told_ "is damaged"
rm "$file"
mkdir "$file"
is_told_ "is damaged"
run_ timeout 20 "$dlm" bench --tune --tune-seconds 600 --backend opencl
status_is 1
err_has "not a regular file"
rmdir "$file"

case_ "rows that mean nothing"
for row in '{"groups_per_unit":3,"shapes":"f32, m 1-8, n 1-64, k over 1024","tile":"32x32"}' \
    '{"groups_per_unit":4,"shapes":"f32, m 1-8, n 1-64, k over 1024","tile":"33x32"}' \
    '{"groups_per_unit":4,"shapes":"f32, m 1-9, n 1-64, k over 1024","tile":"32x32"}' \
    '{"groups_per_unit":-1,"shapes":"f32, m 1-8, n 1-64, k over 1024","tile":"open"}' 7; do
    keep_ "$device" "$driver" "$version" "$row"
    is_told_ "is damaged"
done

case_ "Ctrl-C leaves what was kept"
cp kept "$file"
# in the foreground: else the whole group is told too, and a second Ctrl-C ends at once
timeout --foreground --preserve-status -s INT 2 \
    "$dlm" bench --tune --tune-seconds 600 --backend opencl > out 2> err
status=$?
status_is 130
err_has "interrupted"
holds_ cmp "$file" kept
holds_ test "$(find "$DLM_KERNEL_CACHE" -name '*.tmp.*' | wc -l)" -eq 0

# --- a run goes on with the tiles it began with ---

# Every product in tiles of 32 x 32, whose sums have another order than this device's own.
rows=
for type in f32 "16 bit"; do
    for m in "1-8" "9-32" "33-128" "129-512" "over 512"; do
        for n in "1-64" "65-1024" "1025-4096" "over 4096"; do
            for k in "1-64" "65-1024" "over 1024"; do
                shapes="$type, m $m, n $n, k $k"
                rows="$rows,{\"groups_per_unit\":8,\"shapes\":\"$shapes\",\"tile\":\"32x32\"}"
            done
        done
    done
done

train_() { run_ dlm train --backend opencl --home "$@"; }
version_() { echo "$1"/store/*/adapter/versions/v0001; }
# with lora_dropout, so that steps must be the same ones, too
sed 's/num_epochs: 20/num_epochs: 2000/; s/lora_dropout: 0.0/lora_dropout: 0.1/' doc.dlm > long.dlm

case_ "tiles count: other ones give other bytes, named in the record"
rm "$file"
train_ plain --max-steps 200 long.dlm
status_is 0
keep_ "$device" "$driver" "$version" "${rows#,}"
train_ tiles --max-steps 200 long.dlm
status_is 0
holds_ sh -c '! grep -q "are not used" err'
holds_ sh -c "! cmp -s $(version_ plain)/adapter_model.safetensors \
    $(version_ tiles)/adapter_model.safetensors"
holds_ grep -q '"tiles_sha256": "[0-9a-f]\{64\}"' "$(version_ tiles)/training_run.json"
holds_ sh -c "! cmp -s $(version_ plain)/training_run.json $(version_ tiles)/training_run.json"

# broken_ HOME: a run of 200 steps that is stopped after its first.
broken_()
{
    : > err
    "$dlm" train --backend opencl --home "$1" --max-steps 200 --save-every 1 long.dlm > out 2> err &
    job=$!
    tries=0
    until grep -q '^step 1/' err || [ $tries -gt 600 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
    kill -INT $job
    wait $job
    status=$?
    status_is 130
}

case_ "tiles that were measured between kill and resume are for later runs"
rm "$file"
broken_ later
keep_ "$device" "$driver" "$version" "${rows#,}"
train_ later --resume --max-steps 200 long.dlm
status_is 0
err_has "the run goes on with the tiles that it began with"
holds_ cmp "$(version_ plain)/adapter_model.safetensors" \
    "$(version_ later)/adapter_model.safetensors"

case_ "tiles that are gone are those of the run still"
broken_ gone
rm "$file"
train_ gone --resume --max-steps 200 long.dlm
status_is 0
err_has "the run goes on with the tiles that it began with"
holds_ cmp "$(version_ tiles)/adapter_model.safetensors" \
    "$(version_ gone)/adapter_model.safetensors"

case_ "tiles of a state that no device has"
broken_ other
state=$(echo other/store/*/runs/*/state.json)
cp "$state" state.json
sed '/"tiles"/,$s/"sha256": "./"sha256": "x/' state.json > "$state"
train_ other --resume --max-steps 200 long.dlm
status_is 0
err_has "warning: the run began on a device with other units"
broken_ damaged
state=$(echo damaged/store/*/runs/*/state.json)
cp "$state" state.json
sed 's/"rows": \[\]/"rows": [3]/' state.json > "$state"
train_ damaged --resume --max-steps 200 long.dlm
status_is 1
err_has "/runs/000001/state.json' is damaged"

summary_
