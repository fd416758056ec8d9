#!/bin/sh
# dlm export: what is in a snapshot, what is refused, and that a kill or a full disk at any write
# leaves no folder that looks whole and is not. DLM_FULL_DISK is the library of full_disk.c.
. "${0%/*}/hostile.sh"

full_disk=${DLM_FULL_DISK:?says which library makes disks full}
store_=home/store/0R7STD0HK1DBS629DWG0NJR445
versions_=$store_/adapter/versions
made=$store_/exports/hf-snapshot
export_() { run_ dlm -q export doc.dlm "$@"; }

# whole_ FOLDER VERSION: a snapshot with every file of the version and of the base's processor, each
# with the hash that the manifest has.
whole_()
{
    for file in "$versions_/$2"/*; do same_ "$file" "$1/adapter/${file##*/}"; done
    for file in config.json generation_config.json preprocessor_config.json tokenizer.json \
        tokenizer_config.json; do
        same_ "base/$file" "$1/processor/$file"
    done
    sed -n 's/^ *"path": "\(.*\)",$/\1/p' "$1/snapshot_manifest.json" > paths
    sed -n 's/^ *"sha256": "\(.*\)",$/\1/p' "$1/snapshot_manifest.json" > hashes
    paste -d ' ' hashes paths | sed 's/ /  /' > sums
    (cd "$1" && sha256sum -c --quiet --strict "$dir/sums") || fail_ "a hash differs"
    (cd "$1" && find . -type f | sed 's/^..//' | LC_ALL=C sort) > there
    { cat paths; echo README.md; echo snapshot_manifest.json; } | LC_ALL=C sort > want
    same_ there want
}

# No ollama that may be here: tests/cli/test_ollama.sh has one of its own.
mkdir bin
printf '#!/bin/sh\n' > bin/ollama
chmod +x bin/ollama
PATH=$dir/bin:$PATH

run_ dlm -q train --backend cpu --max-steps 1 doc.dlm
run_ dlm -q train --backend cpu --max-steps 2 doc.dlm

case_ "a snapshot"
run_ dlm export doc.dlm
status_is 0
out_is "$dir/$made"
err_has "comparing what was written with the model in memory"
# progress, where it takes a moment, and a section's id
sed '/ MB\/s$/d; /comparing /d; s/[0-9a-f]\{16\} /ID /; s/[0-9.]* by 0$/N by 0/' err > err.tmp
mv err.tmp err
err_is "export: HF snapshot written to $dir/$made" "  manifest: snapshot_manifest.json" \
    "  adapter:  v0002" "  artifacts: 12 file(s)" \
    "  proof:    11 token(s) of section ID (line 19): a log-probability differs by 0 at most, the \
loss of N by 0" \
    "  base:     its weights are not included; README.md says where they come from"
whole_ $made v0002
for text in '"adapter_version": 2,' '"export_target": "hf_snapshot",' '"created_by": "dlm-' \
    '"base_model_architecture": "PaliGemmaForConditionalGeneration",' \
    '"image_token": "<image>",' '"modality": "vision-language",'; do
    holds_ grep -qF "$text" $made/snapshot_manifest.json
done
holds_ grep -qxF "With transformers 4.56 or newer and PEFT, in this folder:" $made/README.md
holds_ grep -qF "    \"$dir/base\", dtype=\"auto\")" $made/README.md
holds_ grep -qF 'text = "<image>" + "What is this?"' $made/README.md
holds_ test -z "$(find $made -name '*.safetensors' ! -path '*/adapter/*')"
run_ dlm show doc.dlm
out_has "  exports:        1"
out_has "    - hf_snapshot "
run_ dlm -q verify-store doc.dlm
status_is 0

case_ "another version takes its place, with what a killed export left gone"
mkdir $made.tmp.1.0123abcd $made.tmp.2.0123abcd "$made.tmp.old"
: > $made.tmp.1.0123abcd/README.md
flock -n $made.tmp.2.0123abcd "$dlm" -q export doc.dlm --adapter-version v1 > out
whole_ $made v0001
holds_ test ! -e $made.tmp.1.0123abcd
holds_ test -d $made.tmp.2.0123abcd # another process is writing it
holds_ test -d $made.tmp.old
rmdir $made.tmp.2.0123abcd $made.tmp.old
holds_ test "$(ls -A $store_/exports)" = hf-snapshot

