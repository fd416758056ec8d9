#!/bin/sh
# init, show, migrate: transcripts and what they leave behind.
. "${0%/*}/lib.sh"

case_ "init writes a document and its store"
run_ dlm init a.dlm
status_is 0
out_is
err_is "init: wrote a.dlm"
id=$(sed -n 's/^dlm_id: //p' a.dlm)
holds_ test "${#id}" -eq 26
holds_ grep -q '^dlm_version: 1$' a.dlm
holds_ grep -q '^base_model: tiny-shapes$' a.dlm
holds_ test -f "home/store/$id/manifest.json"
holds_ test -d "home/store/$id/adapter/versions"
holds_ grep -qF "\"source_path\": \"$dir/a.dlm\"" "home/store/$id/manifest.json"

case_ "init does not overwrite without --force"
cp a.dlm before
run_ dlm init a.dlm
status_is 1
err_is "init: a.dlm already exists. Re-run with --force to overwrite."
same_ a.dlm before
run_ dlm -q init a.dlm --force
status_is 0
err_is
holds_ test "$(sed -n 's/^dlm_id: //p' a.dlm)" != "$id"

case_ "init --new-id: a copy becomes a document of its own"
run_ dlm init own.dlm
status_is 0
printf '# no LF at the end' >> own.dlm
sed '3i# a comment' own.dlm > kept
cp kept own.dlm
cp own.dlm copy.dlm
chmod 640 copy.dlm
run_ dlm init --new-id copy.dlm
status_is 0
out_is
err_is "init: copy.dlm has a new dlm_id"
old=$(sed -n 's/^dlm_id: //p' own.dlm)
new=$(sed -n 's/^dlm_id: //p' copy.dlm)
holds_ test "${#new}" -eq 26
holds_ test "$old" != "$new"
sed "s/$new/$old/" copy.dlm > back
same_ back own.dlm
holds_ test "$(stat -c %a copy.dlm)" = 640
holds_ grep -qF "\"source_path\": \"$dir/copy.dlm\"" "home/store/$new/manifest.json"
holds_ grep -qF "\"source_path\": \"$dir/own.dlm\"" "home/store/$old/manifest.json"

case_ "init --new-id gives an id to a document without one"
printf -- '---\r\nbase_model: tiny-shapes\r\n---\r\nx\r\n' > none.dlm
run_ dlm show none.dlm
status_is 1
err_is "show: none.dlm:2: dlm_id: Field required" \
    "hint: \`dlm init --new-id none.dlm\` gives the document a dlm_id"
run_ dlm init --new-id none.dlm
status_is 0
new=$(sed -n 's/^dlm_id: \(.*\).$/\1/p' none.dlm)
printf -- '---\r\ndlm_id: %s\r\nbase_model: tiny-shapes\r\n---\r\nx\r\n' "$new" > want
same_ none.dlm want

case_ "init --new-id of what is no document, and with what it does not take"
run_ dlm init --new-id absent.dlm
status_is 1
err_has "'absent.dlm'"
cp own.dlm before
printf '\n::image path=x::\n' >> own.dlm
cp own.dlm before
run_ dlm init --new-id own.dlm
status_is 1
err_has "fence '::image...::' attribute 'path' needs its value in double quotes"
for option in --force --multimodal --base=tiny-shapes --mmproj=a.gguf; do
    run_ dlm init --new-id $option own.dlm
    status_is 2
    err_is "init: --new-id keeps the document: it takes no --base, --mmproj, --multimodal or \
--force"
done
same_ own.dlm before
printf -- '---\nbase_model: paligemma-3b-mix-224\n---\n' > gated.dlm
cp gated.dlm before
run_ dlm init --new-id gated.dlm
status_is 1
err_is "license: refused. Re-run with --i-accept-license to accept non-interactively."
same_ gated.dlm before
run_ dlm init --new-id gated.dlm --i-accept-license
status_is 0

case_ "init --multimodal"
run_ dlm init m.dlm --multimodal --base tiny-shapes
status_is 0
holds_ grep -q '^dlm_version: 10$' m.dlm
holds_ grep -q '^::image path="figures/your-image.png" alt="short description"::$' m.dlm

