#!/bin/sh
# What stops a training run: Ctrl-C, a second one at the same time, a full disk, a home that cannot
# be written, too little memory, no device. The adapter before it still answers.
. "${0%/*}/hostile.sh"

adapter_=home/store/0R7STD0HK1DBS629DWG0NJR445/adapter/versions
# doc.dlm and long.dlm share a dlm_id, and so a store.
train_() { run_ dlm -q train --backend cpu --take-over "$@"; }
ask_() { run_ dlm -q "$@" prompt --backend cpu doc.dlm --image images/one.png --temp 0 "blue an?"; }

# Whoever runs the tests may have SIGHUP ignored, as nohup does, and the program leaves it so.
heed='env --default-signal=HUP'

# Starts `dlm train ARGUMENT...` of long.dlm in the background and waits for its first step.
start_()
{
    : > out
    : > job.err
    $heed "$dlm" train --backend cpu --take-over long.dlm "$@" > job.out 2> job.err &
    job=$!
    tries=0
    until grep -q '^step 1/' job.err; do
        tries=$((tries + 1))
        if [ $tries -gt 600 ] || ! kill -0 $job 2> kill.err; then
            cp job.err err
            fail_ "the run did not begin"
            return
        fi
        sleep 0.1
    done
}

# Waits for it; out, err and status are its own.
join_()
{
    wait $job
    status=$?
    cp job.out out
    cp job.err err
}

sed 's/num_epochs: 20/num_epochs: 2000/; s/lora_dropout: 0.0/lora_dropout: 0.1/' doc.dlm > long.dlm

case_ "a first adapter"
train_ --max-steps 3 doc.dlm
status_is 0
holds_ grep -q "\"source_path\": \"$dir/doc.dlm\"" home/store/*/manifest.json
ask_
status_is 0
cp out answer

# --- Ctrl-C ---

case_ "Ctrl-C ends the step, saves the state and says how to go on"
start_
kill -INT $job
join_
status_is 130
out_is
err_has "interrupted after step "
err_has 'hint: `dlm train --resume` continues the run'
holds_ test -s home/store/*/runs/000002/state.json
ask_
same_ out answer