case_ "without the comparison"
run_ dlm export doc.dlm --no-verify --out blind
status_is 0
err_has "  proof:    none: --no-verify"
grep -q comparing err && fail_ "it compares"
export_ --no-verify --json --out blind
out_has '"skipped": "--no-verify"'
export_ --backend vulkan --device 900 --out never/made
status_is 1
holds_ test ! -e never

case_ "elsewhere, and as JSON"
mkdir empty
ln -s empty link
export_ --out link/
status_is 0
out_is "$dir/empty"
whole_ empty v0002
name=$(printf 'a\tb\nc')
export_ --out "new/$name" --json
status_is 0
whole_ "new/$name" v0002
out_has '"path": "new/a\tb\nc"'
out_has '"adapter_version": 2'
out_has '"base_model": "dir:base"'
out_has '"tar": false'
out_has "\"sha256\": \"$(sha256sum $versions_/v0002/adapter_model.safetensors | cut -c 1-64)\""
holds_ test "$(grep -c '"size_bytes"' out)" -eq 12

case_ "an archive"
long=$(printf '%0120d' 7)
cp -R home kept
printf x > $versions_/v0002/"$long"
export_ --tar
status_is 0
out_is "$dir/$made.tar"
mkdir unpacked
tar -C unpacked -xf $made.tar 2> tar.err || fail_ "tar cannot unpack it"
whole_ unpacked/hf-snapshot v0002
holds_ test -f unpacked/hf-snapshot/adapter/"$long"
rm -rf home
mv kept home
export_ --tar --out own.tar
export_ --tar --out own.tar --adapter-version v1
status_is 0
tar -C unpacked -xf own.tar
whole_ unpacked/own v0001

case_ "what is in the way stays"
export_ --out images
fails_ 1 "cannot export to 'images': 'one.png' in it is no part of an export"
err_has "hint: name another folder, or remove it"
: > empty/adapter/notes.txt
export_ --out empty
fails_ 1 "'adapter/notes.txt' in it is no part of an export"
holds_ test -f empty/adapter/notes.txt
cp doc.dlm kept.dlm
export_ --out doc.dlm
fails_ 1 "cannot export to 'doc.dlm': it is no folder"
export_ --out doc.dlm --tar
fails_ 1 "cannot export to 'doc.dlm': a file that is no export is there"
same_ doc.dlm kept.dlm
export_ --out doc.dlm/x
fails_ 1 "cannot make folder 'doc.dlm'"
export_ --out ..
fails_ 1 "cannot export to '..'"

case_ "what cannot be exported"
export_ --adapter-version v7
fails_ 1 "there is no version v0007"
run_ dlm init new.dlm
run_ dlm -q export new.dlm
fails_ 1 "export: no current adapter under " "; run \`dlm train\` before exporting."
mv base away
export_
fails_ 1 "cannot find base 'dir:base'"
mv away base
cp -R base kept.base
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n' > base/tokenizer.json
export_
fails_ 1 "base/tokenizer.json': it is a git-lfs pointer, not the file"
rm -rf base
mv kept.base base
cp -R home kept
ln -s /etc/passwd $versions_/v0002/passwd
export_
fails_ 1 "v0002/passwd': it is no regular file"
rm $versions_/v0002/passwd
size=$(wc -c < $versions_/v0002/adapter_model.safetensors)
poke_ $versions_/v0002/adapter_model.safetensors $((size - 5)) 1
export_
fails_ 1 "adapter_model.safetensors' is damaged: another hash than when it was written"
rm -rf home
mv kept home
cp -R base other
size=$(wc -c < base/model.safetensors)
poke_ base/model.safetensors $((size - 5)) 1
export_
fails_ 1 "the adapter v0002 belongs to another base"
rm -rf base
mv other base
whole_ $made v0001

