#!/bin/sh
# dlm doctor DOCUMENT and --base: what is planned without a checkpoint, that it is what runs take,
# and what may not be trained here.
. "${0%/*}/lib.sh"

HF_HUB_CACHE=$dir/hub
export HF_HUB_CACHE
unset HF_HOME
share=$data/../share

# bytes_ KEY USE: of the first budget of this use in the JSON that was printed.
bytes_()
{
    awk -v key="\"$1\":" -v use="\"$2\"," '
        $1 == "\"use\":" { here = $2 == use }
        here && $1 == key { sub(",", "", $2); print $2; exit }' out
}

# within_ VALUE FROM TO
within_() { [ -n "$1" ] && [ "$1" -ge "$2" ] && [ "$1" -le "$3" ] || fail_ "$1 is not in $2..$3"; }

case_ "bases of the registry are planned from their sizes, no file of theirs is here"
while read -r key layers modules tokens; do
    run_ dlm doctor --base "$key" --backend cpu --precision bf16
    status_is 0
    err_is
    out_has "not on this machine: its sizes are the registry's"
    out_has "LoRA:           r 8, $modules modules"
    out_has " x "
    out_has ", $tokens tokens"
    out_has "Training:       refusing to train a "
    [ $((layers * 4)) = "$modules" ] || fail_ "$modules modules of $layers layers"
done <<EOF
paligemma-3b-mix-224 18 72 256
paligemma2-3b-mix-224 26 104 256
qwen2-vl-2b-instruct 28 112 576
qwen2-vl-7b-instruct 28 112 576
mistral-small-3.1-24b-instruct 40 160 3025
EOF

case_ "weights are those of the model's parameters"
# google/paligemma-3b-mix-224 has 2,923,335,408 parameters, of which the tower has 412,442,352 or
# so; norms and biases stay in 32 bits
run_ dlm doctor --base paligemma-3b-mix-224 --backend cpu --precision bf16 --json
status_is 0
within_ "$(bytes_ weights_bytes train)" 5021000000 5073000000
within_ "$(bytes_ vision_bytes train)" 824000000 850000000
out_has '"sizes_from": "registry"'
out_has '"rule": "cpu_registry"'
out_has '"can_force": false'
out_has '"may_train": false'
full=$(bytes_ weights_bytes train)
# Qwen2-VL-2B: 151,936 x 1,536 tied, 28 layers of 46,797,824
run_ dlm doctor --base qwen2-vl-2b-instruct --backend cpu --precision bf16 --json
within_ "$(bytes_ weights_bytes train)" 3130000000 3170000000
# its files are bf16, and a wider policy widens no weight; PaliGemma's are f32
full_qwen=$(bytes_ weights_bytes train)
run_ dlm doctor --base qwen2-vl-2b-instruct --backend cpu --precision fp32 --json
[ "$(bytes_ weights_bytes train)" = "$full_qwen" ] || fail_ "fp32 widens weights"
run_ dlm doctor --base paligemma-3b-mix-224 --backend cpu --precision fp32 --json
within_ "$(bytes_ weights_bytes train)" $((full * 2 - 10000000)) $((full * 2))

case_ "4 bits, one batch, longer rows, another image"
run_ dlm doctor --base paligemma-3b-mix-224 --backend cpu --precision bf16 --quant nf4 --json
within_ "$(bytes_ weights_bytes train)" $((full / 4)) $((full / 2))
out_has '"base_form": "nf4, decoder"'
run_ dlm doctor --base qwen2-vl-2b-instruct --backend cpu --batch 2 --seq 1000 --image-size 224 \
    --json
status_is 0
out_has '"tokens": 64'
out_has '"row_tokens": 1000'
[ "$(grep -c '"batch": 2' out)" = 2 ] || fail_ "not two lines of batch 2"

