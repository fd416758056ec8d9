#!/bin/sh
# The library shows what its headers mark DLM_API, and nothing else.
. "${0%/*}/../cli/lib.sh"

case_ "exported symbols"
: > out > err
cat "$data"/../include/dlm/*.h | tr '\n' ' ' | grep -o 'DLM_API [a-z][^;{(]*(' |
    sed 's/($//; s/.*[ *]//' | sort > declared
nm -D --defined-only "${DLM_LIBRARY:?}" > symbols || fail_ "nm failed"
awk '{ print $NF }' symbols | grep -v '^_\(init\|fini\)$' | sort > exported
holds_ test "$(wc -l < declared)" -gt 20
diff declared exported > out || fail_ "not what the headers declare (< declared, > exported):"

case_ "its name carries the version of the interface"
readelf -d "$DLM_LIBRARY" > out 2> err
out_has "Library soname: [libdlm.so.0]"

summary_
