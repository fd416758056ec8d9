#!/bin/sh
# Calls, as the objects of a build tell them: no file calls back, over others or not, into one that
# calls it, within a folder of src/; no folder calls back into one that calls it, or against the
# table of layers. Include lines (lint_layers.sh) cannot see that: a function may be declared in one
# folder and defined in another.
# lint_circles.sh SOURCE_ROOT ARCHIVE..., archives by absolute path.
. "$(dirname "$0")/lint_lib.sh"
shift

# Folders, and pairs of folders, in which a circle is known. base hashes by the CPU's instructions.
known_circles() {
    cat <<'TABLE'
base cpukernels
images
store
tokens
TABLE
}

# "CALLER CALLEE" for each two files of src/, as folder/file without ending. Objects are named after
# their source, with '_' for '/'.
list_calls() {
    {
        find src -name '*.c' | sed 's|^src/||'
        echo '--'
        nm -A "$@" 2>/dev/null
    } | awk '
    !listed && $0 == "--" { listed = 1; next }
    !listed {
        name = $0
        gsub("/", "_", name)
        sub(/\.c$/, "")
        file_of[name ".o"] = $0
        next
    }
    {
        # ARCHIVE:OBJECT:[VALUE] TYPE SYMBOL
        split($1, part, ":")
        object = part[2]
        sub(".*/", "", object)
        file = object in file_of ? file_of[object] : file_of["cpukernels_" object]
        if (file == "")
            next
        if ($(NF - 1) == "U")
            wants[file, $NF] = 1
        else if ($(NF - 1) ~ /^[BDRTV]$/)
            owner[$NF] = file
    }
    END {
        for (want in wants) {
            split(want, part, SUBSEP)
            callee = owner[part[2]]
            if (callee != "" && callee != part[1])
                print part[1], callee
        }
    }' | sort -u
}

# Of "FROM TO" lines those that lie on a circle, or between two: what has no way in or no way out is
# taken away until all that is left has both.
circles_of() {
    awk '
    { from[NR] = $1; to[NR] = $2; alive[NR] = 1 }
    END {
        do {
            changed = 0
            split("", has_in)
            split("", has_out)
            for (i = 1; i <= NR; i++)
                if (alive[i]) {
                    has_out[from[i]] = 1
                    has_in[to[i]] = 1
                }
            for (i = 1; i <= NR; i++)
                if (alive[i] && !(has_in[from[i]] && has_out[to[i]])) {
                    alive[i] = 0
                    changed = 1
                }
        } while (changed)
        for (i = 1; i <= NR; i++)
            if (alive[i])
                print from[i], to[i]
    }'
}

# No circle in nothing: the archives must name the calls of the whole program.
check_calls() {
    for folder in base backend ops graph models api; do
        grep -q "^$folder/" "$calls" || echo "src/$folder:1: the archives name none of its calls"
    done
}

# A folder is all of the path but its last part: backend/vulkan/device lies in backend/vulkan.
check_files() {
    awk '
    function folder(path) { sub("/[^/]*$", "", path); return path }
    folder($1) == folder($2)' "$calls" | circles_of | awk '
    function folder(path) { sub("/[^/]*$", "", path); return path }
    FNR == NR { known[$0] = 1; next }
    !known[folder($1)] { print "src/" $1 ".c:1: is on a circle: calls src/" $2 ".c" }
    ' "$known" -
}

# Modules: the first part of the path. Backends call only their own folder and what is below.
check_folders() {
    awk '
    { split($1, a, "/"); split($2, b, "/") }
    a[1] != b[1] { print a[1], b[1] }' "$calls" | sort -u | awk '
    FNR == NR { known[$0] = 1; next }
    !known[$0] ' "$known" - | circles_of | awk '
    { print "src/" $1 ":1: is on a circle: calls src/" $2 }'
}

# Calls go where includes may, by the table of layers.
check_layers() {
    {
        layers
        echo '--'
        awk '
        { split($1, a, "/"); split($2, b, "/") }
        a[1] != b[1] { print a[1], b[1], $1, $2 }' "$calls"
    } | awk '
    !listed && $0 == "--" { listed = 1; next }
    !listed {
        for (i = 2; i <= NF; i++) {
            sub("/.*", "", $i) # a header: its folder
            may[$1, $i] = 1
        }
        next
    }
    !may[$1, $2] && !may[$1, "*"] { print "src/" $3 ".c:1: " $1 " must not call src/" $4 ".c" }'
}

# A list of circles that are not there any more would let them come back.
check_known() {
    {
        awk '
        function folder(path) { sub("/[^/]*$", "", path); return path }
        folder($1) == folder($2)' "$calls" | circles_of | sed 's|/[^/ ]* .*||'
        awk '{ split($1, a, "/"); split($2, b, "/"); print a[1], b[1] }' "$calls"
    } | sort -u | awk '
    FNR == NR { found[$0] = 1; next }
    !found[$0] { print "tools/dev/lint_circles.sh:1: no circle is left in: " $0 }' - "$known"
}

calls=$(mktemp) || exit 1
known=$(mktemp) || exit 1
trap 'rm -f "$calls" "$known"' EXIT
known_circles >"$known"
list_calls "$@" >"$calls"
check 'calls' check_calls
check 'circles of files' check_files
check 'circles of folders' check_folders
check 'layers of calls' check_layers
check 'known circles' check_known
summary
