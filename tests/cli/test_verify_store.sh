#!/bin/sh
# dlm verify-store: each thing in a store is damaged in turn, found, and repaired where it can be.
. "${0%/*}/hostile.sh"

store_=home/store/0R7STD0HK1DBS629DWG0NJR445
verify_() { run_ dlm -q verify-store doc.dlm "$@"; }
ask_() { run_ dlm -q prompt --backend cpu --image images/one.png --temp 0 doc.dlm "blue an?"; }

# A store with two versions, an unfinished run, a blob.
run_ dlm -q train --backend cpu --max-steps 2 doc.dlm
run_ dlm -q train --backend cpu --max-steps 3 doc.dlm
"$dlm" -q --home run train --backend cpu --max-steps 1000 --save-every 1 doc.dlm > job.out 2>&1 &
job=$!
until grep -qs '"step": [1-9]' run/store/*/runs/*/state.json ||
    ! kill -0 $job 2> kill.err; do :; done
kill -KILL $job 2> kill.err
wait $job 2> wait.err
mkdir -p $store_/runs
cp -R run/store/*/runs/000001 $store_/runs/000003
rm -f $store_/runs/000003/*.tmp.* # of the kill, which other cases make on purpose
sed 's/"run_id": 1/"run_id": 3/' $store_/runs/000003/state.json > state.tmp
mv state.tmp $store_/runs/000003/state.json
sha=$(sha256sum images/one.png | cut -c 1-64)
blobs=$store_/blobs/$(echo "$sha" | cut -c 1-2)
mkdir -p "$blobs"
cp images/one.png "$blobs/$sha.png"
rm -rf kept
mv home kept

fresh_()
{
    rm -rf home
    cp -Rp kept home
    : > out > err
}

# mended_ TEXT...: something is wrong; the texts say what; --repair mends it, and all is well.
mended_()
{
    verify_
    status_is 1
    for text; do out_has "$text"; done
    out_has "(--repair mends it)"
    verify_ --repair
    status_is 0
    out_has "(repaired)"
    verify_
    status_is 0
    out_is "$dir/doc.dlm: whole (versions: 2, blobs: ${blobs_left:-1}, \
unfinished runs: ${runs_left:-1})"
    ask_
    status_is 0
}

# lost_ TEXT...: the same, and nothing can be done.
lost_()
{
    verify_ --repair
    status_is 1
    for text; do out_has "$text"; done
}

# left_ TEXT: what a kill leaves is no damage; --repair tidies it up.
left_()
{
    verify_
    status_is 0
    out_has "  left over: $1"
    verify_ --repair
    status_is 0
    verify_
    status_is 0
    holds_ test "$(wc -l < out)" -eq 1
}

case_ "a store that is whole, and no store"
fresh_
verify_
status_is 0
out_is "$dir/doc.dlm: whole (versions: 2, blobs: 1, unfinished runs: 1)"
run_ dlm verify-store --all --json
status_is 0
out_has '"whole": true'
out_has '"findings": []'
run_ dlm --home none verify-store doc.dlm
status_is 0
out_is "0R7STD0HK1DBS629DWG0NJR445: no store yet"
holds_ test ! -e none
run_ dlm --home none verify-store --all
status_is 0
out_is

case_ "a store whose removal was interrupted"
fresh_
mv home/store home/other
mkdir -p home/store
mv home/other home/store/.tmp-rm-01JZZZZZZZZZZZZZZZZZZZZZZZ
cp -R kept/store/* home/store
run_ dlm verify-store --all
status_is 0
out_is "$dir/doc.dlm: whole (versions: 2, blobs: 1, unfinished runs: 1)" "$dir/home/store:" \
    "  left over: .tmp-rm-01JZZZZZZZZZZZZZZZZZZZZZZZ: a store whose removal was interrupted \
(--repair mends it)"
run_ dlm verify-store --all --json
out_has '"what": "temporary",'
out_has '"dlm_id": null,'
verify_
out_is "$dir/doc.dlm: whole (versions: 2, blobs: 1, unfinished runs: 1)"
run_ dlm verify-store --all --repair
status_is 0
out_has "a store whose removal was interrupted (repaired)"
ls -A home/store > out
out_is 0R7STD0HK1DBS629DWG0NJR445

case_ "the pointer"
for text in 'adapter/versions/v0009' '../../..' '/etc' 'adapter' '' 'logs'; do
    fresh_
    echo "$text" > $store_/adapter/current.txt
    mended_ "  wrong: adapter/current.txt: "
    same_ $store_/adapter/current.txt kept/${store_#home/}/adapter/current.txt
done
fresh_
rm $store_/adapter/current.txt
mended_ "  wrong: adapter/current.txt: it is not there"

case_ "the current version is damaged: the one before becomes current, and nothing is removed"
v2=$store_/adapter/versions/v0002
for file in adapter_config.json adapter_model.safetensors origin.json training_run.json; do
    fresh_
    cut_ $v2/$file 40
    lost_ "  wrong: adapter/versions/v0002: " "/v0002/$file" \
        "  wrong: adapter/current.txt: the current version v0002 is damaged (repaired)"
    holds_ grep -q v0001 $store_/adapter/current.txt
    holds_ grep -q '"adapter_version": 1' $store_/manifest.json
    holds_ test -f $v2/$file
    ask_
    status_is 0
done
fresh_
size=$(wc -c < $v2/adapter_model.safetensors)
poke_ $v2/adapter_model.safetensors $((size - 5)) 1
lost_ "adapter_model.safetensors' is damaged: another hash than when it was written"
fresh_
rm $v2/adapter_config.json
lost_ "  wrong: adapter/versions/v0002: "
fresh_
edit_ $v2/training_run.json 's/"adapter_version": 2/"adapter_version": 1/'
lost_ "/v0002/training_run.json' is of version v0001"

case_ "an older version is damaged: the current one stays"
fresh_
cut_ $store_/adapter/versions/v0001/adapter_model.safetensors 100
lost_ "  wrong: adapter/versions/v0001: "
holds_ grep -q v0002 $store_/adapter/current.txt

case_ "the manifest is made anew from versions and logs"
for change in 's/"schema_version": 1/"schema_version": 2/' 's/"exports"/"imports"/' '$d' \
    's/"dlm_id": ".*"/"dlm_id": "01JZ0000000000000000000000"/'; do
    fresh_
    edit_ $store_/manifest.json "$change"
    mended_ "  wrong: manifest.json: "
    holds_ test -f $store_/manifest.json.damaged
done
for key in adapter_version base_model base_model_revision dlm_id source_path final_train_loss \
    run_id seed started_at steps summary_path; do
    grep "\"$key\"" kept/${store_#home/}/manifest.json > want
    grep "\"$key\"" $store_/manifest.json > out
    same_ want out
done
fresh_
rm $store_/manifest.json
mv doc.dlm elsewhere.dlm
run_ dlm -q verify-store 0R7STD0HK1DBS629DWG0NJR445 --repair
status_is 0
holds_ grep -q '"base_model": "dir:base"' $store_/manifest.json
mv elsewhere.dlm doc.dlm

case_ "a manifest that is behind, as a kill leaves it"
fresh_
edit_ $store_/manifest.json 's/"adapter_version": 2,$/"adapter_version": 1,/'
left_ "manifest.json: it says that v0001 is current, and v0002 is"

case_ "blobs"
fresh_
poke_ "$blobs/$sha.png" 30 1
blobs_left=0
mended_ "  wrong: ${blobs#$store_/}/$sha.png: it has another hash than its name says"
unset blobs_left
holds_ test -f $store_/blobs/damaged/$sha.png

case_ "logs"
fresh_
log=$(ls $store_/logs/train-000001-*.jsonl)
edit_ "$log" '2s/^{/[/'
lost_ "  wrong: logs/${log##*/}: cannot read 'line 2'"
fresh_
printf '{"type":"st' >> "$log"
left_ "logs/${log##*/}: its last line is cut"
same_ "$log" "kept/${log#home/}"
fresh_
summary=${log%.jsonl}.summary.json
cut_ "$summary" 20
lost_ "  wrong: logs/${summary##*/}: "

