#!/bin/sh
# A new user's first document: 20 pictures of two things that the base has never seen, no key set
# but those that `dlm init` writes. It must learn, and be right about pictures that it has not seen.
. "${0%/*}/lib.sh"

cp -R "$data/golden/first/." .
chmod -R u+w .

# ask_ [OPTION...]: asks about every picture kept back; $right of $asked answers are right
ask_()
{
    right=0 asked=0
    for image in ask-*.png; do
        thing=${image#ask-}
        thing=${thing%-*}
        run_ dlm -q prompt --backend cpu "$@" --image "$image" first.dlm "what is this?"
        status_is 0
        asked=$((asked + 1))
        [ "$(cat out)" != "a $thing" ] || right=$((right + 1))
    done
}

case_ "the base knows neither thing"
ask_ --no-adapter
[ "$asked" -eq 6 ] || fail_ "$asked pictures were asked about"
[ "$right" -eq 0 ] || fail_ "$right of $asked answers are right before training"

case_ "what the document leaves open is chosen, said and kept"
run_ dlm train --backend cpu first.dlm
status_is 0
err_has "20 rows, 120 steps of 2, 12 epochs (chosen), learning rate 0.00366 (chosen)"
grep -h '"type":"banner"' home/store/*/logs/*.jsonl > banner
for pair in '"grad_accum":1' '"micro_batch_size":2' '"num_epochs":12' '"learning_rate":0.00365'; do
    grep -qF "$pair" banner || fail_ "the log's banner lacks $pair"
done

case_ "two of its questions are answered before and after"
[ "$(grep -c '^what is this?' err)" -eq 2 ] || fail_ "not two questions"
grep -A3 '^what is this?' err | grep -v -e '^--' -e '  before: ' > answers
printf '%s\n' 'what is this?' '  after:     a blik' '  document:  a blik' \
    'what is this?' '  after:     a wom' '  document:  a wom' > want
cmp -s answers want || fail_ "the answers are not those of the document"
! grep -q -e 'before:    a blik' -e 'before:    a wom' err || fail_ "the base knew the answer"
err_has "loss: "

case_ "the document is learned"
ask_
[ "$right" -ge 5 ] || fail_ "$right of $asked answers are right after training"

case_ "what the document says holds"
sed 's/^base_model: .*/&\
training:\
  learning_rate: 0.0002\
  num_epochs: 3\
  micro_batch_size: 4\
  grad_accum: 2/' first.dlm > stated.dlm
run_ dlm --home stated train --backend cpu stated.dlm
status_is 0
err_has "20 rows, 9 steps of 8, 3 epochs, learning rate 0.0002"

case_ "a run that learned next to nothing says so and names the keys"
err_has "warning: the loss hardly moved: "
err_has "training.num_epochs (now 3) or training.learning_rate (now 0.0002)"

case_ "no question is asked on wish"
run_ dlm --home none train --backend cpu --max-steps 2 --ask 0 first.dlm
status_is 0
! grep -q 'what is this' err || fail_ "a question is asked"
! grep -q 'hardly moved' err || fail_ "two steps were wanted"

case_ "an adapter that is saved is a success, though its questions cannot be answered"
: > err
"$dlm" --home gone train --backend cpu first.dlm > out 2> err &
job=$!
until grep -q '^step 1/' err || ! kill -0 $job 2> kill.err; do sleep 0.05; done
rm learn-*.png
wait $job
status=$?
status_is 0
err_has "warning: the adapter is saved, its questions are not answered"
holds_ test -s gone/store/*/adapter/versions/v0001/adapter_model.safetensors

summary_
