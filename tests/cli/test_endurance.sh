#!/bin/sh
# The store outlives a training that is killed at any moment, and a disk that is full at any write:
# it is whole, the last adapter answers, and the run, resumed, gives the bytes of an unbroken one.
# DLM_FULL_DISK is the library of full_disk.c. DLM_TEST_ENDURANCE=all: 200 kills, and every write.
. "${0%/*}/hostile.sh"

full_disk=${DLM_FULL_DISK:?says which library makes disks full}
case ${DLM_TEST_ENDURANCE:-} in
all) kills=200 stride=1 ;;
*) kills=40 stride=2 ;;
esac
store_=home/store/0R7STD0HK1DBS629DWG0NJR445
versions_=$store_/adapter/versions
sed 's/lora_dropout: 0.0/lora_dropout: 0.1/; s/num_epochs: 20/num_epochs: 2000/' doc.dlm > long.dlm
mv long.dlm doc.dlm

ask_() { run_ dlm -q prompt --backend cpu --image images/one.png --temp 0 doc.dlm "blue an?"; }
train_() { run_ dlm -q train --backend cpu --max-steps "$steps" --save-every 1 "$@" doc.dlm; }

# How the next training goes on: --resume where a run was begun, nothing where there is none.
going_on_()
{
    for file in $store_/runs/*/state.json $store_/runs/*/begin.json; do
        [ ! -f "$file" ] || { echo --resume; return; }
    done
}

# The store is whole, and each version but v0001 has the bytes of the unbroken run.
whole_()
{
    run_ dlm -q verify-store doc.dlm
    status_is 0
    for version in $versions_/v*; do
        [ "$version" = $versions_/v0001 ] || same_ "$version/adapter_model.safetensors" unbroken
    done
}

# prepare_ STEPS: an unbroken run of so many, its adapter and its answer; then a store with a short
# run.
prepare_()
{
    steps=$1
    rm -rf home
    train_
    status_is 0
    cp $versions_/v0001/adapter_model.safetensors unbroken
    ask_
    cp out answer
    rm -rf home
    steps=1
    train_
    status_is 0
    ask_
    cp out first
    cmp -s first answer && fail_ "both adapters answer alike"
    steps=$1
}

case_ "killed at random moments"
prepare_ 40
# in thousandths of the length of a run, in ms, which follows how fast this machine is just now
began=$(date +%s%N)
train_
length=$((($(date +%s%N) - began) / 1000000))
awk -v n=$kills 'BEGIN { srand(20260501); for (i = 0; i < 20 * n; i++) print int(rand() * 1000) }' \
    > moments
killed=0 finished=0
while [ $killed -lt $kills ] && read -r moment; do
    moment=$((moment * length / 1000))
    "$dlm" -q train --backend cpu --max-steps $steps --save-every 1 $(going_on_) doc.dlm \
        > job.out 2> job.err < /dev/null &
    job=$!
    sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
    kill -KILL $job 2> kill.err
    wait $job 2> wait.err
    code=$?
    if [ $code -eq 0 ]; then
        finished=$((finished + 1))
        length=$((length - length / 10))
    elif [ $code -eq 137 ]; then
        killed=$((killed + 1))
        length=$((length + length / 20))
    else
        cp job.err err
        fail_ "the run failed by itself"
    fi
    whole_
done < moments
train_ $(going_on_)
status_is 0
whole_
ask_
same_ out answer
echo "# $killed kills, $finished runs finished before theirs"
holds_ test $killed -eq $kills

# full_ N [ONCE]: a training whose N-th call that writes fails, and with ONCE no other
full_()
{
    rm -rf home
    cp -Rp kept home
    run_ env LD_PRELOAD="$full_disk" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        FULL_DISK_BELOW="$dir/home" FULL_DISK_AT="$1" ${2:+FULL_DISK_ONCE=1} \
        FULL_DISK_COUNT="$dir/count" "$dlm" -q train --backend cpu --max-steps $steps \
        --save-every 1 doc.dlm
}

# After it: if it failed it says so in one line, the last adapter answers, and it can go on.
survives_()
{
    failures=$failed
    full_ "$@"
    if [ "$status" -ne 0 ]; then
        fails_ 1 "cannot " "home/"
        out_is
        num_failed=$((num_failed + 1))
    fi
    whole_
    if [ $((num_failed % 4)) -eq 1 ]; then
        ask_
        status_is 0
        case $(cat $store_/adapter/current.txt) in
        */v0001) same_ out first ;;
        *) same_ out answer ;;
        esac
    fi
    if [ ! -d $versions_/v0002 ] || [ "$(going_on_)" ]; then
        train_ $(going_on_)
        status_is 0
    fi
    whole_
    holds_ test -d $versions_/v0002
    [ $failures -eq $failed ] && [ $case_ok = yes ] || echo "# at call $*"
}

case_ "a disk that is full from some call on"
prepare_ 3
mv home kept
full_ 0
status_is 0
whole_
num=$(cat count)
holds_ test "$num" -gt 50
num_failed=0 at=1
while [ $at -le "$num" ]; do
    survives_ $at
    at=$((at + stride))
done
echo "# failed $num_failed times, of $num calls"
holds_ test $((num_failed * stride * 2)) -gt "$num"

case_ "a disk that is full for one call"
num_failed=0 at=$(((stride + 1) / 2))
while [ $at -le "$num" ]; do
    survives_ $at once
    at=$((at + stride))
done
echo "# failed $num_failed times, of $num calls"
holds_ test $((num_failed * stride * 2)) -gt "$num"

summary_
