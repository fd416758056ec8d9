#!/bin/sh
# dlm import: adapters that PEFT made become versions of a document's; what dlm does not compute, or
# is of another base, is refused by name.
. "${0%/*}/hostile.sh"

store_=home/store/0R7STD0HK1DBS629DWG0NJR445
versions_=$store_/adapter/versions
import_() { run_ dlm -q import "$@" --document doc.dlm; }
ask_() { run_ dlm -q prompt --backend cpu --image images/one.png --temp 0 "$@" "blue an?"; }
score_of_()
{
    run_ dlm -q score --backend cpu --precision fp32 --image images/one.png --prompt "blue an?" \
        --target caption --json "$@"
    status_is 0
}

case_ "PEFT's adapters answer and score as they do by themselves"
for adapter in adapter adapter_wide; do
    num=$((num + 1))
    run_ dlm import $adapter --document doc.dlm
    status_is 0
    out_is "$dir/$versions_/v000$num"
    holds_ grep -q "^import: v000$num is the current version ([0-9]* modules, rank [0-9]*" err
    ask_ --base dir:base --adapter $adapter
    cp out want
    ask_ doc.dlm
    same_ out want
    score_of_ --base dir:base --adapter $adapter
    cp out want
    score_of_ doc.dlm
    same_ out want
    run_ dlm -q verify-store doc.dlm
    status_is 0
    out_has "whole (versions: $num,"
done
holds_ grep -q '"adapter_version": 2' $store_/manifest.json
holds_ grep -qF "\"source_path\": \"$dir/doc.dlm\"" $store_/manifest.json
run_ dlm show doc.dlm
out_has "  adapter:        v0002"
out_has "  training runs:  0"
run_ dlm use doc.dlm v1
ask_ --base dir:base --adapter adapter
cp out want
ask_ doc.dlm
same_ out want

case_ "training and export go on from there"
run_ dlm -q train --backend cpu --max-steps 1 --init-adapter $versions_/v0001 doc.dlm
status_is 0
holds_ test -d $versions_/v0003
run_ dlm -q verify-store doc.dlm
status_is 0
out_has "whole (versions: 3,"
run_ dlm -q export doc.dlm --adapter-version v1
status_is 0

# with_ SED-SCRIPT: bad/ is the adapter with its config changed
with_()
{
    rm -rf bad
    cp -R adapter bad
    edit_ bad/adapter_config.json "$1"
}

case_ "rsLoRA, and an adapter that says where its base lay"
with_ 's/"use_rslora": false/"use_rslora": true/
    s|"base_model_name_or_path": null|"base_model_name_or_path": "/models/mine"|'
import_ bad
status_is 0
err_is "warning: the adapter names '/models/mine' as its base; it is taken for one of '$dir/base'"
score_of_ --base dir:base --adapter bad
cp out want
score_of_ doc.dlm
same_ out want
score_of_ --base dir:base --adapter adapter
cmp -s out want && fail_ "rsLoRA makes no difference"
cp -Rp home kept

case_ "what dlm does not compute is refused by name"
while read -r name change; do
    with_ "$change"
    import_ bad
    fails_ 1 "import: " "bad/adapter_config.json" "'$name" "not supported"
    err_has "hint: PEFT's merge_and_unload() folds it into the base"
done << 'END'
use_dora s/"use_dora": false/"use_dora": true/
modules_to_save s/"modules_to_save": null/"modules_to_save": ["lm_head"]/
bias s/"bias": "none"/"bias": "all"/
peft_type s/"LORA"/"LOHA"/
layer_replication s/"layer_replication": null/"layer_replication": [[0, 1]]/
layers_to_transform s/"layers_to_transform": null/"layers_to_transform": [0]/
layers_to_transform s/"layers_to_transform": null/"layers_to_transform": 0/
target_parameters s/"target_parameters": null/"target_parameters": ["x"]/
trainable_token_indices s/"trainable_token_indices": null/"trainable_token_indices": [1]/
init_lora_weights s/"init_lora_weights": true/"init_lora_weights": "pissa"/
END
rm -rf bad
cp -R adapter bad
mv bad/adapter_model.safetensors bad/adapter_model.bin
import_ bad
fails_ 1 "adapter_model.bin is a pickle"
err_has "hint: load it with PEFT and save it again"

case_ "what does not fit, or is no adapter"
import_ "$data/golden/models/bf16_new/adapter"
fails_ 1 "the adapter does not fit the base: it has no linear '"
rm -rf bad
cp -R adapter bad
size=$(wc -c < bad/adapter_model.safetensors)
poke_ bad/adapter_model.safetensors $((size - 4)) 000 000 200 177
import_ bad
fails_ 1 "cannot import 'bad': it has numbers that are not finite"
import_ images
fails_ 1 "cannot open adapter 'images': it has no adapter_config.json"
import_ adapter/adapter_config.json
fails_ 1 "cannot open adapter 'adapter/adapter_config.json': it is a file, and an adapter a folder"
import_ nowhere
fails_ 1 "cannot open adapter 'nowhere': no such folder"
run_ dlm -q import adapter --document none.dlm
fails_ 1 "'none.dlm'"

