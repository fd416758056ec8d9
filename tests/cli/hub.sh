# For the scripts of `dlm pull`: lib.sh, a hub on this machine (hub_server.c) with one repository,
# and what must be true of the cache.
. "${0%/*}/lib.sh"

HF_HUB_CACHE=$dir/cache
export HF_HUB_CACHE
unset HF_HUB_OFFLINE TRANSFORMERS_OFFLINE
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
    rm -rf "$HF_HUB_CACHE" log
    : > log
    serve_again_ "$@"
}

# The same with the cache as it is.
serve_again_()
{
    stop_
    rm -f address
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