case_ "what no step could hold is not planned, either"
run_ dlm doctor --base tiny-shapes --backend cpu --batch 65536 --seq 1048576
status_is 0
out_has "LoRA, batch 65536         cannot run here: 65536 rows of 1048576 tokens are too many at \
once: 68719476736 labels, of which a step on this device has at most "
out_has "Training:       cannot start: no line of the table fits"
run_ dlm doctor --base tiny-shapes --backend cpu --batch 1000 --seq 131072
status_is 0
out_has "LoRA, batch 1000          cannot run here: 1000 rows of 131072 tokens are too many at once"
run_ dlm doctor --base qwen2-vl-2b-instruct --backend cpu --batch 1000 --seq 4096
status_is 0
out_has "LoRA, batch 1000          cannot run here: 1000 rows of 4096 tokens are too many at once: \
with 1536 numbers a token that is more than 2^32, which is what kernels count"

case_ "rows without room for an answer"
run_ dlm doctor --base paligemma-3b-mix-224 --backend cpu --seq 288
status_is 1
err_is "dlm: rows of 288 tokens have no room for an answer: an image takes 256 and what is asked \
about it 32" "hint: a larger training.sequence_len, or --seq, makes room"

case_ "a folder with config.json and no weights"
mkdir -p bare
cp "$share/tiny-shapes-qwen2-vl/config.json" bare
run_ dlm doctor --base dir:bare --backend cpu
status_is 0
err_is
out_has "Base:           dir:bare, its weights are not here, or not all of them: its sizes are its \
config.json's"
cp "$share"/tiny-shapes-qwen2-vl/*.json bare
run_ dlm doctor --base dir:bare --backend cpu --json
status_is 0
out_has '"sizes_from": "config"'
foretold=$(bytes_ total_bytes train)
run_ dlm doctor --base "dir:$share/tiny-shapes-qwen2-vl" --backend cpu --json
[ "$(bytes_ total_bytes train)" = "$foretold" ] || fail_ "not $foretold bytes with the weights"
run_ dlm prompt --base dir:bare --backend cpu "what?"
status_is 1
err_has "neither model.safetensors nor model.safetensors.index.json is there"
rm bare/*
cp "$data"/golden/models/qwen2_vl_bnb/base/config.json bare
run_ dlm doctor --base dir:bare --backend cpu
status_is 1
err_is "dlm: cannot plan '$dir/bare' without its weights: which of them are in 4 bits, its files \
alone say"
snapshot=$HF_HUB_CACHE/models--me--base/snapshots/0123456789abcdef0123456789abcdef01234567
mkdir -p "$snapshot"
cp bare/config.json "$snapshot"
run_ dlm doctor --base hf:me/base --backend cpu
status_is 1
err_is "dlm: cannot plan '$snapshot' without its weights: which of them are in 4 bits, its files \
alone say" "hint: \`dlm pull hf:me/base\` fetches what is missing of it"

case_ "less memory than any plan takes"
run_ dlm doctor --base tiny-shapes --backend cpu --max-memory 1
status_is 0
out_has "Training:       cannot start: no line of the table fits"
run_ dlm doctor --base tiny-shapes --backend cpu --max-memory 1 --json
out_has '"fits": false'
out_has '"may_train": false'
run_ dlm doctor --base tiny-shapes --backend cpu --json
out_has '"may_train": true'
out_has '"refusal": null'
out_has '"documented": null'

case_ "how long steps and tokens take: the CPU is measured, a GPU when asked for"
DLM_KERNEL_CACHE=$dir/kernels
export DLM_KERNEL_CACHE
run_ dlm doctor --base tiny-shapes --backend cpu --precision bf16
status_is 0
number='[0-9.]*'
took="$number [mu]*s"
holds_ grep -q "^Time:           an answer begins after about $took and takes $took a token$" out
holds_ grep -q "^                a step takes about $took (LoRA, batch 1), " out
holds_ grep -q "^                by products with bf16 weights at $number GFLOP/s and " out
holds_ grep -q " at $number GB/s, measured in $number s$" out
run_ dlm doctor --base tiny-shapes --backend cpu --json
holds_ grep -q '"first_token_seconds": [0-9]' out
holds_ grep -q '"product_flops": [0-9]' out
[ "$(grep -c '"seconds": [0-9]' out)" = 5 ] || fail_ "not each of five uses has its seconds"
if "$dlm" doctor --probe --backend opencl 2> err | grep -q '"index":0'; then
    run_ dlm doctor --base tiny-shapes --backend opencl
    out_has "Time:           not known: --time measures the device"
    run_ dlm doctor --base tiny-shapes --backend opencl --json
    out_has '"speed": null'
    run_ dlm doctor --base tiny-shapes --backend opencl --time
    status_is 0
    out_has "a step takes about "
    run_ dlm doctor --base tiny-shapes --backend opencl
    out_has "a step takes about "
fi
run_ dlm doctor --time
status_is 2
err_is "dlm: --time needs DOCUMENT or --base, and nothing else"
unset DLM_KERNEL_CACHE

case_ "the figures of the documents"
run_ dlm doctor --base qwen2-vl-2b-instruct --backend cpu
out_has "LoRA, batch 4, ckpt       activations 12.8, peak 17.4"

case_ "a family that does not exist yet says so, wherever it is named"
run_ dlm doctor --base internvl3-2b
status_is 1
err_has "base 'internvl3-2b' is an InternVL-family VL model: the family does not exist in dlm yet"
mkdir -p figures
cp "$share/sample/heldout/wuggle-1.png" figures/your-image.png
run_ dlm init internvl.dlm --multimodal --base internvl2-2b
status_is 0
run_ dlm train internvl.dlm --backend cpu --force
status_is 1
err_has "base 'internvl2-2b' is an InternVL-family VL model"
for command in "prompt --base internvl2-2b what?" "prompt internvl.dlm what?" \
    "export internvl.dlm" "export internvl.dlm --merged" "export internvl.dlm --quant Q8_0" \
    "score internvl.dlm --prompt a --target b"; do
    # shellcheck disable=SC2086
    run_ dlm $command
    status_is 1
    err_has "base 'internvl2-2b' is an InternVL-family VL model"
    err_lines_are 2 # and the hint
done

case_ "bases of the registry are not trained on a CPU, which is said before they are fetched"
run_ dlm init large.dlm --multimodal --base qwen2-vl-2b-instruct
for force in "" --force; do
    run_ dlm train large.dlm --backend cpu $force
    status_is 1
    err_has "doctor: refusing to train a 2200M-parameter model on CPU"
    err_has "hint: train on a GPU with at least 12 GB"
done
run_ dlm prompt --base qwen2-vl-2b-instruct --backend cpu "what?"
status_is 1
err_has "cannot find base 'qwen2-vl-2b-instruct'"
run_ dlm doctor large.dlm --backend cpu
status_is 0
out_has "Rows:           2048 tokens, 1440 of them learned (sequence_len: no row is longer)"
out_has "                \`dlm pull qwen2-vl-2b-instruct\` fetches it"
out_has "document, batch 1  "
out_has "LoRA, batch 1      "
run_ dlm doctor large.dlm --backend cpu --json
out_has '"pull": "dlm pull qwen2-vl-2b-instruct"'
out_has '"use": "document"'
out_has '"document_rows": null'
# the line is that of so many rows, whatever the document leaves open
printf '%s\n' "training:" "  micro_batch_size: 4" "  gradient_checkpointing: true" > training
awk 'FNR == NR { more = more $0 "\n"; next } /^base_model:/ { printf "%s", more } 1' training \
    large.dlm > four.dlm
run_ dlm doctor four.dlm --backend cpu --json
document=$(bytes_ total_bytes document)
run_ dlm doctor --base qwen2-vl-2b-instruct --backend cpu --batch 4 --seq 2048 --json
ckpt=$(awk '/"gradient_checkpointing":/ { here = /true/ }
            here && $1 == "\"total_bytes\":" { sub(",", "", $2); print $2; exit }' out)
[ "$document" = "$ckpt" ] || fail_ "a document of batch 4 takes $document, not $ckpt bytes"
run_ dlm doctor --base paligemma-3b-mix-224 --backend cpu
out_has "accept its licence on huggingface.co, then \`dlm pull paligemma-3b-mix-224\` fetches it"

# document_ BASE BATCH CHECKPOINTING TARGETS: a copy of the sample that asks for this.
document_()
{
    sed -e "s/^base_model:.*/base_model: $1/" -e '/^  micro_batch_size:/d' \
        -e "s/^training:.*/&\\n  micro_batch_size: $2\\n  gradient_checkpointing: $3/" \
        -e "s/^training:.*/&\\n  target_modules: $4/" \
        "$share/sample/sample.dlm" > sample.dlm
}

