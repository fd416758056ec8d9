#!/bin/sh
# What a training run does beside training: features kept for the next run and made anew when they
# would differ, validation, and an adapter that is not committed.
. "${0%/*}/hostile.sh"

store_=store/0R7STD0HK1DBS629DWG0NJR445
train_() { run_ dlm -q --home "$@" train --backend cpu --max-steps 2 $options_ doc.dlm; }
options_=

# header_bytes_ FILE: of a safetensors file, with the length before it
header_bytes_() { echo $(($(od -An -N4 -tu4 "$1") + 8)); }

# adapter_ HOME: the weights of its current version
adapter_() { echo "$1/$store_/$(cat "$1/$store_/adapter/current.txt")/adapter_model.safetensors"; }

# differs_ FILE FILE
differs_() { if cmp -s "$1" "$2"; then fail_ "$1 equals $2"; fi; }

# caches_are_ NUMBER: files of features in the store of `warm`
caches_are_()
{
    num=$(find "warm/$store_/vision-cache" -name '*.safetensors' | wc -l)
    [ "$num" -eq "$1" ] || fail_ "$num files of features, not $1"
}

# as_cold_ NAME: a run in `warm` gives the adapter of a run in a new home.
as_cold_()
{
    train_ warm
    status_is 0
    train_ "cold-$1"
    status_is 0
    same_ "$(adapter_ warm)" "$(adapter_ "cold-$1")"
}

# --- the cache of features ---

case_ "the second run takes the first one's features"
train_ warm
status_is 0
caches_are_ 1
cp "$(adapter_ warm)" first
cache=$(find "warm/$store_/vision-cache" -name '*.safetensors')
before=$(ls -i "$cache")
train_ warm
status_is 0
caches_are_ 1
same_ "$(adapter_ warm)" first
[ "$(ls -i "$cache")" = "$before" ] || fail_ "the features were made again"

case_ "the features that are there are those that are used"
cp "$cache" features
poke_ "$cache" "$(header_bytes_ "$cache")" 000 000 200 077 000 000 200 077 000 000 200 077
train_ warm
status_is 0
differs_ "$(adapter_ warm)" first
cp features "$cache"

case_ "another precision has features of its own"
options_="--precision bf16"
as_cold_ bf16
differs_ "$(adapter_ warm)" first
caches_are_ 2
options_=
train_ warm
status_is 0
same_ "$(adapter_ warm)" first
caches_are_ 2

case_ "without a cache: the same adapter, and no file"
sed 's/^training:/training:\n  cache: {enabled: false}/' doc.dlm > nocache.dlm
run_ dlm -q --home nocache train --backend cpu --max-steps 2 nocache.dlm
status_is 0
same_ "$(adapter_ nocache)" first
holds_ test ! -e "nocache/$store_/vision-cache"
holds_ test ! -e "nocache/$store_/vl-cache"
run_ dlm -q --home warm train --backend cpu --max-steps 2 --take-over nocache.dlm
status_is 0
same_ "$(adapter_ warm)" first

case_ "a cache that must stay small keeps what was used last"
bytes=$(wc -c < "$cache")
sed "s/^training:/training:\n  cache: {max_bytes: $bytes}/" doc.dlm > small.dlm
touch -d '2021-01-01' "$cache"
run_ dlm -q --home warm train --backend cpu --max-steps 2 --take-over small.dlm
status_is 0
caches_are_ 1
holds_ test -e "$cache"
holds_ test -z "$(find "warm/$store_/vl-cache" -name '*.npz')"
rm small.dlm nocache.dlm
options_="--precision bf16 --take-over"
train_ warm
status_is 0
options_=
caches_are_ 2

case_ "changed weights of the base have features of their own"
sed -n 's/.*"vision_tower.vision_model.embeddings.patch_embedding.bias"//p' base/model.safetensors |
    sed -n '1s/[^[]*\[[0-9]*\][^[]*\[\([0-9]*\),.*/\1/p' > offset
at=$(($(header_bytes_ base/model.safetensors) + $(cat offset)))
poke_ base/model.safetensors $at 000 000 200 077 000 000 200 077 000 000 200 077
options_=--update-lock # the lock knows the base's weights
as_cold_ weights
options_=
differs_ "$(adapter_ warm)" first
caches_are_ 3
cp "$(adapter_ warm)" second

case_ "so has another way to prepare images"
edit_ base/preprocessor_config.json 's/0\.5/0.4/'
as_cold_ processor
differs_ "$(adapter_ warm)" second
caches_are_ 4

# --- validation ---

