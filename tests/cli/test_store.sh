#!/bin/sh
# What a document's store is kept from and for: a copy of the document that would train it too.
. "${0%/*}/hostile.sh"

store_=home/store/0R7STD0HK1DBS629DWG0NJR445
train_() { run_ dlm -q train --backend cpu --max-steps 2 "$@"; }
ask_() { run_ dlm -q prompt --backend cpu --image images/one.png --temp 0 "$@" "blue an?"; }
source_is_() { holds_ grep -qF "\"source_path\": \"$dir/$1\"" $store_/manifest.json; }

# --- a copy has the dlm_id of its original ---

train_ doc.dlm
cp doc.dlm copy.dlm

case_ "train refuses a copy while the original is there"
train_ copy.dlm
fails_ 1 "train: 'copy.dlm' has the dlm_id of '$dir/doc.dlm', whose store this is"
err_has "hint: \`dlm init --new-id copy.dlm\` makes a copy a document of its own; \`dlm train"
source_is_ doc.dlm
holds_ test ! -e $store_/adapter/versions/v0002
train_ --resume copy.dlm
fails_ 1 "'$dir/doc.dlm'"

case_ "prompt, score and show warn about a copy"
ask_ copy.dlm
status_is 0
err_has "warning: 'copy.dlm' has the dlm_id of '$dir/doc.dlm'"
score_ copy.dlm
status_is 0
err_has "warning: 'copy.dlm' has the dlm_id of '$dir/doc.dlm'"
run_ dlm show copy.dlm
status_is 0
err_has "warning: 'copy.dlm' has the dlm_id of '$dir/doc.dlm'"
for ask in "doc.dlm" "copy.dlm --no-adapter" "copy.dlm --adapter adapter"; do
    # shellcheck disable=SC2086
    ask_ $ask
    status_is 0
    err_is
done
run_ dlm show doc.dlm
status_is 0
err_is

case_ "links to the document are the document"
ln -s doc.dlm soft.dlm
ln doc.dlm hard.dlm
for name in soft hard doc; do
    train_ $name.dlm
    status_is 0
    err_is
done
rm soft.dlm hard.dlm

case_ "--take-over gives the store to the copy"
train_ --take-over copy.dlm
status_is 0
source_is_ copy.dlm
train_ doc.dlm
fails_ 1 "'doc.dlm' has the dlm_id of '$dir/copy.dlm'"

case_ "a renamed document keeps its store, and the store learns the name"
rm doc.dlm
mv copy.dlm renamed.dlm
ask_ renamed.dlm
err_is
train_ renamed.dlm
status_is 0
source_is_ renamed.dlm

case_ "an original with a dlm_id of its own does not hold on to the store"
cp renamed.dlm doc.dlm
edit_ renamed.dlm 's/0R7STD0HK1DBS629DWG0NJR445/0R7STD0HK1DBS629DWG0NJR446/'
train_ doc.dlm
status_is 0
source_is_ doc.dlm

# --- going on from a finished run ---

run_ dlm -q --home forms train --backend cpu --max-steps 1 doc.dlm
cp doc.dlm original

# goes_on_ SED-SCRIPT: with the document changed so, --resume goes on from the last adapter
goes_on_()
{
    sed "$1" original > doc.dlm
    run_ dlm -q --home forms train --backend cpu --max-steps 1 --resume doc.dlm
}

case_ "--resume refuses another form of the adapter, and names each difference"
goes_on_ 's/lora_r: 4/lora_r: 5/'
fails_ 1 "resume: the adapter v0001 cannot go on in another form: lora_r was 4 and is 5"
err_has "hint: \`dlm train --fresh\` starts a new adapter"
goes_on_ 's/lora_alpha: 8/lora_alpha: 9/'
fails_ 1 "form: lora_alpha was 8 and is 9"
goes_on_ 's/^training:/training:\n  target_modules: [q_proj]/'
fails_ 1 "form: target_modules were 'model" "(k_proj|o_proj|q_proj|v_proj)' and are 'model" \
    "q_proj'"
