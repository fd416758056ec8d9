#!/bin/sh
# The store outlives a training that is killed at any moment, and a disk that is full at any write:
# it is whole, the last adapter answers, and the run, resumed, gives the bytes of an unbroken one.
# So it does a removal and a repair that are killed. DLM_FULL_DISK is the library of full_disk.c.
# DLM_TEST_KILLS of a training (80), half of them by the clock and half at calls that write.
# DLM_TEST_ENDURANCE=all: the disk is full at every write.
. "${0%/*}/hostile.sh"

: "${DLM_FULL_DISK:?says which library makes disks full}"
kills=$((${DLM_TEST_KILLS:-80} / 2)) # of each kind
case ${DLM_TEST_ENDURANCE:-} in
all) stride=1 ;;
*) stride=2 ;;
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

case_ "killed at calls that write"
steps=3
rm -rf home
train_
status_is 0
cp $versions_/v0001/adapter_model.safetensors unbroken
rm -rf home
steps=1
train_
status_is 0
ask_
cp out first
steps=3
killed=0
awk -v n=$kills 'BEGIN {
    srand(20260502)
    for (i = 0; i < 20 * n; i++) print 1 + int(rand() * 90) }' > calls
while [ $killed -lt $kills ] && read -r call; do
    at_ "$call" env FULL_DISK_KILL=1 "$dlm" -q train --backend cpu --max-steps $steps \
        --save-every 1 $(going_on_) doc.dlm
    case $status in
    137) killed=$((killed + 1)) ;;
    0) ;;
    *) fail_ "the run failed by itself" ;;
    esac
    whole_
done < calls
train_ $(going_on_)
status_is 0
whole_
ask_
cmp -s out first && fail_ "nothing was learnt"
echo "# $killed kills"
holds_ test $killed -eq $kills

# full_ N [ONCE]: a training whose N-th call that writes fails, and with ONCE no other
full_()
{
    rm -rf home
    cp -Rp kept home
    at_ "$1" env ${2:+FULL_DISK_ONCE=1} "$dlm" -q train --backend cpu --max-steps $steps \
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

# killed_at_each_ CHECK ARGUMENT...: the command is killed at each of its calls in turn, always on a
# copy of kept; the check follows, with the command's arguments.
killed_at_each_()
{
    check=$1 at=1
    shift
    while :; do
        rm -rf home
        cp -Rp kept home
        at_ $at env FULL_DISK_KILL=1 FULL_DISK_REMOVE=1 "$dlm" "$@"
        [ "$status" -eq 137 ] || break
        $check "$@"
        [ $case_ok = yes ] || { echo "# killed at call $at of $*"; return; }
        at=$((at + 1)) num_killed=$((num_killed + 1))
    done
    status_is 0
}

# What is left is whole, but for a removal that was interrupted; the removal done again ends it.
removed_()
{
    run_ dlm -q verify-store --all
    status_is 0
    if [ -f $store_/adapter/current.txt ]; then
        ask_
        status_is 0
    fi
    run_ dlm -q "$@"
    [ $status -eq 0 ] || err_has "there is no "
    run_ dlm -q verify-store --all --repair
    status_is 0
    run_ find home -name '.tmp-rm-*' -o -name '*.tmp.*'
    out_is
    run_ dlm -q verify-store --all
    [ ! -d $store_ ] || out_has "doc.dlm: whole"
}

repaired_()
{
    run_ dlm -q "$@"
    status_is 0
    run_ dlm -q verify-store doc.dlm
    status_is 0
    same_ $versions_/v0002/adapter_model.safetensors second
    ask_
    same_ out answer
}

case_ "rm, killed at each of its calls"
steps=1 num_killed=0
rm -rf home kept
train_
train_ --seed 8
status_is 0
cp -Rp home kept
killed_at_each_ removed_ rm doc.dlm v1 --yes
killed_at_each_ removed_ rm doc.dlm v2 --yes
killed_at_each_ removed_ rm doc.dlm --cache --yes
killed_at_each_ removed_ rm doc.dlm --store --yes
echo "# $num_killed kills"

case_ "verify-store --repair, killed at each of its calls"
num_killed=0
rm -rf home
cp -Rp kept home
ask_
cp out answer
cp $versions_/v0002/adapter_model.safetensors second
echo adapter/versions/v0009 > $store_/adapter/current.txt
echo '{' > $store_/manifest.json
: > $store_/manifest.json.tmp.1.0123abcd
mkdir -p $store_/blobs/00
sha=00$(sha256sum images/one.png | cut -c 3-64)
cp images/one.png $store_/blobs/00/$sha.png
rm -rf kept
mv home kept
killed_at_each_ repaired_ verify-store doc.dlm --repair
echo "# $num_killed kills"
rm -rf kept home

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
