#!/bin/sh
# What may be trained where, from the drivers' answers to the exit status: machines with a card,
# with shared memory, or with software devices x --backend x base x --force. Who decides is a table
# in tests/api/test_may_train.c; here drivers say what their devices are (pose_device.c).
. "${0%/*}/lib.sh"

pose=${DLM_POSE_DEVICE:?says which library makes devices pose}
HF_HUB_CACHE=$dir/hub
export HF_HUB_CACHE
unset HF_HOME
mkdir -p home/bases.d figures
cp "$data/../share/sample/heldout/wuggle-1.png" figures/your-image.png
cat > home/bases.d/mine.yaml <<EOF
key: mine
hf_id: me/mine
revision: 0123456789abcdef0123456789abcdef01234567
architecture: Qwen2VLForConditionalGeneration
license_spdx: MIT
params: 2200000000
EOF
for base in qwen2-vl-2b-instruct mistral-small-3.1-24b-instruct mine; do
    run_ dlm init ${base%%-2b*}.dlm --multimodal --base $base
    [ "$status" = 0 ] || { case_ "init"; fail_ "$base"; }
done
mv mistral-small*.dlm mistral.dlm

backends=cpu
for backend in opencl vulkan; do
    case ${DLM_TEST_BACKENDS:-$backend} in
    *$backend*)
        if "$dlm" doctor | grep -q -- "--backend $backend "; then backends="$backends $backend"
        else skipped=$((skipped + 1)); fi ;;
    esac
done

# posed_ KIND BYTES MACHINE COMMAND ...: on such a machine.
posed_()
{
    kind=$1 bytes=$2 machine=$3
    shift 3
    case $kind in
    -) run_ env LD_PRELOAD="$pose" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        POSE_MACHINE="$machine" "$@" ;;
    *) run_ env LD_PRELOAD="$pose" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        POSE_KIND="$kind" POSE_BYTES="$bytes" POSE_MACHINE="$machine" "$@" ;;
    esac
}

# The error of a rule, and the way out beside it; - is what is said when no rule is in the way: the
# base is not on this machine.
says_()
{
    case $1 in
    cpu_registry)
        err_has "doctor: refusing to train a $2M-parameter model on CPU: bases of the registry of \
1000M and more train on a GPU only, and nothing overrides this"
        err_has "hint: train on a GPU with at least 12 GB (--backend vulkan or opencl), or take \
one of the tiny bases" ;;
    cpu)
        err_has "doctor: refusing to train a $2M-parameter model on CPU: CPU training is capped \
at 200M parameters by default"
        err_has "hint: pass \`--force\` if you accept very slow steps" ;;
    card)
        err_has "doctor: refusing to train a $2M-parameter model on a device with 8.0 GB of \
memory: vision-language training asks for 12 GB, and nothing overrides this"
        err_has "hint: train on a device with 12 GB or more, or take a base of up to 200M" ;;
    unified)
        err_has "doctor: refusing to train a $2M-parameter model in 8.0 GB of unified memory: \
vision-language training asks for 16 GB"
        err_has "hint: pass \`--force\` to train all the same, or use a machine with 16 GB" ;;
    unified_base)
        err_has "doctor: refusing this base in unified memory by default: even an fp16 base copy \
is ~44.7 GiB vs ~27.2 GiB usable headroom from 32.0 GiB unified memory"
        err_has "hint: pass \`--force\` only if you want to override this policy on a \
large-memory host" ;;
    -) err_has "cannot find base '" ;;
    esac
}

case_ "each rule, without --force and with it"
# machine, its device's memory, the machine's; where; base; rule, and rule with --force
while read -r kind bytes machine where base millions rule forced; do
    for backend in $backends; do
        case $where:$backend in
        gpu:cpu | cpu:opencl | cpu:vulkan) continue ;;
        esac
        for force in "" --force; do
            posed_ $kind $bytes $machine "$dlm" train $base.dlm --backend $backend $force
            status_is 1
            says_ "${force:+$forced}${force:-$rule}" $millions
            [ $case_ok = yes ] || { echo "# $kind $bytes, $backend, $base $force"; break 3; }
        done
    done
done <<EOF
- 0 64000000000 all qwen2-vl 2200 cpu_registry cpu_registry
- 0 64000000000 all mistral 24000 cpu_registry cpu_registry
- 0 64000000000 all mine 2200 cpu -
card 8000000000 64000000000 gpu qwen2-vl 2200 card card
card 8000000000 64000000000 gpu mine 2200 card card
card 8000000000 64000000000 cpu qwen2-vl 2200 cpu_registry cpu_registry
card 12000000000 64000000000 gpu qwen2-vl 2200 - -
card 12000000000 64000000000 gpu mistral 24000 - -
shared 4000000000 8000000000 gpu qwen2-vl 2200 unified -
shared 4000000000 8000000000 gpu mine 2200 unified -
shared 4000000000 8000000000 cpu mine 2200 cpu -
shared 8000000000 16000000512 gpu qwen2-vl 2200 - -
shared 8000000000 34359738368 gpu mistral 24000 unified_base -
EOF