case_ "while a training runs"
: > $store_/.lock
flock -n $store_/.lock sh -c '"$1" -q export doc.dlm > out 2> err; echo $? > status' - "$dlm"
read -r status < status
status_is 0
err_is "warning: the store's record does not name this export: a training holds the store"
whole_ $made v0002
rm $store_/.lock

case_ "a store that cannot be locked"
mkdir $store_/.lock
export_ --out elsewhere
status_is 0
err_is "warning: the store's record does not name this export: cannot open '$dir/$store_/.lock': Is\
 a directory"
whole_ elsewhere v0002
rmdir $store_/.lock
rm -rf elsewhere

case_ "a base with a hostile name, a chat template, and a size of its own"
cp -R "$data/golden/models/qwen2_vl_f32_old/." two
name='ba"se
```\'
chmod -R u+w two
mv two/base "two/$name"
sed 's/^base_model: .*/base_model: "dir:ba\\"se\\n```\\\\"/; s/^training:/&\n  image_size: 42/' \
    two/doc.dlm > two/own.dlm
run_ dlm -q train --backend cpu --max-steps 1 two/own.dlm
status_is 0
run_ dlm -q export two/own.dlm --out two/made
status_is 0
holds_ grep -qF "    \"$dir/two/ba\\\"se\\n\`\`\`\\\\\", dtype=\"auto\")" two/made/README.md
holds_ grep -qF 'image.resize((42, 42), Image.BICUBIC)' two/made/README.md
holds_ grep -qF 'processor.apply_chat_template' two/made/README.md
holds_ grep -qF "With transformers 4.56 or newer, torchvision and PEFT, in" two/made/README.md
holds_ test "$(grep -c '^```' two/made/README.md)" -eq 2
rm "two/$name/chat_template.json"
edit_ "two/$name/tokenizer_config.json" '1s/{/{"chat_template": "x",/'
run_ dlm -q export two/own.dlm --out two/made
holds_ grep -qF 'processor.chat_template = processor.tokenizer.chat_template' two/made/README.md

# disk_ VARIABLE=VALUE...: an export into out/ of v0001 with them in the environment.
disk_()
{
    run_ env LD_PRELOAD="$full_disk" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        FULL_DISK_BELOW="$dir/made" FULL_DISK_COUNT="$dir/count" "$@" "$dlm" -q export doc.dlm \
        --adapter-version v1 --out "$dir/made/$form" $tar_
}

case_ "no room: nothing is written"
form=folder tar_=
disk_ FULL_DISK_FREE=16384
fails_ 1 "cannot export to '$dir/made/folder': it takes " " are free"
holds_ test -z "$(ls -A made)"

case_ "merged weights answer as the adapter does"
run_ dlm export doc.dlm --merged
status_is 0
out_is "$dir/$store_/exports/hf-merged"
err_has "warning: the licence of 'dir:base' is not known here: it says whether its weights may be"
err_has "export: merged weights written to $dir/$store_/exports/hf-merged"
err_has " tensor(s) hold base and adapter, but for rounding"
err_has "  manifest: export_manifest.json"
cp -R $store_/exports/hf-merged merged
(cd merged && sed -n 's/^ *"path": "\(.*\)",$/\1/p' export_manifest.json > ../paths)
sed -n 's/^ *"sha256": "\(.*\)",$/\1/p' merged/export_manifest.json > hashes
paste -d ' ' hashes paths | sed 's/ /  /' > sums
(cd merged && sha256sum -c --quiet --strict "$dir/sums") || fail_ "a hash differs"
holds_ grep -qx model.safetensors paths
for file in config.json generation_config.json preprocessor_config.json tokenizer.json; do
    same_ base/$file merged/$file