# as_foretold_ WHAT BATCH: what doctor says of sample.dlm is what train takes at most.
as_foretold_()
{
    rm -rf "$DLM_HOME"
    run_ dlm doctor sample.dlm --backend cpu --json
    status_is 0
    foretold=$(bytes_ total_bytes document)
    [ "$(bytes_ batch document)" = "$2" ] || fail_ "$1: not of batch $2"
    run_ dlm -v train sample.dlm --backend cpu --max-steps 1 --ask 0
    status_is 0
    taken=$(sed -n 's/.*memory: at most \([0-9.]*\) MiB.*/\1/p' err)
    mib=$(awk -v b="${foretold:-0}" 'BEGIN { printf "%.1f", b / 1048576 }')
    [ "$mib" = "$taken" ] || fail_ "$1: foretold $mib MiB, took $taken MiB"
}

cp -R "$share/sample/images" .
for base in tiny-shapes tiny-shapes-qwen2-vl tiny-shapes-mistral3; do
    case_ "what training $base takes is what doctor foretold"
    for batch in 1 4; do
        for checkpointing in true false; do
            document_ $base $batch $checkpointing "[q_proj, v_proj]"
            as_foretold_ "batch $batch, checkpointing $checkpointing" $batch
        done
    done
    document_ $base 2 false '".*\\\\.(q_proj|qkv|o_proj)"'
    as_foretold_ "its tower" 2
    run_ dlm doctor sample.dlm --backend cpu
    out_has " modules, the vision tower's too"
    for precision in fp32 bf16; do
        run_ dlm -v prompt --base $base --backend cpu --precision $precision \
            --image "$share/sample/heldout/wuggle-1.png" --max-tokens 4 "what is it?"
        status_is 0
        planned=$(sed -n 's/.*memory: \([0-9.]*\) MiB (.*/\1/p' err)
        taken=$(sed -n 's/.*memory: at most \([0-9.]*\) MiB.*/\1/p' err)
        [ -n "$planned" ] && [ "$planned" = "$taken" ] ||
            fail_ "an answer: planned $planned, took $taken MiB"
    done
