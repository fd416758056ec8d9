#!/bin/sh
# Makes the C file with all OpenCL kernels: one array a .cl file, with the headers it relies on put
# before it, and one row a kernel.
#
#   embed_opencl.sh SOURCE_ROOT OUTPUT.c [FILE.cl ...]
#
# Rows come from lines `//! NAME ENTRY [-Dname=value ...]` at the top of a kernel file. Headers lose
# comments, blank lines and includes; a kernel file keeps its line numbers, for build logs. What
# several kernel files of an op share stands in a .cl file that they include.
set -eu
LC_ALL=C
export LC_ALL

if [ $# -lt 2 ]; then
    echo "usage: $0 SOURCE_ROOT OUTPUT.c [FILE.cl ...]" >&2
    exit 2
fi
root=$1
output=$2
shift 2

tmp=$output.tmp
head=$output.head
text=$output.text
trap 'rm -f "$tmp" "$head" "$text"' EXIT

# Comments go, whether they span lines or not; strings do not occur in these headers.
squeeze() {
    awk '
    {
        line = $0
        out = ""
        while (line != "") {
            if (inside) {
                at = index(line, "*/")
                if (!at)
                    break
                line = substr(line, at + 2)
                inside = 0
            } else {
                at = match(line, /\/\*|\/\//)
                if (!at || substr(line, at, 2) == "//") {
                    out = out (at ? substr(line, 1, at - 1) : line)
                    break
                }
                out = out substr(line, 1, at - 1)
                line = substr(line, at + 2)
                inside = 1
            }
        }
        sub(/[ \t]+$/, "", out)
        if (out != "" && out !~ /^[ \t]*#[ \t]*include/)
            print out
    }' "$1"
}

{
    echo '#define DLM_DIALECT_OPENCL 1'
    for header in src/base/words.h src/base/dialect.h src/base/activation.h src/base/scalar.h \
        src/base/quant_tables.h src/kernels/matmul_params.h src/kernels/attention_params.h \
        src/kernels/params.h \
        src/kernels/attention_mask.h clkernels/prelude.cl; do
        squeeze "$root/$header"
    done
    # once more, of vectors
    echo '#undef DLM_BASE_ACTIVATION_H'
    echo '#undef DLM_F32'
    echo '#define DLM_F32 dlm_vec'
    squeeze "$root/src/base/activation.h"
} > "$head"

{
    echo '/* Made by embed_opencl.sh from clkernels/; not to be edited. */'
    echo '#include "backend/backend_impl.h"'
    echo
} > "$tmp"

num=0
for file in "$@"; do
    {
        cat "$head"
        sed -n 's/^#include "\([a-z0-9_]*\.cl\)"$/\1/p' "$file" | while read -r shared; do
            squeeze "${file%/*}/$shared"
        done
        echo "#line 1 \"${file##*/}\""
        sed 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*".*$//' "$file"
    } > "$text"
    if awk '/[^\t -~]/ { print FNR ": " $0; found = 1 } END { exit !found }' "$text" >&2; then
        echo "$0: $file or a header before it has a byte that is not ASCII" >&2
        exit 1
    fi
    {
        echo "/* ${file##*/} */"
        echo "static const char source_$num[] = {"
        od -An -v -td1 "$text" | sed 's/  */,/g; s/^,//; s/$/,/'
        echo '0};'
        echo
    } >> "$tmp"
    num=$((num + 1))
done

echo 'const struct dlm_ocl_kernel dlm_ocl_kernels[] = {' >> "$tmp"
num=0
for file in "$@"; do
    awk -v file="$file" -v num="$num" '
    $1 == "//!" {
        if (NF < 3 || $2 !~ /^[a-z][a-z0-9_]*$/ || $3 !~ /^[a-z][a-z0-9_]*$/) {
            print file ":" FNR ": want //! NAME ENTRY [-Dname=value ...]" > "/dev/stderr"
            failed = 1
            exit 1
        }
        options = ""
        for (i = 4; i <= NF; i++) {
            if ($i !~ /^-D[A-Za-z_][A-Za-z0-9_]*(=[A-Za-z0-9_.+-]+)?$/) {
                print file ":" FNR ": want -Dname=value, not " $i > "/dev/stderr"
                failed = 1
                exit 1
            }
            options = options (i > 4 ? " " : "") $i
        }
        printf "    {\"%s\", \"%s\", \"%s\", source_%d, sizeof(source_%d) - 1},\n", \
            $2, $3, options, num, num
        rows++
    }
    END {
        if (!failed && !rows) {
            print file ": no line //! NAME ENTRY" > "/dev/stderr"
            exit 1
        }
    }' "$file" >> "$tmp"
    num=$((num + 1))
done
echo '    {NULL, NULL, NULL, NULL, 0}};' >> "$tmp"

# Two kernels of one name would hide each other.
twice=$(sed -n 's/^    {"\([^"]*\)".*/\1/p' "$tmp" | sort | uniq -d)
if [ -n "$twice" ]; then
    echo "$0: named twice:" $twice >&2
    exit 1
fi
mv "$tmp" "$output"
