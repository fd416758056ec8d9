#!/bin/sh
# dlm pull, against a hub on this machine that misbehaves (hub_server.c).
. "${0%/*}/lib.sh"

HF_HUB_CACHE=$dir/cache
export HF_HUB_CACHE
unset HF_HOME HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_TOKEN_PATH http_proxy HTTP_PROXY all_proxy
HF_TOKEN_PATH=$dir/token
export HF_TOKEN_PATH
commit=0123456789abcdef0123456789abcdef01234567
repo=$HF_HUB_CACHE/models--me--base
snapshot=$repo/snapshots/$commit
server=

stop_()
{
    [ -z "$server" ] || { kill "$server"; wait "$server" 2> /dev/null; }
    server=
}
trap 'stop_; rm -rf "$dir"' EXIT

# serve_ [ARGUMENT ...]: a new hub, an empty log and an empty cache.
serve_()
{
    stop_
    rm -rf "$HF_HUB_CACHE" log address
    : > log
    serve_again_ "$@"
}

# The same with the cache as it is.
serve_again_()
{
    stop_
    options=
    while [ "${1#-}" != "${1:-}" ]; do options="$options $1 $2"; shift 2; done
    # shellcheck disable=SC2086
    "$DLM_HUB_SERVER" -l log $options hub "$@" > address &
    server=$!
    while ! [ -s address ]; do sleep 0.02; done
    HF_ENDPOINT=$(cat address)
    export HF_ENDPOINT
}

# The snapshot's files are those of the repository, and every blob has its hash as its name.
whole_()
{
    for name in config.json model.safetensors tokenizer.json LICENSE.txt; do
        same_ "$snapshot/$name" "hub/me/base/$name"
    done
    sound_
}
sound_()
{
    for blob in "$repo"/blobs/*; do
        name=${blob##*/}
        case $name in
        *.incomplete | '*') continue ;;
        esac
        if [ ${#name} = 64 ]; then
            hash=$(sha256sum < "$blob")
        else
            hash=$({ printf 'blob %d\0' "$(wc -c < "$blob")"; cat "$blob"; } | sha1sum)
        fi
        [ "${hash%% *}" = "$name" ] || fail_ "blob $name is not whole"
    done
}
no_snapshot_() { [ ! -e "$snapshot" ] || fail_ "a snapshot is there"; }
asked_() { grep -q -- "$1" log || { fail_ "the hub was not asked: $1"; cat log; }; }
not_asked_() { ! grep -q -- "$1" log || { fail_ "the hub was asked: $1"; cat log; }; }

if [ -z "${DLM_HUB_SERVER:-}" ]; then
    case_ "a build without libcurl says so"
    run_ dlm pull qwen2-vl-2b-instruct
    status_is 1
    err_has "fetching is not part of this build"
    err_has "hint: \`hf download Qwen/Qwen2-VL-2B-Instruct"
    summary_
fi

mkdir -p hub/me/base
echo $commit > hub/me/base.commit
echo '{"model_type": "none"}' > hub/me/base/config.json
echo '{}' > hub/me/base/tokenizer.json
: > hub/me/base/LICENSE.txt
echo '# me' > hub/me/base/README.md
awk 'BEGIN { for (i = 0; i < 200000; i++) printf "%d ", i * i }' > hub/me/base/model.safetensors
for other in consolidated.safetensors pytorch_model.bin model.gguf model.onnx flax_model.msgpack; do
    echo x > hub/me/base/$other
done

case_ "what a base needs, checked, as huggingface_hub lays it out"
serve_
run_ dlm pull hf:me/base
status_is 0
out_is "$snapshot"
err_has "4 files"
whole_
[ "$(cat "$repo/refs/main")" = $commit ] || fail_ "refs/main"
ls "$snapshot" > out
out_is LICENSE.txt config.json model.safetensors tokenizer.json
case $(readlink "$snapshot/config.json") in
../../blobs/????????????????????????????????????????) ;;
*) fail_ "no relative link" ;;
esac
not_asked_ token=yes

case_ "a second time only the listing is asked for"
: > log
run_ dlm pull hf:me/base
status_is 0
err_has "0 GB of it fetched"
not_asked_ resolve

case_ "a commit has no ref"
serve_
run_ dlm pull hf:me/base --revision $commit
status_is 0
whole_
[ ! -e "$repo/refs" ] || fail_ "a ref is there"

case_ "a snapshot that another program began gets what it lacks"
serve_
mkdir -p "$snapshot"
cp hub/me/base/tokenizer.json "$snapshot/"
echo 'half' > "$snapshot/model.safetensors"
run_ dlm pull hf:me/base
status_is 0
whole_
[ ! -L "$snapshot/tokenizer.json" ] || fail_ "a whole file was replaced"

case_ "the token goes to the hub, not to where it redirects"
echo ' of-the-file ' > token
serve_ -t of-the-file
run_ dlm pull hf:me/base
status_is 0
whole_
asked_ "hub GET .*config.json .*token=yes"
asked_ "cdn GET .*safetensors .*token=no"
not_asked_ "cdn .*token=yes"
serve_ -t of-the-environment
HF_TOKEN=of-the-environment run_ dlm pull hf:me/base
status_is 0
rm token

case_ "a gated base without a token, and with one that does not help"
serve_ -t right
run_ dlm pull hf:me/base
status_is 1
err_is "pull: cannot fetch 'me/base': it is only for those who accepted its licence (401)" \
    "hint: accept its licence at $HF_ENDPOINT/me/base" \
    "hint: make a token at $HF_ENDPOINT/settings/tokens; HF_TOKEN or \`hf auth login\` takes it"
HF_TOKEN=wrong run_ dlm pull hf:me/base
status_is 1
err_has "this account has not been granted access (401)"
err_has "the token in use has to be of the account that accepted it"
HF_TOKEN='two words' run_ dlm pull hf:me/base
err_is "pull: cannot use the token of HF_TOKEN: it is not one word"
no_snapshot_

case_ "what is not there"
serve_
run_ dlm pull hf:me/nothing
status_is 1
err_has "cannot fetch 'me/nothing': not found, or not for everyone (401)"
run_ dlm pull hf:me/base --revision v2
status_is 1
err_is "pull: cannot fetch 'me/base': it has no revision 'v2'"
run_ dlm pull hf:me/base --revision ../x
err_is "pull: '../x' is not a revision"
run_ dlm pull tiny-shapes
status_is 1
err_is "pull: cannot fetch 'tiny-shapes': it is bundled with dlm, and here"
run_ dlm pull dir:hub
status_is 1
run_ dlm pull nonsense
err_has "unknown base model 'nonsense'"
HF_ENDPOINT=ftp://x run_ dlm pull hf:me/base
err_has "cannot use HF_ENDPOINT 'ftp://x'"
no_snapshot_

summary_
