#!/bin/sh
# Missing, cut and lying files: one line that names the subject, exit 1, nothing written.
. "${0%/*}/hostile.sh"

case_ "what the cases damage is good"
score_ --base dir:base --image images/one.png
status_is 0
score_ --base dir:base --adapter adapter --image images/one.png
status_is 0

# --- images ---

case_ "images"
cp "$data/golden/images/bomb.png" bomb.png # its header says 100,000 x 100,000
: > empty.png
head -c 100 images/one.png > cut.png
head -c 20 images/one.png > header.png
printf 'GIF89a' > other.png
cp images/one.png crc.png
poke_ crc.png 60 377 377
mkdir folder.png
for image in bomb.png empty.png cut.png header.png other.png crc.png folder.png; do
    score_ --base dir:base --image $image
    fails_ 1 "'$image'"
    out_is
    run_ dlm -q prompt --base dir:base --backend cpu --image $image "blue an?"
    fails_ 1 "'$image'"
    out_is
done
score_ --base dir:base --image no.png
fails_ 1 "'no.png'"

case_ "an image of a document"
run_ dlm init m.dlm --multimodal --base tiny-shapes
sed 's/^base_model: .*/base_model: "dir:base"/; s/figures.your-image/cut/' m.dlm > cut.dlm
run_ dlm -q train --take-over --backend cpu cut.dlm
fails_ 1 "'$dir/cut.png' (line "
err_has "hint: --skip-bad-images trains without it"
holds_ test ! -e "$DLM_HOME"/store/*/runs/000001 # nothing was begun
sed 's/^base_model: .*/base_model: "dir:base"/; s/figures.your-image/nowhere/' m.dlm > none.dlm
run_ dlm -q train --take-over --backend cpu none.dlm
fails_ 1 nowhere.png

case_ "all images of a document that cannot be read are named at once"
rm -rf "$DLM_HOME" "$dir/pics"
mkdir pics
cp images/two.png pics/good.png
cp cut.png pics/cut.png
printf 'caption star' > pics/good.txt
printf 'caption star' > pics/cut.txt
printf '\0\0\0\030ftypheic0000000000000000' > photo.heic
{
    cat <<'END'
---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 15
base_model: "dir:base"
training:
  sources: [{path: pics, include: ["*.png"]}]
---

::image path="images/one.png" alt="good"::
caption star

::image path="nowhere.png" alt="missing"::
red image

::instruction::
### Q
blue an?
### A
red image

::image path="cut.png" alt="damaged"::
caption near

::image path="photo.heic" alt="unread"::

::instruction::
### Q
of segment?
### A
caption

END
} > many.dlm
run_ dlm -q train --backend cpu --max-steps 2 many.dlm
status_is 1
out_is
grep -v '^warning: ' err > errors
cut -d: -f1-3 errors > heads
printf '%s\n' "train: cannot open image 'nowhere.png' (line 12): no such file in '$dir'" \
    "train: cannot read '$dir/cut.png' (line 21): the image file is truncated" \
    "train: cannot read '$dir/photo.heic' (line 24): HEIC files are not read" \
    "hint: convert the image to PNG, JPEG or WebP" \
    "train: cannot read '$dir/pics/cut.png': the image file is truncated" \
    "train: 4 of 6 images cannot be read" "hint: --skip-bad-images trains without them" > want
