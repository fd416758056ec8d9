#!/bin/sh
# preprocess: pixel values against transformers, and hostile images.
. "${0%/*}/lib.sh"

base=$data/golden/models/f32_old/base
images=$data/golden/images
want=$data/golden/cli/pixels.f32

case_ "pixel_values of an image"
run_ dlm preprocess --base "dir:$base" --image "$data/golden/models/f32_old/images/one.png" \
    --out pixels.npz
status_is 0
out_is
err_is
holds_ grep -qF "pixel_values.npy" pixels.npz
holds_ grep -qF "'shape': (1, 3, 28, 28)" pixels.npz
# the array stands before the archive's directory: 46 + 16 bytes of its entry, 22 of its end
bytes=$(wc -c < "$want")
from=$(($(wc -c < pixels.npz) - bytes - 84))
tail -c "+$((from + 1))" pixels.npz | head -c "$bytes" > pixels
same_ pixels "$want"

case_ "images that are none"
for name in empty.png bomb.png bomb.jpg bomb.webp; do
    run_ dlm preprocess --base "dir:$base" --image "$images/$name" --out bad.npz
    status_is 1
    err_has "$name"
    err_lines_are 1
    holds_ test ! -e bad.npz
done
run_ dlm preprocess --base "dir:$base" --image no.png --out bad.npz
status_is 1
err_has "'no.png'"

case_ "where nothing can be written"
run_ dlm preprocess --base "dir:$base" --image "$images/exif1.jpg" --out no/x.npz
status_is 1
err_has "'no/x.npz'"

case_ "what is missing"
run_ dlm preprocess --base "dir:$base" --image x.png
status_is 2
err_is "dlm: give --base, --image and --out" "try 'dlm preprocess --help'"
run_ dlm preprocess --base dir:nowhere --image x.png --out x.npz
status_is 1
err_has "'dir:nowhere'"

summary_
