#!/bin/sh
# Compiles the shaders and embeds them as C:
#
#     embed_shaders.sh OUT.c GLSLANG_VALIDATOR [-Idir]... [file.comp]...
#     embed_shaders.sh --check SPIRV_VAL OUT.c
#     embed_shaders.sh --prebuild FOLDER GLSLANG_VALIDATOR [-Idir]... [file.comp]...
#     embed_shaders.sh --stale FOLDER [-Idir]... [file.comp]...
#
# A shader names its modules in lines `//! NAME [needs=CAP,...] [subgroups=N] [-Dname[=value]]...`;
# each is compiled once with those options. What a module needs (subgroup, f16, storage_16,
# matrix_f16, matrix_bf16, matrix_attention) decides which devices are offered the kernel. One with
# subgroups has at most as many of them in a work-group. One that needs matrix units is compiled for
# each of their shapes, with -DMAT_M=16 and so on.
#
# OUT.c gets the words of every module and the table dlm_vk_kernels (see
# src/backend/backend_impl.h), sorted by name. The modules stay in OUT.c.spv/ as NAME.spv or
# NAME.SHAPE.spv, where --check runs spirv-val over them.
#
# Matrix modules want a newer compiler than some distributions have. FOLDER (prebuilt/ beside the
# shaders) holds them as --prebuild made them, with the hash of their source: the file, what it
# includes and the options. They are taken where the compiler is too old, and only if that hash is
# still right; --stale prints those of which it is not.
set -eu
LC_ALL=C
export LC_ALL

fail() {
    echo "embed_shaders.sh: $*" >&2
    exit 1
}