same_ errors want
holds_ test ! -e "$DLM_HOME"/store/*/runs/000001 # nothing was begun

case_ "--skip-bad-images trains without them, and says how many"
run_ dlm train --backend cpu --max-steps 2 --skip-bad-images many.dlm
status_is 0
err_has "warning: 4 of 6 images cannot be read: trained without them"
err_has "2 rows, " # two captions; the questions about bad images are gone too
sed 's/nowhere.png/images\/one.png/; s/cut.png/images\/two.png/; s/photo.heic/images\/one.png/' \
    many.dlm > good.dlm
rm pics/cut.*
run_ dlm train --take-over --backend cpu --max-steps 2 --skip-bad-images good.dlm
status_is 0
grep -q 'cannot be read' err && fail_ "a good document has bad images"
rm good.dlm

case_ "a document of nothing but images that cannot be read"
sed '/^::image path="images.one/,/^$/d; /sources:/d; s/^training:/training: {}/' many.dlm > bad.dlm
run_ dlm train --take-over --backend cpu --skip-bad-images bad.dlm
status_is 0
err_has "3 of 3 images cannot be read"
err_has "nothing to train"
rm bad.dlm

case_ "16-bit grey that becomes white is warned of once"
cp "$data/golden/images/grey16.png" images/deep.png
cp "$data/golden/images/interlaced_1x1.png" images/deeper.png
sed 's/images.one/images\/deep/; s/nowhere/images\/deeper/; /^::image path="cut/,$d; /sources:/d
    s/^training:/training: {}/' many.dlm > deep.dlm
run_ dlm -q train --take-over --backend cpu --max-steps 2 deep.dlm
status_is 0
[ "$(grep -c 'grey levels of 16 bits' err)" -eq 1 ] || fail_ "not one warning"
err_has "are read as white in 2 images, first in '$dir/images/deep.png'"
rm -r deep.dlm "$DLM_HOME"

# --- the base's files ---

case_ "files that are missing"
for name in config.json tokenizer.json model.safetensors; do
    damage_
    rm bad/$name
    base_fails_ bad
done
damage_
rm bad/tokenizer.json
base_fails_ "bad/tokenizer.json'"
err_has "as tokenizer.json or tekken.json"
damage_
rm bad/preprocessor_config.json
base_fails_ "bad/preprocessor_config.json'"
err_has "what a base does to images stands beside its weights"
damage_
rm -r bad
base_fails_ "'dir:bad'"

case_ "config.json"
damage_
cut_ bad/config.json 300
base_fails_ "bad/config.json'"
: > bad/config.json
base_fails_ "bad/config.json'"
printf '[1, 2]' > bad/config.json
base_fails_ "bad/config.json'"
printf '{"model_type": 7}' > bad/config.json
base_fails_ "bad/config.json'" model_type
printf '{"model_type": "bert"}' > bad/config.json
base_fails_ "bad/config.json'" "'bert'"
printf '{"model_type": "a\\u001b[31m\\nb"}' > bad/config.json
base_fails_ "bad/config.json'"
awk 'BEGIN { for (i = 0; i < 100000; i++) printf "[" }' > bad/config.json
base_fails_ "bad/config.json'"

case_ "numbers of config.json"
for change in 's/"num_hidden_layers": 2/"num_hidden_layers": 1000000000/' \
    's/"num_hidden_layers": 2/"num_hidden_layers": 3/' \
    's/"num_hidden_layers": 2/"num_hidden_layers": "two"/' \
    's/"num_hidden_layers": 2/"num_hidden_layers": -1/' \
    's/"num_hidden_layers": 2/"num_hidden_layers": 99999999999999999999/' \
    's/"num_attention_heads": 4/"num_attention_heads": 7/' \
    's/"num_attention_heads": 4/"num_attention_heads": 0/' \
    's/"num_key_value_heads": 1/"num_key_value_heads": 3/' \
    's/"head_dim": 18/"head_dim": 17/' \
    's/"head_dim": 18/"head_dim": 1000000000/' \
    's/"hidden_size": 72/"hidden_size": 2147483647/' \
    's/"intermediate_size": 136/"intermediate_size": 4294967296/' \
    's/"vocab_size": 367/"vocab_size": 366/' \
    's/"vocab_size": 367/"vocab_size": 1e9/' \
    's/"image_size": 28/"image_size": 1000000/' \
    's/"patch_size": 14/"patch_size": 0/' \
    's/"patch_size": 14/"patch_size": 13/' \
    's/"rms_norm_eps": 1e-06/"rms_norm_eps": "small"/' \
    's/"rms_norm_eps": 1e-06/"rms_norm_eps": -1/' \
    's/"rope_theta": 10000.0/"rope_theta": 0/' \
    's/"hidden_act": "gelu_pytorch_tanh"/"hidden_act": "swiglu9"/' \
    's/"text_config": {/"text_config": 3, "x": {/' \
    's/"vision_config": {/"vision_config": [], "x": {/' \
    's/"image_token_index": 366/"image_token_index": 367/' \
    's/"image_token_index": 366/"image_token_index": -5/'; do
    damage_
    edit_ bad/config.json "$change"
    base_fails_ bad
done

case_ "tokenizer.json"
for change in 's/"type":"BPE"/"type":"Guess"/' \
    's/"content":"<bos>","id":2/"content":"<bos>","id":-2/' \
    's/"content":"<bos>","id":2/"content":"<bos>","id":4000000000/' \
    's/"merges":\[/"merges":[["no","pair"],/' \
    's/"vocab":{/"vocab":{"<pad>":99999999999,/' 's/"added_tokens":\[/"added_tokens":[3,/'; do
    damage_
    edit_ bad/tokenizer.json "$change"
    base_fails_ tokenizer.json
done
damage_
cut_ bad/tokenizer.json 1000
base_fails_ "bad/tokenizer.json'"
printf '{}' > bad/tokenizer.json
base_fails_ "bad/tokenizer.json'"

case_ "preprocessor_config.json"
for change in 's/"height": 28/"height": 1000000/' 's/"height": 28/"height": 0/' \
    's/"height": 28/"height": 27/' 's/"resample": 3/"resample": 99/' 's/0.5/"x"/'; do
    damage_
    edit_ bad/preprocessor_config.json "$change"
    base_fails_ bad
done

# --- safetensors ---

case_ "weights that are cut"
for bytes in 0 4 8 100 3000 600000; do
    damage_
    cut_ bad/model.safetensors $bytes
    base_fails_ "bad/model.safetensors'"
done

case_ "weights whose header lies"
damage_
poke_ bad/model.safetensors 0 377 377 377 377 377 377 377 377
base_fails_ "bad/model.safetensors'"
damage_
poke_ bad/model.safetensors 0 000 000 000 000 000 000 000 000
base_fails_ "bad/model.safetensors'"
damage_
poke_ bad/model.safetensors 0 377 377 377 177
base_fails_ "bad/model.safetensors'"
for change in 's/"data_offsets":\[0,105696\]/"data_offsets":[9,105696]/' \
    's/"data_offsets":\[0,105696\]/"data_offsets":[0,905696]/' \
    's/"data_offsets":\[105696,105984\]/"data_offsets":[105692,105980]/' \
    's/"data_offsets":\[0,105696\]/"data_offsets":[-1,10569]/' \
    's/"data_offsets":\[0,105696\]/"data_offsets":[0,"10569"]/' \
    's/"shape":\[367,72\]/"shape":[999,72]/' 's/"shape":\[367,72\]/"shape":[72,367]/' \
    's/"shape":\[367,72\]/"shape":[-36,2]/' 's/"dtype":"F32"/"dtype":"F99"/' \
    's/"dtype":"F32"/"dtype":"F16"/' 's/"dtype":"F32"/"dtype":"I32"/' \
    's/model.layers.0.mlp.up_proj/model.layers.9.mlp.up_proj/' \
    's/model.layers.0.mlp.up_proj/model.layers.0.mlp.gate_pro/'; do
    damage_
    edit_ bad/model.safetensors "$change"
    base_fails_ bad
done

case_ "shards"
cp -R "$data/golden/models/bf16_new/base" shards
chmod -R u+w shards
for name in model-00002-of-00003.safetensors model.safetensors.index.json; do
    rm -rf bad
    cp -R shards bad
    rm bad/$name
    base_fails_ bad
done
for change in 's/model-00002-of/model-00009-of/' 's/"model-00002-of-00003.safetensors"/7/' \
    's/"weight_map"/"weight_pam"/' 's,"model-00002-of,"../shards/model-00002-of,' \
    's,"model-00002-of,"/model-00002-of,'; do
    rm -rf bad
    cp -R shards bad
    edit_ bad/model.safetensors.index.json "$change"
    base_fails_ bad
done
rm -rf bad
cp -R shards bad
cut_ bad/model-00002-of-00003.safetensors 5000
base_fails_ "bad/model-00002-of-00003.safetensors'"

# --- adapters ---

# adapter_fails_ TEXT...: the adapter in bad-adapter/ is refused
adapter_fails_()
{
    score_ --base dir:base --adapter bad-adapter --image images/one.png
    fails_ 1 "$@"
    out_is
}

case_ "adapters of another base"
rm -rf bad-adapter
cp -R "$data/golden/models/f16_patch7/adapter" bad-adapter
adapter_fails_ "does not fit the base"

case_ "adapters with what is not supported, by name"
for change in 's/"use_dora": false/"use_dora": true/=use_dora' \
    's/"bias": "none"/"bias": "all"/=bias' \
    's/"modules_to_save": null/"modules_to_save": ["lm_head"]/=modules_to_save' \
    's/"peft_type": "LORA"/"peft_type": "LOHA"/=peft_type' \
    's/"use_qalora": false/"use_qalora": true/=use_qalora' \
    's/"layer_replication": null/"layer_replication": [[0, 1]]/=layer_replication'; do
    rm -rf bad-adapter
    cp -R adapter bad-adapter
    edit_ bad-adapter/adapter_config.json "${change%=*}"
    adapter_fails_ "${change##*=}"
done

case_ "adapters that are damaged"
for change in 's/"r": 4/"r": 0/' 's/"r": 4/"r": 1000000000/' 's/"r": 4/"r": "four"/' \
    's/"r": 4/"r": 5/' \
    's/"lora_alpha": 8/"lora_alpha": "x"/' 's/^{/[/'; do
    rm -rf bad-adapter
    cp -R adapter bad-adapter
    edit_ bad-adapter/adapter_config.json "$change"
    adapter_fails_ bad-adapter
done
for name in adapter_config.json adapter_model.safetensors; do
    rm -rf bad-adapter
    cp -R adapter bad-adapter
    cut_ bad-adapter/$name 100
    adapter_fails_ "bad-adapter/$name'"
    rm bad-adapter/$name
    adapter_fails_ "bad-adapter"
done
score_ --base dir:base --adapter nowhere --image images/one.png
fails_ 1 "cannot open adapter 'nowhere': no such folder"

case_ "an adapter's parent folder names the adapters below it"
mkdir -p parent/empty parent/sub
cp -R adapter parent/v0001
cp -R adapter parent/sub/v0002
score_ --base dir:base --adapter parent
fails_ 1 "cannot open adapter 'parent': it has no adapter_config.json"
err_has "hint: folders below it hold adapters: 'sub/v0002', 'v0001'"
score_ --base dir:base --adapter parent/empty
fails_ 1 "cannot open adapter 'parent/empty': it has no adapter_config.json"
! grep -q '^hint' err || fail_ "a hint without adapters"
score_ --base dir:base --adapter images/one.png
fails_ 1 "cannot open adapter 'images/one.png': it is a file, and an adapter a folder"

case_ "a git-lfs pointer is called one"
cat > pointer << 'END'
version https://git-lfs.github.com/spec/v1
oid sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
size 5000000000
END
for name in model.safetensors tokenizer.json config.json preprocessor_config.json; do
    damage_
    cp pointer bad/$name
    base_fails_ "cannot read '" "bad/$name': it is a git-lfs pointer, not the file"
    err_has "hint: \`git lfs pull\` in its repository fetches the file"
done
rm -rf bad
for name in adapter_model.safetensors adapter_config.json; do
    rm -rf bad-adapter
    cp -R adapter bad-adapter
    cp pointer bad-adapter/$name
    score_ --base dir:base --adapter bad-adapter
    fails_ 1 "bad-adapter/$name': it is a git-lfs pointer, not the file"
done
cp pointer pointer.png
score_ --base dir:base --image pointer.png
fails_ 1 "pointer.png': it is a git-lfs pointer, not the file"

# --- numbers that are none ---

case_ "a score that is not finite"
rm -rf bad-adapter
cp -R adapter bad-adapter
poke_ bad-adapter/adapter_model.safetensors \
    $(($(wc -c < adapter/adapter_model.safetensors) - 4)) 377 377 377 177
run_ dlm -q score --backend cpu --base dir:base --adapter bad-adapter --image images/one.png \
    --prompt "blue an?" --target caption --json --gradients written.safetensors
fails_ 1 "the loss is not finite" "nan"
out_is
holds_ test ! -e written.safetensors

case_ "an answer whose logits are not finite"
for how in "--temp 0" "--temp 1" "--temp 1 --top-p 0.5" "--temp 0 --max-tokens 1"; do
    # shellcheck disable=SC2086
    run_ dlm -q prompt --backend cpu --base dir:base --adapter bad-adapter \
        --image images/one.png $how "blue an?"
    fails_ 1 "prompt: the logits are not finite"
    out_is
done

case_ "a training run that is not finite stops at once, and keeps its log"
sed 's/learning_rate: 0.002/learning_rate: 1.0e+30/' doc.dlm > wild.dlm
run_ dlm -q train --take-over --backend cpu wild.dlm
fails_ 1 "training: the loss is not finite at step 2 of "
err_has "hint: a lower learning_rate may help"
out_is
holds_ test -z "$(find home -name adapter_model.safetensors)"
log=$(find home/store/0R7STD0HK1DBS629DWG0NJR445 -name "*.jsonl")
holds_ grep -q '"loss":null.*"step":2,' "$log"
holds_ test "$(tail -n 1 "$log" | grep -c '"type":"step"')" = 1

# --- where results go ---

case_ "a result replaces files alone, behind a link too"
mkfifo pipe
ln -s pipe to-pipe
mkdir there
: > there/real.npz
ln -s there/real.npz link.npz
for name in pipe to-pipe there; do
    run_ dlm preprocess --base dir:base --out $name --image images/one.png
    fails_ 1 "cannot replace '$name': not a regular file"
    run_ dlm -q score --backend cpu --base dir:base --adapter adapter --image images/one.png \
        --prompt "blue an?" --target caption --gradients $name
    fails_ 1 "cannot replace '$name': not a regular file"
done
holds_ test -p pipe
holds_ test -L to-pipe
run_ dlm preprocess --base dir:base --out link.npz --image images/one.png
status_is 0
holds_ test -L link.npz
holds_ test -s there/real.npz

# --- documents ---

# document_fails_ TEXT...: the document in bad.dlm is refused by train
document_fails_()
{
    run_ dlm -q train --take-over --backend cpu bad.dlm
    fails_ 1 "$@"
    out_is
}

case_ "documents"
sed 's/^training:/training:\n  lora_rr: 4/' doc.dlm > bad.dlm
document_fails_ "bad.dlm:" "lora_rr"
sed 's/lora_r: 4/lora_r: lots/' doc.dlm > bad.dlm
document_fails_ "bad.dlm:" "lora_r"
sed 's/sequence_len: 256/sequence_len: 10000000000/' doc.dlm > bad.dlm
document_fails_ "bad.dlm:" "sequence_len"
sed 's/^training:/training:\n  target_modules: [v_proj, q_prj]/' doc.dlm > bad.dlm
document_fails_ "target_modules: 'q_prj' names no linear module of the language model"
err_has "hint: near names: 'q_proj', "
sed 's/^training:/training:\n  target_modules: all_linear/' doc.dlm > bad.dlm
document_fails_ "target_modules: the expression 'all_linear' matches no linear module of the base"
err_has "a list, as [down_proj], has names; all-linear means every linear"
printf 'caf\351\n' | cat doc.dlm - > bad.dlm
document_fails_ "bad.dlm" "UTF-8"
head -c 100 doc.dlm > bad.dlm
document_fails_ "bad.dlm:"
: > bad.dlm
document_fails_ "bad.dlm"
sed 's/^dlm_id: .*/dlm_id: "..\/..\/etc"/' doc.dlm > bad.dlm
document_fails_ "bad.dlm:" "dlm_id"
sed 's/^training:/training: \&a [*a, *a]\nx:/' doc.dlm > bad.dlm
document_fails_ "bad.dlm:"
sed 's/lora_r: 4/lora_r: 4\n  adapter: "dora"/' doc.dlm > bad.dlm
document_fails_ "dora"
sed 's,images/one.png,../../../../etc/passwd,' doc.dlm > bad.dlm
document_fails_ "etc/passwd"
mkdir folder.dlm
run_ dlm -q train folder.dlm
fails_ 1 "folder.dlm"

