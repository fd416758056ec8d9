#!/bin/sh
# Commands that write a little, on a disk that is full at each of their writes in turn: what was
# there stays, or what was asked for is there whole, and the command, given again, does its work.
# (Training and pull: test_endurance.sh and test_pull_endurance.sh; export: test_export.sh.)
# DLM_FULL_DISK is the library of full_disk.c. DLM_TEST_ENDURANCE=all: at each write of those with
# many, too.
. "${0%/*}/hostile.sh"

: "${DLM_FULL_DISK:?says which library makes disks full}"
below=$dir/box
id=0R7STD0HK1DBS629DWG0NJR445
store_=box/home/store/$id
DLM_HOME=$below/home DLM_KERNEL_CACHE=$below/kernels
export DLM_HOME DLM_KERNEL_CACHE

# at_each_ CHECK DONE COMMAND...: the command (of dlm) on copies of kept/, its N-th write failing,
# alone and with all that follow. CHECK is called after each; after the command given again, DONE.
at_each_()
{
    check=$1 done=$2
    shift 2
    rm -rf box
    cp -Rp kept box
    at_ 0 "$dlm" -q "$@"
    status_is 0
    again=0
    $done
    num=$(cat count)
    num_failed=0 stride=1
    [ "$num" -lt 20 ] || [ "${DLM_TEST_ENDURANCE:-}" = all ] || stride=3
    holds_ test "$num" -gt 0
    for once in "" yes; do
        at=1
        while [ $at -le "$num" ] && [ $case_ok = yes ]; do
            rm -rf box
            cp -Rp kept box
            at_ $at env ${once:+FULL_DISK_ONCE=1} "$dlm" -q "$@"
            if [ "$status" -ne 0 ]; then
                fails_ 1 "cannot "
                out_is
                num_failed=$((num_failed + 1))
            fi
            $check
            run_ dlm -q "$@"
            again=$status
            $done
            [ $case_ok = yes ] || echo "# at call $at${once:+ alone} of $num: $*"
            at=$((at + stride))
        done
    done
    echo "# failed $num_failed times, of 2 x $num calls: $*"
    [ "${never_fails:-}" ] || holds_ test $num_failed -gt 0
}
again_is_() { [ "$again" -eq "$1" ] || fail_ "given again, it ends with $again, not $1"; }
no_temporary_()
{
    [ -z "$(find box -name '*.tmp*' -o -name '.tmp*')" ] || fail_ "something is left over"
}
fresh_()
{
    rm -rf kept box
    mkdir kept
    cp doc.dlm kept/doc.dlm
    ln -s "$dir/base" kept/base
    cp -R images kept/images
}
trained_() # ... with two versions
{
    fresh_
    mv kept box
    for seed in 7 8; do
        run_ dlm -q train --backend cpu --max-steps 1 --seed $seed box/doc.dlm
        status_is 0
    done
    mv box kept
}
whole_()
{
    run_ dlm -q verify-store box/doc.dlm
    status_is 0
}
ask_() { run_ dlm -q prompt --backend cpu --image images/one.png --temp 0 "$@" "blue an?"; }

# --- documents ---

case_ "init"
fresh_
rm kept/doc.dlm
absent_or_whole_()
{
    [ ! -e box/new.dlm ] || { run_ dlm -q show box/new.dlm; status_is 0; }
}
written_()
{
    [ "$again" = 0 ] || { run_ dlm -q init --force box/new.dlm --base tiny-shapes; status_is 0; }
    run_ dlm -q show box/new.dlm
    status_is 0
    run_ dlm -q verify-store box/new.dlm
    status_is 0
    no_temporary_
}
at_each_ absent_or_whole_ written_ init box/new.dlm --multimodal --base tiny-shapes

case_ "migrate"
fresh_
sed 's/^dlm_version: .*/dlm_version: 1/' doc.dlm > kept/doc.dlm
cp kept/doc.dlm old
cp old new.dlm
run_ dlm -q migrate --no-backup new.dlm
status_is 0
old_or_new_() { cmp -s box/doc.dlm old || same_ box/doc.dlm new.dlm; }
migrated_()
{
    again_is_ 0
    same_ box/doc.dlm new.dlm
    for backup in box/doc.dlm.bak*; do same_ "$backup" old; done
    no_temporary_
}
at_each_ old_or_new_ migrated_ migrate box/doc.dlm