case_ "an adapter of another repository"
revision=0123456789abcdef0123456789abcdef01234567
repo=hub/models--me--mine/snapshots/$revision
mkdir -p $repo hub/models--me--mine/refs
cp base/* $repo/
printf %s $revision > hub/models--me--mine/refs/main
export HF_HUB_CACHE="$dir/hub"
sed 's/^base_model: .*/base_model: "hf:me\/mine"/; s/^\(dlm_id: 0\)./\1Z/' doc.dlm > mine.dlm
with_ 's|"base_model_name_or_path": null|"base_model_name_or_path": "you/yours"|'
run_ dlm -q import bad --document mine.dlm
fails_ 1 "the adapter is of another base: 'you/yours', and the document's is 'me/mine'"
err_has "hint: --any-base takes one"
run_ dlm -q import bad --document mine.dlm --any-base
status_is 0
err_is "warning: the adapter names 'you/yours' as its base; it is taken for one of 'me/mine'"
edit_ bad/adapter_config.json 's|you/yours|me/mine|'
run_ dlm -q import bad --document mine.dlm
status_is 0
err_is
holds_ grep -qF '"base_model_name_or_path": "me/mine"' \
    home/store/0Z*/adapter/versions/v0002/adapter_config.json
unset HF_HUB_CACHE

# foreign_ NAME: foreign/ is the adapter of the golden base in GGUF, which names NAME as its base
foreign_()
{
    rm -rf foreign
    cp -R $gguf/adapter foreign
    chmod -R u+w foreign
    edit_ foreign/adapter_config.json \
        "s|\"base_model_name_or_path\": null|\"base_model_name_or_path\": \"$1\"|"
}
case_ "an adapter of the repository that a GGUF file is a copy of"
gguf=$data/golden/models/qwen2_vl_gguf
mkdir -p gguf && cp -R $gguf/base $gguf/images $gguf/doc.dlm gguf && chmod -R u+w gguf
foreign_ Qwen/Qwen2-VL-2B-Instruct
run_ dlm -q import foreign --document gguf/doc.dlm
status_is 0
err_is
version=$(cat out)
holds_ grep -qF '"base_model_name_or_path": "Qwen/Qwen2-VL-2B-Instruct"' \
    "$version/adapter_config.json"
gguf_score_()
{
    run_ dlm -q score --backend cpu --precision fp32 --image gguf/images/one.png \
        --prompt "blue an?" --target caption --json "$@"
    status_is 0
}
gguf_score_ --base gguf:gguf/base/base.gguf --adapter foreign
cp out want
gguf_score_ gguf/doc.dlm
same_ out want
gguf_score_ --base gguf:gguf/base/base.gguf
cmp -s out want && fail_ "the adapter makes no difference"
foreign_ you/yours
run_ dlm -q import foreign --document gguf/doc.dlm
fails_ 1 "the adapter is of another base: 'you/yours', and the document's is '"
err_has "Qwen/Qwen2-VL-2B-Instruct'"

case_ "a GGUF file that names what its model was tuned from has no name of its own"
gguf=$data/golden/models/mistral3_gguf
mkdir -p tuned && cp -R $gguf/base $gguf/images $gguf/doc.dlm tuned && chmod -R u+w tuned
foreign_ mistralai/Mistral-Small-3.1-24B-Instruct-2503
run_ dlm -q import foreign --document tuned/doc.dlm
status_is 0
err_is "warning: the adapter names 'mistralai/Mistral-Small-3.1-24B-Instruct-2503' as its base;\
 it is taken for one of '$dir/tuned/base/base.gguf'"
version=$(cat out)
holds_ grep -qF "\"base_model_name_or_path\": \"$dir/tuned/base/base.gguf\"" \
    "$version/adapter_config.json"

case_ "a bundled base has a name too, a folder has none"
sed 's/^base_model: .*/base_model: tiny-shapes/; s/^\(dlm_id: 0\)./\1Y/' doc.dlm > small.dlm
with_ 's|"base_model_name_or_path": null|"base_model_name_or_path": "you/yours"|'
run_ dlm -q import bad --document small.dlm
fails_ 1 "the adapter is of another base: 'you/yours', and the document's is 'tiny-shapes'"
holds_ test ! -e home/store/0Y*/adapter
run_ dlm -q train --backend cpu --max-steps 1 small.dlm
status_is 0
run_ dlm -q export small.dlm --out small
status_is 0
run_ dlm -q import small/adapter --document small.dlm
status_is 0
err_is
rm -rf home/store/0Y*
sed 's/^\(dlm_id: 0\)./\1X/' doc.dlm > folder.dlm
run_ dlm -q import bad --document folder.dlm
status_is 0
err_is "warning: the adapter names 'you/yours' as its base; it is taken for one of '$dir/base'"
rm -rf home/store/0X*

case_ "what was refused has changed nothing; nor by a copy, nor while a training runs"
holds_ diff -r kept/store/0R* $store_
cp doc.dlm copy.dlm
run_ dlm -q import adapter --document copy.dlm
fails_ 1 "'copy.dlm' has the dlm_id of '$dir/doc.dlm', whose store this is"
rm copy.dlm
: > $store_/.lock
flock -n $store_/.lock sh -c '"$1" import adapter --document doc.dlm > out 2> err
    echo $? > status' - "$dlm"
read -r status < status
status_is 1
err_has "already locked by PID"
rm $store_/.lock
holds_ diff -r kept/store/0R* $store_

case_ "wrong usage"
run_ dlm import adapter
status_is 2
err_is "dlm: give --document" "try 'dlm import --help'"
run_ dlm import --document doc.dlm
status_is 2

summary_
