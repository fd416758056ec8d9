#!/bin/sh
# The documentation speaks of files that are there, and the map of every folder of the source.
. "$(dirname "$0")/lint_lib.sh"

documents='README.md CONTRIBUTING.md docs/*.md'

# Paths in backticks, but for those with a placeholder, and my_... and x, which the how-tos invent.
check_paths() {
    # shellcheck disable=SC2086
    awk -v tops="^(src|include|tests|tools|docs|share|clkernels|shaders)/" '{
        num = split($0, part, "`")
        for (i = 2; i <= num; i += 2)
            if (part[i] ~ tops && part[i] ~ /^[A-Za-z0-9_.\/-]+$/)
                print FILENAME ":" FNR ": " part[i]
    }' $documents | grep -v '/my_\|[/_]x\(/\|\.c\|$\)' | while read -r place path; do
        [ -e "$path" ] || echo "$place no $path"
    done
}

check_links() {
    # shellcheck disable=SC2086
    awk '{
        line = $0
        while (match(line, /\]\([^)]*\)/)) {
            print FILENAME ":" FNR ": " substr(line, RSTART + 2, RLENGTH - 3)
            line = substr(line, RSTART + RLENGTH)
        }
    }' $documents | while read -r place target; do
        case $target in
        http*) ;;
        *) [ -e "$(dirname "${place%%:*}")/$target" ] || echo "$place no $target" ;;
        esac
    done
}

check_map() {
    for folder in src/*/ src/backend/*/; do
        grep -q "\`$folder" docs/MAP.md || echo "docs/MAP.md:1: nothing about $folder"
    done
}

check 'paths' check_paths
check 'links' check_links
check 'map' check_map
summary
