#!/bin/sh
# doctor: drivers that hang, crash or end the process when they are asked for their devices.
. "${0%/*}/lib.sh"

fake=${DLM_TEST_FAKE_DRIVER:?says where the driver is that fails}

"$dlm" doctor > all 2> err || { cat err; exit 1; }
has_opencl= has_vulkan=
"$dlm" doctor --probe --backend opencl 2> err | grep -q '^ \[{' && has_opencl=yes
"$dlm" doctor --probe --backend vulkan 2> err | grep -q '^ \[{' && has_vulkan=yes

# Drivers that are installed, beside the one that fails.
mkdir vendors icd
echo "$fake" > vendors/bad.icd
for file in /etc/OpenCL/vendors/*.icd; do [ ! -f "$file" ] || cp "$file" vendors; done
cat > icd/bad.json <<END
{"file_format_version": "1.0.0", "ICD": {"library_path": "$fake", "api_version": "1.2.0"}}
END
good=
for file in /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json; do
    [ ! -f "$file" ] || good=$good:$file
done
good=${good#:}

# How many devices of a backend are listed.
devices_of() { grep -c -- "--backend $1 *--device" "$2"; }

# probe_ FAULT COMMAND...: with the driver that fails in that way, in both loaders.
probe_()
{
    fault=$1
    shift
    run_ env DLM_TEST_DRIVER="$fault" OCL_ICD_VENDORS="$dir/vendors" \
        VK_DRIVER_FILES="$dir/icd/bad.json:$good" VK_ICD_FILENAMES="$dir/icd/bad.json:$good" "$@"
}

# What doctor says of the driver, in both loaders as far as this build has them.
says_()
{
    [ -z "$has_vulkan" ] ||
        out_has "  --backend vulkan the driver '$dir/icd/bad.json' $1 when asked for its devices"
    [ -z "$has_opencl" ] ||
        out_has "  --backend opencl the driver '$dir/vendors/bad.icd' $1 when asked for its devices"
}

for fault in crash abort exit leave hang; do
    case_ "a driver that does this: $fault"
    probe_ "$fault" "$dlm" doctor --limit 5
    status_is 0
    case $fault in
    crash) says_ "crashed (signal 11, Segmentation fault)" ;;
    abort) says_ "crashed (signal 6, Aborted)" ;;
    exit) says_ "ended the process (exit status 3)" ;;
    leave) says_ "ended the process (exit status 0)" ;;
    hang) says_ "gave no answer in 5 s" ;;
    esac
    out_has "  --backend cpu    --device 0"
    for backend in vulkan opencl; do
        holds_ test "$(devices_of $backend out)" -eq "$(devices_of $backend all)"
        grep -- "--backend $backend *--device" out | grep -v "not usable: see below" &&
            fail_ "a device of $backend is said to be usable"
    done
    holds_ grep -q '^Backend:        cpu ' out
    err_is
done

# is_left_ PID: it still runs (a killed one may be no one's child that waits for it: a zombie).
is_left_()
{
    state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2> state.err) && [ "$state" != Z ]
}

# none_left_ FILE: no process whose number stands there is left, a moment later at most: one that is
# killed has to run once more to end.
none_left_()
{
    holds_ test -s "$1"
    while read -r pid; do
        for moment in 0 1 2 3 4 5 6 7 8 9; do
            is_left_ "$pid" || continue 2
            sleep "$moment"
        done
        fail_ "process $pid is left: $state"
    done < "$1"
}

if [ -n "$has_vulkan$has_opencl" ]; then
    case_ "a driver that starts a process: it ends with the one that asks"
    for fault in print exit crash hang; do
        rm -f pids
        probe_ "$fault" env DLM_TEST_DRIVER_FORK="$dir/pids" "$dlm" doctor --limit 2
        status_is 0
        none_left_ pids
        case $fault in
        exit) says_ "ended the process (exit status 3)" ;;
        crash) says_ "crashed (signal 11, Segmentation fault)" ;;
        esac
    done

    case_ "so it does when whoever asks is killed"
    rm -f pids
    env DLM_TEST_DRIVER=hang DLM_TEST_DRIVER_FORK="$dir/pids" OCL_ICD_VENDORS="$dir/vendors" \
        VK_DRIVER_FILES="$dir/icd/bad.json" "$dlm" doctor --limit 60 > out 2> err < /dev/null &
    job=$!
    until [ -s pids ] || ! kill -0 $job 2> kill.err; do sleep 0.1; done
    kill -INT $job
    wait $job
    none_left_ pids
fi

case_ "the same as JSON, with the way out"
probe_ crash "$dlm" doctor --json
status_is 0
if [ -n "$has_vulkan" ]; then
    out_has "\"file\": \"$dir/icd/bad.json\","
    out_has '"fault": "crashed",'
    [ -z "$good" ] || out_has "VK_DRIVER_FILES=$good leaves it out"
fi
if [ -n "$has_vulkan$has_opencl" ]; then
    out_has '"usable": false'
    out_has '"code": 11,'
fi

case_ "nothing else of the doctor loads it"
probe_ crash "$dlm" doctor --ops
status_is 0
holds_ grep -q '^op  *type  cpu:0$' out
[ -z "$has_vulkan" ] || err_has "backend 'vulkan' is left out: the driver '$dir/icd/bad.json' "
probe_ hang "$dlm" doctor --base tiny-shapes --limit 5
status_is 0
out_has "Device:         cpu ("
for backend in ${has_vulkan:+vulkan} ${has_opencl:+opencl}; do
    for command in "--base tiny-shapes" --ops "--verify --base tiny-shapes"; do
        # shellcheck disable=SC2086
        probe_ crash "$dlm" doctor $command --backend "$backend"
        status_is 1
        err_has "dlm: cannot use backend '$backend': the driver '"
        err_has " leaves it out"
    done
done

case_ "a driver that talks, and has no device"
probe_ print "$dlm" doctor
status_is 0
for backend in vulkan opencl; do
    holds_ test "$(devices_of $backend out)" -eq "$(devices_of $backend all)"
done
grep -q "Drivers that fail" out && fail_ "its words are taken for a fault"

case_ "commands that compute ask drivers before they load them"
export DLM_KERNEL_CACHE="$dir/kernels"
cp -r "$data/../share/sample" sample
for backend in ${has_vulkan:+vulkan} ${has_opencl:+opencl}; do
    probe_ crash "$dlm" prompt --base tiny-shapes --backend "$backend" "what?"
    status_is 1
    err_has "prompt: cannot use backend '$backend': the driver '"
    err_has " crashed (signal 11, Segmentation fault) when asked for its devices"
    err_has " leaves it out"
    probe_ leave "$dlm" train sample/sample.dlm --max-steps 1 --backend "$backend"
    status_is 1
    err_has "train: cannot use backend '$backend': the driver '"
    probe_ abort "$dlm" bench --limits --backend "$backend"
    status_is 1
    err_has "cannot use backend '$backend': the driver '"
done
[ ! -d kernels ] || holds_ test -z "$(find kernels -name '*.drivers' -empty)"
rm -rf kernels

# left_out_: auto went on without what has the driver that fails.
left_out_()
{
    status_is 0
    [ -z "$has_vulkan" ] ||
        err_has "warning: backend 'vulkan' is left out: the driver '$dir/icd/bad.json' gave no"
    [ -z "$has_opencl" ] ||
        err_has "warning: backend 'opencl' is left out: the driver '$dir/vendors/bad.icd' gave no"
    [ -z "$has_vulkan$has_opencl" ] || err_has " gave no answer in 10 s when asked for its devices"
}

case_ "auto goes on without a backend whose driver hangs"
probe_ hang "$dlm" train sample/sample.dlm --max-steps 1
left_out_
grep -q 'asked again' err && fail_ "a fault is known that was not found yet"

if [ -n "$has_vulkan$has_opencl" ]; then
    case_ "it is not asked again, and that is said"
    for command in "train sample/sample.dlm --max-steps 1 --fresh" "prompt --base tiny-shapes what?"
    do
        # one that hung would end the process now, and that would be seen
        # shellcheck disable=SC2086
        probe_ leave "$dlm" $command
        left_out_
        holds_ grep -q "asked for its devices, at 20[0-9-]* [0-2][0-9]:[0-5][0-9]$" err
        [ -z "$has_vulkan" ] || err_has "it is asked again by \`dlm doctor\`, by --backend vulkan"
        [ -z "$has_opencl" ] || err_has "it is asked again by \`dlm doctor\`, by --backend opencl"
    done

    # is_all_in_: no backend is left out.
    is_all_in_()
    {
        status_is 0
        grep -q "left out" err && fail_ "a backend is left out"
    }

    case_ "who names the backend asks"
    for backend in ${has_vulkan:+vulkan} ${has_opencl:+opencl}; do
        probe_ leave "$dlm" prompt --base tiny-shapes --backend "$backend" "what?"
        status_is 1
        err_has "cannot use backend '$backend': the driver '"
        err_has " ended the process (exit status 0) when asked for its devices"
    done

    case_ "so does the doctor, who forgets a fault that is gone, and keeps one that is not"
    probe_ exit "$dlm" doctor
    says_ "ended the process (exit status 3)"
    probe_ exit "$dlm" prompt --base tiny-shapes "what?"
    status_is 0
    err_has " ended the process (exit status 0) when asked for its devices, at 20"
    probe_ print "$dlm" doctor
    status_is 0
    probe_ print "$dlm" prompt --base tiny-shapes "what?"
    status_is 0
    is_all_in_
    # what it finds is no fault that counts: it may have less time
    probe_ exit "$dlm" doctor --limit 5
    probe_ print "$dlm" prompt --base tiny-shapes "what?"
    is_all_in_

    case_ "an exchanged driver is asked"
    probe_ leave "$dlm" prompt --base tiny-shapes "what?"
    status_is 1
    err_has "dlm: a driver ended the program"
    touch -d '2002-02-02' vendors/bad.icd icd/bad.json
    probe_ exit "$dlm" prompt --base tiny-shapes "what?"
    status_is 0
    err_has " is left out: the driver '$dir/"
    err_has " ended the process (exit status 3) when asked for its devices"
    grep -q 'asked again' err && fail_ "another driver's fault"
fi
rm -rf kernels

case_ "the CPU has no driver"
probe_ hang "$dlm" prompt --base tiny-shapes --backend cpu "what?"
status_is 0
grep driver err && fail_ "one was asked"
probe_ crash "$dlm" train sample/sample.dlm --max-steps 1 --backend cpu
status_is 0

case_ "a driver that answered is not asked again while it is the same"
for backend in ${has_vulkan:+vulkan} ${has_opencl:+opencl}; do
    probe_ print "$dlm" prompt --base tiny-shapes --backend "$backend" "what?"
    status_is 0
    # one that ends a command all the same is no success
    probe_ leave "$dlm" prompt --base tiny-shapes --backend "$backend" "what?"
    status_is 1
    err_has "dlm: a driver ended the program; \`dlm doctor\` says which"
    probe_ leave "$dlm" doctor --base tiny-shapes --backend "$backend"
    status_is 1
    err_has "dlm: cannot use backend '$backend': the driver '"
done
touch -d '2001-01-01' vendors/bad.icd icd/bad.json # exchanged
for backend in ${has_vulkan:+vulkan} ${has_opencl:+opencl}; do
    probe_ leave "$dlm" prompt --base tiny-shapes --backend "$backend" "what?"
    status_is 1
    err_has "prompt: cannot use backend '$backend': the driver '"
done

if [ -n "$has_vulkan$has_opencl" ]; then
    case_ "a driver that answered, and hangs where it is loaded, ends the command"
    backend=${has_opencl:+opencl}
    backend=${backend:-vulkan}
    rm -rf kernels
    probe_ print "$dlm" prompt --base tiny-shapes --backend $backend "what?"
    holds_ test -n "$(find kernels -name '*.drivers')"
    probe_ later "$dlm" doctor --ops --backend $backend --limit 5
    status_is 1
    err_has " gave no answer in 5 s when it was loaded here, though it did when another"
    err_has "hint: \`dlm doctor\` asks it again; --backend cpu loads no driver"
    holds_ test -z "$(find kernels -name '*.drivers')"
fi
unset DLM_KERNEL_CACHE

case_ "no folder of links is left"
mkdir tmp
TMPDIR=$dir/tmp probe_ abort "$dlm" doctor
status_is 0
holds_ test -z "$(ls tmp)"

# pose_ FREE COMMAND...: the devices of both backends are cards of 16 GiB.
pose_()
{
    free=$1
    shift
    run_ env LD_PRELOAD="$DLM_POSE_DEVICE" \
        ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" \
        POSE_KIND=card POSE_BYTES=17179869184 POSE_FREE="$free" "$@"
}

case_ "memory that is free, as extensions tell, and as they do not"
pose_ 3221225472 "$dlm" doctor
status_is 0
[ -z "$has_vulkan" ] || out_has "3.0 GiB free (VK_EXT_memory_budget); largest buffer "
[ -z "$has_opencl" ] || out_has "3.0 GiB free (cl_amd_device_attribute_query); largest buffer "
pose_ 3221225472 "$dlm" doctor --json
status_is 0
if [ -n "$has_vulkan$has_opencl" ]; then
    out_has '"free_bytes": 3221225472'
    out_has '"vram_gb": 3.0'
    out_has '"kind": "card"'
    pose_ "" "$dlm" doctor
    out_has "how much is free its driver does not tell"
    pose_ "" "$dlm" doctor --json
    out_has '"free_from": null'
    out_has '"vram_gb": 16.0'
fi

case_ "train and prompt are refused by it before they start"
cp -R "$data/../share/sample" sample
for backend in ${has_vulkan:+vulkan} ${has_opencl:+opencl}; do
    for command in train "prompt --no-adapter"; do
        question=
        [ "$command" = train ] || question=what
        # shellcheck disable=SC2086
        pose_ 1048576 "$dlm" $command --backend "$backend" sample/sample.dlm $question
        status_is 1
        holds_ grep -q ' this needs [2-9][0-9]* MiB on device .*, which has 1 MiB free: ' err
    done
done

case_ "what --probe needs"
run_ dlm doctor --probe
status_is 2
err_is "dlm: --probe needs --backend"
run_ dlm doctor --probe --backend cpu
status_is 0
holds_ grep -q '^ \[{"backend":"cpu","index":0,' out

summary_