case_ "init --mmproj: the tower of gguf:PATH"
run_ dlm init gguf.dlm --base "gguf:models/it's here.gguf" --mmproj "towers/#1.gguf"
status_is 0
holds_ grep -qxF "base_model: \"gguf:models/it's here.gguf\"" gguf.dlm
holds_ grep -qxF 'mmproj: "towers/#1.gguf"' gguf.dlm
run_ dlm init --force gguf.dlm --base gguf:model.gguf --multimodal --mmproj tower.gguf
status_is 0
holds_ grep -qx 'mmproj: tower.gguf' gguf.dlm
run_ dlm init x.dlm --base gguf:model.gguf --mmproj ""
status_is 2
err_is "init: --mmproj is no path"
for words in "" "--base tiny-shapes" "--base dir:base" "--base hf:org/name --multimodal"; do
    # shellcheck disable=SC2086
    run_ dlm init x.dlm $words --mmproj tower.gguf
    status_is 2
    err_is "init: --mmproj needs --base gguf:PATH"
    holds_ test ! -e x.dlm
done

case_ "a gated base needs its licence accepted, which is recorded"
run_ dlm init g.dlm --multimodal
status_is 1
err_is "license: refused. Re-run with --i-accept-license to accept non-interactively."
holds_ test ! -e g.dlm
run_ dlm init g.dlm --multimodal --i-accept-license
status_is 0
holds_ grep -q '^base_model: paligemma-3b-mix-224$' g.dlm
id=$(sed -n 's/^dlm_id: //p' g.dlm)
holds_ grep -qF '"via": "cli_flag"' "home/store/$id/manifest.json"
holds_ grep -qF '"license_url": "https://ai.google.dev/gemma/terms"' "home/store/$id/manifest.json"

case_ "bases that do not fit"
run_ dlm init x.dlm --base nope
status_is 1
err_has "unknown base model 'nope'. Known keys: "
err_has 'Use `hf:org/name` for models outside the registry.'
run_ dlm init x.dlm --multimodal --base qwen3-8b
status_is 2
err_is "init: --multimodal requires a vision-language base; 'qwen3-8b' is modality='text'. Pick \
--base paligemma-3b-mix-224 or drop --multimodal."
holds_ test ! -e x.dlm
run_ dlm init x.dlm --base google/paligemma
status_is 1
err_has "hint: a model of the hub is \`hf:google/paligemma\`, a folder \`dir:google/paligemma\`"
mkdir -p base
run_ dlm init x.dlm --base ./base
status_is 1
err_has "hint: a folder is \`dir:./base\`"
holds_ test ! -e x.dlm
run_ dlm init later.dlm --base qwen3-8b
status_is 0
err_is "warning: base 'qwen3-8b' cannot be trained yet: dlm does not have its model family" \
    "init: wrote later.dlm"

case_ "init where nothing can be written"
run_ dlm init no/x.dlm --base tiny-shapes
status_is 1
err_has "'no/x.dlm'"
err_lines_are 1
: > file
run_ dlm --home file init x.dlm --base tiny-shapes
status_is 1
err_lines_are 1
holds_ test ! -e x.dlm

case_ "show"
run_ dlm show g.dlm
status_is 0
err_is
sed 's/  ([0-9.]* [KMG]*B)$/  (SIZE)/' out > masked
mv masked out
out_is "g.dlm" "  dlm_id:         $id" "  base_model:     paligemma-3b-mix-224 (revision d1d8734)" \
    "  store:          $dir/home/store/$id  (SIZE)" \
    "  adapter:        none (no \`dlm train\` yet)" "  training runs:  0" "  exports:        0"

case_ "show --json"
run_ dlm show --json g.dlm
status_is 0
keys=$(sed -n 's/^  "\([a-z_]*\)":.*/\1/p' out | tr '\n' ' ')
holds_ test "$keys" = "dlm_id path base_model base_model_revision adapter_version training_runs \
last_trained_at has_adapter_current replay_size_bytes total_size_bytes source_path orphaned \
exports content_hashes pinned_versions named_adapters training_cache_config adapters \
unfinished_runs last_run base_security "
out_has '  "adapter_version": 0,'
out_has "  \"source_path\": \"$dir/g.dlm\","

out_has '"adapters": []'
out_has '"last_run": null'

