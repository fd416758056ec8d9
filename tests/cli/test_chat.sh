#!/bin/sh
# Conversations on the command line: --chat, --system and --target of prompt, score and tokenize.
. "${0%/*}/hostile.sh"

compute_="--backend cpu"
differs_() { if cmp -s "$1" "$2"; then fail_ "$1 equals $2"; fi; }

# chat_ TEXT: the file chat/chat.json, beside which lies no image
mkdir chat
chat_() { printf '%s\n' "$1" > chat/chat.json; }
# asks_ WORDS [MORE]: one user's message about an image
asks_()
{
    chat_ '[{"role": "user", "content": [{"type": "image", "path": "../images/one.png"},
        {"type": "text", "text": "'"$1"'"}]}'"$2"']'
}
# wrong_ TEXT: the last run ended with status 2 and a usage error that says so
wrong_()
{
    status_is 2
    err_has "dlm: $1"
}
answer_=', {"role": "assistant", "content": "caption"}'

case_ "prompt --chat answers as the same in words"
run_ dlm -q prompt $compute_ --base dir:base --image images/one.png --max-tokens 8 "blue an?"
status_is 0
cp out words
asks_ "blue an?"
run_ dlm -q prompt $compute_ --base dir:base --max-tokens 8 --chat chat/chat.json
status_is 0
same_ out words
err_is
run_ dlm -q prompt $compute_ --base dir:base --max-tokens 8 --image images/two.png "blue an?"
differs_ out words

case_ "its images are relative to it, or in it, and it may come from a pipe"
sed 's/\.\.\///' chat/chat.json > here.json
run_with_ here.json dlm -q prompt $compute_ --base dir:base --max-tokens 8 --chat -
status_is 0
same_ out words
chat_ '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url":
    {"url": "data:image/png;base64,'"$(base64 -w 0 images/one.png)"'"}},
    {"type": "text", "text": "blue an?"}]}]}'
run_ dlm -q prompt $compute_ --base dir:base --max-tokens 8 --chat chat/chat.json
status_is 0
same_ out words

case_ "what prompt --chat refuses"
asks_ "blue an?" "$answer_"
run_ dlm -q prompt $compute_ --base dir:base --chat chat/chat.json
fails_ 2 "prompt: cannot use 'chat/chat.json': messages[1], the last, is not a user's"
asks_ "blue an?" "$answer_"', {"role": "user", "content": "and now?"}'
run_ dlm -q prompt $compute_ --base dir:base --chat chat/chat.json
fails_ 1 "PaliGemma takes one request and one answer"
asks_ "blue an?"
run_ dlm -q prompt $compute_ --base dir:base --chat chat/chat.json "blue an?"
wrong_ "--chat goes without QUERY and --image"
run_ dlm -q prompt $compute_ --base dir:base --chat chat/chat.json --image images/one.png
wrong_ "--chat goes without QUERY and --image"
chat_ '[{"role": "user", "content": [{"type": "image", "path": "one.png"}]}]'
run_ dlm -q prompt $compute_ --base dir:base --chat chat/chat.json
fails_ 1 "cannot use 'chat/chat.json': messages[0].content[0]: image not found: 'chat/one.png'"
chat_ '[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b"}}]}]'
run_ dlm -q prompt $compute_ --base dir:base --chat chat/chat.json
fails_ 1 "messages[0].content[0]: nothing is fetched over http"
chat_ '[{"role": "user", "content": [{"type": "image", "url": "data:image/png;base64,AAAA"}]}]'
run_ dlm -q prompt $compute_ --base dir:base --chat chat/chat.json
fails_ 1 "'chat/chat.json: messages[0].content[0]'"
run_ dlm -q prompt $compute_ --base dir:base --chat none.json
fails_ 1 "'none.json'"

case_ "score --chat scores as the same in words"
run_ dlm -q score $compute_ --base dir:base --image images/one.png --prompt "blue an?" \
    --target caption --json
status_is 0
cp out words
asks_ "blue an?" "$answer_"
run_ dlm -q score $compute_ --base dir:base --chat chat/chat.json --json
status_is 0
same_ out words
asks_ "blue an?"
run_ dlm -q score $compute_ --base dir:base --chat chat/chat.json --target caption --json
status_is 0
same_ out words
run_ dlm -q score $compute_ --base dir:base --chat chat/chat.json
fails_ 2 "what is scored is an answer"
run_ dlm -q score $compute_ --base dir:base --chat chat/chat.json --prompt "blue an?"
wrong_ "--chat goes without --prompt and --image"