case_ "a state that is damaged"
state=$(ls home/store/*/runs/000002/state.json)
cp "$state" state.json
for change in 's/"in": 72/"in": 73/' 's/"out": 72/"out": 71/' 's/"path": ".*"/"path": "x"/' \
    's/"step": .*/"step": 9223372036854775807,/' 's/"step": .*/"step": 1000000,/' \
    's/"step": .*/"step": -7,/' 's/"grad_accum": .*/"grad_accum": 0,/' \
    's/"loss_rows": .*/"loss_rows": 0,/' 's/"log": .*/"log": "a\/b",/' \
    's/"r": 4/"r": 65537/' 's/"tensors_sha256": "./"tensors_sha256": "x/'; do
    sed "$change" state.json > "$state"
    train_ --resume long.dlm
    fails_ 1 "/runs/000002/state"
done
cp state.json "$state"
ask_
same_ out answer

case_ "a state that another version saved, whose parameters lie in another order"
sed 's/"state_version": .*/"state_version": 1,/' state.json > "$state"
train_ --resume long.dlm
fails_ 1 "was saved by another version of dlm"
cp state.json "$state"

case_ "resume with another document says what changed"
train_ --resume doc.dlm
fails_ 1 "resume: the document changed"
train_ --resume --seed 7 long.dlm
fails_ 1 "resume: the options changed"
train_ --resume --quant q8_0 long.dlm
fails_ 1 "resume: the run began with the base in its precision, and --quant and --quant-scope or \
the document ask for q8_0, decoder"

case_ "the next start says that a run is unfinished, and leaves it"
run_ dlm -q train --backend cpu --take-over --max-steps 1 --fresh doc.dlm
status_is 0
err_has "warning: run 2 is unfinished and stays so"
holds_ test -s home/store/*/runs/000002/state.json
train_ --resume --max-steps 1 doc.dlm # a later run is finished: another from its adapter
status_is 0
err_is

case_ "an interrupted run, resumed, gives the bytes of an unbroken one"
steps=$(sed -n 's/.*interrupted after step \([0-9]*\) of.*/\1/p' job.err)
steps=$((${steps:-1} + 20))
start_ --max-steps $steps --fresh --save-every 5
kill -INT $job
join_
if [ "$status" -eq 130 ]; then
    train_ --resume --max-steps $steps long.dlm
    status_is 0
fi
id=$(sed -n 's/v0*//p' home/store/*/adapter/versions/../current.txt | tr -dc 0-9)
cp $adapter_/"$(printf 'v%04d' "${id:-0}")"/adapter_model.safetensors resumed
run_ dlm -q --home unbroken train --backend cpu --max-steps $steps long.dlm
status_is 0
same_ resumed unbroken/${adapter_#home/}/v0001/adapter_model.safetensors

for signal in TERM:143 HUP:129; do
    case_ "SIG${signal%:*} does the same as Ctrl-C"
    start_ --fresh
    kill -${signal%:*} $job
    join_
    status_is ${signal#*:}
    err_has "interrupted after step "
done

case_ "nohup keeps SIGHUP away"
trap '' HUP
heeds=$heed heed=
start_ --fresh
heed=$heeds
trap - HUP
kill -HUP $job
sleep 0.5
holds_ kill -0 $job
kill -INT $job
join_
status_is 130

# One step goes over all of 40,000 questions, half a minute or more: the first signal waits for its
# end.
case_ "a second Ctrl-C ends at once, in the middle of a step"
ask_
cp out answer
{
    awk 'NR > 1 && /^---$/ { print; exit } { print }' doc.dlm |
        sed 's/grad_accum: .*/grad_accum: 1000000/'
    echo '::instruction::'
    awk 'BEGIN {
        for (i = 0; i < 40000; i++)
            printf "### Q\nwhat is blue %d?\n### A\nblue an blue an blue an blue an\n", i
    }'
} > step.dlm
for signal in INT:130 TERM:143; do
    : > started
    "$dlm" train --backend cpu --take-over step.dlm > job.out 2> job.err &
    job=$!
    until [ -n "$(find home -name state.json -newer started 2> find.err)" ] ||
        ! kill -0 $job 2> kill.err; do sleep 0.1; done
    sleep 0.5
    kill -INT $job
    sleep 0.5
    holds_ kill -0 $job
    kill -${signal%:*} $job
    join_
    status_is ${signal#*:}
    err_has "stopping at a safe point; once more to stop at once"
    [ "$(grep -c 'stopping at a safe point' err)" -eq 1 ] || fail_ "the note came twice"
    grep -q 'interrupted' err && fail_ "it stopped at a safe point"
done
ask_
same_ out answer
train_ --max-steps 1 doc.dlm
status_is 0
ask_
status_is 0

case_ "Ctrl-C ends an answer"
"$dlm" -q prompt --backend cpu doc.dlm --image images/one.png --temp 0 --max-tokens 100000 \
    "blue an?" > job.out 2> job.err &
job=$!
until [ -s job.out ] || ! kill -0 $job 2> kill.err; do sleep 0.1; done
kill -INT $job
join_
status_is 130
err_has "prompt: interrupted"

case_ "a killed run, resumed again and again, gives the bytes of an unbroken one"
rm -rf home
: > err
for round in 1 2 3; do
    "$dlm" -q train --backend cpu long.dlm --max-steps 60 --save-every 1 \
        $([ $round -eq 1 ] || echo --resume) > job.out 2> job.err &
    job=$!
    until grep -qs '"step": [1-9]' $(find home -name state.json -newer job.out 2> find.err) none; do
        kill -0 $job 2> kill.err || break
    done
    kill -KILL $job 2> kill.err
    join_ 2> wait.err
done
train_ --resume --max-steps 60 long.dlm
status_is 0
run_ dlm -q --home unbroken-60 train --backend cpu --max-steps 60 long.dlm
status_is 0
same_ $adapter_/v0001/adapter_model.safetensors \
    unbroken-60/${adapter_#home/}/v0001/adapter_model.safetensors
train_ --max-steps 1 doc.dlm
status_is 0
ask_
cp out answer

case_ "killed before its first step, resumed"
adapter_of_() { echo "$1/${adapter_#home/}/v000$2/adapter_model.safetensors"; }
run_ dlm -q --home early train --backend cpu --max-steps 2 doc.dlm
status_is 0
"$dlm" -q --home early train --backend cpu --max-steps 40 doc.dlm > job.out 2> job.err &
job=$!
until ls "early/${adapter_#home/}"/../../runs/000002/*.json > ls.out 2>&1 ||
    ! kill -0 $job 2> kill.err; do :; done
kill -KILL $job 2> kill.err
join_ 2> wait.err
holds_ test ! -f "$(adapter_of_ early 2)" # else it was killed too late to say anything
run_ dlm -q --home early train --backend cpu --max-steps 40 --resume doc.dlm
status_is 0
run_ dlm -q --home late train --backend cpu --max-steps 40 doc.dlm
status_is 0
same_ "$(adapter_of_ early 2)" "$(adapter_of_ late 1)"

# --- two at once ---

case_ "a second training of the same document"
start_ --fresh
train_ doc.dlm
fails_ 1 ".lock: already locked by PID $job"
ask_
status_is 0
kill -INT $job
join_
status_is 130

# --- homes ---

case_ "a home that cannot be written"
: > file
for home in file file/below /proc/none; do
    run_ dlm -q --home $home train --backend cpu doc.dlm
    fails_ 1 "'$home"
    out_is
done
run_ dlm -q --home unbroken prompt --backend cpu doc.dlm --image images/one.png "blue an?"
status_is 0

case_ "results that cannot be written"
run_ dlm -q preprocess --base dir:base --image images/one.png --out file/x.npz
fails_ 1 "'file/x.npz'"
run_ dlm -q preprocess --base dir:base --image images/one.png --out images
fails_ 1 "'images'"
holds_ test -f images/one.png
run_ dlm -q score --base dir:base --adapter adapter --prompt a --target b \
    --gradients no/g.safetensors
fails_ 1 "'no/g.safetensors'"

# --- full disks ---

# After a failed run: one line about a file in the home, and the adapter before it as it was.
full_disk_()
{
    [ "$status" -eq 0 ] && return
    fails_ 1 "cannot " "$1"
    out_is
    ask_ --home "$1"
    status_is 0
    same_ out before
}

case_ "files that may not grow"
run_ dlm -q --home small train --backend cpu --max-steps 2 doc.dlm
status_is 0
ask_ --home small
cp out before
for blocks in 0 1 2 4 8 16 32; do
    (
        ulimit -f $blocks
        exec "$dlm" -q --home small train --backend cpu --max-steps 4 --save-every 1 doc.dlm
    ) < /dev/null 2>&1 > out | cat > err # the pipe is not limited
    # sh gives the status of cat: an error's line says that it failed
    status=0
    [ -s err ] && status=1
    full_disk_ small
done
ls -d small/store/*/adapter/versions/.tmp-* > out 2> err
out_is

case_ "a full disk"
mkdir full
if unshare -m sh -c 'mount -t tmpfs -o size=1m none full' 2> err; then
    cat > on_full.sh <<'SCRIPT'
mount -t tmpfs -o size=1m none full || exit 99
ask()
{
    "$1" -q --home full prompt --backend cpu doc.dlm --image images/one.png --temp 0 "blue an?"
}
train()
{
    "$1" -q --home full train --backend cpu --max-steps "$2" --save-every 1 doc.dlm
}
train "$1" 2 > out 2> err || exit 98
ask "$1" > before
for left in 0 4 8 12 16 24 32 48 64 96 128; do
    rm -f full/filler
    dd if=/dev/zero of=full/filler bs=1k 2> dd.log
    size=$(wc -c < full/filler)
    head -c $((size - left * 1024)) full/filler > filler.tmp
    cat filler.tmp > full/filler
    train "$1" 4 > out 2> err
    status=$?
    ask "$1" > after
    if [ $status -eq 0 ]; then
        cp after before
        continue
    fi
    echo "left $left KiB: exit $status, $(grep -vc -e '^hint: ' -e '^warning: ' err) lines"
    cat err
    [ $status -eq 1 ] && grep -q "'full/" err &&
        [ "$(grep -vc -e '^hint: ' -e '^warning: ' err)" -eq 1 ] && cmp -s before after || exit 1
done
rm -f full/filler
train "$1" 2 > out 2> err
SCRIPT
    unshare -m sh on_full.sh "$dlm" > full.log 2>&1
    status=$?
    [ "$status" -eq 0 ] || { cp full.log err; fail_ "exit $status"; }
    holds_ grep -q "exit 1, 1 lines" full.log
else
    case_name=
    echo "# skipped: a full disk: mounting is not allowed here"
    skipped=$((skipped + 1))
fi

# --- the record of the last run's conditions, and what changed since ---

log_of_()
{
    sed -n 's/^log: *//p' err
}

case_ "another seed: a warning, an error where it is asked for"
run_ dlm --home lock train --backend cpu --max-steps 1 doc.dlm
status_is 0
grep -q '"type":"delta".*"unchanged":\[\]' "$(log_of_)" || fail_ "the first run's delta"
run_ dlm --home lock train --backend cpu --max-steps 1 --strict-lock doc.dlm
status_is 0
grep -q '"new":\[\],"removed":\[\],"type":"delta"' "$(log_of_)" || fail_ "the same run's delta"
run_ dlm -q --home lock train --backend cpu --max-steps 1 --seed 99 --strict-lock doc.dlm
fails_ 1 "lock: " "dlm.lock: lock validation failed (seed was 0 and is 99)"
err_has "hint: --update-lock"
run_ dlm --home lock train --backend cpu --max-steps 1 --seed 99 --ignore-lock doc.dlm
status_is 0
run_ dlm --home lock train --backend cpu --max-steps 1 --seed 99 doc.dlm
status_is 0
err_has "lock: seed was 0 and is 99"
run_ dlm --home lock train --backend cpu --max-steps 1 --seed 0 --update-lock doc.dlm
status_is 0
run_ dlm --home lock train --backend cpu --max-steps 1 --strict-lock doc.dlm
status_is 0
run_ dlm --home lock train --strict-lock --ignore-lock doc.dlm
status_is 2

# --- memory and devices ---

case_ "what cannot fit is refused with the numbers, before weights are read"
for word in weights adapter optimizer activations; do
    run_ dlm -q --home none train --backend cpu --max-memory 0.5 doc.dlm
    fails_ 1 "this needs " " MiB on device " " MiB free" "$word "
    err_has "hint: training.gradient_checkpointing: true takes "
done
run_ dlm -q prompt --backend cpu --max-memory 0.5 doc.dlm --image images/one.png "blue an?"
fails_ 1 "this needs " " MiB free"
run_ dlm -q score --base dir:base --backend cpu --max-memory 0.5 --prompt a --target b
fails_ 1 "this needs " " MiB free"
sed 's/micro_batch_size: 2/micro_batch_size: 65536/; s/grad_accum: 2/grad_accum: 65536/' \
    doc.dlm > huge.dlm
train_ --max-memory 95 --max-steps 2 huge.dlm # of four rows
status_is 0
rm huge.dlm
run_ dlm --home none train --backend cpu --max-steps 1 doc.dlm
status_is 0
err_has "train: memory: "
sed -n '/memory: /=' err > line
sed -n '/^step 1/=' err >> line
sort -n line | cmp -s - line || fail_ "the plan is not printed before the first step"

case_ "the plan is what is taken"
as_planned_()
{
    run_ dlm -v --home plan "$@"
    status_is 0
    planned=$(sed -n 's/.*memory: \([0-9.]*\) MiB (.*/\1/p' err)
    taken=$(sed -n 's/.*memory: at most \([0-9.]*\) MiB.*/\1/p' err)
    [ -n "$planned" ] && [ "$planned" = "$taken" ] || fail_ "planned $planned, took $taken MiB"
}
as_planned_ train --backend cpu --max-steps 3 doc.dlm
as_planned_ train --backend cpu --max-steps 3 doc.dlm # features are cached
as_planned_ prompt --backend cpu doc.dlm "what is it?"
as_planned_ score --backend cpu --base doc.dlm --prompt a --target b --gradients g.safetensors

case_ "devices that are not there"
run_ env OCL_ICD_VENDORS=/nonexistent "$dlm" -q train --backend opencl doc.dlm
fails_ 1 opencl
run_ env VK_ICD_FILENAMES=/nonexistent VK_DRIVER_FILES=/nonexistent "$dlm" -q train \
    --backend vulkan doc.dlm
fails_ 1 vulkan
run_ dlm -q train --backend cpu --device 7 doc.dlm
fails_ 1 cpu
ask_
status_is 0

summary_
