#!/bin/sh
# dlm pull, against a hub on this machine that misbehaves (hub_server.c).
. "${0%/*}/hub.sh"

if [ -z "${DLM_HUB_SERVER:-}" ]; then
    case_ "a build without libcurl says so"
    run_ dlm pull qwen2-vl-2b-instruct
    status_is 1
    err_has "fetching is not part of this build"
    err_has "hint: \`hf download Qwen/Qwen2-VL-2B-Instruct"
    summary_
fi

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
err_has ", of which 0.00 were missing"
not_asked_ resolve

case_ "HF_HUB_OFFLINE: what is in the cache, and no word to the hub"
: > log
for word in 1 ON yes True; do
    HF_HUB_OFFLINE=$word run_ dlm pull hf:me/base
    status_is 0
    out_is "$snapshot"
    err_has "HF_HUB_OFFLINE is set: the hub was not asked"
    err_has "4 files"
done
TRANSFORMERS_OFFLINE=1 run_ dlm pull hf:me/base --revision $commit
status_is 0
out_is "$snapshot"
HF_HUB_OFFLINE=1 run_ dlm pull hf:me/base --revision v2
status_is 1
err_is "pull: cannot fetch 'me/base': HF_HUB_OFFLINE is set, and revision 'v2' is not in the \
cache" \
    "hint: HF_HUB_OFFLINE=0 lets it be fetched"
HF_HUB_OFFLINE=1 run_ dlm pull hf:me/other
status_is 1
weights=$(ls "$snapshot" | grep safetensors | head -n 1)
mv "$snapshot/$weights" gone
HF_HUB_OFFLINE=1 run_ dlm pull hf:me/base
status_is 1
err_has "HF_HUB_OFFLINE is set, and revision 'main' is not in the cache with all its files"
mv gone "$snapshot/$weights"
[ ! -s log ] || fail_ "the hub was asked"
for word in 0 off no; do
    HF_HUB_OFFLINE=$word TRANSFORMERS_OFFLINE=1 run_ dlm pull hf:me/base
    status_is 0
done
asked_ "hub GET"

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
err_is "pull: cannot fetch 'me/base': this account has not been granted access (403)" \
    "hint: accept its licence at $HF_ENDPOINT/me/base" "hint: the token in use has to be of the \
account that accepted it; a fine-grained one needs access to gated repositories \
($HF_ENDPOINT/settings/tokens)"
HF_TOKEN='two words' run_ dlm pull hf:me/base
err_is "pull: cannot use the token of HF_TOKEN: it is not one word"
no_snapshot_

case_ "a server that forbids, and says no more"
serve_ listing:403:9
run_ dlm pull hf:me/base
status_is 1
err_has "pull: cannot fetch 'me/base': not found, or not for everyone (403)"
err_has "hint: check the name; a private repository needs a token"
serve_ tokenizer.json:403:9
run_ dlm pull hf:me/base
status_is 1
err_has "pull: cannot fetch 'me/base': not found, or not for everyone (403)"
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

# survives_ FAULT [ARGUMENT ...]: it befalls the weights twice, and they come all the same.
survives_()
{
    fault=$1
    shift
    serve_ model.safetensors:$fault:2
    run_ dlm pull hf:me/base "$@"
    status_is 0
    whole_
    err_has "warning: 'model.safetensors': "
    [ "$(grep -c 'cdn GET .*model' log)" -ge 3 ] || fail_ "$fault: not asked for three times"
}

case_ "connections that are cut, answers that are too short: on from there"
survives_ cut
asked_ "cdn GET .* from=[1-9]"
survives_ short
err_has "fewer bytes came than it has"
asked_ "cdn GET .* from=[1-9]"

case_ "answers that are too long, or another part than was asked for: once more from the start"
survives_ long
err_has "more bytes came than it has"
serve_ model.safetensors:cut:1 model.safetensors:badrange:1
run_ dlm pull hf:me/base
status_is 0
whole_
err_has "another part came than was asked for"

case_ "a server that ignores ranges sends all again"
serve_ model.safetensors:cut:1
run_ dlm pull hf:me/base --retries 0
status_is 1
err_has "hint: what has come is kept; the same command goes on"
no_snapshot_
serve_again_ model.safetensors:norange:1
run_ dlm pull hf:me/base
status_is 0
whole_

case_ "the same beginning again and again is nothing new: it ends"
for fault in cut short chunked; do # more often than it may be asked
    serve_ model.safetensors:norange:6 model.safetensors:$fault:6
    run_ dlm pull hf:me/base --retries 2
    status_is 1
    if [ $fault = cut ]; then
        err_has "pull: cannot fetch 'model.safetensors': transfer closed with "
    else
        err_has "pull: cannot fetch 'model.safetensors': fewer bytes came than it has"
    fi
    err_has "hint: what has come is kept; the same command goes on"
    holds_ test "$(grep -c 'cdn GET .*model' log)" = 3
    no_snapshot_
    sound_
done
serve_again_
run_ dlm pull hf:me/base
status_is 0
whole_
asked_ "cdn GET .* from=[1-9]"

case_ "a server that is busy is asked later, when it says so"
survives_ 503
err_has "the server answers 503; trying again in 0.5 s"
survives_ 429
err_has "the server answers 429; trying again in 1 s"
serve_ listing:503:1
run_ dlm pull hf:me/base
status_is 0
serve_ model.safetensors:429long:1
run_ dlm pull hf:me/base
status_is 1
err_has "cannot fetch 'model.safetensors': the server answers 429"
err_has "hint: the server asks to wait for 60 minutes"