case_ "tokenize: a text, a chat, an answer"
run_ dlm tokenize --base dir:base --image images/one.png "blue an?"
status_is 0
cp out words
run_ dlm tokenize --base dir:base --image images/one.png --prompt "blue an?"
same_ out words
run_ dlm tokenize --base dir:base --chat chat/chat.json
status_is 0
same_ out words
run_ dlm tokenize --base dir:base --image images/one.png --target caption "blue an?"
status_is 0
cp out whole
grep -qF "$(cat words) " whole || fail_ "the answer does not follow the prompt"
run_ dlm tokenize --base dir:base --chat chat/chat.json --target caption
same_ out whole
asks_ "blue an?" "$answer_"
run_ dlm tokenize --base dir:base --chat chat/chat.json
same_ out whole
run_ dlm tokenize --base dir:base --prompt -
status_is 0
run_ dlm tokenize --base dir:base --prompt a b
wrong_ "give one of TEXT, --prompt and --chat"
run_ dlm tokenize --base dir:base --raw --target a b
wrong_ "--raw is a text alone"

case_ "a system prompt, of a family without a place for it"
for command in "prompt $compute_" "score $compute_ --target a --prompt" tokenize; do
    # shellcheck disable=SC2086
    run_ dlm -q $command "blue an?" --base dir:base --system brief
    fails_ 2 "paligemma has no system prompt"
done
chat_ '[{"role": "system", "content": "brief"}, {"role": "user", "content": "blue an?"}]'
run_ dlm -q prompt $compute_ --base dir:base --chat chat/chat.json
fails_ 2 "paligemma has no system prompt"

case_ "names of special tokens are text in words, answers and chats"
id_()
{
    tr '{}' '\n\n' < base/tokenizer.json | sed -n "s/^\"content\":\"$1\",\"id\":\([0-9]*\),.*/\1/p"
}
bos=$(id_ '<bos>')
eos=$(id_ '<eos>')
holds_ test -n "$bos" -a -n "$eos"
# count_ ID: how often it stands in out
count_() { tr ' ' '\n' < out | grep -cx "$1"; }
for text in "<bos>" "a<eos>b" "<image>"; do
    asks_ "$text" ', {"role": "assistant", "content": "'"$text"'"}'
    run_ dlm tokenize --base dir:base --target "$text" "$text"
    cp out plain
    holds_ test "$(count_ "$bos")" = 1 -a "$(count_ "$eos")" = 1
    run_ dlm tokenize --base dir:base --chat chat/chat.json
    holds_ test "$(count_ "$bos")" = 1 -a "$(count_ "$eos")" = 1
    grep -qF "$(cat plain)" out || fail_ "the chat's ids are others"
done

# --- a family with a system prompt, turns and several images ---

mkdir turns
cp -R "$data/golden/models/qwen2_vl_f32_old/." turns
chmod -R u+w turns
cd turns || exit 1
base="--base dir:base"
ask_="dlm -q prompt $compute_ --max-tokens 8"

case_ "tokenize writes the template, with the answer's begin or the answer"
run_ dlm tokenize $base "a"
cp out plain
run_ dlm tokenize $base --system "You are a helpful assistant." "a"
same_ out plain
run_ dlm tokenize $base --system "be brief" "a"
differs_ out plain
run_ dlm tokenize $base --target caption "a"
grep -q "^$(cat plain) " out || fail_ "the answer does not follow where it would begin"
run_ dlm tokenize $base --image images/one.png "a"
cp out one
run_ dlm tokenize $base --image images/one.png --image images/two.png "a"
holds_ test "$(wc -w < out)" -gt "$(wc -w < one)" -a "$(wc -w < one)" -gt "$(wc -w < plain)"

case_ "several turns are answered and scored"
cat > chat.json <<'END'
[{"role": "system", "content": "be brief"},
 {"role": "user", "content": [{"type": "image", "path": "images/one.png"},
                              {"type": "text", "text": "is it blue?"}]},
 {"role": "assistant", "content": "the moon"},
 {"role": "user", "content": [{"type": "image", "path": "images/two.png"},
                              {"type": "text", "text": "and this?"}]}]