case_ "saved states"
runs_left=0
for change in 's/"tensors_sha256": "./"tensors_sha256": "x/' 's/"run_id": 3/"run_id": 4/' '$d'; do
    fresh_
    edit_ $store_/runs/000003/state.json "$change"
    mended_ "  wrong: runs/000003: "
    holds_ test -f $store_/runs/damaged-000003/state.json
done
fresh_
poke_ $store_/runs/000003/"$(sed -n 's/.*"tensors_file": "\(.*\)".*/\1/p' \
    $store_/runs/000003/state.json)" 200 1
mended_ "damaged (another hash than saved)"
unset runs_left

case_ "the lock record"
fresh_
echo '{}' > $store_/dlm.lock
lost_ "  wrong: dlm.lock: " "lock_version is not 1"

case_ "what is left half written"
for path in manifest.json.tmp.1.ab adapter/current.txt.tmp.1.ab logs/x.summary.json.tmp.1.ab \
    "${blobs#$store_/}/incoming.tmp.1.ab" runs/000003/state.json.tmp.1.ab; do
    fresh_
    : > "$store_/$path"
    left_ "$path: left by a process that was killed"
    holds_ test ! -e "$store_/$path"
done
fresh_
mkdir $store_/exports $store_/exports/hf-snapshot.tmp.1.0123abcd
flock -n $store_/exports/hf-snapshot.tmp.1.0123abcd "$dlm" -q verify-store doc.dlm --repair > out
holds_ test "$(wc -l < out)" -eq 1 # an export is writing it
left_ "exports/hf-snapshot.tmp.1.0123abcd: left by a process that was killed"
holds_ test -z "$(ls -A $store_/exports)"
fresh_
mkdir $store_/adapter/versions/.tmp-run-000003
left_ "adapter/versions/.tmp-run-000003: left by a process"

