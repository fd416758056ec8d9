#!/bin/sh
# Include layering, from the #include lines alone, by the table of lint_lib.sh. docs/MAP.md says
# what the layers are for.
. "$(dirname "$0")/lint_lib.sh"

check_src() {
    layers | awk '
    FNR == NR {
        known[$1] = 1
        may[$1, $1] = 1
        for (i = 2; i <= NF; i++)
            may[$1, $i] = 1
        next
    }
    FNR == 1 {
        split(FILENAME, part, "/")
        module = part[2]
        if (!known[module])
            print FILENAME ":1: module \"" module "\" has no row in lint_lib.sh"
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, quoted, "\"")
        header = quoted[2]
        if (!(at = index(header, "/"))) {
            print FILENAME ":" FNR ": \"" header "\" is not relative to src/ or include/"
            next
        }
        target = substr(header, 1, at - 1)
        if (target == "dlm" || may[module, target] || may[module, header] || may[module, "*"])
            next
        print FILENAME ":" FNR ": " module " must not include " header
    }' - $(find src -name '*.[ch]' | sort)
}

# A backend's folder is seen by itself only; the rest of the program goes through backend.h.
check_backend_folders() {
    find src -name '*.[ch]' | sort | xargs awk '
    /^[ \t]*#[ \t]*include[ \t]*"backend\/[a-z]+\// {
        split($0, quoted, "\"")
        split(quoted[2], part, "/")
        if (index(FILENAME, "src/backend/" part[2] "/") != 1)
            print FILENAME ":" FNR ": only src/backend/" part[2] " may include " quoted[2]
    }'
}

check_public() {
    find include -name '*.h' | sort | xargs awk '
    /^[ \t]*#[ \t]*include[ \t]*"/ && !/"dlm\// {
        print FILENAME ":" FNR ": a public header includes only dlm/ and system headers: " $0
    }'
}

# Its own files have no folder in their name, the library is dlm/.
check_command_line() {
    find tools/dlm examples -name '*.[ch]' 2>/dev/null | sort | xargs -r awk '
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, quoted, "\"")
        if (quoted[2] ~ /\// && quoted[2] !~ /^dlm\//)
            print FILENAME ":" FNR ": only include/dlm is open to it, not " quoted[2]
    }'
}

check 'layers of src' check_src
check 'backend folders' check_backend_folders
check 'public headers' check_public
check 'command line and examples' check_command_line
summary
