#!/bin/sh
# dlm list and dlm rm: what a home knows, and what of it goes.
. "${0%/*}/hostile.sh"

id=0R7STD0HK1DBS629DWG0NJR445
store_=home/store/$id
versions_=$store_/adapter/versions
ask_() { run_ dlm -q prompt --backend cpu --image images/one.png --temp 0 doc.dlm "blue an?"; }
verify_() { run_ dlm -q verify-store doc.dlm; status_is 0; holds_ test "$(wc -l < out)" -eq 1; }
head_="ADAPTER      TRAINED                  LOSS       SIZE  BASE                   DOCUMENT"

case_ "a home that knows nothing"
run_ dlm list
status_is 0
out_is "$head_"
run_ dlm list --json
out_is "[]"

run_ dlm -q train --backend cpu --max-steps 2 doc.dlm
run_ dlm -q train --backend cpu --max-steps 3 doc.dlm
run_ dlm init new.dlm
new=$(sed -n 's/^dlm_id: //p' new.dlm)

case_ "list"
run_ dlm list
status_is 0
holds_ test "$(wc -l < out)" -eq 3
time_=20..-..-..T..:..:..
holds_ grep -q "^v0002 of 2   $time_  *[0-9.]*  *[0-9.]* [KM]B  dir:base  *$dir/doc.dlm\$" out
holds_ grep -q "^none  .* B  tiny-shapes  *$dir/new.dlm\$" out
loss=$(sed -n 's/.*"final_train_loss":\([0-9.]*\).*/\1/p' $store_/logs/train-000002*.jsonl)
out_has " $(printf %.4f "$loss") "
run_ dlm list --json
status_is 0
out_has "\"dlm_id\": \"$id\""
out_has '"name": "v0001"'
out_has '"lora_r": 4'
out_has '"lora_alpha": 8.0'
out_has '"base_model": "dir:base"'
out_has '"steps": 3'
out_has '"orphaned": false'
holds_ test "$(grep -c '"current": true' out)" -eq 1

case_ "stores whose document is gone, and damaged ones, are said to be"
mv new.dlm newer.dlm
cp $store_/manifest.json manifest.json
cut_ $store_/manifest.json 50
run_ dlm list
status_is 0
err_is
out_has "$new (its document $dir/new.dlm is gone)"
out_has "$id (damaged: see dlm verify-store $id)"
run_ dlm list --json
holds_ test "$(grep -c '"orphaned": true' out)" -eq 1
holds_ test "$(grep -c '"damaged": true' out)" -eq 1
sed 's|"source_path": "|&/a\\u001b[31m|' manifest.json > $store_/manifest.json
run_ dlm list
out_has "(its document /a?[31m$dir/doc.dlm is gone)"
cp manifest.json $store_/
mv newer.dlm new.dlm
cp -Rp home full

case_ "rm asks, or is told"
run_ dlm rm doc.dlm v1
status_is 1
err_is "rm: nothing was removed" "hint: --yes removes without being asked"
holds_ test -d $versions_/v0001
run_ dlm rm doc.dlm --store
status_is 1
holds_ test -d $store_

# types_ TEXT DLM-ARGUMENT...: on a terminal, where the text is typed
types_()
{
    printf '%s\n' "$1" > typed
    shift
    run_with_ typed script -qec "'$dlm' $*" /dev/null
}

if command -v script > /dev/null; then
    case_ "rm asks on a terminal"
    export NO_COLOR=1 # the texts as they are
    for answer in n '' nonsense; do
        types_ "$answer" rm doc.dlm v2
        status_is 1
        out_has ", the current version; v0001 becomes the current one. Remove? [y/N]: "
        out_has "rm: nothing was removed"
        holds_ test -d $versions_/v0002
    done
    types_ y rm doc.dlm v2
    status_is 0
    out_has "removed v0002"
    holds_ test ! -e $versions_/v0002
    types_ y cache clear doc.dlm
    status_is 0
    out_has "which trainings make again. Remove? [y/N]: "
    holds_ test ! -e $store_/vision-cache
    types_ y rm doc.dlm --store
    status_is 0
    out_has "rm: the store of $dir/doc.dlm (1 version, "
    holds_ test ! -e $store_
