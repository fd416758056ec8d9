#!/bin/sh
# Headers: guards, and each compiles alone; the public ones also as C++.
#
#   lint_headers.sh SOURCE_ROOT CC CXX [FLAG ...]      CXX may be "" (skipped)
cc=${2:?}
cxx=${3?}
. "$(dirname "$0")/lint_lib.sh"
shift 3
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

# Lists (X macros) are included more than once on purpose.
headers() {
    find include src tests tools -name '*.h' ! -name '*_list.h' | sort
}

check_guards() {
    headers | xargs awk '
    function finish() {
        if (last == "")
            return
        if (state != 2)
            print last ":1: no guard"
        else if (end !~ /^#endif/)
            print last ":1: the guard does not end the file"
    }
    FNR == 1 {
        finish()
        last = FILENAME
        state = 0
        guard = ""
    }
    NF { end = $0 }
    state == 0 && $1 == "#ifndef" {
        state = 1
        guard = $2
        next
    }
    state == 1 && NF {
        state = $1 == "#define" && $2 == guard ? 2 : 3
        if (state == 2 && guard !~ /^DLM_[A-Z0-9_]*_H$/)
            print FILENAME ":" FNR ": guard " guard " is not DLM_..._H"
        if (state == 2 && owner[guard] != "")
            print FILENAME ":" FNR ": guard " guard " is also that of " owner[guard]
        owner[guard] = FILENAME
    }
    END { finish() }'
}

# compile_alone LANGUAGE COMPILER HEADERS FLAG...
compile_alone() {
    language=$1
    compiler=$2
    list=$3
    shift 3
    for header in $list; do
        # shellcheck disable=SC2086 # a compiler may be `ccache gcc`
        if ! printf '#include "%s"\n' "$header" |
            $compiler "$@" -x "$language" -fsyntax-only - > "$out" 2>&1; then
            echo "$header:1: does not compile alone as $language: $(grep -m 1 error "$out")"
        fi
    done
}

# Left out: what may not be built in (backends, downloads), and lists (X macros).
private_headers() {
    find src -name '*.h' ! -path 'src/backend/opencl/*' ! -path 'src/backend/vulkan/*' \
        ! -path src/hub/job.h ! -name '*_list.h' | sort
}

warnings='-Wall -Wextra -Werror -Wno-unused-function -Wno-unused-parameter'
check 'guards' check_guards
# shellcheck disable=SC2086
check 'private headers alone' compile_alone c "$cc" "$(private_headers)" -std=c11 -D_GNU_SOURCE \
    -fopenmp-simd -DDLM_CPU_ISA=base -Wno-unused-const-variable \
    -Iinclude -Isrc -I. $warnings "$@"
public=$(find include -name '*.h' | sort)
# shellcheck disable=SC2086
check 'public headers alone' compile_alone c "$cc" "$public" -std=c11 -pedantic -Iinclude -I. \
    $warnings
if [ -n "$cxx" ]; then
    # shellcheck disable=SC2086
    check 'public headers as C++' compile_alone c++ "$cxx" "$public" -std=c++11 -pedantic \
        -Iinclude -I. $warnings
else
    skip 'public headers as C++' 'no C++ compiler here'
fi
summary
