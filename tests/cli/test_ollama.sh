#!/bin/sh
# dlm export and ollama: what it is told, that it fails, hangs or is not here.
. "${0%/*}/lib.sh"

cp -R "$data/golden/models/qwen2_vl_f32_old/." .
chmod -R u+w .

# An ollama of our own, before one that may be here: says what it is told, then does what $OLLAMA
# says.
mkdir bin
cat > bin/ollama << 'END'
#!/bin/sh
{ echo $#; printf '%s\n' "$@"; } > "$OLLAMA_TOLD"
eval "${OLLAMA_DOES:-}"
END
chmod +x bin/ollama
PATH=$dir/bin:$PATH
OLLAMA_TOLD=$dir/told
export OLLAMA_TOLD

store_=home/store/05F91VY7949JESMXCBSEK5PGGY
run_ dlm -q train --backend cpu --max-steps 1 doc.dlm

case_ "a model for ollama"
name_=dlm-05f91vy7949jesmxcbsek5pggy:v0001
gguf_() { run_ dlm "$@" export doc.dlm --no-verify --quant f16 --out "it's gguf"; }
# told_ NAME: it was told to make a model of what is there.
told_()
{
    printf '%s\n' 4 create "$1" -f "it's gguf/Modelfile" > want
    same_ told want
}
export OLLAMA_DOES='echo gathering model components'
gguf_
status_is 0
told_ $name_
out_is "it's gguf" # what ollama says is no result
err_has "  ollama:   $name_"
err_has "gathering model components"
holds_ grep -qF "\"ollama_name\": \"$name_\"," "it's gguf/export_manifest.json"
holds_ grep -qF "\"ollama_name\": \"$name_\"," \
    $store_/manifest.json
sum=$(sha256sum < "it's gguf/base.F16.gguf")
holds_ grep -qF "\"base_gguf_sha256\": \"${sum%% *}\"," \
    $store_/manifest.json
holds_ grep -qF 'ollama create NAME -f Modelfile' "it's gguf/README.md"
rm told
run_ dlm -q export doc.dlm --no-verify --quant f16 --out "it's gguf" --name me/birds:new \
    --json
told_ me/birds:new
out_has '"ollama_name": "me/birds:new"'
err_has "gathering model components"
unset OLLAMA_DOES

case_ "none is made"
rm told
run_ dlm export doc.dlm --no-verify --quant f16 --out "it's gguf" --skip-ollama --name x --json
status_is 0
err_has "  ollama:   \`ollama create x -f 'it'\\''s gguf/Modelfile'\` makes a model of it"
out_has '"ollama_name": null'
holds_ grep -qF '"ollama_name": null,' "it's gguf/export_manifest.json"
run_ dlm export doc.dlm --quant f16 --tar --out gguf.tar
status_is 0
run_ dlm export doc.dlm --no-verify --merged --out merged.two
status_is 0
run_ env PATH="$dir/none:" "$dlm" export doc.dlm --no-verify --quant f16 --out "it's gguf"
status_is 0
err_has "  ollama:   \`ollama create $name_ -f 'it'\\''s gguf/Modelfile'\` makes a model of it"
holds_ test ! -e told

case_ "ollama fails, and the files stay"
export OLLAMA_DOES='echo "Error: no server" >&2; exit 7'
gguf_
status_is 1
out_is "it's gguf"
err_has "Error: no server"
err_has "export: \`ollama create $name_\` failed with exit status 7; the files are in 'it's gguf'"
err_has "  ollama:   \`ollama create $name_ -f 'it'\\''s gguf/Modelfile'\` makes a model of it"
holds_ test -f "it's gguf/base.F16.gguf"
export OLLAMA_DOES='kill -KILL $$'
gguf_
status_is 1
err_has "export: \`ollama create $name_\` was ended by signal 9; the files are in 'it's gguf'"

case_ "Ctrl-C ends an ollama that hangs"
rm -f told
export OLLAMA_DOES='echo $$ > "$OLLAMA_TOLD.pid"; trap "" INT; exec sleep 600'
"$dlm" export doc.dlm --no-verify --quant f16 --out "it's gguf" > out 2> err &
job=$!
tries=0
until [ -s told.pid ] || [ $tries -gt 300 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
kill -INT $job
wait $job
status=$?
status_is 130
err_has "export: \`ollama create $name_\` was interrupted; the files are in 'it's gguf'"
kill -0 "$(cat told.pid)" 2> kill.err && fail_ "ollama runs on"
holds_ test -f "it's gguf/export_manifest.json"
unset OLLAMA_DOES

case_ "wrong usage"
for words in "--name x" --skip-ollama "--no-template --merged" \
    "--name x --quant f16 --adapter-only"; do
    # shellcheck disable=SC2086
    run_ dlm export doc.dlm $words
    status_is 2
    err_is "export: --name, --skip-ollama and --no-template go with --quant"
done
for word in -x "a b" "" 'a;b'; do
    run_ dlm export doc.dlm --quant f16 "--name=$word"
    status_is 2
    err_is "export: --name '$word': a name has letters, digits and . _ - : /"
done

summary_