done

case_ "a document that cannot be trained as it stands may not start, though other lines fit"
document_ tiny-shapes 8 false "[q_proj, v_proj]"
run_ dlm doctor sample.dlm --backend cpu --max-memory 8
status_is 0
holds_ grep -q "^document, batch 8 .* no " out
holds_ grep -q "^LoRA, batch 1, ckpt .* yes " out
out_has "Training:       cannot start: what the document asks for does not fit"
run_ dlm doctor sample.dlm --backend cpu --max-memory 8 --json
out_has '"may_train": false'
sed 's/^training:.*/&\n  adapter: dora/' "$share/sample/sample.dlm" > dora.dlm
run_ dlm doctor dora.dlm --backend cpu
status_is 0
holds_ grep -q "^LoRA, batch 1, ckpt .* yes " out
out_has "Training:       cannot train 'dora.dlm': training.adapter: dora is not supported yet"
run_ dlm doctor dora.dlm --backend cpu --json
out_has "\"untrainable\": \"cannot train 'dora.dlm': "
out_has '"may_train": false'

# hinted_ SETTING: the MiB that a hint says it takes, or they.
hinted_() { sed -n "s/^hint: $1\\( together take\\| takes\\) \\([0-9.]*\\) MiB.*/\\2/p" refused; }