case_ "JSON names the finding"
fresh_
rm $store_/adapter/current.txt
run_ dlm -q verify-store doc.dlm --json
status_is 1
out_has '"what": "pointer"'
out_has '"class": "wrong"'
out_has '"path": "adapter/current.txt"'
out_has '"repair": "possible"'
out_has '"whole": false'

if [ "$(id -u)" = 0 ] && command -v setpriv > /dev/null; then
    case_ "a store of another user's"
    fresh_
    chown 65534 $store_
    run_ dlm verify-store doc.dlm
    err_has "warning: the store '"
    err_has "' is user 65534's, and this is user 0: what is written there now, that one may not "
    chown 0 $store_
    chmod 755 "$dir"
    run_ setpriv --reuid 65534 --regid 65534 --clear-groups "$dlm" verify-store doc.dlm
    status_is 1
    err_has "/.lock': Permission denied"
    err_has "hint: the store is user 0's, and this is user 65534: run dlm as the other, or have \
the store given away (\`chown -R 65534 '"
else
    skipped=$((skipped + 1))
fi

case_ "of all stores, one that cannot be locked is reported, and the others are checked"
fresh_
other=home/store/01JZ0000000000000000000000 # comes behind
first=home/store/00000000000000000000000001 # comes before
cp -Rp $store_ $first
cp -Rp $store_ $other
whole="$dir/doc.dlm: whole (versions: 2, blobs: 1, unfinished runs: 1)"
for busy in $first $store_; do
    : > $busy/.lock
    flock -n $busy/.lock sh -c '"$1" verify-store --all > out 2> err; echo $? > status' - "$dlm"
    read -r status < status
    status_is 1
    err_is
    out_has ": not checked: $dir/$busy/.lock: already locked by PID 0"
    [ $busy = $store_ ] || out_has "$whole"
    out_has "  wrong: manifest.json: "
    holds_ test "$(grep -c '^[^ ]' out)" -eq 3
    flock -n $busy/.lock "$dlm" verify-store --all --json > out
    out_has "\"error\": \"$dir/$busy/.lock: already locked by PID 0\""
    holds_ test "$(grep -c '"error": null' out)" -eq 2
done
rm -r $first $other
run_ dlm verify-store --all
status_is 0
out_is "$whole"

case_ "not while a training runs; wrong usage"
fresh_
: > $store_/.lock
flock -n $store_/.lock sh -c '"$1" verify-store doc.dlm > out 2> err; echo $? > status' - "$dlm"
read -r status < status
status_is 1
err_has "already locked by PID"
run_ dlm verify-store
status_is 2
run_ dlm verify-store doc.dlm --all
status_is 2

summary_
