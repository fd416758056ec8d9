#!/bin/sh
# --image-size and training.image_size: native, pinned, a number; what is remembered, what refused.
. "${0%/*}/lib.sh"

any=dir:$data/golden/models/qwen2_vl_f32_old/base # patches of 7 x 7, two a token's side
image=$data/golden/images/rgb420.jpg             # 83 x 61
ids_of_() { run_ dlm tokenize --base "$@" --image "$image" "what is it?"; }

# tokens_are_ NUMBER: image tokens of the ids printed
tokens_are_()
{
    num=$(tr ' ' '\n' < out | sort | uniq -c | sort -n | tail -1 | awk '{print $1}')
    [ "$num" -eq "$1" ] || fail_ "$num image tokens, not $1"
}

case_ "a base without a size of its own keeps proportions"
ids_of_ "$any"
status_is 0
tokens_are_ 12 # 42 x 56
cp out native
ids_of_ "$any" --image-size native
same_ out native
ids_of_ "$any" --image-size 42
status_is 0
tokens_are_ 9
ids_of_ "$any" --image-size pinned
status_is 1
err_has "'$any' has no pinned image size"
err_has "hint: name one in pixels, or 'native'"

case_ "one with a size of its own"
ids_of_ tiny-shapes-qwen2-vl
status_is 0
tokens_are_ 16
cp out pinned
ids_of_ tiny-shapes-qwen2-vl --image-size pinned
same_ out pinned
ids_of_ tiny-shapes-qwen2-vl --image-size 42
status_is 0
tokens_are_ 9

case_ "one whose images have one size"
ids_of_ tiny-shapes --image-size 56
status_is 0
ids_of_ tiny-shapes --image-size 28
status_is 1
err_is "dlm: cannot make images 28 x 28: 'tiny-shapes' takes images of 56 x 56 alone"

case_ "pixels"
for size in native 42; do
    run_ dlm preprocess --base "$any" --image "$image" --image-size $size --out $size.npz
    status_is 0
done
holds_ grep -qF "'shape': (1, 3, 42, 56)" native.npz
holds_ grep -qF "'shape': (1, 3, 42, 42)" 42.npz

case_ "what is no size"
for size in 0 -3 large 16385 ''; do
    ids_of_ "$any" --image-size "$size"
    status_is 2
    err_has "option '--image-size': '$size' is not pinned, native, or a whole number from 1 to"
done
ids_of_ "$any" --image-size 43
status_is 1
err_has "cannot make images 43 x 43: sides of '$any' are multiples of 14, up to 16384"

case_ "an image that is too long for a side"
cp "$data/golden/images/size_1x300.png" long.png
run_ dlm tokenize --base "$any" --image long.png "what is it?"
status_is 1
err_is "dlm: cannot use 'long.png': the image is 1 x 300, its longer side more than 200 times the \
shorter one"
run_ dlm tokenize --base "$any" --image long.png --image-size 42 "what is it?"
status_is 0
tokens_are_ 9

# --- an adapter remembers ---

cat > doc.dlm <<END
---
dlm_id: 01HZ4X7TGZM3J1A2B3C4D5E6F7
dlm_version: 15
base_model: "$any"
training:
  image_size: native
---

::image path="picture.jpg"::
a red square
END
cp "$image" picture.jpg
score_() { run_ dlm -q score --base doc.dlm --image picture.jpg --prompt a --target b --json "$@"; }

case_ "the option goes before the document, and a prompt sees what the training saw"
run_ dlm train --backend cpu --max-steps 2 --ask 0 --image-size 42 doc.dlm
status_is 0
err_has "images are made 42 x 42"
holds_ grep -qF '"image_size": 42' home/store/*/adapter/versions/v0001/origin.json
score_
status_is 0
cp out remembered
score_ --image-size 42
same_ out remembered
score_ --image-size native
if cmp -s out remembered; then fail_ "another size changes nothing"; fi
run_ dlm prompt --backend cpu --max-tokens 2 doc.dlm --image picture.jpg "what is it?"
status_is 0
err_has "images are made 42 x 42"

case_ "a size that the base does not take"
run_ dlm train --backend cpu --image-size 45 doc.dlm
status_is 1
err_has "cannot make images 45 x 45"

summary_
