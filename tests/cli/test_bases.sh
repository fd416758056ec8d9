#!/bin/sh
# dlm bases: the registry, rows of the user's own, and what of both is on this machine.
. "${0%/*}/lib.sh"

HF_HUB_CACHE=$dir/hub
export HF_HUB_CACHE
unset HF_HOME
revision=0123456789abcdef0123456789abcdef01234567

# own_ NAME [SED-EXPRESSION]: a row of the user's, changed.
own_()
{
    mkdir -p "$DLM_HOME/bases.d"
    sed "${2:-}" > "$DLM_HOME/bases.d/$1.yaml" <<EOF
key: my-base
hf_id: me/my-base
revision: "$revision"
architecture: Qwen2VLForConditionalGeneration
license_spdx: MIT
params: 1.5e+9
target_size: [448, 224]
target_modules: [q_proj, v_proj]
EOF
}

# left_out_ TEXT SED-EXPRESSION: a wrong row is left out, with this in the warning; the others stay.
left_out_()
{
    own_ wrong "$2"
    run_ dlm bases --keys
    status_is 0
    err_has "$1"
    err_has "wrong.yaml"
    grep -q my-base out && fail_ "a wrong row is listed: $1"
    out_has tiny-shapes
    rm "$DLM_HOME/bases.d/wrong.yaml"
}

case_ "a file that cannot be read is left out"
mkdir -p "$DLM_HOME/bases.d/folder.yaml"
run_ dlm bases --keys
status_is 0
err_has "folder.yaml"
err_has "this base is left out"
out_has tiny-shapes
rmdir "$DLM_HOME/bases.d/folder.yaml"

case_ "the registry's vision-language rows, and with --all the others"
run_ dlm bases --keys
status_is 0
out_is tiny-shapes tiny-shapes-qwen2-vl tiny-shapes-mistral3 paligemma-3b-mix-224 \
    paligemma2-3b-mix-224 qwen2-vl-2b-instruct qwen2-vl-7b-instruct internvl2-2b internvl3-2b \
    mistral-small-3.1-24b-instruct
run_ dlm bases --keys --all
out_has qwen2.5-0.5b
out_has qwen2-audio-7b-instruct

case_ "a table: what is bundled, what is not here, what is not trained yet"
run_ dlm bases
status_is 0
holds_ grep -q '^tiny-shapes  .*MIT .*yes  *bundled$' out
holds_ grep -q '^paligemma-3b-mix-224  .*2.9 B  Other  *224x224  *yes  *no$' out
holds_ grep -q '^internvl2-2b  .*not yet no$' out

case_ "a base in the hub's cache, with its size through links"
snapshot=$HF_HUB_CACHE/models--Qwen--Qwen2-VL-2B-Instruct/snapshots
snapshot=$snapshot/895c3a49bc3fa70a340399125c650a463535e71c
mkdir -p "$snapshot" "$dir/blobs"
head -c 3000000 /dev/zero > "$dir/blobs/weights"
echo '{}' > "$snapshot/config.json"
ln -s "$dir/blobs/weights" "$snapshot/model.safetensors"
run_ dlm bases
holds_ grep -q '^qwen2-vl-2b-instruct .* 3.0 MB$' out
run_ dlm bases --json
status_is 0
out_has '"path": "'"$snapshot"'"'
out_has '"bytes": 3000003'
out_has '"complete": true'
mv "$snapshot/model.safetensors" "$snapshot/model-00001-of-00002.safetensors"
echo '{}' > "$snapshot/model.safetensors.index.json"
run_ dlm bases
holds_ grep -q '^qwen2-vl-2b-instruct .* 3.0 MB, not whole$' out
run_ dlm bases --json
out_has '"complete": false'
ln -s "$dir/blobs/gone" "$snapshot/model-00002-of-00002.safetensors" # its blob was never fetched
run_ dlm bases
holds_ grep -q '^qwen2-vl-2b-instruct .* 3.0 MB, not whole$' out
rm "$snapshot/model-00002-of-00002.safetensors"
run_ dlm prompt --base qwen2-vl-2b-instruct --backend cpu "what is it"
status_is 1
err_has "hint: \`dlm pull qwen2-vl-2b-instruct\` fetches what is missing of it"
echo 1 > "$snapshot/model-00002-of-00002.safetensors"
run_ dlm bases
holds_ grep -q '^qwen2-vl-2b-instruct .* 3.0 MB$' out
rm "$snapshot/config.json"
run_ dlm bases
holds_ grep -q '^qwen2-vl-2b-instruct .* no$' out