# --- adapters ---

case_ "import"
fresh_
ask_ --base dir:base --adapter adapter
cp out answer
none_or_whole_() { whole_; }
imported_()
{
    again_is_ 0
    whole_
    ask_ box/doc.dlm
    same_ out answer
    no_temporary_
}
at_each_ none_or_whole_ imported_ import adapter --document box/doc.dlm

case_ "use"
trained_
run_ dlm -q use kept/doc.dlm --list
one_is_current_()
{
    whole_
    holds_ grep -q 'v000[12]$' $store_/adapter/current.txt
}
first_is_current_()
{
    again_is_ 0
    whole_
    holds_ grep -q 'v0001$' $store_/adapter/current.txt
    holds_ grep -q '"adapter_version": 1' $store_/manifest.json
    no_temporary_
}
at_each_ one_is_current_ first_is_current_ use box/doc.dlm v1

# --- removing ---

# A removal that is done again finds nothing, or ends what was begun.
case_ "rm of a version"
removed_v2_()
{
    whole_
    run_ dlm -q verify-store --all --repair
    status_is 0
    holds_ test ! -e $store_/adapter/versions/v0002
    holds_ test -e $store_/adapter/versions/v0001
    no_temporary_
}
at_each_ whole_ removed_v2_ rm box/doc.dlm v2 --yes

case_ "rm of a store"
no_store_()
{
    run_ dlm -q verify-store --all --repair
    status_is 0
    holds_ test ! -e $store_
    no_temporary_
}
at_each_ whole_ no_store_ rm box/doc.dlm --store --yes

case_ "cache clear"
mkdir -p kept/home/store/$id/vl-cache/0a
head -c 1000 /dev/zero > kept/home/store/$id/vl-cache/0a/old.npz
cleared_()
{
    again_is_ 0
    whole_
    holds_ test ! -e $store_/vl-cache/0a/old.npz
    no_temporary_
}
never_fails=yes # it writes the lock's owner alone
at_each_ whole_ cleared_ cache clear box/doc.dlm --yes

never_fails=

# --- the rest ---

case_ "verify-store --repair"
trained_
rm kept/home/store/$id/manifest.json
echo adapter/versions/v0009 > kept/home/store/$id/adapter/current.txt
nothing_lost_()
{
    for version in v0001 v0002; do
        same_ $store_/adapter/versions/$version/adapter_model.safetensors \
            kept/home/store/$id/adapter/versions/$version/adapter_model.safetensors
    done
}
repaired_()
{
    again_is_ 0
    whole_
    nothing_lost_
    holds_ grep -q 'v0002$' $store_/adapter/current.txt
    no_temporary_
}
at_each_ nothing_lost_ repaired_ verify-store box/doc.dlm --repair

case_ "preprocess"
fresh_
run_ dlm -q preprocess --base dir:base --image images/one.png --out want.npz
nothing_or_all_() { [ ! -e box/x.npz ] || same_ box/x.npz want.npz; }
all_()
{
    again_is_ 0
    same_ box/x.npz want.npz
    no_temporary_
}
at_each_ nothing_or_all_ all_ preprocess --base dir:base --image images/one.png --out box/x.npz

case_ "what is known of drivers"
fresh_
mkdir vendors icd
echo "$DLM_TEST_FAKE_DRIVER" > vendors/fake.icd
cat > icd/fake.json <<END
{"file_format_version": "1.0.0",
 "ICD": {"library_path": "$DLM_TEST_FAKE_DRIVER", "api_version": "1.2.0"}}
END
DLM_TEST_DRIVER=exit OCL_ICD_VENDORS=$dir/vendors VK_DRIVER_FILES=$dir/icd/fake.json
VK_ICD_FILENAMES=$VK_DRIVER_FILES
export DLM_TEST_DRIVER OCL_ICD_VENDORS VK_DRIVER_FILES VK_ICD_FILENAMES
answered_() { status_is 0; holds_ test -s out; }
answered_again_()
{
    again_is_ 0
    no_temporary_
}
run_ dlm prompt --base tiny-shapes what
if grep -q "is left out" err; then
    never_fails=yes
    at_each_ answered_ answered_again_ prompt --base tiny-shapes what
else
    case_name= skipped=$((skipped + 1)) # no driver in this build
fi

summary_