done
ask_() { run_ dlm -q prompt --backend cpu --image images/one.png --temp 0 "$@" "blue an?"; }
ask_ doc.dlm
cp out answer
ask_ --base dir:base
cmp -s out answer && fail_ "the adapter changes nothing"
ask_ --base dir:merged
same_ out answer
export_ --merged --precision bf16 --json --out merged16
status_is 0
out_has '"export_target": "hf_merged"'
out_has '"merged": true'
holds_ grep -qF '"torch_dtype": "bfloat16"' merged16/config.json
size=$(wc -c < base/model.safetensors)
holds_ test "$(wc -c < merged16/model.safetensors)" -lt $((size * 3 / 5))
export_ --out merged # a snapshot takes its place
status_is 0
holds_ test ! -e merged/model.safetensors

case_ "GGUF files"
run_ dlm export two/own.dlm --quant Q4_K_M
status_is 0
two_=$(cat out)
holds_ test "${two_##*/}" = vl-gguf-Q4_K_M
err_has "export: GGUF files written to $two_"
err_has "  artifacts: 6 file(s)"
holds_ test "$(ls "$two_" | tr '\n' ' ')" = \
    "Modelfile README.md base.Q4_K_M.gguf export_manifest.json mmproj.F16.gguf vl_gguf.json "
for file in Modelfile base.Q4_K_M.gguf mmproj.F16.gguf; do
    case $file in *.gguf) holds_ test "$(head -c 4 "$two_/$file")" = GGUF ;; esac
    sum=$(sha256sum < "$two_/$file")
    holds_ grep -qF "\"sha256\": \"${sum%% *}\"" "$two_/export_manifest.json"
done
sum=$(sha256sum < "$two_/base.Q4_K_M.gguf")
for text in '"schema": 1' '"support": "SUPPORTED"' '"mmproj_path": "mmproj.F16.gguf"' \
    '"architecture": "Qwen2VLForConditionalGeneration"' "\"gguf_sha256\": \"${sum%% *}\"" \
    '"reason": "registered on Qwen2VLModel, '; do
    holds_ grep -qF "$text" "$two_/vl_gguf.json"
done
for text in '"quant": "Q4_K_M",' '"merged": true,' '"llama_cpp_tag": "' '"target": "gguf"'; do
    holds_ grep -qF "$text" "$two_/export_manifest.json"
done
holds_ grep -qF 'llama-mtmd-cli -m base.Q4_K_M.gguf --mmproj mmproj.F16.gguf' "$two_/README.md"
holds_ grep -qF 'images were resized to 42 x 42 pixels' "$two_/README.md"
holds_ grep -qxF "# Source: $dir/two/own.dlm" "$two_/Modelfile"
holds_ grep -qxF '# base_model: dir:ba"se?```\' "$two_/Modelfile"
holds_ grep -qxF "FROM ./base.Q4_K_M.gguf" "$two_/Modelfile"
holds_ grep -qxF "PARAMETER temperature 0.2" "$two_/Modelfile"
run_ dlm show two/own.dlm
out_has "  exports:        3"
out_has "    - gguf "
for kind in f32 f16 bf16 q8_0 q6_k q5_k_m q4_0; do
    run_ dlm -q export two/own.dlm --quant $kind --out gguf --json
    status_is 0
    out_has "\"quant\": \"$kind\""
    out_has '"export_target": "gguf"'
done
run_ dlm -q export two/own.dlm --quant q8_0 --merged --out gguf.tar --tar
status_is 0
holds_ test "$(tar -tf gguf.tar | tr '\n' ' ')" = \
    "gguf/README.md gguf/base.Q8_0.gguf gguf/mmproj.Q8_0.gguf gguf/Modelfile \
gguf/vl_gguf.json gguf/export_manifest.json "
sed 's/^training:/export:\n  default_temperature: 0.7\nsystem_prompt: |\n  Say "little".\n&/' \
    two/own.dlm > two/asked.dlm
run_ dlm -q export two/asked.dlm --quant f16 --no-template --out gguf
status_is 0
holds_ grep -qxF "PARAMETER temperature 0.7" gguf/Modelfile
holds_ grep -qxF 'SYSTEM """Say "little"."""' gguf/Modelfile
holds_ test "$(grep -c TEMPLATE gguf/Modelfile)" -eq 0