# takes_ WHAT MIB OPTION ...: training sample.dlm, or an answer, is planned as it was hinted.
takes_()
{
    what=$1 hinted=$2
    shift 2
    rm -rf "$DLM_HOME"
    run_ dlm "$@"
    status_is 0
    planned=$(sed -n 's/.*memory: \([0-9.]*\) MiB (.*/\1/p' err)
    awk -v a="${hinted:-0}" -v b="${planned:-9}" \
        'BEGIN { most = a < 100 ? 0.01 : 0.51; exit !(a - b <= most && b - a <= most) }' ||
        fail_ "$what: hinted $hinted MiB, planned $planned"
}

case_ "what does not fit names what would help, with the number it gives"
for base in tiny-shapes tiny-shapes-qwen2-vl; do
    document_ $base 16 false "[q_proj, v_proj]"
    rm -rf "$DLM_HOME"
    run_ dlm train sample.dlm --backend cpu --precision fp32 --max-memory 2 --max-steps 1
    status_is 1
    err_has "this needs "
    cp err refused
    train="train sample.dlm --backend cpu --max-steps 1 --ask 0"
    takes_ "16 bits" "$(hinted_ "--precision bf16")" $train --precision bf16
    takes_ "4 bits" "$(hinted_ "training.adapter: qlora")" $train --precision fp32 --quant nf4
    if [ $base != tiny-shapes ]; then
        takes_ "small images" "$(hinted_ "training.image_size: 28")" $train --precision fp32 \
            --image-size 28
    fi
    document_ $base 16 true "[q_proj, v_proj]"
    takes_ "checkpoints" "$(hinted_ "training.gradient_checkpointing: true")" $train \
        --precision fp32
    document_ $base 1 false "[q_proj, v_proj]"
    takes_ "one row" "$(hinted_ "training.micro_batch_size: 1 with grad_accum: 16")" \
        $train --precision fp32
    document_ $base 1 true "[q_proj, v_proj]"
    takes_ "both" "$(hinted_ "training.micro_batch_size: 1 with grad_accum: 16 and \
training.gradient_checkpointing: true")" $train --precision fp32
done
document_ tiny-shapes 16 false "[q_proj, v_proj]"
rm -rf "$DLM_HOME"
run_ dlm train sample.dlm --backend cpu --precision fp32 --max-memory 20 --max-steps 1
status_is 1
cp err refused
holds_ grep -q "^hint: training.micro_batch_size: 1 with .* MiB, which fits$" refused
holds_ sh -c "! grep -q hint:.*precision refused"

case_ "where no setting is enough alone, the fewest that are together"
for base in tiny-shapes tiny-shapes-qwen2-vl; do
    document_ $base 16 false "[q_proj, v_proj]"
    rm -rf "$DLM_HOME"
    run_ dlm train sample.dlm --backend cpu --precision fp32 --max-memory 2 --max-steps 1
    cp err refused
    # what fits in: a little more than with these two, which alone take more
    both=$(hinted_ "training.micro_batch_size: 1 with grad_accum: 16 and \
training.gradient_checkpointing: true")
    holds_ grep -q "^hint: .*, .* and training.adapter: qlora together take .*: not enough either" \
        refused
    least=$(sed -n 's/^hint: .*, .* together take \([0-9.]*\) MiB: not enough either$/\1/p' refused)
    holds_ test "$(hinted_ "--precision bf16" | cut -d . -f 1)" -gt "${both%.*}"
    room=$(awk -v a="$least" -v b="$both" 'BEGIN { print (a + b) / 2 }')
    rm -rf "$DLM_HOME"
    run_ dlm train sample.dlm --backend cpu --precision fp32 --max-memory "$room" --max-steps 1
    status_is 1
    cp err refused
    sed -n 's/^hint: \(.*\) together take \([0-9.]*\) MiB, which fits$/\1:\2/p' refused > out
    [ "$(wc -l < out)" = 1 ] || fail_ "not one line of settings that fit together"
    together=$(sed 's/.*://' out) batch=16 ckpt=false options=
    if grep -q "micro_batch_size: 1" out; then batch=1; fi
    if grep -q checkpointing out; then ckpt=true; fi
    if grep -q "image_size: 28" out; then options="--image-size 28"; fi
    if grep -q "precision bf16" out; then precision=bf16; else precision=fp32; fi
    if grep -q qlora out; then options="$options --quant nf4"; fi
    document_ $base $batch $ckpt "[q_proj, v_proj]"
    takes_ "the fewest" "$together" train sample.dlm --backend cpu --max-steps 1 --ask 0 \
        --precision $precision $options --max-memory "$room"