case_ "a rule that is stricter than the plan says so, and stays; it says as well that none fits"
sed 's/^base_model:/training:\n  adapter: qlora\n  sequence_len: 1024\n&/' qwen2-vl.dlm > qlora.dlm
run_ dlm init --new-id qlora.dlm
status_is 0
for backend in $backends; do
    [ $backend != cpu ] || continue
    posed_ card 8000000000 64000000000 "$dlm" train qlora.dlm --backend $backend --force
    status_is 1
    says_ card 2200
    holds_ grep -q "(the plan of this run takes [34]\.[0-9] GiB and fits in the [5-7]\.[0-9] GiB \
that are free: the rule is stricter than it needs to be here)\$" err
    posed_ card 3000000000 64000000000 "$dlm" train qlora.dlm --backend $backend
    status_is 1
    err_has "on a device with 3.0 GB of memory"
    holds_ grep -q "(the plan of this run takes [34]\.[0-9] GiB, too, and [12]\.[0-9] GiB are \
free)\$" err
done

# A bundled base with a vocabulary of 2,000,000 words, 225M parameters: a header, and a hole.
write_large_base_()
{
    from=$data/../share/tiny-shapes
    mkdir big
    cp "$from"/*.json big
    sed 's/"vocab_size": 1997/"vocab_size": 2000000/' "$from/config.json" > big/config.json
    len=$(($(od -An -tu4 -N4 "$from/model.safetensors")))
    head -c $((8 + len)) "$from/model.safetensors" | tail -c $len |
        sed 's/\[1997,112\]/[2000000,112]/; s/,"data_offsets":/\n&/g' |
        awk -F '[][,]' -v more=$(((2000000 - 1997) * 112 * 2)) '
            /^,"data_offsets"/ {
                sub(/\[[^]]*\]/, sprintf("[%.0f,%.0f]", $3 ? $3 + more : 0, $4 + more))
            }
            { printf "%s", $0 }' > header
    len=$(wc -c < header)
    {
        printf "$(printf '\\%03o\\%03o\\0\\0\\0\\0\\0\\0' $((len % 256)) $((len / 256)))"
        cat header
    } > big/model.safetensors
    truncate -s $((8 + len + $(sed 's/.*,\([0-9]*\)\]}}.*/\1/' header))) big/model.safetensors
}

case_ "a folder that no row counts: its weights are counted before one is read"
write_large_base_
sed 's/^base_model:.*/base_model: dir:big/' qwen2-vl.dlm > large.dlm
run_ dlm init --new-id large.dlm
status_is 0
for force in "" --force; do
    run_ dlm train large.dlm --backend cpu --max-memory 400 $force
    status_is 1
    if [ "$force" ]; then err_has "train: this needs "; else says_ cpu 225; fi
done

case_ "what a plan shows cannot fit is refused where no rule speaks; --force changes nothing"
cp -R "$data/../share/sample" sample
for backend in $backends; do
    for force in "" --force; do
        run_ dlm train sample/sample.dlm --backend $backend --max-memory 1 $force
        status_is 1
        holds_ grep -q "^train: this needs [0-9]* MiB on device '.*', which has 1 MiB free" err
        err_has "hint: training.micro_batch_size: 1 with grad_accum: "
        err_has " MiB"
        [ ! -d home/store/01KAJ2T0SHAPESEMB1EMSZQRBX/adapter/versions/v0001 ] || fail_ "it trained"
    done
    run_ dlm prompt --base tiny-shapes --backend $backend --max-memory 1 "what?"
    status_is 1
    holds_ grep -q "^prompt: this needs " err
done

case_ "a device that says 0 bytes has an amount that is not known"
for backend in $backends; do
    [ $backend != cpu ] || continue
    posed_ card 0 "" "$dlm" doctor
    out_has ", memory of unknown size of its own"
    posed_ card 0 "" "$dlm" doctor --base qwen2-vl-2b-instruct --backend $backend
    status_is 0
    out_has "its driver does not tell how much memory it has"
    out_has "on a device whose driver does not tell how much memory it has: vision-language"
    posed_ card 0 "" "$dlm" train qwen2-vl.dlm --backend $backend --force
    status_is 1
    err_has "on a device whose driver does not tell how much memory it has: vision-language"
    posed_ card 0 "" "$dlm" doctor --base tiny-shapes --backend $backend
    out_has "Training:       may start, if it fits: how much memory there is is not known"
    posed_ card 0 "" "$dlm" prompt --base tiny-shapes --backend $backend "what is it"
    [ $backend = vulkan ] || status_is 0 # lavapipe then has no memory to give
    err_has " does not tell how much memory it has: whether "
    # what the user says of it counts
    posed_ card 0 "" "$dlm" prompt --base tiny-shapes --backend $backend --max-memory 1 "what?"
    status_is 1
    holds_ grep -q "^prompt: this needs [0-9]* MiB on device '.*', which has 1 MiB free" err
done

case_ "a use that the device cannot run is a line of the doctor's that says why"
for backend in $backends; do
    [ $backend != cpu ] || continue
    for json in "" --json; do
        POSE_RANGE=294912 posed_ - - "" "$dlm" doctor --base tiny-shapes --backend $backend $json
        status_is 0
        [ ! -s err ] || fail_ "it complains"
        if [ "$json" ]; then
            holds_ [ "$(grep -c '"misfit": "a tensor of [0-9]* bytes is larger than ' out)" = 2 ]
            holds_ [ "$(grep -c '"total_bytes": null' out)" = 2 ]
            out_has '"may_train": true'
        else
            holds_ grep -q "^LoRA, batch 1, ckpt  .* yes " out
            holds_ [ "$(grep -c "^LoRA, batch 4.* cannot run here: a tensor of [0-9]* bytes is \
larger than what a kernel of device '.*' can reach (294912 bytes)\$" out)" = 2 ]
        fi
    done
done

summary_
