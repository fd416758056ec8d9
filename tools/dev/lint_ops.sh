#!/bin/sh
# Every op of src/ops/op_list.h has its five places, and what lies in them belongs to an op.
. "$(dirname "$0")/lint_lib.sh"

list=src/ops/op_list.h

# OP FILE, one line an op
ops() {
    sed -n 's/^ *X(\([a-z0-9_]*\), *\([a-z0-9_]*\)).*/\1 \2/p' $list
}

check_list() {
    ops | awk -v list=$list '
    NF { num++ }
    seen[$1]++ { print list ":1: op " $1 " is listed twice" }
    END { if (num < 1) print list ":1: no op found" }'
}

# check_place FOLDER ENDING: FILE.ENDING or a variant FILE_*.ENDING is there and in the build.
check_place() {
    ops | cut -d ' ' -f 2 | sort -u | while read -r file; do
        found=
        for path in "$1/$file$2" "$1/$file"_*"$2"; do
            [ -f "$path" ] || continue
            found=1
            grep -q "'${path##*/}'" "$1/meson.build" ||
                echo "$path:1: not listed in $1/meson.build"
        done
        [ "$found" ] || echo "$list:1: no $1/$file$2"
    done
}

check_source() {
    ops | while read -r op file; do
        grep -q "^const struct dlm_op dlm_op_$op = " "src/ops/$file.c" 2>/dev/null ||
            echo "src/ops/$file.c:1: dlm_op_$op is not defined here"
    done
}

check_tests() {
    ops | while read -r op file; do
        if ! [ -f "tests/ops/$file.c" ]; then
            echo "$list:1: no tests/ops/$file.c for op $op"
        else
            grep -q "dlm_op_$op\>" "tests/ops/$file.c" ||
                echo "tests/ops/$file.c:1: no row of op $op"
            grep -q "'$file'" tests/ops/meson.build ||
                echo "tests/ops/$file.c:1: not listed in tests/ops/meson.build"
        fi
    done
}

# A device kernel file is named like an op's file, or FILE_variant; limits are no op.
check_strays() {
    for path in clkernels/*.cl shaders/*.comp; do
        name=${path##*/}
        name=${name%.*}
        case $name in prelude | limits | limits_*) continue ;; esac
        ops | awk -v name="$name" -v path="$path" '
        name == $2 || index(name, $2 "_") == 1 { found = 1 }
        END { if (!found) print path ":1: belongs to no op of the list" }'
    done
}

check 'op list' check_list
check 'src/ops' check_source
check 'src/ops in the build' check_place src/ops .c
check 'src/cpukernels' check_place src/cpukernels .c
check 'clkernels' check_place clkernels .cl
check 'shaders' check_place shaders .comp
check 'tests/ops' check_tests
check 'stray kernels' check_strays
summary