goes_on_ 's/lora_r: 4/lora_r: 5/; s/lora_alpha: 8/lora_alpha: 9/
          s/^training:/training:\n  target_modules: all-linear/'
fails_ 1 "lora_r was 4 and is 5; lora_alpha was 8 and is 9; target_modules were '"
: > out > err
holds_ test ! -e forms/${store_#home/}/adapter/versions/v0002

case_ "and takes what is the same in other words, and what may change"
goes_on_ 's/^training:/training:\n  target_modules: [v_proj, o_proj, k_proj, q_proj]/
          s/lora_dropout: 0.0/lora_dropout: 0.1/; s/learning_rate: 0.002/learning_rate: 0.001/'
status_is 0
err_is
holds_ test -e forms/${store_#home/}/adapter/versions/v0002

case_ "an adapter from elsewhere goes on in its own form, until the document asks for another"
cp original doc.dlm
run_ dlm -q --home other-form train --backend cpu --max-steps 1 --init-adapter adapter doc.dlm
status_is 0
edit_ original 's/lora_r: 4/lora_r: 5/'
cp original doc.dlm
run_ dlm -q --home other-form train --backend cpu --max-steps 1 --resume doc.dlm
fails_ 1 "form: lora_r was 4 and is 5"
rm -r other-form
run_ dlm -q --home other-form train --backend cpu --max-steps 1 --init-adapter adapter doc.dlm
status_is 0 # of rank 4, while the document says 5
run_ dlm -q --home other-form train --backend cpu --max-steps 1 --resume doc.dlm
status_is 0

# --- going back ---

case_ "use goes back to an older adapter"
edit_ original 's/lora_r: 5/lora_r: 4/'
cp original doc.dlm
versions=forms/${store_#home/}/adapter/versions
ask_two_() { run_ dlm -q --home forms score --backend cpu "$@" --prompt a --target b doc.dlm; }
run_ dlm --home forms use doc.dlm --list
status_is 0
[ "$(sed 's/T[0-9:]* / /; s/20[0-9-]*/DATE/; s/loss [0-9.]*/LOSS/' out)" = \
    "  v0001  DATE  1 step  LOSS
* v0002  DATE  1 step  LOSS" ] || fail_ "another list"
ask_two_
cp out second
ask_two_ --adapter-version v1
status_is 0
cp out first
cmp -s first second && fail_ "v1 and v2 answer alike"
run_ dlm --home forms use doc.dlm v0001
status_is 0
out_is
err_is "use: v0001"
ask_two_
same_ out first
ask_two_ --adapter-version 2
same_ out second
run_ dlm --home forms use -l doc.dlm
out_has "* v0001  "
out_has "  v0002  "
holds_ grep -q '"adapter_version": 1,' forms/${store_#home/}/manifest.json

case_ "what is trained next is current again, and --resume goes on from what use took"
run_ dlm -q --home forms train --backend cpu --max-steps 1 --resume doc.dlm
status_is 0
cp "$versions/v0003/adapter_model.safetensors" third
run_ dlm -q --home forms train --backend cpu --max-steps 1 --init-adapter $versions/v0001 doc.dlm
status_is 0
same_ "$versions/v0004/adapter_model.safetensors" third
run_ dlm --home forms use --list doc.dlm
out_has "* v0004  "
run_ dlm --home forms use --keys doc.dlm
out_is v0001 v0002 v0003 v0004
run_ dlm --home forms use doc.dlm 2
status_is 0

case_ "versions that are none"
run_ dlm --home forms use doc.dlm v9
fails_ 1 "use: there is no version v0009 of the adapter; " "has 4: v0001, v0002"
for word in v0 v v1x -1 99999999999999999999; do
    run_ dlm --home forms use doc.dlm -- $word
    status_is 2
    err_is "dlm: no version of an adapter: '$word' (v2 is one)" "try 'dlm use --help'"
done
run_ dlm --home forms use doc.dlm
status_is 2
run_ dlm --home forms use doc.dlm v1 --list
status_is 2
run_ dlm --home forms use doc.dlm v1 --keys
status_is 2
err_is "dlm: --keys goes without VERSION" "try 'dlm use --help'"
run_ dlm --home forms use doc.dlm --list --keys
status_is 2
err_is "dlm: --list and --keys are mutually exclusive" "try 'dlm use --help'"
ask_two_ --adapter-version v9
fails_ 1 "there is no version v0009"
ask_ --home forms doc.dlm --adapter-version v1 --no-adapter
status_is 2
ask_ doc.dlm --adapter-version x
status_is 2
err_is "dlm: no version of an adapter: 'x' (v2 is one)" "try 'dlm prompt --help'"
ask_ doc.dlm --adapter-version v99
fails_ 1 "there is no version v0099"
run_ dlm --home no-home use doc.dlm v1
fails_ 1 "there is no version v0001 of the adapter; the store 'no-home/" "has 0"
cp doc.dlm copy.dlm
run_ dlm --home forms use copy.dlm v1
fails_ 1 "'copy.dlm' has the dlm_id of '$dir/doc.dlm'"
rm copy.dlm

# --- another base ---

case_ "an adapter answers on its own base alone"
cp -R base other
sed -n 's/.*"language_model.model.norm.weight"://p' other/model.safetensors |
    sed -n '1s/[^[]*\[[0-9]*\][^[]*\[\([0-9]*\),.*/\1/p' > offset
header=$(($(od -An -N4 -tu4 other/model.safetensors) + 8))
poke_ other/model.safetensors $((header + $(cat offset))) 000 000 200 077
sed 's/dir:base/dir:other/' original > doc.dlm
for command in prompt score; do
    case $command in
    prompt) run_ dlm -q --home forms prompt --backend cpu doc.dlm "blue an?" ;;
    score) run_ dlm -q --home forms score --backend cpu doc.dlm --prompt a --target b ;;
    esac
    fails_ 1 "the adapter v0002 belongs to another base: it was trained on 'dir:base', and the " \
        "document's base is 'dir:other'"
    err_has "hint: \`dlm train --update-lock\` trains one for 'dir:other'; with 'base_model:"
    out_is
done
run_ dlm -q --home forms train --backend cpu --resume --ignore-lock doc.dlm
fails_ 1 "the adapter v0002 belongs to another base: it was trained on 'dir:base'"
run_ dlm -q --home forms train --backend cpu doc.dlm
fails_ 1 "lock validation failed (base_model_sha256 was "
ask_ doc.dlm --no-adapter
status_is 0
ask_ doc.dlm --adapter adapter
status_is 0

case_ "also when its base has got other weights in the same place"
cp original doc.dlm
cp base/model.safetensors kept
cp other/model.safetensors base
run_ dlm -q --home forms prompt --backend cpu doc.dlm "blue an?"
fails_ 1 "the adapter v0002 belongs to another base: 'dir:base' had other weights when it"
out_is
cp kept base/model.safetensors

case_ "a base that was only moved or touched is the same"
touch -d '2020-01-01' base/model.safetensors
run_ dlm -q --home forms prompt --backend cpu doc.dlm "blue an?"
status_is 0
mv base moved
edit_ doc.dlm 's/dir:base/dir:moved/'
run_ dlm -q --home forms prompt --backend cpu doc.dlm "blue an?"
status_is 0
run_ dlm -q --home forms train --backend cpu --max-steps 1 doc.dlm
status_is 0
holds_ grep -q '"base_model": "dir:moved"' forms/${store_#home/}/manifest.json
mv moved base
cp original doc.dlm

case_ "a version without its record (of an older dlm) answers as ever"
rm forms/${store_#home/}/adapter/versions/v000*/origin.json
run_ dlm -q --home forms prompt --backend cpu doc.dlm "blue an?"
status_is 0
goes_on_ 's/lora_r: 4/lora_r: 5/'
fails_ 1 "form: lora_r was 4 and is 5"
cp original doc.dlm

# --- an unfinished run goes on as it began ---

# broken_ HOME OPTION...: a run that is killed some steps after its start
broken_()
{
    home=$1
    shift
    "$dlm" -q --home "$home" train --backend cpu --max-steps 1000 --save-every 1 "$@" doc.dlm \
        > job.out 2> job.err &
    job=$!
    # older states go as newer ones come
    until ls "$home"/store/*/runs/* 2>&1 | grep -q '^state-[0-9]*[3-9]\.safetensors$' ||
        ! kill -0 $job 2> kill.err; do :; done
    kill -KILL $job 2> kill.err || { cp job.err err; fail_ "the run ended before it was killed"; }
    wait $job 2> wait.err
}
resume_() { run_ dlm -q --home "$1" train --backend cpu --max-steps 1000 --resume doc.dlm; }

case_ "each file of the base that rows and images come from is the same, or the run stops"
broken_ run
cp -R base pristine
for name in preprocessor_config.json tokenizer.json config.json tokenizer_config.json; do
    echo >> base/$name
    resume_ run
    fails_ 1 "resume: the base's '$name' changed since the run was interrupted"
    err_has "hint: \`dlm train --fresh\` starts a new run"
    cp pristine/$name base
done
echo '{}' > base/special_tokens_map.json
resume_ run
fails_ 1 "resume: the base's 'special_tokens_map.json' changed"
rm base/special_tokens_map.json

case_ "other weights are another base"
cp other/model.safetensors base
run_ dlm -q --home run train --backend cpu --resume --max-steps 1000 doc.dlm
fails_ 1 "resume: the base changed since the run was interrupted"
cp pristine/model.safetensors base

case_ "a touched base is the same"
touch -d '2021-01-01' base/*
resume_ run
status_is 0
err_is

# --- a run that comes to nothing ---

# diverges_ DOCUMENT WHAT STEP STEPS: the run ends so, and leaves nothing to resume
diverges_()
{
    rm -rf wild
    run_ dlm -q --home wild train --backend cpu --save-every 1 --max-steps "$4" "$1"
    fails_ 1 "training: the $2 not finite at step $3 of $4"
    err_has "hint: a lower learning_rate may help, with \`dlm train --fresh\`; the log 'wild/"
    holds_ test -z "$(find wild -path '*/runs/*')"
    holds_ test -n "$(find wild -name '*.jsonl')"
    run_ dlm -q --home wild train --backend cpu --max-steps "$4" --resume "$1"
    fails_ 1 "resume: there is no interrupted run and no adapter to go on from"
}

case_ "a run whose loss is not finite leaves no run to resume"
sed 's/learning_rate: 0.002/learning_rate: 1.0e+30/' original > wild.dlm
diverges_ wild.dlm "loss is" 2 9

case_ "neither does one whose weights are not"
sed 's/learning_rate: 0.002/learning_rate: 3.0e+38/' original > wild.dlm
diverges_ wild.dlm "adapter's weights are" 1 9
diverges_ wild.dlm "adapter's weights are" 1 1

case_ "nor one whose validation loss is not"
{
    cat wild.dlm
    echo "::instruction::"
    i=0
    while [ $i -lt 60 ]; do
        printf '### Q\nblue an %d?\n### A\ncaption\n' $i
        i=$((i + 1))
    done
} > many.dlm
diverges_ many.dlm "validation loss is" 1 3

# --- dlm.lock ---

case_ "a lock record that is none is refused before anything is trained"
lock=forms/${store_#home/}/dlm.lock
goes_on_ 's/seed: 0/seed: 0/'
status_is 0
for text in '{}' '[]' '{'; do
    echo "$text" > "$lock"
    goes_on_ 's/seed: 0/seed: 0/'
    fails_ 1 "dlm.lock'"
    err_has "hint: --update-lock writes it anew"
    out_is
done
run_ dlm -q --home forms train --backend cpu --max-steps 1 --update-lock doc.dlm
status_is 0
holds_ grep -q '"base_model_sha256": "[0-9a-f]*"' "$lock"
rm "$lock"
mkdir "$lock"
for policy in "" --strict-lock --update-lock; do
    run_ dlm --home forms train --backend cpu --max-steps 1 $policy doc.dlm
    status_is 1
    err_has "cannot replace '$lock': not a regular file"
    ! grep -q '^step' err || fail_ "it trained"
done
run_ dlm -q --home forms train --backend cpu --max-steps 1 --ignore-lock doc.dlm
status_is 0

summary_
