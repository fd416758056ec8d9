#!/bin/sh
# dlm export and ollama: what it is told, that it fails, hangs or is not here.
. "${0%/*}/lib.sh"

cp -R "$data/golden/models/qwen2_vl_f32_old/." .
chmod -R u+w .

# An ollama of our own, before one that may be here: notes what it is told, then does what
# $OLLAMA_DOES says; asked for its version, what $OLLAMA_VERSION says.
mkdir bin
cat > bin/ollama << 'END'
#!/bin/sh
if [ "$*" = --version ]; then
    eval "${OLLAMA_VERSION:-echo ollama version is 0.6.8}"
    exit
fi
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
# recorded_ NAME VERSION: the last export in the store's record
recorded_()
{
    grep '"ollama_' $store_/manifest.json | tail -n 2 > told.record
    printf '      "ollama_name": %s,\n      "ollama_version": %s,\n' "$1" "$2" > want
    same_ told.record want
}
export OLLAMA_DOES='echo gathering model components'
gguf_
status_is 0
told_ $name_
out_is "it's gguf" # what ollama says is no result
err_has "  llama.cpp: \`llama-mtmd-cli -m 'it'\\''s gguf/base.F16.gguf' --mmproj \
'it'\\''s gguf/mmproj.F16.gguf' --jinja --image image.png -p 'What is this?'\` asks it"
err_has "  ollama:   $name_"
err_has "gathering model components"
holds_ grep -qF "\"ollama_name\": \"$name_\"," "it's gguf/export_manifest.json"
recorded_ "\"$name_\"" '"0.6.8"'
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
holds_ grep -qF '"ollama_name": "me/birds:new",' "it's gguf/export_manifest.json"
recorded_ '"me/birds:new"' '"0.6.8"'

case_ "ollama's version"
# of a server that is not there, of one that is another
for words in "echo Warning: could not connect; echo Warning: client version is 0.9.1" \
    "echo ollama version is 0.9.1; echo Warning: client version is 0.8.0"; do
    OLLAMA_VERSION=$words gguf_
    status_is 0
    recorded_ "\"$name_\"" '"0.9.1"'
done
for words in "echo ollama version is" "exit 3" "echo version is 0.9.1; exit 1" "kill -KILL \$\$" \
    "printf 'version is 0\\001\\n'"; do
    OLLAMA_VERSION=$words gguf_
    status_is 0
    recorded_ "\"$name_\"" null
done
OLLAMA_VERSION="exec sleep 600" gguf_ # one that hangs
status_is 0
recorded_ "\"$name_\"" null
OLLAMA_VERSION="sleep 20 & echo version is 0.9.2" gguf_ # or leaves one behind who holds its output
status_is 0
recorded_ "\"$name_\"" '"0.9.2"'
unset OLLAMA_DOES

case_ "none is made"
rm told
export OLLAMA_VERSION='echo asked >> "$OLLAMA_TOLD"'
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
recorded_ null null
unset OLLAMA_VERSION

case_ "ollama fails, and the files stay"
export OLLAMA_DOES='echo "Error: no server" >&2; exit 7'
gguf_
status_is 1
out_is "it's gguf"
err_has "Error: no server"
err_has "export: \`ollama create $name_\` failed with exit status 7; the files are in 'it's gguf'"
err_has "  ollama:   \`ollama create $name_ -f 'it'\\''s gguf/Modelfile'\` makes a model of it"
holds_ test -f "it's gguf/base.F16.gguf"
holds_ grep -qF '"ollama_name": null,' "it's gguf/export_manifest.json"
recorded_ null null
run_ dlm export doc.dlm --no-verify --quant f16 --out "it's gguf" --json
status_is 1
out_has '"ollama_name": null'
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
holds_ grep -qF '"ollama_name": null,' "it's gguf/export_manifest.json"
recorded_ null null
unset OLLAMA_DOES

case_ "the store is held, or the folder is gone, when the model is made"
export OLLAMA_DOES='flock "$DLM_HOME/store/05F91VY7949JESMXCBSEK5PGGY/.lock" sh -c "echo \$\$ > held
    exec sleep 600" & until [ -s held ]; do sleep 0.1; done'
gguf_
kill "$(cat held)"
status_is 0
err_has "warning: the store's record does not name this model: a training holds the store"
holds_ grep -qF "\"ollama_name\": \"$name_\"," "it's gguf/export_manifest.json"
recorded_ null null
export OLLAMA_DOES='rm -r "it'\''s gguf"'
gguf_
status_is 1
err_has "export_manifest.json"
unset OLLAMA_DOES

case_ "the document's export.default_quant"
sed 's/^dlm_id:/export:\n  default_quant: Q8_0\ndlm_id:/' doc.dlm > quant.dlm
cp doc.dlm plain.dlm && cp quant.dlm doc.dlm
run_ dlm export doc.dlm --no-verify
status_is 0
out_is "$dir/$store_/exports/vl-gguf-Q8_0"
err_has "  ollama:   $name_"
recorded_ "\"$name_\"" '"0.6.8"'
run_ dlm export doc.dlm --no-verify --skip-ollama --name x --out q8
status_is 0
holds_ test -f q8/base.Q8_0.gguf
run_ dlm export doc.dlm --no-verify --quant f16 --skip-ollama
status_is 0
out_is "$dir/$store_/exports/vl-gguf-F16"
run_ dlm export doc.dlm --no-verify --quant none
out_is "$dir/$store_/exports/hf-snapshot"
run_ dlm export doc.dlm --no-verify --merged
out_is "$dir/$store_/exports/hf-merged"
run_ dlm export doc.dlm --no-verify --adapter-only
out_is "$dir/$store_/exports/gguf-adapter"
holds_ grep -q '"quant": "F32"' "$dir/$store_/exports/gguf-adapter/export_manifest.json"
run_ dlm export doc.dlm --quant none --skip-ollama
status_is 2
mv plain.dlm doc.dlm
run_ dlm export doc.dlm --no-verify
out_is "$dir/$store_/exports/hf-snapshot"

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