case_ "a row of the user's own is listed and can be named"
own_ good
run_ dlm bases
status_is 0
err_is
holds_ grep -q '^my-base  .*1.5 B  MIT  *448x224  *yes  *no$' out
run_ dlm bases --json
out_has '"source": "user"'
run_ dlm init mine.dlm --multimodal --base my-base
status_is 0
run_ dlm train mine.dlm --backend cpu
status_is 1
err_has "doctor: refusing to train a 1500M-parameter model on CPU: CPU training is capped at 200M"
err_has "hint: pass \`--force\` if you accept very slow steps"
run_ dlm train mine.dlm --backend cpu --force
status_is 1
err_has "cannot find base 'my-base': me/my-base is not in '$HF_HUB_CACHE'"
err_has "hint: \`dlm pull my-base\` fetches it"
run_ dlm --home "$dir/elsewhere" bases --keys
holds_ sh -c '! grep -q my-base out'
mkdir -p "$dir/elsewhere"
mv "$DLM_HOME/bases.d" "$dir/elsewhere/"
run_ dlm --home "$dir/elsewhere" bases --keys
out_has my-base
rm -r "$dir/elsewhere"

case_ "rows that are not right are left out, and say why"
left_out_ "wrong.yaml:3: 'revision' is not 40 lower-case" 's/0123456789abcdef01/main/'
left_out_ "wrong.yaml:2: 'hf_id' is not org/name" 's#me/my-base#my-base#'
left_out_ "wrong.yaml: 'license_spdx' is missing" /license_spdx/d
left_out_ "wrong.yaml:6: unknown key 'parms'" s/params/parms/
for number in 99999999999999999999 -1 0 0.5 1500000000.5 1.0e+16 .inf .nan many true "'7'" "[7]"; do
    left_out_ "wrong.yaml:6: 'params' is not a whole number from 1 to 1e+15" "s/1.5e+9/$number/"
done
for number in 99999999999999999999 -1 0 .inf .nan much; do
    left_out_ "wrong.yaml:6: 'size_gb_fp16' is not a number above 0 and up to 1e+6" \
        "s/params: 1.5e+9/size_gb_fp16: $number/"
done
for number in 99999999999999999999 2147483648 -1 0 0.5 1.0 many; do
    for key in context_length recommended_seq_len num_image_tokens; do
        left_out_ "wrong.yaml:6: '$key' is not a whole number from 1 to 2147483647" \
            "s/params: 1.5e+9/$key: $number/"
    done
done
left_out_ "wrong.yaml:7: 'target_size' is not [height, width]" 's/448, 224/448/'
left_out_ "wrong.yaml:7: 'target_size' is not a whole number from 1 to" 's/448, 224/448, 0/'
left_out_ "wrong.yaml:7: 'target_size' is not a whole number from 1 to" 's/448, 224/4294967297, 1/'
left_out_ "wrong.yaml:8: 'target_modules' is not a list of 1 to 7 names" 's/q_proj, v_proj//'
left_out_ "wrong.yaml:1: 'paligemma-3b-mix-224' is a built-in" s/my-base/paligemma-3b-mix-224/
left_out_ "wrong.yaml:1: 'key' has others than" 's/key: my-base/key: My Base/'
left_out_ "wrong.yaml:4: invalid YAML" 's/revision: "/revision: "\n"/'
left_out_ "wrong.yaml:1: not a mapping" '1,$s/^/- /'
left_out_ "wrong.yaml:7: 'params' stands there twice" 's/^params.*/&\nparams: 3.0e+9/'
left_out_ "wrong.yaml:2: 'key' stands there twice" 's/^key.*/&\n&/'

case_ "a warning stands once, however often rows are looked up"
own_ a
for key in b c d; do own_ $key "s/my-base/my-$key/"; done
own_ wrong 's/1.5e+9/-1/'
for command in bases "bases --json" "doctor --base my-b" "train mine.dlm --backend cpu"; do
    # shellcheck disable=SC2086
    run_ dlm $command
    holds_ test "$(grep -c 'wrong.yaml:6: ' err)" -eq 1
done
own_ wrong
run_ dlm bases --keys
err_has "wrong.yaml:1: 'my-base' stands in another file, too"
out_has my-base

case_ "forms exclude each other"
run_ dlm bases --json --keys
status_is 2
err_is "bases: --json and --keys are mutually exclusive"

summary_
