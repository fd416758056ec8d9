#!/bin/sh
# Bases in 4 and 8 bits on the command line: what says so, what is remembered of it, what is wrong.
. "${0%/*}/lib.sh"

for name in paligemma_nf4_dq qwen2_vl_bnb; do
    cp -r "$data/golden/models/$name" . || exit 1
done
sed -e '/adapter: "qlora"/d' -e '/quant: /d' paligemma_nf4_dq/doc.dlm > paligemma_nf4_dq/plain.dlm
image=paligemma_nf4_dq/images/one.png

# train_ HOME DOCUMENT OPTION...: two steps
train_()
{
    home=$1 doc=$2
    shift 2
    run_ dlm --home "$home" train --backend cpu --max-steps 2 "$@" "$doc"
}
# version_ HOME: the folder of its current version
version_() { echo "$1"/store/*/"$(cat "$1"/store/*/adapter/current.txt)"; }
origin_has() { grep -qF -- "$1" "$(version_ "$2")/origin.json" || fail_ "origin.json has no '$1'"; }

case_ "train says what the base is in, and notes it with the version"
train_ asked paligemma_nf4_dq/doc.dlm
status_is 0
err_has ", base in nf4_dq, decoder"
origin_has '"base_form": "nf4_dq, decoder"' asked
holds_ grep -q '"use_qlora": true' "$(version_ asked)/training_run.json"
train_ asked paligemma_nf4_dq/doc.dlm --quant q8_0 --quant-scope all --fresh
status_is 0
err_has ", base in q8_0, all"
origin_has '"base_form": "q8_0, all"' asked

case_ "prompt and score take the form of the version, unless the option says another"
ask_() # OPTION...: both commands; their base is in $form
{
    run_ dlm --home asked prompt --backend cpu "$@" paligemma_nf4_dq/doc.dlm "what?"
    status_is 0
    said_ || fail_ "prompt does not say '$form'"
    run_ dlm --home asked score --backend cpu "$@" --prompt "what?" --target shapes \
        paligemma_nf4_dq/doc.dlm
    status_is 0
    said_ || fail_ "score does not say '$form'"
}
said_() { [ "$(sed -n 's/.*, base in //p' err)" = "$form" ]; }
form="q8_0, all"
ask_
form="nf4, all"
ask_ --quant nf4
form="nf4, decoder"
ask_ --quant nf4 --quant-scope decoder
form=
ask_ --quant none

case_ "a version of a base in its precision stays there"
train_ plain paligemma_nf4_dq/plain.dlm
status_is 0
holds_ test "$(grep -c base_form "$(version_ plain)/origin.json")" -eq 0
holds_ grep -q '"use_qlora": false' "$(version_ plain)/training_run.json"
train_ plain paligemma_nf4_dq/plain.dlm --resume --quant nf4
status_is 1
err_has "the base was held in its precision and is in nf4, decoder"

case_ "a base that bitsandbytes saved is what it is, whatever is asked"
train_ saved qwen2_vl_bnb/doc.dlm
status_is 0
err_has ", base in nf4_dq, as saved"
origin_has '"base_form": "nf4_dq, as saved"' saved
holds_ grep -q '"use_qlora": true' "$(version_ saved)/training_run.json"
run_ dlm --home saved prompt --backend cpu qwen2_vl_bnb/doc.dlm "what?"
status_is 0
err_has ", base in nf4_dq, as saved"
train_ saved qwen2_vl_bnb/doc.dlm --resume --quant q8_0 --quant-scope all
status_is 1
err_has "warning: what the base has in nf4_dq stays so, and does not become q8_0"
err_has "the base was held in nf4_dq, as saved and is in nf4_dq, as saved; else q8_0, all"
train_ saved qwen2_vl_bnb/doc.dlm --fresh --quant q8_0 --quant-scope all
status_is 0
origin_has '"base_form": "nf4_dq, as saved; else q8_0, all"' saved
run_ dlm --home saved prompt --backend cpu qwen2_vl_bnb/doc.dlm "what?"
status_is 0
err_has ", base in nf4_dq, as saved; else q8_0, all"

case_ "bench says the form, in JSON too"
run_ dlm bench --plan --base dir:paligemma_nf4_dq/base --backend cpu --quant nf4
status_is 0
out_has ", base in nf4, decoder"
run_ dlm bench --plan --base dir:qwen2_vl_bnb/base --backend cpu --json
status_is 0
out_has '"base_form": "nf4_dq, as saved"'
run_ dlm bench --plan --base dir:paligemma_nf4_dq/base --backend cpu --json
status_is 0
out_has '"base_form": ""'

case_ "a scope of nothing"
for command in "bench --plan --base dir:paligemma_nf4_dq/base" \
    "doctor --verify --base dir:paligemma_nf4_dq/base" \
    "prompt --base dir:paligemma_nf4_dq/base --image $image what?" \
    "train paligemma_nf4_dq/plain.dlm"; do
    # shellcheck disable=SC2086 # words
    run_ dlm --home scope $command --backend cpu --quant-scope all
    status_is 1
    err_has ": --quant-scope says which weights are quantised, and nothing asks for that"
    err_has "hint: give --quant too, or write \`adapter: qlora\` below training"
done
train_ qlora paligemma_nf4_dq/doc.dlm --quant-scope linears
status_is 0
err_has ", base in nf4_dq, linears"

case_ "weights that cannot be quantised are named, and no warning"
tiny=dir:$data/../share/tiny-shapes-qwen2-vl
# said_of_ FORM: the line about them
said_of_() { run_ dlm bench --plan --base "$tiny" --backend cpu --quant "$1"; status_is 0; }
said_of_ nf4
err_has "dlm: 4 weights are not held in nf4 but like the rest of the base, the first is '"
err_has "': its rows are no whole blocks"
said_of_ nf4_dq
err_has " are not held in nf4_dq but like the rest of the base, the first is '"
err_has "': its layers, which are one product, share blocks of scales"
holds_ test "$(grep -c "warning" err)" -eq 0
run_ dlm -q bench --plan --base "$tiny" --backend cpu --quant nf4
status_is 0
err_is

case_ "keys that say nothing"
sed -e '/quant: /d' -e 's/^training:/&\n  quant: nf4/' paligemma_nf4_dq/plain.dlm > idle.dlm
train_ idle idle.dlm
status_is 1
err_has "training.quant (line $(grep -n 'quant: nf4' idle.dlm | cut -d: -f1)) is about a quantised"
err_has "hint: write \`adapter: qlora\` below training, or leave quant out"
sed 's/^training:/&\n  adapter: qlora\n  quant: q8_0\n  double_quant: true/' \
    paligemma_nf4_dq/plain.dlm > double.dlm
train_ idle double.dlm
status_is 1
err_has "training.double_quant (line "
err_has "is about the scales of nf4, and training.quant is q8_0"
for option in "--quant nf4" "--precision bf16" "--ops --quant-scope all"; do
    # shellcheck disable=SC2086 # words
    run_ dlm doctor $option
    status_is 2
    err_has "--precision, --quant and --quant-scope need DOCUMENT or --base"
done

case_ "an origin of a later dlm"
origin=$(version_ asked)/origin.json
sed 's/q8_0, all/q2_k, all/' "$origin" > changed
cp changed "$origin"
run_ dlm --home asked prompt --backend cpu paligemma_nf4_dq/doc.dlm "what?"
status_is 1
err_has "a base in 'q2_k, all' is not known here"

summary_
