#!/bin/sh
# `meson install` into an empty folder, and what a stranger does with it: the program runs, and the
# examples are built with pkg-config, as C and as C++, and run.
. "${0%/*}/../cli/lib.sh"

skip_all_()
{
    echo "# skipped: $1"
    echo "# 0 passed, 0 failed, 1 skipped"
    exit 77
}
[ -n "${MESON:-}" ] || skip_all_ "meson is not in PATH"
command -v pkg-config > pkg-config.path || skip_all_ "pkg-config is not in PATH"

cp -R "$data/golden/models/f32_old/." .

case_ "meson install"
run_ "$MESON" install -C "${DLM_BUILD_DIR:?}" --no-rebuild --quiet --destdir "$dir/dest"
status_is 0
pc=$(find dest -name dlm.pc)
holds_ test -n "$pc"
prefix=$(sed -n 's/^prefix=//p' "$pc")
root=$dir/dest$prefix
lib=$(dirname "$(dirname "$pc")")
for path in "$root/bin/dlm" "$root/include/dlm/dlm.h" "$root/share/dlm/tiny-shapes/config.json" \
    "$root/share/dlm/sample" "$lib/libdlm.so.0" "$lib/libdlm.so"; do
    holds_ test -e "$path"
done
for header in "$data"/../include/dlm/*.h; do
    same_ "$header" "$root/include/dlm/${header##*/}"
done

case_ "nothing names the source tree but the program's way back to it"
: > out > err
source=$(cd "$data/.." && pwd -P)
find dest -type f ! -name dlm ! -name 'libdlm.*' -exec grep -lF "$source" {} + > out
out_is

export PKG_CONFIG_PATH="$dir/${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$dir/dest"
export LD_LIBRARY_PATH="$dir/$lib" DLM_SHARE_DIR="$root/share/dlm"

case_ "the installed program"
run_ "$root/bin/dlm" --version
status_is 0
out_is "dlm $(pkg-config --modversion dlm)"
run_ "$root/bin/dlm" init new.dlm --multimodal --base tiny-shapes
status_is 0

# build_and_run_ COMPILER OPTION...: each example; the second asks what the first has trained.
build_and_run_()
{
    for example in train_then_prompt ask_questions; do
        run_ "$@" -Wall -Wextra -Wno-missing-field-initializers -Werror -x "$language" \
            "$data/../examples/$example.c" $(pkg-config --cflags dlm) -x none \
            $(pkg-config --libs dlm) -o "$example-$language"
        status_is 0
        run_ "./$example-$language" doc.dlm images/one.png "blue an?"
        status_is 0
        holds_ test -s out
        cp out "$example-$language.out"
    done
}

case_ "the examples as C"
language=c
# shellcheck disable=SC2086
build_and_run_ ${CC:?} -std=c11 -pedantic

if [ -n "$CXX" ]; then
    case_ "the examples as C++"
    language=c++
    build_and_run_ "$CXX" -std=c++11 -pedantic
    same_ train_then_prompt-c.out train_then_prompt-c++.out
    same_ ask_questions-c.out ask_questions-c++.out
else
    echo "# skipped: no C++ compiler"
    skipped=1
fi

summary_