case_ "an adapter by itself, for llama.cpp"
run_ dlm export two/own.dlm --adapter-only
status_is 0
lora_=$(cat out)
holds_ test "${lora_##*/}" = gguf-adapter
err_has "export: GGUF adapter written to $lora_"
holds_ test "$(ls "$lora_" | tr '\n' ' ')" = "README.md adapter.gguf export_manifest.json "
sum=$(sha256sum < "$lora_/adapter.gguf")
for text in "\"sha256\": \"${sum%% *}\"" '"quant": "F32",' '"merged": false,' \
    '"target": "gguf_adapter"'; do
    holds_ grep -qF "$text" "$lora_/export_manifest.json"
done
holds_ grep -qF -e '--lora adapter.gguf' "$lora_/README.md"
run_ dlm show two/own.dlm
out_has "    - gguf_adapter "
run_ dlm -q export two/own.dlm --adapter-only --quant f16 --tar --out lora.tar --json
status_is 0
out_has '"export_target": "gguf_adapter"'
out_has '"merged": false'
out_has '"quant": "f16"'
holds_ test "$(tar -tf lora.tar | tr '\n' ' ')" = \
    "lora/README.md lora/adapter.gguf lora/export_manifest.json "
run_ dlm -q export two/own.dlm --adapter-only --quant q4_k_m --out never
fails_ 2 "an adapter by itself is f32, f16, bf16 or q8_0, not q4_k_m"
export_ --adapter-only --out fallback
status_is 0
err_has "export: ignoring GGUF-only flags (--quant / --merged / --adapter-only): llama.cpp ("
err_has ") has no model of the family 'paligemma', and an HF snapshot is written instead"
whole_ fallback v0002
sed 's/^\(dlm_id: 0\)./\1Y/; s/^training:/&\n  target_modules: ".*\\\\.(fc1|q_proj)"/' \
    two/own.dlm > two/wide.dlm
run_ dlm -q train --backend cpu --max-steps 1 two/wide.dlm
status_is 0
run_ dlm -q export two/wide.dlm --adapter-only --out never
fails_ 1 "cannot write the adapter by itself: llama.cpp lays one over the language model alone," \
    "modules are elsewhere, as 'model.visual.blocks.0.mlp.fc1'"
err_has "hint: --quant without --adapter-only folds all of it into the base"
holds_ test ! -e never
rm -rf home/store/0Y*

case_ "GGUF of a base without a tokenizer.json"
rm "two/$name/tokenizer.json"
run_ dlm -q export two/own.dlm --quant f16 --out never
status_is 1
holds_ test ! -e never
cp "$data/golden/models/qwen2_vl_f32_old/base/tokenizer.json" "two/$name/"

case_ "GGUF of a base that llama.cpp has no model for: a snapshot"
export_ --quant f16 --merged --out fallback --json
status_is 0
err_has "export: ignoring GGUF-only flags (--quant / --merged / --adapter-only): llama.cpp ("
err_has ") has no model of the family 'paligemma', and an HF snapshot is written instead"
out_has '"export_target": "hf_snapshot"'
out_has '"quant": null'
out_has '"merged": false'
whole_ fallback v0002
err_has "hint: --gguf-anyway writes GGUF files that only dlm reads"
cp doc.dlm doc.kept
printf -- '---\nexport: {default_quant: Q6_K}\n' > doc.dlm
sed 1d doc.kept >> doc.dlm
export_ --out fallback
status_is 0
err_has "export: ignoring the document's export.default_quant: llama.cpp ("
err_has ") has no model of the family 'paligemma', and an HF snapshot is written instead"
whole_ fallback v0002
export_ --no-verify --gguf-anyway --out anyway
status_is 0
holds_ test -f anyway/base.Q6_K.gguf
rm -r anyway
export_ --skip-ollama --adapter-only --out fallback
fails_ 2 "--name, --skip-ollama and --no-template go with --quant"
mv doc.kept doc.dlm
run_ dlm export doc.dlm --quant q8_0 --gguf-anyway
status_is 0
any_=$(cat out)
holds_ test "${any_##*/}" = vl-gguf-Q8_0
holds_ test "$(ls "$any_" | tr '\n' ' ')" = \
    "README.md base.Q8_0.gguf export_manifest.json mmproj.Q8_0.gguf "
