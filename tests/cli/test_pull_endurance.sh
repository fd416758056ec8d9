#!/bin/sh
# The hub's cache outlives a pull that is killed at any moment, and a disk that is full at any
# write: nothing in it looks whole to huggingface_hub that is not, and the next pull ends the work.
# DLM_FULL_DISK is the library of full_disk.c. DLM_TEST_KILLS (120), half of them by the clock and
# half at calls that write. DLM_TEST_ENDURANCE=all: the disk is full at every write.
. "${0%/*}/hub.sh"

[ -n "${DLM_HUB_SERVER:-}" ] || { skipped=1; summary_; }
kills=$((${DLM_TEST_KILLS:-120} / 2)) # of each kind
case ${DLM_TEST_ENDURANCE:-} in
all) stride=1 ;;
*) stride=3 ;;
esac
# weights of a few reads from the network, so that other calls count as well
head -c 200000 hub/me/base/model.safetensors > cut
mv cut hub/me/base/model.safetensors

# What huggingface_hub goes by: a ref names a snapshot, a snapshot's folder is taken for whole when
# there is no network, a file in it for the file, and a blob with a name for its bytes.
not_misleading_()
{
    sound_
    if [ -e "$repo/refs/main" ]; then
        [ "$(cat "$repo/refs/main")" = $commit ] || fail_ "refs/main"
        [ -d "$snapshot" ] || fail_ "a ref names what is not there"
    fi
    for folder in "$repo"/snapshots/*; do
        [ -e "$folder" ] || continue
        [ "$folder" = "$snapshot" ] || fail_ "a snapshot of no commit: $folder"
        whole_
    done
}

# A pull with the library that counts calls below the cache; its N-th is meant.
pull_at_()
{
    n=$1
    shift
    run_ env LD_PRELOAD="$DLM_FULL_DISK" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        FULL_DISK_BELOW="$HF_HUB_CACHE" FULL_DISK_AT="$n" FULL_DISK_COUNT="$dir/count" "$@" \
        "$dlm" -q pull hf:me/base
}

# The next one ends it.
ends_()
{
    run_ dlm -q pull hf:me/base
    status_is 0
    whole_
    not_misleading_
    [ -z "$(find "$HF_HUB_CACHE" -name '*.incomplete' -o -name '*.tmp.*')" ] ||
        fail_ "something is left over"
}

# --- killed ---

case_ "killed at any moment"
serve_ -r 2000000
began=$(date +%s%N)
run_ dlm -q pull hf:me/base
status_is 0
length=$((($(date +%s%N) - began) / 1000000))
rm -rf "$repo"
awk -v n=$kills 'BEGIN { srand(20260503); for (i = 0; i < 20 * n; i++) print int(rand() * 1000) }' \
    > moments
killed=0 finished=0
while [ $killed -lt $kills ] && read -r moment; do
    moment=$((moment * length / 1000))
    "$dlm" -q pull hf:me/base > job.out 2> job.err < /dev/null &
    job=$!
    sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
    kill -KILL $job 2> kill.err
    wait $job 2> wait.err
    case $? in
    0) finished=$((finished + 1)) length=$((length - length / 10)) ;;
    137) killed=$((killed + 1)) length=$((length + length / 20)) ;;
    *) cp job.err err; fail_ "the pull failed by itself" ;;
    esac
    not_misleading_
    if [ -e "$snapshot" ]; then rm -rf "$repo"; fi
done < moments
ends_
echo "# $killed kills, $finished pulls finished before theirs"
holds_ test $killed -eq $kills

case_ "killed at calls that write"
serve_
pull_at_ 0 env
status_is 0
num=$(cat count)
holds_ test "$num" -gt 30
rm -rf "$HF_HUB_CACHE"
# each call in turn of a pull from the start, then any of one that goes on
awk -v n=$kills -v calls="$num" 'BEGIN {
    srand(20260504)
    for (i = 0; i < calls; i++) print i + 1, "anew"
    for (i = 0; i < 20 * n; i++) print 1 + int(rand() * calls), "on" }' > calls
killed=0
while [ $killed -lt $kills ] && read -r call how; do
    [ $how = on ] || rm -rf "$HF_HUB_CACHE"
    pull_at_ "$call" env FULL_DISK_KILL=1
    case $status in
    0) ;;
    137) killed=$((killed + 1)) ;;
    *) fail_ "the pull failed by itself" ;;
    esac
    not_misleading_
    if [ -e "$snapshot" ]; then rm -rf "$repo"; fi
done < calls
ends_
echo "# $killed kills, at $num calls"
holds_ test $killed -eq $kills

# --- full ---

# full_ [ONCE]: the disk is full from a call on, or for it alone.
full_()
{
    num_failed=0 at=1
    while [ $at -le "$num" ]; do
        rm -rf "$HF_HUB_CACHE"
        pull_at_ $at env ${1:+FULL_DISK_ONCE=1}
        if [ "$status" -ne 0 ]; then
            status_is 1
            # a line for each file that was on its way
            grep -q "^pull: cannot .*: No space left on device$" err || fail_ "no error"
            grep -qv -e '^hint: ' -e ': No space left on device$' err && fail_ "another error"
            num_failed=$((num_failed + 1))
        fi
        not_misleading_
        ends_
        [ $case_ok = yes ] || { echo "# at call $at"; break; }
        at=$((at + stride))
    done
    echo "# failed $num_failed times, of $num calls"
    holds_ test $((num_failed * stride * 2)) -gt "$num"
}

case_ "a disk that is full from some call on"
full_
case_ "a disk that is full for one call"
full_ once

summary_
