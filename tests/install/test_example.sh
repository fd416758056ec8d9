#!/bin/sh
# The example of the public interface, as the build made it: trains, then answers.
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

case_ "it fails in words"
run_ "$DLM_EXAMPLE" no.dlm images/one.png "blue an?"
status_is 1
err_has "'no.dlm'"

summary_