case_ "show: versions and the rate of the last run, by its log"
run_ dlm init trained.dlm
printf '::instruction::\n### Q\nwhat is blue?\n### A\nblue an\n' >> trained.dlm
DLM_KERNEL_CACHE=$dir/kernels # where the device's speed is kept, and nothing is yet
export DLM_KERNEL_CACHE
for steps in 2 3; do
    run_ dlm -q train --backend cpu --max-steps $steps trained.dlm
    status_is 0
done
id=$(sed -n 's/^dlm_id: //p' trained.dlm)
log=$(ls home/store/$id/logs/train-000002-*.jsonl)
rate=$(sed -n 's/.*"tokens":\([0-9]*\),"tokens_per_sec":\([0-9.e+]*\).*/\1 \2/p' "$log" |
    awk '{ n++; t += $1; s += $1 / $2 }
        END { printf "%d steps in %.3g s, %.3g s a step, %.0f tok", n, s, s / n, t / s }')
run_ dlm show trained.dlm
status_is 0
holds_ grep -q '^    - v0001  .* [KM]B  20..-..-..T..:..:..  2 steps  loss [0-9.]*$' out
holds_ grep -q '^    \* v0002  .* [KM]B  20..-..-..T..:..:..  3 steps  loss [0-9.]*$' out
out_has "  last run:       ${rate}ens/s"
out_has "                  foretold: nothing, as no \`dlm doctor DOCUMENT\` had measured the device"
run_ dlm show trained.dlm --json
status_is 0
out_has '"est_step_seconds": null'
out_has '"name": "v0002"'
out_has '"base_model": "tiny-shapes"'
holds_ test "$(grep -c '"current": true' out)" -eq 1
out_has '"seconds_per_step": '
for version in 03 04 05 06 07 08 09 10 11 12; do
    cp -R home/store/$id/adapter/versions/v0002 home/store/$id/adapter/versions/v00$version
done
run_ dlm show trained.dlm
out_has "    (12 versions; \`dlm use --list\` shows all)"
holds_ test "$(grep -c '^    [*-] v00' out)" -eq 11 # the current one, and ten newer
echo adapter/versions/v0012 > home/store/$id/adapter/current.txt
run_ dlm show trained.dlm
holds_ test "$(grep -c '^    [*-] v00' out)" -eq 10
sed 's/"tokens":[0-9]*,//' "$log" > old.jsonl
cp old.jsonl "$log"
run_ dlm show trained.dlm --json
out_has '"last_run": null'

case_ "what the doctor measured foretells the run, and show compares"
run_ dlm doctor trained.dlm --backend cpu
status_is 0
out_has "a step takes about "
run_ dlm -q train --backend cpu --max-steps 2 trained.dlm
status_is 0
log=$(ls home/store/"$(sed -n 's/^dlm_id: //p' trained.dlm)"/logs/train-000003-*.jsonl)
foretold=$(sed -n 's/.*"est_step_seconds":\([0-9.e-]*\)[,}].*/\1/p' "$log")
holds_ test -n "$foretold"
run_ dlm show trained.dlm
status_is 0
holds_ grep -q '^                  foretold: [0-9.]* [mu]*s a step, of which it took ' out
took=$(sed -n 's/.*"tokens":\([0-9]*\),"tokens_per_sec":\([0-9.e+]*\).*/\1 \2/p' "$log" |
    awk -v foretold="$foretold" '{ n++; s += $1 / $2 } END { printf "%.2f", s / n / foretold }')
out_has "of which it took $took times as long"
run_ dlm show trained.dlm --json
holds_ grep -q '"est_step_seconds": [0-9]' out
unset DLM_KERNEL_CACHE

id=$(sed -n 's/^dlm_id: //p' g.dlm)
case_ "show without a store"
run_ dlm --home "$dir/other" show g.dlm
status_is 0
out_is "g.dlm" "  dlm_id:         $id" "  base_model:     paligemma-3b-mix-224" \
    "  store:        not yet initialized (run \`dlm train\`)"
run_ dlm --home "$dir/other" show --json a.dlm
status_is 0
out_has '"store_initialized": false'
holds_ test ! -e other

case_ "show of a document that moved"
mv m.dlm moved.dlm
run_ dlm show moved.dlm
status_is 0
out_has "  orphaned:       '$dir/m.dlm' does not exist any more"

case_ "documents that cannot be read"
run_ dlm show no.dlm
status_is 1
err_has "show: cannot "
err_has "'no.dlm'"
err_lines_are 1
printf 'no front matter\n' > bad.dlm
run_ dlm show bad.dlm
status_is 1
err_is "show: bad.dlm:1:1: expected '---' on line 1 to open frontmatter, got 'no front matter'"
printf -- '---\ndlm_id: 1\n---\n' > bad.dlm
run_ dlm show bad.dlm
status_is 1
err_has "show: bad.dlm:2:1: dlm_id: "
printf -- '---\nx: \377\n---\n' > bad.dlm
run_ dlm show bad.dlm
status_is 1
err_has "show: bad.dlm: invalid UTF-8 at byte 7"
sed '/^---$/,$!d' g.dlm > bad.dlm
printf '\n::instruction::\n### Q\nq\n### A\na\n### Question\nq\n' >> bad.dlm
run_ dlm show bad.dlm
status_is 1
err_has "show: bad.dlm:$(wc -l < bad.dlm | awk '{ print $1 - 1 }'):1: section "
err_has "expected \`### Q\` header alone on its line, got '### Question'"

case_ "a damaged manifest"
printf '{' > "home/store/$id/manifest.json"
run_ dlm show g.dlm
status_is 1
err_has "manifest.json"

arrow=$(printf '\342\206\222')
chain=v1
for v in 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do chain="$chain $arrow v$v"; done

case_ "migrate --dry-run writes nothing"
cp a.dlm before
run_ dlm migrate --dry-run a.dlm
status_is 0
out_is
err_is "dry-run: a.dlm would migrate $chain (re-run without --dry-run to apply)."
same_ a.dlm before
holds_ test ! -e a.dlm.bak

case_ "migrate keeps a backup"
chmod 600 a.dlm
run_ dlm migrate a.dlm
status_is 0
err_is "backup:  a.dlm.bak" "migrated: a.dlm $chain"
same_ a.dlm.bak before
holds_ test "$(stat -c %a a.dlm)" = 600
holds_ test "$(stat -c %a a.dlm.bak)" = 600
holds_ grep -q '^dlm_version: 15$' a.dlm
sed -n '/^# Your/,$p' before > body_before
sed -n '/^# Your/,$p' a.dlm > body
same_ body body_before

case_ "migrate again"
run_ dlm migrate a.dlm
status_is 0
err_is "migrate: a.dlm already at v15 (no migrations needed)."

case_ "migrate writes over no backup"
printf 'precious' > d.dlm.bak
printf 'too' > d.dlm.bak.1
cp before d.dlm
run_ dlm migrate d.dlm
status_is 0
err_is "backup:  d.dlm.bak.2" "migrated: d.dlm $chain"
same_ d.dlm.bak.2 before
holds_ test "$(cat d.dlm.bak d.dlm.bak.1)" = precioustoo

case_ "migrate keeps comments where it can"
sed '3i# a comment' before > e.dlm
run_ dlm migrate --no-backup e.dlm
status_is 0
err_is "migrated: e.dlm $chain"
sed 's/^dlm_version: 1$/dlm_version: 15/; 3i# a comment' before > want
same_ e.dlm want
sed '3i# a comment\ntraining: {dpo: {enabled: false}}' before > e.dlm
run_ dlm migrate --dry-run e.dlm
status_is 0
err_has "warning: e.dlm: the comments of the front matter go, as it has to be written anew"
run_ dlm migrate e.dlm
status_is 0
err_has "warning: e.dlm: the comments of the front matter go, as it has to be written anew"

case_ "migrate --no-backup"
cp before c.dlm
run_ dlm migrate --no-backup c.dlm
status_is 0
err_is "migrated: c.dlm $chain"
holds_ test ! -e c.dlm.bak

case_ "a version from the future"
printf -- '---\ndlm_id: %s\ndlm_version: 16\nbase_model: tiny-shapes\n---\n' "$id" > new.dlm
run_ dlm migrate new.dlm
status_is 1
err_is "migrate: new.dlm:3:1: dlm_version 16 is newer than this parser \
(CURRENT_SCHEMA_VERSION=15); upgrade dlm or check the source's schema."

summary_