holds_ grep -qF '"llama_cpp_tag": null,' "$any_/export_manifest.json"
holds_ grep -qF 'dlm prompt --base gguf:base.Q8_0.gguf --mmproj mmproj.Q8_0.gguf' "$any_/README.md"
rm -rf "$any_"
export_ --quant f32 --gguf-anyway --out any
status_is 0
ask_ --base gguf:any/base.F32.gguf --mmproj any/mmproj.F32.gguf
same_ out answer

case_ "a base that may not be redistributed"
revision=0123456789abcdef0123456789abcdef01234567
repo=hub/models--me--mine/snapshots/$revision
mkdir -p $repo home/bases.d
cp base/* $repo/
cat > home/bases.d/mine.yaml << END
key: mine
hf_id: me/mine
revision: $revision
architecture: PaliGemmaForConditionalGeneration
license_spdx: Other
license_url: https://example.com/terms
END
export HF_HUB_CACHE="$dir/hub"
sed 's/^base_model: .*/base_model: mine/; s/^\(dlm_id: 0\)./\1Z/' doc.dlm > mine.dlm
run_ dlm -q train --backend cpu --max-steps 1 mine.dlm
status_is 0
run_ dlm -q export mine.dlm --out mine
status_is 0
holds_ grep -qF "    \"me/mine\", revision=\"$revision\", dtype=\"auto\")" mine/README.md
holds_ grep -qF "Target: **mine** (me/mine @ 0123456789ab)" mine/README.md
holds_ grep -qF "\"base_model_revision\": \"$revision\"," mine/snapshot_manifest.json
for words in "" "--i-am-the-licensee https://example.com"; do
    # shellcheck disable=SC2086
    run_ dlm -q export mine.dlm --merged --out never $words
    fails_ 1 "license: base 'mine' may not be redistributed" "(https://example.com/terms)"
    err_has "hint: \`dlm export --quant none\` leaves the base out"
    holds_ test ! -e never
done
run_ dlm -q export mine.dlm --merged --out own --i-am-the-licensee https://example.com/terms
status_is 0
err_is
holds_ test -f own/model.safetensors
run_ dlm -q export mine.dlm --quant f16 --out snapshot # in which there are no weights of the base
status_is 0
holds_ test -f snapshot/snapshot_manifest.json
rm -rf home/store/0Z* $repo/*
cp "two/$name/"* $repo/
edit_ home/bases.d/mine.yaml 's/PaliGemma/Qwen2VL/'
sed 's/^base_model: .*/base_model: mine/; s/^\(dlm_id: 0\)./\1Z/' two/doc.dlm > two/mine.dlm
run_ dlm -q train --backend cpu --max-steps 1 two/mine.dlm
status_is 0
run_ dlm -q export two/mine.dlm --quant f16 --out never
fails_ 1 "license: base 'mine' may not be redistributed" "(https://example.com/terms)"
run_ dlm -q export two/mine.dlm --quant f16 --out own --i-am-the-licensee https://example.com/terms
status_is 0
err_is
holds_ test -f own/base.F16.gguf
unset HF_HUB_CACHE

case ${DLM_TEST_ENDURANCE:-} in
all) stride=1 ;;
*) stride=4 ;;
esac
for version in v0001 v0002; do
    export_ --out ref/$version --adapter-version $version
    whole_ ref/$version $version
done

# unhurt_: what is there is the old export or the new one, whole.
unhurt_()
{
    seen=made/folder
    if [ $form = file.tar ]; then
        rm -rf seen
        mkdir seen
        tar -C seen -xf made/file.tar || fail_ "the archive is damaged"
        seen=seen/file
    fi
    is_new=$(grep -c '"adapter_version": 1' $seen/snapshot_manifest.json)
    diff -r -I '"created_at"' ref/v000$((2 - is_new)) $seen > differs ||
        fail_ "it is neither the old one nor the new one"
}

