#!/bin/sh
# tokenize: against transformers' processor and the tokenizers library (make_cli_goldens.py).
. "${0%/*}/lib.sh"

base=$data/golden/models/f32_old/base
one=$data/golden/models/f32_old/images/one.png
two=$data/golden/models/f32_old/images/two.png
golden=$data/golden/cli

case_ "a model's whole input, line by line"
run_with_ "$golden/lines.jsonl" dlm tokenize --base "dir:$base" -
status_is 0
err_is
same_ out "$golden/no_image.jsonl"

case_ "with one image"
run_with_ "$golden/lines.jsonl" dlm tokenize --base "dir:$base" --image "$one" --json -
status_is 0
same_ out "$golden/one_image.jsonl"

case_ "with two images"
run_with_ "$golden/lines.jsonl" dlm tokenize --base "dir:$base" --image "$one" --image="$two" -
status_is 0
same_ out "$golden/two_images.jsonl"

case_ "the text alone"
run_with_ "$golden/lines.jsonl" dlm tokenize --base "dir:$base" --raw -
status_is 0
same_ out "$golden/raw.jsonl"
run_with_ "$golden/lines.jsonl" dlm tokenize --tokenizer "$base/tokenizer.json" --raw -
status_is 0
same_ out "$golden/raw.jsonl"

case_ "one text"
head -n 1 "$golden/one_image.jsonl" > want_line
run_ dlm tokenize --base "dir:$base" --image "$one" --json "caption en"
status_is 0
same_ out want_line
run_ dlm tokenize --base "dir:$base" --image "$one" "caption en"
status_is 0
out_is "$(sed 's/[^0-9 ]//g; s/^ *//' want_line)"

case_ "one object a line as the lines come"
mkfifo in_pipe out_pipe
"$dlm" tokenize --base "dir:$base" - < in_pipe > out_pipe 2> err &
pid=$!
exec 3> in_pipe 4< out_pipe
echo '"caption en"' >&3
IFS= read -r answer <&4
holds_ test "$answer" = "$(head -n 1 "$golden/no_image.jsonl")"
exec 3>&- 4<&-
wait $pid
status=$?
status_is 0

case_ "a line that is no JSON string"
printf '"a"\n{}\n"b"\n' > lines
run_with_ lines dlm tokenize --base "dir:$base" -
status_is 1
holds_ test "$(wc -l < out)" -eq 1
err_is "dlm: cannot read a line: not a JSON string" "dlm: stopped at line 2 of standard input"

case_ "what is missing"
run_ dlm tokenize x
status_is 2
err_is "dlm: give either --base or --tokenizer" "try 'dlm tokenize --help'"
run_ dlm tokenize --base "dir:$base" --image no.png x
status_is 1
err_is "dlm: image not found: 'no.png'"
run_ dlm tokenize --tokenizer "$base/tokenizer.json" --image "$one" x
status_is 2
run_ dlm tokenize --base dir:nowhere x
status_is 1
err_has "'dir:nowhere'"
run_ dlm tokenize --tokenizer no.json x
status_is 1
err_has "'no.json'"
printf '{"model": {"type": "BPE"' > bad.json
run_ dlm tokenize --tokenizer bad.json x
status_is 1
err_has "'bad.json'"

case_ "text that is not UTF-8"
run_ dlm tokenize --base "dir:$base" "$(printf 'a\377')"
status_is 1
err_lines_are 1

case_ "interrupted while reading"
exec 5<> in_pipe
"$dlm" tokenize --base "dir:$base" - <&5 > out 2> err &
pid=$!
echo '"caption en"' >&5
tries=0
while [ ! -s out ] && [ $tries -lt 300 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
kill -TERM $pid
wait $pid
status=$?
status_is 143
exec 5>&-

summary_
