#!/bin/sh
# What a document's store is kept from and for: a copy of the document that would train it too.
. "${0%/*}/hostile.sh"

store_=home/store/0R7STD0HK1DBS629DWG0NJR445
train_() { run_ dlm -q train --backend cpu --max-steps 2 "$@"; }
ask_() { run_ dlm -q prompt --backend cpu --image images/one.png --temp 0 "$@" "blue an?"; }
source_is_() { holds_ grep -qF "\"source_path\": \"$dir/$1\"" $store_/manifest.json; }

# --- a copy has the dlm_id of its original ---

train_ doc.dlm
cp doc.dlm copy.dlm

case_ "train refuses a copy while the original is there"
train_ copy.dlm
fails_ 1 "train: 'copy.dlm' has the dlm_id of '$dir/doc.dlm', whose store this is"
err_has "hint: \`dlm init --new-id copy.dlm\` makes a copy a document of its own; --take-over gives"
source_is_ doc.dlm
holds_ test ! -e $store_/adapter/versions/v0002
train_ --resume copy.dlm
fails_ 1 "'$dir/doc.dlm'"

case_ "prompt, score and show warn about a copy"
ask_ copy.dlm
status_is 0
err_has "warning: 'copy.dlm' has the dlm_id of '$dir/doc.dlm'"
score_ copy.dlm
status_is 0
err_has "warning: 'copy.dlm' has the dlm_id of '$dir/doc.dlm'"
run_ dlm show copy.dlm
status_is 0
err_has "warning: 'copy.dlm' has the dlm_id of '$dir/doc.dlm'"
for ask in "doc.dlm" "copy.dlm --no-adapter" "copy.dlm --adapter adapter"; do
    # shellcheck disable=SC2086
    ask_ $ask
    status_is 0
    err_is
done
run_ dlm show doc.dlm
status_is 0
err_is

case_ "links to the document are the document"
ln -s doc.dlm soft.dlm
ln doc.dlm hard.dlm
for name in soft hard doc; do
    train_ $name.dlm
    status_is 0
    err_is
done
rm soft.dlm hard.dlm

case_ "--take-over gives the store to the copy"
train_ --take-over copy.dlm
status_is 0
source_is_ copy.dlm
train_ doc.dlm
fails_ 1 "'doc.dlm' has the dlm_id of '$dir/copy.dlm'"

case_ "a renamed document keeps its store, and the store learns the name"
rm doc.dlm
mv copy.dlm renamed.dlm
ask_ renamed.dlm
err_is
train_ renamed.dlm
status_is 0
source_is_ renamed.dlm

case_ "an original with a dlm_id of its own does not hold on to the store"
cp renamed.dlm doc.dlm
edit_ renamed.dlm 's/0R7STD0HK1DBS629DWG0NJR445/0R7STD0HK1DBS629DWG0NJR446/'
train_ doc.dlm
status_is 0
source_is_ doc.dlm

summary_
