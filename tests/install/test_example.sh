#!/bin/sh
# The examples of the public interface, as the build made them: one trains, then answers, the other
# asks several questions of what was trained.
. "${0%/*}/../cli/lib.sh"

cp -R "$data/golden/models/f32_old/." .

case_ "it trains and answers"
run_ "${DLM_EXAMPLE:?}" doc.dlm images/one.png "blue an?"
status_is 0
err_has "step 1 of "
err_has "adapter: $DLM_HOME/store/"
holds_ test -s out
cp out answer

case_ "its answer is the program's"
run_ dlm -q prompt doc.dlm --image images/one.png --temp 0 "blue an?"
status_is 0
same_ out answer

case_ "several questions, of the adapter and of its base"
run_ dlm -q prompt doc.dlm --no-adapter --image images/one.png --temp 0 "blue an?"
status_is 0
cp out base_answer
run_ "${DLM_ASK_QUESTIONS:?}" doc.dlm images/one.png "blue an?" "blue an?"
status_is 0
for i in 1 2; do
    printf 'default: %s\n' "$(cat answer)"
    printf 'base: %s\n' "$(cat base_answer)"
done > want
same_ out want

case_ "it fails in words"
run_ "$DLM_EXAMPLE" no.dlm images/one.png "blue an?"
status_is 1
err_has "'no.dlm'"

summary_