done
ask="prompt --base tiny-shapes --backend cpu what?"
run_ dlm $ask --precision fp32 --max-memory 1
status_is 1
cp err refused
takes_ "an answer in 16 bits" "$(hinted_ "--precision bf16")" $ask --precision bf16
takes_ "an answer in 4 bits" "$(hinted_ "--quant nf4")" $ask --precision fp32 --quant nf4

case_ "an answer's image and length, and a score's"
image="--image $share/sample/heldout/wuggle-1.png"
ask="prompt --base tiny-shapes-qwen2-vl --backend cpu $image what?"
score="score --base tiny-shapes-qwen2-vl --backend cpu $image --prompt what? --target wuggle"
run_ dlm $ask --precision fp32 --max-memory 1
status_is 1
cp err refused
takes_ "a small image" "$(hinted_ "--image-size 28")" $ask --precision fp32 --image-size 28
takes_ "a short answer" "$(hinted_ "--max-tokens 64")" $ask --precision fp32 --max-tokens 64
takes_ "all" "$(hinted_ "--image-size 28, --max-tokens 64, --precision bf16 and --quant nf4")" \
    $ask --image-size 28 --max-tokens 64 --precision bf16 --quant nf4
run_ dlm $score --precision fp32 --max-memory 1
status_is 1
cp err refused
holds_ sh -c "! grep -q hint:.*tokens refused"
takes_ "a small image" "$(hinted_ "--image-size 28")" $score --precision fp32 --image-size 28
takes_ "a score in 16 bits" "$(hinted_ "--precision bf16")" $score --precision bf16
takes_ "all" "$(hinted_ "--image-size 28, --precision bf16 and --quant nf4")" \
    $score --image-size 28 --precision bf16 --quant nf4

case_ "a benchmark of a base, and of a shape"
for what in "--base tiny-shapes" "--shape qwen2-vl-2b --layers 1"; do
    bench="bench $what --backend cpu --repeat 1 --decode-tokens 2"
    run_ dlm $bench --batch 4 --precision fp32 --max-memory 2
    status_is 1
    cp err refused
    bench="$bench --plan --max-memory 2" # by which the rows of logits are chosen as well
    takes_ "one row" "$(hinted_ "--batch 1")" $bench --batch 1 --precision fp32
    takes_ "16 bits" "$(hinted_ "--precision bf16")" $bench --batch 4 --precision bf16
    takes_ "all" "$(hinted_ "--batch 1, --precision bf16 and --quant nf4")" $bench --batch 1 \
        --precision bf16 --quant nf4
done

case_ "what does not go together"
run_ dlm doctor sample.dlm --base tiny-shapes
status_is 2
err_is "dlm: DOCUMENT stands without --base, --ops, --try, --probe and --verify"
run_ dlm doctor --base tiny-shapes --ops
status_is 2
run_ dlm doctor --batch 2
status_is 2
err_is "dlm: --batch and --seq need DOCUMENT or --base, and nothing else"
run_ dlm doctor --image x.png
status_is 2
err_is "dlm: --image and --prompt need --verify"

summary_
