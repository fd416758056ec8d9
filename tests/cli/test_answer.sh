#!/bin/sh
# How an answer is chosen: as the base's generation_config.json says, or the options of prompt.
. "${0%/*}/hostile.sh"

# ask_ OPTION...: the answer of base/, sampled over more than one token
ask_()
{
    run_ dlm -v prompt --backend cpu --base dir:base --image images/one.png --max-tokens 12 "$@" \
        "blue an?"
    status_is 0
    grep '^debug: answer: ' err > how
}

# says_ TEXT: what -v says was used
says_() { [ "$(cat how)" = "debug: answer: $1" ] || fail_ "'$(cat how)' is not '$1'"; }

# config_ JSON: the base's generation_config.json
config_() { printf '%s\n' "$1" > base/generation_config.json; }

differs_() { if cmp -s "$1" "$2"; then fail_ "$1 equals $2"; fi; }

case_ "without do_sample the likeliest tokens are taken"
ask_
says_ "the likeliest tokens (the base does not ask for sampling)"
cp out likeliest
ask_ --temp 0
says_ "the likeliest tokens (as asked)"
same_ out likeliest
config_ '{"temperature": 3.0, "top_p": 0.9, "top_k": 5, "do_sample": false}'
ask_ --seed 5
says_ "the likeliest tokens (the base does not ask for sampling)"
same_ out likeliest
rm base/generation_config.json
ask_
same_ out likeliest

case_ "the options ask for sampling"
ask_ --temp 3 --seed 5
says_ "sampled, temperature 3, top-p 1, seed 5 (as asked)"
differs_ out likeliest
cp out hot
ask_ --temp 3 --top-p 0.8 --seed 5
says_ "sampled, temperature 3, top-p 0.8, seed 5 (as asked)"
differs_ out hot
cp out cut
ask_ --top-p 0.8
says_ "sampled, temperature 1, top-p 0.8, seed 0 (as asked)"

case_ "a base with do_sample is sampled as it says"
config_ '{"do_sample": true, "temperature": 3.0}'
ask_ --seed 5
says_ "sampled, temperature 3, top-p 1, seed 5 (as the base's generation_config.json says)"
same_ out hot
config_ '{"do_sample": true, "temperature": 3.0, "top_p": 0.8}'
ask_ --seed 5
says_ "sampled, temperature 3, top-p 0.8, seed 5 (as the base's generation_config.json says)"
same_ out cut
config_ '{"do_sample": true}'
ask_
says_ "sampled, temperature 1, top-p 1, seed 0 (as the base's generation_config.json says)"

case_ "and the options decide otherwise"
config_ '{"do_sample": true, "temperature": 2.0, "top_p": 0.8}'
ask_ --temp 0
says_ "the likeliest tokens (as asked)"
same_ out likeliest
ask_ --temp 3 --seed 5
same_ out cut
ask_ --temp 3 --top-p 1 --seed 5
same_ out hot

case_ "what is left out is said"
config_ '{"do_sample": true, "top_k": 50, "min_p": 0.1, "typical_p": 1.0, "eos_token_id": 1}'
ask_
err_has "warning: the base's generation_config.json asks for top_k 50, min_p 0.1, which is left out"
config_ '{"repetition_penalty": 1.2, "top_k": 50, "num_beams": 4}'
ask_
err_has "generation_config.json asks for num_beams 4, repetition_penalty 1.2, which is left out"
ask_ --temp 0
! grep -q '^warning' err || fail_ "a warning about what was not asked for"

case_ "one token to choose from is the likeliest"
config_ '{"do_sample": true, "temperature": 0.01, "top_k": 1}'
ask_ --seed 5
says_ "the likeliest tokens (the base does not ask for sampling)"
! grep -q '^warning' err || fail_ "a warning"
same_ out likeliest

case_ "values that are none"
for config in '{"do_sample": 1}' '{"temperature": "hot"}' '{"do_sample": true, "temperature": 0}' \
    '{"do_sample": true, "top_p": 1.5}' '{"do_sample": true, "top_p": 0}' '{"top_k": -1}' '['; do
    config_ "$config"
    run_ dlm -q prompt --backend cpu --base dir:base "blue an?"
    fails_ 1 "generation_config.json'"
done

summary_
