#!/bin/sh
# What a document trains on, where the base has a say: several images, the request for a caption,
# the system prompt, and what is learned.
. "${0%/*}/hostile.sh"

front_() { sed -n '1,/^---$/p; /^dlm_id/,/^---$/p' doc.dlm | awk '!/^---$/ || n++ < 1'; }

# train_ NAME SED-SCRIPT: trains doc.dlm, changed, into a home of its own
train_()
{
    sed "$2" doc.dlm > changed.dlm
    run_ dlm -q --home "$1" train --backend cpu --max-steps 2 --ask 0 changed.dlm
}

adapter_() { cat "$1"/store/*/adapter/versions/v0001/adapter_model.safetensors; }

differs_() { if cmp -s "$1" "$2"; then fail_ "$1 equals $2"; fi; }

case_ "questions about several images, of a base that takes one"
{
    front_
    echo ---
    echo
    printf '::image path="images/one.png"::\n\n::image path="images/two.png"::\n\n'
    printf '::instruction::\n### Q\nblue an?\n### A\ncaption\n'
} > several.dlm
line=$(grep -n '^::instruction' several.dlm | sed 's/:.*//')
run_ dlm -q train --backend cpu several.dlm
fails_ 1 "(line $line): its questions are about the 2 images before it, but paligemma takes one"
err_has "hint: put an instruction directly behind each image that is asked about"
holds_ test ! -e "$DLM_HOME"/store/*/vl-cache

case_ "of which all but the last have captions"
sed 's/^::image path="images.one.png"::/&\nred image/' several.dlm > captions.dlm
run_ dlm train --backend cpu --max-steps 1 --ask 0 --take-over captions.dlm
status_is 0
err_has "2 rows, "

case_ "and of one image each"
sed 's/^::image path="images.two.png"::/::instruction::\n### Q\nred?\n### A\nimage\n&/' \
    several.dlm > one.dlm
run_ dlm -q train --backend cpu --max-steps 1 --ask 0 --take-over one.dlm
status_is 0

case_ "the request for a caption is the document's"
train_ plain ''
status_is 0
adapter_ plain > plain.bytes
train_ asked 's/^training:/training:\n  caption_prompt: red image/'
status_is 0
adapter_ asked > asked.bytes
differs_ plain.bytes asked.bytes
train_ same 's/^training:/training:\n  caption_prompt: caption en/'
status_is 0
adapter_ same > same.bytes
same_ plain.bytes same.bytes

case_ "a system prompt, of a base without a place for it"
train_ system 's/^training:/system_prompt: be brief\ntraining:/'
status_is 0
err_is "warning: paligemma has no system prompt: 'system_prompt' is not used"
adapter_ system > system.bytes
same_ plain.bytes system.bytes

case_ "every token learned, of a base that reads its prompt both ways"
train_ all 's/^training:/training:\n  loss_on: all/'
fails_ 1 "'training.loss_on: all' cannot be trained: paligemma reads a prompt both ways"
holds_ test ! -e all/store/*/adapter/current.txt
train_ assistant 's/^training:/training:\n  loss_on: assistant/'
status_is 0
adapter_ assistant > assistant.bytes
same_ plain.bytes assistant.bytes

summary_
