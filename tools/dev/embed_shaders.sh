#!/bin/sh
# Compiles the shaders and embeds them as C:
#
#     embed_shaders.sh OUT.c GLSLANG_VALIDATOR [-Idir]... [file.comp]...
#     embed_shaders.sh --check SPIRV_VAL OUT.c
#
# A shader names its modules in lines `//! NAME [-Dname[=value]]...`; each is compiled once with
# those options. OUT.c gets the words of every module and the table dlm_vk_kernels (see
# src/backend/backend_impl.h), sorted by name. The modules stay in OUT.c.spv/ as NAME.spv, where
# --check runs spirv-val over them.
set -eu
LC_ALL=C
export LC_ALL

fail() {
    echo "embed_shaders.sh: $*" >&2
    exit 1
}

if [ "${1:-}" = --check ]; then
    [ $# -eq 3 ] || fail "usage: embed_shaders.sh --check SPIRV_VAL OUT.c"
    passed=0
    failed=0
    for module in "$3.spv"/*.spv; do
        if "$2" --target-env vulkan1.2 "$module"; then
            passed=$((passed + 1))
        else
            echo "FAIL '$module'"
            failed=$((failed + 1))
        fi
    done
    echo "# $passed passed, $failed failed, 0 skipped"
    exit $((failed > 0))
fi

[ $# -ge 2 ] || fail "usage: embed_shaders.sh OUT.c GLSLANG_VALIDATOR [-Idir]... [file.comp]..."
out=$1
glslang=$2
shift 2
includes=
while [ $# -gt 0 ]; do
    case $1 in
    -I*) includes="$includes $1" ;;
    *) break ;;
    esac
    shift
done

dir=$out.spv
rm -rf "$dir"
mkdir -p "$dir"

# One line a module: NAME FILE [options]
for file in "$@"; do
    [ -r "$file" ] || fail "cannot read '$file'"
    grep -q '^//! ' "$file" || fail "'$file' names no module: a line '//! NAME' is missing"
    sed -n "s|^//! *\([^ ]*\)\(.*\)|\1 $file\2|p" "$file"
done | sort >"$dir/modules"

bad=$(awk '$1 !~ /^[a-z][a-z0-9_]*$/ { print $1 }' "$dir/modules")
[ -z "$bad" ] || fail "bad module name '$bad'"
twice=$(awk '{ print $1 }' "$dir/modules" | uniq -d)
[ -z "$twice" ] || fail "module named twice: '$twice'"

# Compiles every second line of the list, starting with line $1. The options are split on purpose.
compile_half() {
    awk -v first="$1" 'NR % 2 == first' "$dir/modules" | {
        failed=0
        while read -r name file options; do
            # shellcheck disable=SC2086
            if ! "$glslang" -V --target-env vulkan1.2 -S comp $includes $options \
                -o "$dir/$name.spv" "$file" >"$dir/$name.log" 2>&1; then
                echo "embed_shaders.sh: module '$name' of '$file' does not compile:" >&2
                grep -v '^$' "$dir/$name.log" >&2
                failed=1
            fi
            rm -f "$dir/$name.log"
        done
        exit $failed
    }
}

compile_half 0 &
other=$!
status=0
compile_half 1 || status=1
wait "$other" || status=1
[ $status -eq 0 ] || exit 1

{
    echo '/* Made by embed_shaders.sh: the SPIR-V modules of the shaders. */'
    echo '#include "backend/backend_impl.h"'
    while read -r name _; do
        printf '\nstatic const uint32_t %s[] = {\n' "words_$name"
        # od prints words in this machine's order, which is the order the compiler wrote
        od -A n -v -t x4 "$dir/$name.spv" | sed 's/ *\([0-9a-f]\{8\}\)/0x\1,/g'
        echo '};'
    done <"$dir/modules"
    printf '\nconst struct dlm_vk_kernel dlm_vk_kernels[] = {\n'
    while read -r name _; do
        printf '    {"%s", words_%s, sizeof(words_%s) / 4},\n' "$name" "$name" "$name"
    done <"$dir/modules"
    printf '    {NULL, NULL, 0},\n};\n'
} >"$out.tmp"
mv "$out.tmp" "$out"