case_ "a prompt that leaves no room for an answer"
sed 's/sequence_len: 256/sequence_len: 64/; s/^blue an?/& & & & & & & & & & & & & & & & & & &/' \
    doc.dlm > bad.dlm
document_fails_ "section " "sequence_len is 64"
err_has "hint: a larger training.sequence_len makes room"

case_ "a document whose path is not UTF-8"
odd=$(printf 'caf\351.dlm')
cp doc.dlm "$odd"
run_ dlm -q --home odd-home train --backend cpu --max-steps 1 "$odd"
if [ "$status" -ne 0 ]; then fails_ 1 "caf"; fi

# --- before and without training ---

case_ "prompt before training"
run_ dlm -q --home empty-home prompt --backend cpu doc.dlm --image images/one.png "blue an?"
fails_ 1 "no adapter under empty-home/store/" "dlm train"
holds_ test ! -e empty-home

case_ "a gated base whose licence nobody accepted"
sed 's/^base_model: .*/base_model: paligemma-3b-mix-224/' doc.dlm > gated.dlm
run_ dlm -q prompt gated.dlm --no-adapter --image images/one.png "blue an?"
fails_ 1 "license:" "'paligemma-3b-mix-224'" "--i-accept-license"
run_ dlm -q train --take-over gated.dlm
fails_ 1 "license:" "'paligemma-3b-mix-224'" "--i-accept-license"

case_ "a base that is not on this machine"
run_ env HF_HOME="$dir/hub" HF_HUB_CACHE="$dir/hub/hub" "$dlm" -q score \
    --base hf:nobody/nothing --prompt a --target b
fails_ 1 "nobody/nothing"

case_ "none of it left an adapter"
: > out > err
holds_ test -z "$(find home -name adapter_model.safetensors)"

summary_