for form in folder file.tar; do
    case $form in *.tar) tar_=--tar ;; *) tar_= ;; esac
    case_ "a $form: a disk that is full at some write, and a kill at some"
    rm -rf made first
    export_ --out made/$form $tar_
    cp -R made first
    disk_ FULL_DISK_AT=0
    status_is 0
    num=$(cat count)
    echo "# $form: $num calls"
    holds_ test "$num" -gt 12
    at=1
    while [ $at -le "$num" ]; do
        rm -rf made
        cp -R first made
        disk_ FULL_DISK_AT=$at
        if [ "$status" -ne 0 ]; then fails_ 1 "cannot " "made"; fi
        unhurt_
        disk_ FULL_DISK_AT=$at FULL_DISK_KILL=1
        status_is 137
        unhurt_
        rm -rf made
        mkdir made
        disk_ FULL_DISK_AT=$at FULL_DISK_KILL=1
        [ ! -e made/$form ] || unhurt_ # what a kill leaves has another name
        at=$((at + stride))
    done
    # the last ones are those that put it in place
    for at in $((num - 2)) $((num - 1)) "$num"; do
        rm -rf made
        cp -R first made
        disk_ FULL_DISK_AT=$at FULL_DISK_KILL=1
        status_is 137
        unhurt_
    done
    export_ --out made/$form $tar_
    holds_ test "$(ls -A made)" = $form
    unhurt_
done

case_ "which bases llama.cpp runs"
run_ dlm export --matrix
status_is 0
out_has "llama.cpp at "
out_has "paligemma-3b-mix-224            UNSUPPORTED  llama.cpp has no such model; --quant writes"
out_has "qwen2-vl-2b-instruct            SUPPORTED    registered on Qwen2VLModel, its tower on"
out_has "mistral-small-3.1-24b-instruct  SUPPORTED    registered on Mistral3Model, its tower on Ll"
out_has "paligemma2-3b-mix-224           PARTIAL      registered on Gemma2Model, its tower on none"
out_has "internvl2-2b                    PARTIAL      registered on InternLM2Model, its tower on"
out_has "internvl3-2b                    PARTIAL      registered on Qwen2Model, its tower on Inter\
nVisionModel; dlm neither trains nor exports it yet"
run_ dlm export --matrix --json
status_is 0
out_has '"schema": 1'
out_has '"support": "SUPPORTED"'
out_has '"architecture": "Mistral3ForConditionalGeneration"'

case_ "wrong usage"
run_ dlm export
status_is 2
err_is "export: DOCUMENT or --matrix is missing"
for words in doc.dlm "--quant f16" "--out x" --tar --merged "--precision bf16" "--name x" \
    --skip-ollama --gguf-anyway --no-template --adapter-only "--i-am-the-licensee https://x.y" \
    "--adapter-version v1" --no-verify "--backend cpu" "--device 0" --no-matrix-units; do
    # shellcheck disable=SC2086
    run_ dlm export --matrix --json $words
    status_is 2
    err_is "export: --matrix goes with --json alone, and is of no DOCUMENT"
done
run_ dlm export doc.dlm --adapter-version v0
status_is 2
run_ dlm export doc.dlm --precision bf16
status_is 2
err_is "export: --precision goes with --merged, without --quant"
run_ dlm export doc.dlm --merged --quant f16 --precision bf16
status_is 2
err_is "export: --precision goes with --merged, without --quant"
run_ dlm export doc.dlm --gguf-anyway
status_is 2
err_is "export: --gguf-anyway goes with --quant, without --adapter-only"
for words in --merged "--i-am-the-licensee https://example.com"; do
    # shellcheck disable=SC2086
    run_ dlm export doc.dlm --adapter-only $words
    status_is 2
    err_has "export: --adapter-only holds no weight of the base: it goes without --merged and "
done
run_ dlm export doc.dlm --i-am-the-licensee https://example.com
status_is 2
err_is "export: --i-am-the-licensee goes with --merged or --quant"
run_ dlm export doc.dlm --quant q3_k
status_is 2
err_has "option '--quant': 'q3_k' is none of none, f16, bf16, f32, q8_0, q6_k, q5_k_m, q4_k_m, q4_0"

summary_