END
run_ $ask_ $base --chat chat.json
status_is 0
err_is
cp out answer
for change in 's/moon/sun/' 's/be brief/be long/' 's/one.png/two.png/'; do
    sed "$change" chat.json > other.json
    run_ $ask_ $base --chat other.json
    status_is 0
    differs_ out answer
done
run_ $ask_ $base --chat other.json --system "be long"
cp out answer
sed 's/be brief/be long/' other.json > long.json
run_ $ask_ $base --chat long.json
same_ out answer
run_ dlm -q score $compute_ $base --chat chat.json --target "a house" --json
status_is 0
cp out score
sed '$ s/]$/,/' chat.json > whole.json
echo '{"role": "assistant", "content": "a house"}]' >> whole.json
run_ dlm -q score $compute_ $base --chat whole.json --json
status_is 0
same_ out score

case_ "the document's system prompt holds in training, prompt and score"
train_()
{
    rm -rf "$1"
    sed "$2" doc.dlm > "$1.dlm"
    run_ dlm -q --home "$1" train $compute_ --max-steps 2 --ask 0 "$1.dlm"
    status_is 0
    cat "$1"/store/*/adapter/versions/v0001/adapter_model.safetensors > "$1.bytes"
}
train_ none ''
train_ default 's/^training:/system_prompt: You are a helpful assistant.\ntraining:/'
same_ none.bytes default.bytes
train_ brief 's/^training:/system_prompt: |\n  be brief\ntraining:/'
err_is
differs_ none.bytes brief.bytes
adapter=$(echo brief/store/*/adapter/versions/v0001)
run_ dlm -q --home brief prompt $compute_ --max-tokens 8 --image images/one.png brief.dlm "is it?"
status_is 0
cp out answer
run_ $ask_ $base --adapter "$adapter" --image images/one.png --system "be brief" "is it?"
same_ out answer
run_ $ask_ $base --adapter "$adapter" --image images/one.png "is it?"
differs_ out answer
run_ dlm tokenize --base brief.dlm "is it?"
status_is 0
cp out ids
run_ dlm tokenize $base --system "be brief" "is it?"
same_ out ids
run_ dlm tokenize --base brief.dlm --system "be long" "is it?"
differs_ out ids
run_ dlm -q --home brief prompt $compute_ --max-tokens 8 --image images/one.png brief.dlm "is it?" \
    --system "You are a helpful assistant."
differs_ out answer
run_ dlm -q --home brief score $compute_ brief.dlm --prompt a --target b --json
cp out score
run_ dlm -q score $compute_ $base --adapter "$adapter" --prompt a --target b --system "be brief" \
    --json
same_ out score

case_ "words for captions, and every token learned"
train_ caption 's/^training:/training:\n  caption_prompt: what is it?/'
differs_ none.bytes caption.bytes
train_ all 's/^training:/training:\n  loss_on: all/'
differs_ none.bytes all.bytes

case_ "a question about two images"
sed 's/^::instruction::/::image path="images\/two.png"::\n\n&/' doc.dlm > two.dlm
run_ dlm --home two train $compute_ --max-steps 2 --ask 1 two.dlm
status_is 0
err_has "4 rows, "
cp err said
# was_said_ IMAGE...: what the base alone answers about them is what training shows of it
was_said_()
{
    run_ $ask_ $base --temp 0 --max-tokens 32 "$@" "an en blue one?"
    grep -qF "before:    $(tr '\n' ' ' < out | sed 's/ *$//')" said
}
was_said_ --image images/one.png --image images/two.png || fail_ "another question was asked"
was_said_ --image images/two.png && fail_ "the first image makes no difference"

case_ "an image that cannot be read takes every question about it with it, and is named once"
head -c 100 images/two.png > cut.png
sed 's/^::instruction::/::image path="cut.png"::\n\n&/; s/^::prose::/&\nwords\n\n&/' doc.dlm \
    > cut.dlm
run_ dlm -q --home cut train $compute_ --max-steps 1 --ask 0 cut.dlm
fails_ 1 "cut.png" "the image file is truncated"
run_ dlm --home cut train $compute_ --max-steps 1 --ask 0 --skip-bad-images cut.dlm
status_is 0
err_has "1 of 2 images cannot be read: trained without it"
err_has "3 rows, " # a caption, and prose twice

summary_
