# What the lint scripts share; each begins with `. lint_lib.sh` and its first argument is the root
# of the source tree. A check is a command that prints one line `FILE:LINE: what is wrong` for each
# finding, and nothing when all is well.
set -u
LC_ALL=C
export LC_ALL

lint_dir=$(cd "$(dirname "$0")" && pwd)
cd "${1:?usage: $0 SOURCE_ROOT}" || exit 1
passed=0
failed=0
skipped=0

# check NAME COMMAND [ARGUMENT ...]
check() {
    name=$1
    shift
    if findings=$("$@") && [ -z "$findings" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s\n' "${findings:-the check itself failed}" | sed "s|^|FAIL $name: |"
    fi
}

# skip NAME REASON
skip() {
    skipped=$((skipped + 1))
    echo "SKIP $1: $2"
}

summary() {
    echo "# $passed passed, $failed failed, $skipped skipped"
    [ $failed -eq 0 ]
}

# Files of the tree with one of the given endings, below folders that exist.
files_named() {
    for ending in "$@"; do
        find include src clkernels shaders tools tests examples docs share .ci -type f \
            -name "*$ending" ! -path '*/__pycache__/*' 2>/dev/null
    done | sort
}

code_files() {
    files_named .c .h .cl .comp .glsl
}

# Shell and awk programs, with or without an ending.
script_files() {
    {
        files_named .sh .awk
        find tools .ci -maxdepth 1 -type f 2>/dev/null
    } | sort -u | grep -v 'meson\.build$\|apt-packages$'
}

# Code without comments as FILE:LINE:CODE. strip_comments [-v strings=0] FILE...; with strings=0 the
# text of strings goes too.
strip_comments() {
    awk -f "$lint_dir/lint_strip.awk" "$@"
}

# Module: what it may include and call besides itself. A name with a slash is one header;
# include/dlm is open to all; * is everything. Compute (kernels to graph) and data (doc to tokens)
# meet in models.
layers() {
    cat <<'TABLE'
base        cpukernels/convert.h cpukernels/sha256.h
kernels     base
cpukernels  base kernels
backend     base cpukernels/table.h
ir          base backend
ops         base backend ir kernels
graph       base backend ir ops
weights     base
gguf        base
doc         base
images      base
tokens      base
registry    base doc/yaml.h
rows        base doc
hub         base registry
store       base weights
models      base kernels backend ir ops graph weights gguf images tokens registry rows/turns.h
train       base backend ir ops graph weights doc images tokens registry rows store models
generate    base backend ir ops graph weights images tokens registry models
export      base weights gguf tokens registry models
doctor      base kernels backend ir ops graph weights registry models
api         *
TABLE
}
