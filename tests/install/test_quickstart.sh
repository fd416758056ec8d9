#!/bin/sh
# A bundled base from end to end: it answers, it learns the sample document's two emblems on the
# CPU, the device backends train and answer, and tools/quickstart says so of itself.
# $1 is the base's family, as tools/quickstart names it.
. "${0%/*}/../cli/lib.sh"

family=${1:?says which base}
base=tiny-shapes-$family
[ "$family" != paligemma ] || base=tiny-shapes
export DLM_SHARE_DIR="$data/../share"
cp -R "$DLM_SHARE_DIR/sample/." .
sed "s/^base_model: .*/base_model: $base/" "$DLM_SHARE_DIR/sample/sample.dlm" > sample.dlm
store=home/store/01KAJ2T0SHAPESEMB1EMSZQRBX
tab=$(printf '\t')

# ask_ QUESTION [OPTION...]: the answer, greedy, without blanks around it
ask_()
{
    question=$1
    shift
    "$dlm" -q prompt --backend cpu --temp 0 --max-tokens 24 "$@" "$question" < /dev/null 2> err |
        tr '\n' ' ' | sed 's/^ *//; s/ *$//'
}

# answers_ WANT QUESTION [IMAGE]: the base, without adapter, answers so.
answers_()
{
    got=$(ask_ "$2" --base $base ${3:+--image "$3"})
    [ "$got" = "$1" ] || fail_ "'$2'${3:+ about $3}: '$got', not '$1'"
}

# count_right_ [OPTION...]: how many of the sample's questions are answered right
count_right_()
{
    grep -v '^#' questions.tsv | while IFS=$tab read -r image question want; do
        [ "$(ask_ "$question" --image "$image" "$@" sample.dlm)" = "$want" ] && echo right
    done | wc -l
}

: > out > err
case_ "the base knows shapes and colours"
answers_ ring "what shape is it?" heldout/zorbix-1.png
answers_ ring "what shape is it?" heldout/zorbix-2.png
[ "$base" != tiny-shapes ] || answers_ square "what shape is it?" heldout/wuggle-2.png
answers_ blue "what colour is it?" heldout/zorbix-1.png
answers_ green "what colour is it?" heldout/wuggle-1.png
answers_ green "what colour is it?" heldout/wuggle-2.png

case_ "and copies words, without an image"
answers_ house "say house"
answers_ "f i s h" "spell fish"
answers_ fox "a badge called fox. what is the badge called?"

case_ "the sample is learnt on the CPU, with the document's settings"
all=$(grep -vc '^#' questions.tsv)
[ "$all" -eq 6 ] || fail_ "$all questions, not 6"
before=$(count_right_ --no-adapter)
[ "$before" -le 1 ] || fail_ "the base knows $before of the emblems: nothing to learn"
run_ dlm train --backend cpu sample.dlm
status_is 0
err_has "train: device cpu: "
err_has "sft: v0001 (120 steps, seed=7, "
after=$(count_right_)
[ "$after" -eq "$all" ] || fail_ "$after of $all right after training, $before before"

# short_ BACKEND: trains three steps in f32, where backends differ by the order of their sums alone.
# File numbers: each step's norm of gradients and loss, and what the CPU makes of the new adapter:
# the loss of an answer.
short_()
{
    rm -rf home
    run_ dlm train --backend "$1" --precision fp32 --max-steps 3 sample.dlm
    status_is 0
    err_has "train: device $1: "
    grep -q "\"backend\":\"$1\"" $store/logs/*.jsonl || fail_ "the log names another backend"
    sed -n 's/.*"grad_norm":\([0-9.]*\),"loss":\([0-9.]*\),.*/\1 \2/p' $store/logs/*.jsonl > numbers
    run_ dlm -q score --backend cpu --precision fp32 --image $image --prompt "$emblem" \
        --target zorbix sample.dlm
    status_is 0
    sed -n 's/^loss /0 /p' out >> numbers
}

# The same steps as on the CPU, and its answer.
device_()
{
    short_ "$1"
    paste numbers numbers.cpu | awk '{
        for (i = 1; i <= 2; i++)
            bad += !($i >= 0.9995 * $(i + 2) && $i <= 1.0005 * $(i + 2))
    } END { exit bad || NR != 4 }' || { paste numbers numbers.cpu; fail_ "not the CPU's numbers"; }
    run_ dlm prompt --backend "$1" --temp 0 --image $image sample.dlm "what shape is it?"
    status_is 0
    err_has "prompt: device $1: "
    [ "$(tr -d ' \n' < out)" = "$(ask_ "what shape is it?" --image $image sample.dlm)" ] ||
        fail_ "another answer than the CPU's with the same adapter"
}

case_ "three steps on the CPU"
emblem="what is this emblem called?" image=heldout/zorbix-1.png
short_ cpu
[ "$(wc -l < numbers)" -eq 4 ] || fail_ "not three steps and a loss"
cp numbers numbers.cpu
for backend in opencl vulkan; do
    case " ${DLM_TEST_BACKENDS:-$backend} " in
    *"$backend"*) ;;
    *)
        echo "# skipped: $backend: not in DLM_TEST_BACKENDS"
        skipped=$((skipped + 1))
        continue
        ;;
    esac
    run_ dlm -q prompt --backend $backend --base $base "say house"
    if grep -q "backend '$backend'" err; then
        echo "# skipped: $(cat err)"
        skipped=$((skipped + 1))
        continue
    fi
    case_ "three steps of the sample, and an answer, on $backend"
    device_ $backend
done

if [ -n "${MESON:-}" ] && [ -n "${DLM_BUILD_DIR:-}" ]; then
    case_ "tools/quickstart, in the build that is there"
    run_ env PATH="$(dirname "$MESON"):$PATH" "$data/../tools/quickstart" --no-install \
        --family "$family" --backend cpu quick
    status_is 0
    out_has "of $all right before training, $all of $all after"
    holds_ test -s quick/$store/adapter/current.txt
    holds_ grep -q "^base_model: $base\$" quick/sample.dlm
    case_ "tools/quickstart: what it does not know"
    for wrong in "--family x" "--family" "--backend=x" "--x" "a b"; do
        run_ "$data/../tools/quickstart" $wrong
        status_is 2
        err_has "; try 'tools/quickstart --help'"
    done
    run_ "$data/../tools/quickstart" --help
    status_is 0
    out_has "--family F"
    out_has "--backend B"
else
    echo "# skipped: tools/quickstart: meson is not in PATH"
    skipped=$((skipped + 1))
fi

summary_
