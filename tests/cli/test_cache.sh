#!/bin/sh
# dlm cache: what the caches hold, and emptying them.
. "${0%/*}/lib.sh"

# fill_ DOCUMENT: makes it, with two files of pixels, one of them old, and one of features.
fill_()
{
    run_ dlm init "$1"
    store=home/store/$(sed -n 's/^dlm_id: //p' "$1")
    mkdir -p "$store/vl-cache/0a" "$store/vision-cache/0b"
    head -c 1000 /dev/zero > "$store/vl-cache/0a/old.npz"
    head -c 2000 /dev/zero > "$store/vl-cache/0a/new.npz"
    head -c 500 /dev/zero > "$store/vision-cache/0b/new.safetensors"
    touch -d '2024-05-01T12:00:00Z' "$store/vl-cache/0a/old.npz"
}

case_ "no store, no cache"
run_ dlm cache show
status_is 0
out_is "CACHE          FILES       SIZE  LAST USED            DOCUMENT"
run_ dlm cache show --json
out_is "[]"
run_ dlm cache clear
status_is 0
out_is

fill_ b.dlm
other=$store
fill_ a.dlm
cp -Rp home full

case_ "show"
run_ dlm cache show a.dlm
status_is 0
holds_ grep -q "^vl-cache           2     3.0 KB  20..-..-..T..:..:..  $dir/a.dlm\$" out
holds_ grep -q "^vision-cache       1      500 B  20..-..-..T..:..:..  $dir/a.dlm\$" out
holds_ test "$(wc -l < out)" -eq 3
run_ dlm cache show
holds_ test "$(wc -l < out)" -eq 5
run_ dlm cache show a.dlm --json
status_is 0
out_has "\"dlm_id\": \"${store##*/}\""
out_has "\"document\": \"$dir/a.dlm\""
out_has '"files": 2'
out_has '"bytes": 3000'
out_has '"first_used": "2024-05-01T12:00:00"'

case_ "prune by age, one document or all"
run_ dlm cache prune --older-than 30d a.dlm
status_is 0
out_is "$dir/a.dlm: 1 file removed (1.0 KB), 2 left (2.5 KB)"
holds_ test ! -e "$store/vl-cache/0a/old.npz"
holds_ test -e "$other/vl-cache/0a/old.npz"
run_ dlm cache prune --older-than 30d --json
status_is 0
holds_ test "$(grep -c '"removed_files": 0' out)" -eq 1
holds_ test "$(grep -c '"removed_bytes": 1000' out)" -eq 1
holds_ test ! -e "$other/vl-cache/0a/old.npz"
run_ dlm cache prune --older-than 1000000000d
out_has "0 files removed (0 B), 2 left (2.5 KB)"

case_ "prune by the document's own limits"
rm -rf home
cp -Rp full home
run_ dlm cache prune a.dlm
out_is "$dir/a.dlm: 1 file removed (1.0 KB), 2 left (2.5 KB)"
sed 's/^base_model.*/&\ntraining:\n  cache:\n    max_bytes: 500/' a.dlm > small.dlm
mv small.dlm a.dlm
run_ dlm cache prune
status_is 0
out_has "$dir/a.dlm: 1 file removed (2.0 KB), 1 left (500 B)"
out_has "$dir/b.dlm: 1 file removed (1.0 KB), 2 left (2.5 KB)"

case_ "a store whose document is gone is named by its id, and has no limits"
mv b.dlm gone.dlm
run_ dlm cache prune "${other##*/}"
status_is 1
err_has "cache: cannot prune '$dir/$other': its document, which has the limits, is gone"
err_has "hint: --older-than 30d goes without"
run_ dlm cache prune "${other##*/}" --older-than 1d
status_is 0
mv gone.dlm b.dlm

case_ "clear asks, or is told"
rm -rf home
cp -Rp full home
run_ dlm cache clear a.dlm
status_is 1
err_is "cache: nothing was removed" "hint: --yes removes without being asked"
holds_ test -e "$store/vl-cache/0a/new.npz"
run_ dlm cache clear a.dlm --yes
status_is 0
out_is "$dir/a.dlm: 3 files removed (3.5 KB), 0 left (0 B)"
holds_ test ! -e "$store/vl-cache"
holds_ test -f "$store/manifest.json"
holds_ test -e "$other/vl-cache/0a/new.npz"
run_ dlm cache clear --force
status_is 0
holds_ test ! -e "$other/vision-cache"

case_ "not while a training runs; the others are done"
rm -rf home
cp -Rp full home
: > "$store/.lock"
flock -n "$store/.lock" sh -c '"$1" cache clear -y > out 2> err; echo $? > status' - "$dlm"
read -r status < status
status_is 1
err_has "cache: $dir/$store/.lock: already locked by PID 0"
holds_ test -e "$store/vl-cache/0a/new.npz"
holds_ test ! -e "$other/vl-cache"

case_ "wrong usage"
run_ dlm cache
status_is 2
run_ dlm cache empty
status_is 2
err_is "dlm: no action: 'empty' (show, prune or clear)" "try 'dlm cache --help'"
for age in 30 d 0d -1d 30w 1dd 9999999999d ''; do
    run_ dlm cache prune --older-than "$age"
    status_is 2
    err_is "cache: no age: '$age' (30d, 12h, 90m)"
done
run_ dlm cache clear --older-than 30d
status_is 2
run_ dlm cache show --yes
status_is 2
run_ dlm cache show none.dlm
status_is 1
err_has "none.dlm"

summary_
