#!/bin/sh
# gguf:PATH as a base: what is the same as with the folder that holds the same weights, and what is
# refused by name. The weights themselves are compared by tests/export/test_gguf_base.c.
. "${0%/*}/lib.sh"

make_() # NAME: golden NAME in folder NAME, exported as GGUF and as safetensors
{
    mkdir "$1" && cp -R "$data/golden/models/$1/." "$1" && chmod -R u+w "$1" || exit 1
    run_ dlm -q train --backend cpu --max-steps 1 "$1/doc.dlm"
    status_is 0
    for form in "--merged --precision fp32 --out $1/merged" "--quant f32 --out $1/f32" \
        "--quant q8_0 --out $1/q8_0"; do
        run_ dlm -q export "$1/doc.dlm" --no-verify $form
        status_is 0
    done
}
# document_ FILE ID BASE [MMPROJ]: the golden's document with another base
document_()
{
    sed -e "s|^base_model:.*|base_model: $3${4:+\\nmmproj: $4}|" -e "s/^dlm_id:.*/dlm_id: $2/" \
        -e "s/^training:/training:\\n  image_size: 56/" "${1%/*}/doc.dlm" > "$1"
}
store_() { echo "home/store/$1"; }
score_() { run_ dlm -q score --backend cpu --precision fp32 --image "$name/images/one.png" \
    --image-size 56 --prompt "blue an?" --target caption "$@"; }
ids_='01KAJ2T0SHAPESEMB1EMSZQD'