case_ "connections that bring nothing, or next to nothing"
survives_ silent --timeout 2 --retries 9
survives_ slow --timeout 2 --retries 9

case_ "what does not go away ends the pull"
serve_ model.safetensors:cut:9 tokenizer.json:503:9
run_ dlm pull hf:me/base --retries 1
status_is 1
err_has "cannot fetch 'tokenizer.json': the server answers 503"
no_snapshot_
for fault in 204 400 501; do
    serve_ model.safetensors:$fault:1
    run_ dlm pull hf:me/base
    status_is 1
    err_has "cannot fetch 'model.safetensors' of 'me/base': the server answers $fault"
    grep -q "trying again" err && fail_ "$fault is taken to pass"
done
for file in listing config.json model.safetensors; do
    serve_ $file:gzip:1
    run_ dlm pull hf:me/base
    status_is 1
    name=$file
    [ $file != listing ] || name=me/base
    err_has "cannot fetch '$name': the server sends it compressed (Content-Encoding: gzip), which "
    err_has "hint: a proxy may do that on its own"
    grep -q "trying again" err && fail_ "it is taken to pass"
    asked_ "hub GET .* plain from"
    no_snapshot_
done
grep -v ' plain ' log > other && fail_ "a request takes other encodings"
serve_ tokenizer.json:404:1
run_ dlm pull hf:me/base
status_is 1
err_has "no such repository or file (404)"
serve_ tokenizer.json:loop:99
run_ dlm pull hf:me/base
status_is 1
err_has "cannot fetch 'tokenizer.json': Maximum (10) redirects followed"
stop_
run_ dlm pull hf:me/base --retries 1
status_is 1
err_has "trying again in 0.5 s"
err_has "cannot fetch 'me/base': Failed to connect"

case_ "bytes that are not those of the hash are not kept"
serve_ model.safetensors:wrong:1
run_ dlm pull hf:me/base
status_is 1
right=$(sha256sum < hub/me/base/model.safetensors)
right=${right%% *}
holds_ grep -q "cannot use 'model.safetensors': its SHA-256 is [0-9a-f]*, not $right\$" err
no_snapshot_
[ -z "$(ls "$repo/blobs" | grep "^$right")" ] || fail_ "the wrong bytes are kept"
serve_ config.json:wrong:1
run_ dlm pull hf:me/base
status_is 1
err_has "cannot use 'config.json': its git hash is "
no_snapshot_
run_ dlm pull hf:me/base
status_is 0
whole_

case_ "a beginning that does not fit is fetched again, one that is too long as well"
for junk in junk hub/me/base/model.safetensors; do
    serve_
    mkdir -p "$repo/blobs"
    [ $junk != junk ] || head -c 1000 /dev/zero > junk
    cat $junk > "$repo/blobs/$right.incomplete"
    [ $junk = junk ] || echo more >> "$repo/blobs/$right.incomplete"
    run_ dlm pull hf:me/base
    status_is 0
    whole_
done
[ ! -e "$repo/blobs/$right.incomplete" ] || fail_ "the beginning is still there"

case_ "a whole file that only lacks its name is not fetched"
serve_
mkdir -p "$repo/blobs"
cp hub/me/base/model.safetensors "$repo/blobs/$right.incomplete"
run_ dlm pull hf:me/base
status_is 0
whole_
not_asked_ model.safetensors

case_ "a file that another program fetches is waited for"
serve_
mkdir -p "$HF_HUB_CACHE/.locks/models--me--base"
( exec 9> "$HF_HUB_CACHE/.locks/models--me--base/$right.lock"
    flock 9
    : > locked
    : > err
    until grep -q waiting err; do sleep 0.1; done
    mkdir -p "$repo/blobs"
    cp hub/me/base/model.safetensors "$repo/blobs/$right" ) &
holder=$!
until [ -e locked ]; do sleep 0.02; done
run_ dlm pull hf:me/base
wait $holder
status_is 0
err_has "waiting for another program that fetches 'model.safetensors'"
whole_
not_asked_ model.safetensors

case_ "more than the disk takes"
serve_
serve_ -s 9000000000000
run_ dlm pull hf:me/base
status_is 1
holds_ grep -q "cannot fetch 'me/base': 9.0 TB are missing, [0-9.]* .B are free in '$repo'" err
err_has "hint: HF_HUB_CACHE names another folder"
no_snapshot_

case_ "a line on a terminal, two where there is none"
serve_ -r 2000000
"${DLM_PTY:?says which program makes terminals}" 100 -- "$dlm" pull hf:me/base > out 2> err
holds_ grep -Eq '^2.15/2.15 MB  \[#{20,42}\]  0:00 left  [0-9.]+ MB/s  4/4 files$' out
serve_
run_ dlm pull hf:me/base
err_has "/2.15 MB  "
err_has "2.15/2.15 MB  4/4 files"
run_ dlm pull -q hf:me/base
err_is

case_ "Ctrl-C ends it at once and keeps what came"
serve_ -r 400000
"$dlm" pull hf:me/base > out 2> err &
until [ -s "$repo/blobs/$right.incomplete" ]; do sleep 0.05; done
kill -INT $!
wait $!
status=$?
status_is 130
err_has "interrupted; what has come is kept"
no_snapshot_
[ -s "$repo/blobs/$right.incomplete" ] || fail_ "nothing is kept"
serve_again_
run_ dlm pull hf:me/base
status_is 0
whole_
asked_ "cdn GET .* from=[1-9]"

summary_