if [ "${1:-}" = --check ]; then
    [ $# -eq 3 ] || fail "usage: embed_shaders.sh --check SPIRV_VAL OUT.c"
    # Validators older than matrices know their capabilities no more than such compilers do.
    too_old='Invalid capability operand: \(6022\|5116\)$'
    passed=0
    failed=0
    skipped=0
    for module in "$3.spv"/*.spv; do
        if said=$("$2" --target-env vulkan1.2 "$module" 2>&1); then
            passed=$((passed + 1))
        elif echo "$said" | grep -q "$too_old"; then
            skipped=$((skipped + 1))
        else
            printf '%s\nFAIL %s\n' "$said" "'$module'"
            failed=$((failed + 1))
        fi
    done
    [ $skipped -eq 0 ] || echo "$skipped modules want a spirv-val that knows matrices"
    echo "# $passed passed, $failed failed, $skipped skipped"
    exit $((failed > 0))
fi

usage='usage: embed_shaders.sh [--prebuild|--stale] OUT [GLSLANG_VALIDATOR] [-Idir]... [file]...'
mode=embed
case ${1:-} in
--prebuild | --stale)
    mode=${1#--}
    shift
    ;;
esac
[ $# -ge 2 ] || fail "$usage"
out=$1
shift
if [ "$mode" != stale ]; then
    glslang=$1
    shift
fi
includes=
while [ $# -gt 0 ]; do
    case $1 in
    -I*) includes="$includes $1" ;;
    *) break ;;
    esac
    shift
done
[ $# -ge 1 ] || fail "$usage"
prebuilt=$(dirname "$1")/prebuilt

dir=$out.spv
[ "$mode" = embed ] || dir=$(mktemp -d)
rm -rf "$dir"
mkdir -p "$dir"
[ "$mode" = embed ] || trap 'rm -rf "$dir"' EXIT

# One line a module: NAME MODULE SHAPE NEEDS SUBGROUPS FILE [options], "-" for none
for file in "$@"; do
    [ -r "$file" ] || fail "cannot read '$file'"
    grep -q '^//! ' "$file" || fail "'$file' names no module: a line '//! NAME' is missing"
    awk -v file="$file" '
    $1 == "//!" {
        needs = subgroups = "-"
        options = ""
        for (i = 3; i <= NF; i++) {
            if ($i ~ /^needs=/)
                needs = substr($i, 7)
            else if ($i ~ /^subgroups=/)
                subgroups = substr($i, 11)
            else
                options = options " " $i
        }
        if (index(needs, "matrix_") == 0) {
            print $2, $2, "-", needs, subgroups, file options
            next
        }
        all = "16x16x16 8x16x16" (index(needs, "matrix_bf16") ? "" : " 8x8x8")
        num = split(all, shapes, " ")
        for (i = 1; i <= num; i++) {
            split(shapes[i], side, "x")
            print $2, $2 "." shapes[i], shapes[i], needs, subgroups, file options \
                " -DMAT_M=" side[1] " -DMAT_N=" side[2] " -DMAT_K=" side[3]
        }
    }' "$file"
done | sort >"$dir/modules"

bad=$(awk '$1 !~ /^[a-z][a-z0-9_]*$/ { print $1 }' "$dir/modules")
[ -z "$bad" ] || fail "bad module name '$bad'"
bad=$(awk '$4 != "-" { print $4 }' "$dir/modules" | tr , '\n' |
    grep -vE '^(subgroup|f16|storage_16|matrix_f16|matrix_bf16|matrix_attention)$' || true)
[ -z "$bad" ] || fail "a module needs '$bad', which is no capability"
twice=$(awk '{ print $2 }' "$dir/modules" | uniq -d)
[ -z "$twice" ] || fail "module named twice: '$twice'"

# files_of FILE: it and what it includes, each once, in order.
files_of() {
    # shellcheck disable=SC2086
    awk -v first="$1" -v dirs="$(dirname "$1") $(echo $includes | sed 's/-I//g')" '
    function take(path,    line, name, i, list) {
        if (path in seen)
            return
        seen[path] = 1
        print path
        while ((getline line < path) > 0) {
            if (line !~ /^[ \t]*#[ \t]*include[ \t]*"/)
                continue
            split(line, part, "\"")
            name = part[2]
            for (i = 1; i <= num; i++)
                if ((getline line < (dir[i] "/" name)) >= 0) {
                    close(dir[i] "/" name)
                    take(dir[i] "/" name)
                    break
                }
        }
        close(path)
    }
    BEGIN { num = split(dirs, dir, " "); take(first) }'
}

# hash_of FILE OPTIONS: of all that a module is made from.
hash_of() {
    {
        echo "$2"
        # paths hold no blanks: they are the tree's own
        # shellcheck disable=SC2046
        cat $(files_of "$1")
    } | sha256sum | cut -d ' ' -f 1
}

# Modules whose prebuilt form is not of this source.
if [ "$mode" = stale ]; then
    awk '$3 != "-"' "$dir/modules" | while read -r _ module _ _ _ file options; do
        hash=$(hash_of "$file" "$options")
        grep -qx "$hash $module" "$out/manifest" && [ -s "$out/$module.spv" ] || echo "$module"
    done
    exit 0
fi

# compile MODULE FILE OPTIONS. The options are split on purpose.
compile() {
    # shellcheck disable=SC2086
    "$glslang" -V --target-env vulkan1.2 -S comp $includes $3 -o "$dir/$1.spv" "$2" \
        >"$dir/$1.log" 2>&1
    rc=$?
    [ $rc -eq 0 ] && rm -f "$dir/$1.log"
    return $rc
}

complain() {
    echo "embed_shaders.sh: module '$1' of '$2' does not compile:" >&2
    grep -v '^$' "$dir/$1.log" >&2
}

# Compilers too old for matrices say so of the extension, in the first line of the log that has it.
is_too_old() {
    grep -q 'extension not supported: *GL_\(KHR_cooperative_matrix\|EXT_bfloat16\)' "$dir/$1.log"
}

# take_prebuilt MODULE FILE OPTIONS
take_prebuilt() {
    if ! grep -qx "$(hash_of "$2" "$3") $1" "$prebuilt/manifest"; then
        echo "embed_shaders.sh: '$prebuilt/$1.spv' is not of this source, and this compiler is" \
            "too old for it: run tools/dev/prebuild_shaders with glslang 15.3 or later" >&2
        return 1
    fi
    rm -f "$dir/$1.log"
    cp "$prebuilt/$1.spv" "$dir/$1.spv"
}

# Compiles every second line of the list, starting with line $1.
compile_half() {
    awk -v first="$1" -v mode="$mode" 'NR % 2 == first && (mode == "embed" || $3 != "-")' \
        "$dir/modules" | {
        failed=0
        while read -r _ module shape _ _ file options; do
            if compile "$module" "$file" "$options"; then
                continue
            elif [ "$mode" = embed ] && [ "$shape" != - ] && is_too_old "$module"; then
                take_prebuilt "$module" "$file" "$options" || failed=1
            else
                complain "$module" "$file"
                failed=1
            fi
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

if [ "$mode" = prebuild ]; then
    mkdir -p "$out"
    rm -f "$out"/*.spv
    {
        "$glslang" --version | sed -n 's/^Glslang Version: *[0-9]*:/# glslang /p'
        awk '$3 != "-"' "$dir/modules" | while read -r _ module _ _ _ file options; do
            cp "$dir/$module.spv" "$out/$module.spv"
            echo "$(hash_of "$file" "$options") $module"
        done
    } >"$out/manifest"
    exit 0
fi

# caps_of NEEDS: as a C expression.
caps_of() {
    [ "$1" = - ] && echo 0 && return
    echo "$1" | tr a-z A-Z | sed 's/\([^,]*\)/DLM_CAP_\1/g; s/,/ | /g'
}

{
    echo '/* Made by embed_shaders.sh: the SPIR-V modules of the shaders. */'
    echo '#include "backend/backend_impl.h"'
    while read -r _ module _; do
        printf '\nstatic const uint32_t words_%s[] = {\n' "$(echo "$module" | tr . _)"
        # od prints words in this machine's order, which is the order the compiler wrote
        od -A n -v -t x4 "$dir/$module.spv" | sed 's/ *\([0-9a-f]\{8\}\)/0x\1,/g'
        echo '};'
    done <"$dir/modules"
    printf '\nconst struct dlm_vk_kernel dlm_vk_kernels[] = {\n'
    while read -r name module shape needs subgroups _; do
        words=words_$(echo "$module" | tr . _)
        printf '    {"%s", %s, sizeof(%s) / 4, %s, {%s}, %s},\n' "$name" "$words" "$words" \
            "$(caps_of "$needs")" "$(echo "$shape" | sed 's/-/0/; s/x/, /g')" \
            "$(echo "$subgroups" | sed 's/-/0/')"
    done <"$dir/modules"
    printf '    {NULL, NULL, 0, 0, {0}, 0},\n};\n'
} >"$out.tmp"
mv "$out.tmp" "$out"