for name in qwen2_vl_f32_old mistral3_f32_old; do
    case $name in
    qwen*) tag=Q2 other=mistral3_f32_old ;;
    *) tag=M3 other=qwen2_vl_f32_old ;;
    esac
    case_ "$name: exports to begin with"
    make_ "$name"

    case_ "$name: scores and tokens are the folder's"
    score_ --base "dir:$name/merged"
    status_is 0
    cp out want.score
    score_ --base "gguf:$name/f32/base.F32.gguf"
    status_is 0
    same_ want.score out
    mkdir "$name/apart" && mv "$name/f32/mmproj.F32.gguf" "$name/apart/tower.gguf"
    score_ --base "gguf:$name/f32/base.F32.gguf" --mmproj "$name/apart/tower.gguf"
    same_ want.score out
    run_ dlm tokenize --base "dir:$name/merged" "blue an? 123"
    cp out want.ids
    run_ dlm tokenize --base "gguf:$name/f32/base.F32.gguf" --mmproj "$name/apart/tower.gguf" \
        "blue an? 123"
    same_ want.ids out

    case_ "$name: training learns the same adapter, to the bit"
    document_ "$name/dir.dlm" "${ids_}$tag" "dir:merged"
    document_ "$name/gguf.dlm" "01KAJ2T0SHAPESEMB1EMSZQG$tag" "gguf:f32/base.F32.gguf" \
        apart/tower.gguf
    for doc in dir gguf; do
        run_ dlm -q train --backend cpu --max-steps 20 "$name/$doc.dlm"
        status_is 0
    done
    same_ "$(store_ "${ids_}$tag")/adapter/versions/v0001/adapter_model.safetensors" \
        "$(store_ "01KAJ2T0SHAPESEMB1EMSZQG$tag")/adapter/versions/v0001/adapter_model.safetensors"
    holds_ grep -q "\"base_model_name_or_path\": \"$dir/$name/f32/base.F32.gguf\"" \
        "$(store_ "01KAJ2T0SHAPESEMB1EMSZQG$tag")/adapter/versions/v0001/adapter_config.json"
    for doc in dir gguf; do
        run_ dlm -q prompt --backend cpu --temp 0 --image "$name/images/one.png" \
            "$name/$doc.dlm" "an en blue one?"
        status_is 0
        cp out "$doc.answer"
    done
    same_ dir.answer gguf.answer

    case_ "$name: a run that was interrupted goes on to the same bytes"
    sed 's/num_epochs: 20/num_epochs: 2000/' "$name/gguf.dlm" > "$name/long.dlm"
    : > job.err
    "$dlm" train --backend cpu --take-over --fresh --max-steps 1500 "$name/long.dlm" \
        > job.out 2> job.err &
    job=$!
    tries=0
    until grep -q '^step 1/' job.err || [ $tries -gt 600 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    kill -INT $job
    wait $job
    status=$?
    cp job.err err
    status_is 130
    run_ dlm -q train --backend cpu --resume --max-steps 1500 "$name/long.dlm"
    status_is 0
    run_ dlm -q train --backend cpu --fresh --max-steps 1500 "$name/long.dlm"
    status_is 0
    versions=$(store_ "01KAJ2T0SHAPESEMB1EMSZQG$tag")/adapter/versions
    same_ "$versions/v0002/adapter_model.safetensors" "$versions/v0003/adapter_model.safetensors"

    case_ "$name: weights that changed are seen"
    cp "$name/f32/base.F32.gguf" "$name/f32/kept"
    size=$(wc -c < "$name/f32/kept")
    head -c 20000 /dev/zero |
        dd of="$name/f32/base.F32.gguf" bs=1000 seek=$((size / 2000)) conv=notrunc 2> dd.err
    run_ dlm -q prompt --backend cpu --adapter-version v1 "$name/long.dlm" "what?"
    status_is 1
    err_has "had other weights when it was trained"
    mv "$name/f32/kept" "$name/f32/base.F32.gguf"

    case_ "$name: the adapter leaves for PEFT and for llama.cpp, the weights do not"
    run_ dlm -q export "$name/gguf.dlm" --out "$name/snapshot"
    status_is 0
    holds_ test -s "$name/snapshot/adapter/adapter_model.safetensors"
    holds_ test ! -e "$name/snapshot/processor"
    run_ dlm -q export "$name/gguf.dlm" --adapter-only --out "$name/lora"
    status_is 0
    cp "$name/gguf.dlm" "$name/kept.dlm"
    printf -- '---\nexport: {default_quant: Q8_0}\n' > "$name/gguf.dlm"
    sed 1d "$name/kept.dlm" >> "$name/gguf.dlm"
    run_ dlm -q export "$name/gguf.dlm" --out "$name/snapshot"
    status_is 0
    err_has "ignoring the document's export.default_quant: a base in GGUF is not written again"
    holds_ test -s "$name/snapshot/adapter/adapter_model.safetensors"
    mv "$name/kept.dlm" "$name/gguf.dlm"
    for form in --merged "--quant q8_0"; do
        run_ dlm -q export "$name/gguf.dlm" $form --out "$name/none"
        status_is 1
        err_has "a base in GGUF is not written again"
        holds_ test ! -e "$name/none"
    done

    case_ "$name: doctor plans from the headers, with the weights in the files' types"
    run_ dlm doctor --backend cpu "$name/gguf.dlm"
    status_is 0
    out_has "may start"
    run_ dlm doctor --backend cpu --base "gguf:$name/q8_0/base.Q8_0.gguf" --json
    status_is 0
    cp out eight.json
    run_ dlm doctor --backend cpu --base "gguf:$name/f32/base.F32.gguf" \
        --mmproj "$name/apart/tower.gguf" --json
    status_is 0
    weights_() { sed -n 's/^.*"weights_bytes": \([0-9]*\).*/\1/p' "$1" | head -n 1; }
    holds_ test "$(weights_ eight.json)" -lt "$(weights_ out)"

    case_ "$name: a document that init wrote, with paths from its own folder"
    run_ dlm init "$name/new.dlm" --base gguf:f32/base.F32.gguf --mmproj apart/tower.gguf
    status_is 0
    run_ dlm train --backend cpu --max-steps 1 "$name/new.dlm"
    status_is 0

    case_ "$name: what is wrong with the files"
    score_ --base "gguf:$name/f32/none.gguf"
    status_is 1
    err_has "cannot find base 'gguf:$name/f32/none.gguf'"
    score_ --base "gguf:$name/f32/base.F32.gguf"
    status_is 1
    err_has "there is no file called *mmproj*.gguf in '$dir/$name/f32'"
    err_has "hint: name it: \`mmproj: PATH\` in the document, or --mmproj PATH"
    score_ --base "gguf:$name/apart/tower.gguf" --mmproj "$name/apart/tower.gguf"
    status_is 1
    err_has "it holds a vision tower, not a language model"
    score_ --base "gguf:$name/f32/base.F32.gguf" --mmproj "$name/f32/base.F32.gguf"
    status_is 1
    err_has "it holds no vision tower"
    score_ --base "gguf:$name/lora/adapter.gguf" --mmproj "$name/apart/tower.gguf"
    status_is 1
    err_has "it is an adapter"
    score_ --base "dir:$name/merged" --mmproj "$name/apart/tower.gguf"
    status_is 1
    err_has "mmproj is of \`gguf:PATH\` alone"
    head -c 20000 "$name/f32/base.F32.gguf" > "$name/short.gguf"
    score_ --base "gguf:$name/short.gguf" --mmproj "$name/apart/tower.gguf"
    status_is 1
    LC_ALL=C sed 's/tokenizer\.ggml\.pre/tokenizer.ggml.prX/' "$name/f32/base.F32.gguf" \
        > "$name/nopre.gguf"
    score_ --base "gguf:$name/nopre.gguf" --mmproj "$name/apart/tower.gguf"
    status_is 1
    err_has "tokenizer.ggml.pre"
    if [ -d "$other" ]; then
        score_ --base "gguf:$name/f32/base.F32.gguf" --mmproj "$other/apart/tower.gguf"
        status_is 1
        err_has "is not supported ("
    fi
done

case_ "an adapter of a base of architecture llama is one for llama"
mkdir old && cp -R "$data/golden/models/mistral3_gguf/." old && chmod -R u+w old || exit 1
run_ dlm -q train --backend cpu --max-steps 1 old/doc.dlm
status_is 0
run_ dlm -q export old/doc.dlm --adapter-only --out old/lora
status_is 0
tr -d '\000' < old/lora/adapter.gguf > old/adapter.txt
holds_ grep -a -q "general.architecture..llama.*general.type" old/adapter.txt

case_ "--mmproj without a base"
run_ dlm prompt --mmproj x.gguf qwen2_vl_f32_old/gguf.dlm "what?"
status_is 2
err_has "--mmproj needs --base"
summary_