# A document with 60 questions, of which some are held out.
{
    sed -n '1,/^---$/p; /^dlm_id/,/^---$/p' doc.dlm | awk '!/^---$/ || n++ < 1'
    echo ---
    echo
    echo "::instruction::"
    i=0
    while [ $i -lt 60 ]; do
        printf '### Q\nblue an %d?\n### A\ncaption\n' $i
        i=$((i + 1))
    done
} > many.dlm

# validates_ STEPS WANT...: a run of so many steps validates after these
validates_()
{
    steps=$1
    shift
    run_ dlm -q --home "val-$steps" train --backend cpu --max-steps "$steps" many.dlm
    status_is 0
    log=$(ls "val-$steps/$store_/logs/"*.jsonl)
    [ "$(grep -c '"type":"step"' "$log")" -eq "$steps" ] || fail_ "not $steps steps in the log"
    got=$(grep '"val_loss":[0-9.]' "$log" | sed -n 's/.*"step":\([0-9]*\),.*/\1/p' | tr '\n' ' ')
    [ "$got" = "$* " ] || fail_ "$steps steps: validated after $got, not $*"
}

case_ "every quarter of the steps, rounded down, is validated; each step of less than eight"
validates_ 8 2 4 6 8
validates_ 11 2 4 6 8 10
validates_ 3 1 2 3
validates_ 7 1 2 3 4 5 6 7
last=$(sed -n 's/.*"val_loss":\([0-9.]*\).*/\1/p' val-8/$store_/logs/*.jsonl | tail -n 1)
grep -qF "\"final_val_loss\":${last:-none}," val-8/$store_/logs/*.jsonl ||
    fail_ "not the final loss: $last"

case_ "without rows held out there is no validation"
! grep -q '"val_loss"' "warm/$store_/logs/"*.jsonl || fail_ "there is"

# --- target_modules ---

case_ "all-linear adapts every linear module of the language model, and nothing else"
for word in all-linear All-Linear; do
    sed "s/^training:/training:\n  target_modules: $word/" doc.dlm > linear.dlm
    run_ dlm -q --home linear train --backend cpu --max-steps 1 linear.dlm
    status_is 0
    sed -n 's/.*"target_modules": //p' "$(dirname "$(adapter_ linear)")/adapter_config.json" > out
    for name in q_proj k_proj v_proj o_proj gate_proj up_proj down_proj language_model; do
        out_has "$name"
    done
    ! grep -q -e vision_tower -e projector out || fail_ "$word adapts more"
done

# --- an adapter that is no number ---

case_ "an adapter with NaN or infinite weights is not committed"
rm -rf warm
train_ warm
status_is 0
cp "$(adapter_ warm)" first
at=$(header_bytes_ adapter/adapter_model.safetensors)
for octal in "000 000 300 177" "000 000 200 177"; do
    rm -rf bad-adapter
    cp -R adapter bad-adapter
    # shellcheck disable=SC2086
    poke_ bad-adapter/adapter_model.safetensors "$at" $octal
    options_="--fresh --init-adapter bad-adapter"
    train_ warm
    fails_ 1 "training: the loss is not finite at step 1 of "
    out_is
done
# the last step's loss is a number, but what the step makes of the adapter is none
sed 's/learning_rate: 0.002/learning_rate: 3.0e+38/' doc.dlm > wild.dlm
run_ dlm -q --home warm train --backend cpu --take-over --fresh --max-steps 1 wild.dlm
rm wild.dlm
fails_ 1 "training: the adapter's weights are not finite at step 1 of 1"
out_is
: > out > err
holds_ test "$(ls warm/$store_/adapter/versions)" = v0001
same_ "$(adapter_ warm)" first
options_="--fresh --init-adapter adapter"
train_ warm
status_is 0
holds_ test "$(ls warm/$store_/adapter/versions | tr '\n' ' ')" = "v0001 v0002 "

case_ "a training whose only step has learning rate 0"
sed 's/warmup_ratio: 0.0/warmup_ratio: 0.1/' doc.dlm > warm.dlm
run_ dlm -q --home idle train --backend cpu --max-steps 1 warm.dlm
status_is 0
err_is "warning: the only step has learning rate 0, as warm-up begins: nothing is learnt" \
    "hint: training.warmup_ratio 0 or more steps make it learn"
for more in "--max-steps 2 warm.dlm" "--max-steps 1 doc.dlm"; do
    rm -rf idle
    run_ dlm -q --home idle train --backend cpu $more
    status_is 0
    err_is
done

case_ "a prompt without an image"
ask_="prompt --backend cpu --temp 0 --max-tokens 2"
# shellcheck disable=SC2086
run_ dlm -q --home idle $ask_ doc.dlm "blue an?"
status_is 0
err_is "warning: no image is given; 'dir:base' answers about images"
# shellcheck disable=SC2086
run_ dlm -q --home idle $ask_ --image images/one.png doc.dlm "blue an?"
status_is 0
err_is

summary_