else
    skipped=$((skipped + 1))
fi
rm -rf home
cp -Rp full home

case_ "an older version goes"
ask_
cp out answer
run_ dlm rm doc.dlm v1 --yes
status_is 0
holds_ grep -q "^removed v0001 (.* [KM]B) of $dir/doc.dlm; v0002 stays the current one\$" out
holds_ test ! -e $versions_/v0001
holds_ test "$(ls -A $versions_)" = v0002
ask_
same_ out answer
verify_

case_ "the current version goes: the one before is current"
rm -rf home
cp -Rp full home
run_ dlm rm doc.dlm v2 --yes
status_is 0
holds_ grep -q "^removed v0002 (.*) of .*, the current version; v0001 becomes the current one\$" out
holds_ grep -q v0001 $store_/adapter/current.txt
holds_ grep -q '"adapter_version": 1' $store_/manifest.json
verify_
ask_
status_is 0
run_ dlm rm doc.dlm v1 -y
status_is 0
out_has "; no version is left"
verify_
ask_
status_is 1
err_has "no adapter under"
run_ dlm -q train --backend cpu --max-steps 1 doc.dlm
status_is 0
verify_

case_ "a damaged version does not become current"
rm -rf home
cp -Rp full home
run_ dlm -q train --backend cpu --max-steps 1 doc.dlm
cut_ $versions_/v0002/adapter_model.safetensors 10
run_ dlm rm doc.dlm v3 --yes
out_has "; v0001 becomes the current one"
run_ dlm rm doc.dlm v2 --yes
out_has "; v0001 stays the current one"
verify_

case_ "caches, the store, and a store without a document"
rm -rf home
cp -Rp full home
run_ dlm rm doc.dlm --cache --yes
status_is 0
holds_ grep -q "^$dir/doc.dlm: [1-9][0-9]* files removed" out
holds_ test ! -e $store_/vision-cache
run_ dlm rm doc.dlm --store --yes
status_is 0
holds_ grep -q "^removed the store of $dir/doc.dlm (2 versions, " out
holds_ test ! -e $store_
holds_ test -f doc.dlm
holds_ test "$(ls -A home/store)" = "$new"
rm new.dlm
mkdir home/store/.tmp-rm-$id
run_ dlm rm "$new" --store --yes
status_is 0
holds_ test -z "$(ls -A home/store)"

case_ "not by a copy, and not while a training runs"
rm -rf home
cp -Rp full home
cp doc.dlm copy.dlm
for what in v1 --store; do
    run_ dlm rm copy.dlm $what --yes
    status_is 1
    err_has "'copy.dlm' has the dlm_id of '$dir/doc.dlm', whose store this is"
done
rm copy.dlm
: > $store_/.lock
flock -n $store_/.lock sh -c '"$1" rm doc.dlm v1 -y > out 2> err; echo $? > status' - "$dlm"
read -r status < status
status_is 1
err_has "already locked by PID"
holds_ test -d $versions_/v0001

case_ "what is not there; wrong usage"
run_ dlm rm doc.dlm v9 --yes
fails_ 1 "rm: there is no version v0009 of the adapter; " "has 2: v0001, v0002"
run_ dlm --home none rm doc.dlm v1 --yes
fails_ 1 "rm: there is no store 'none/store/$id'"
run_ dlm rm none.dlm v1
fails_ 1 "'none.dlm'"
for words in doc.dlm "doc.dlm v1 --store" "doc.dlm --cache --store"; do
    # shellcheck disable=SC2086
    run_ dlm rm $words
    status_is 2
    err_is "dlm: give one of VERSION, --cache and --store" "try 'dlm rm --help'"
done
run_ dlm rm doc.dlm v0
status_is 2

summary_
