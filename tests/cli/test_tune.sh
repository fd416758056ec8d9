#!/bin/sh
# `dlm bench --tune`: what it measures is kept and used; what is kept and is not this device's, or
# is damaged, is told and does no harm.
. "${0%/*}/lib.sh"

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
timeout -s INT 2 "$dlm" bench --tune --tune-seconds 600 --backend opencl > out 2> err
status=$?
status_is 124
err_has "interrupted"
holds_ cmp "$file" kept
holds_ test "$(find "$DLM_KERNEL_CACHE" -name '*.tmp.*' | wc -l)" -eq 0

summary_
