#!/bin/sh
# Sizes and text: file and function length, columns, tabs, names that are kept to their places.
. "$(dirname "$0")/lint_lib.sh"

check_file_length() {
    { code_files; script_files; files_named .py; } | sort -u | xargs awk '
    FNR == 601 { print FILENAME ":601: more than 600 lines" }'
}

# A body opens and closes with a brace in the first column.
check_function_length() {
    code_files | xargs awk '
    FNR == 1 { start = 0 }
    /^[A-Za-z_].*\(/ { head = $0 }
    /^\{/ { start = FNR }
    /^\}/ {
        if (start && FNR - start + 1 > 100)
            print FILENAME ":" start ": " FNR - start + 1 " lines, limit 100: " head
        start = 0
    }'
}

# Columns are characters: continuation bytes of UTF-8 do not count.
check_columns() {
    { code_files; script_files; files_named meson.build; } | sort -u | xargs awk '
    {
        line = $0
        gsub(/[\200-\277]/, "", line)
        if (length(line) > 100)
            print FILENAME ":" FNR ": " length(line) " columns, limit 100"
    }'
}

check_white_space() {
    { code_files; script_files; files_named .py; files_named meson.build; } | sort -u | xargs awk '
    /\t/ { print FILENAME ":" FNR ": a tab" }
    /[ \t]$/ { print FILENAME ":" FNR ": white space at the end" }
    /\r/ { print FILENAME ":" FNR ": a carriage return" }'
}

vendors='nvidia|geforce|radeon|amdgpu|amd|intel|adreno|qualcomm|mali|powervr|llvmpipe|pocl'

# A vendor is asked about once, in device*.c, which turns it into a capability. Names of the Vulkan
# API itself may carry a vendor's tag.
check_vendors() {
    find src clkernels shaders -type f ! -path 'src/backend/*/device*.c' \( -name '*.[ch]' \
        -o -name '*.cl' -o -name '*.comp' -o -name '*.glsl' \) | sort |
        xargs awk -f "$lint_dir/lint_strip.awk" | awk -v vendors="$vendors" '
    {
        code = $0
        gsub(/VK_[A-Z0-9_]+|Vk[A-Za-z0-9]+/, "", code)
        if (tolower(code) ~ "(^|[^a-z])(" vendors ")([^a-z]|$)|0x(10de|1002|8086)([^0-9a-f]|$)")
            print $0 "  <- a vendor outside backend/*/device*.c"
    }'
}

# llama.cpp, its programs (llama-quantize) and ollama are no models.
families='gemma|siglip|qwen|mistral|pixtral|llava|internvl|llama[^_.-]'

# No identifier and no comparison with a family's name outside its own files and the lists.
check_families() {
    {
        find src tools/dlm -name '*.[ch]' ! -path 'src/models/*' ! -path src/registry/bases.c
        find src/models -name '*.[ch]' 2>/dev/null |
            grep -vE "/[a-z]*($families)[a-z0-9_]*\.[ch]\$|/family_list\.h\$"
    } | sort > "$tmp"
    xargs awk -v strings=0 -f "$lint_dir/lint_strip.awk" < "$tmp" |
        awk -v families="$families" '
        {
            code = $0
            sub(/^[^:]*:[^:]*:/, "", code)
            gsub("ollama", "", code)
            if (tolower(code) ~ "(" families ")" && code !~ /^[ \t]*#[ \t]*include/)
                print $0 "  <- a family is named outside its files"
        }'
    xargs awk -f "$lint_dir/lint_strip.awk" < "$tmp" |
        grep -iE "(cmp|eq|equal|equals|starts_with|ends_with)\(.*\"[^\"]*($families)" |
        sed 's/$/  <- a condition on a family outside its files/'
    # commands may name a base; nothing below them does
    grep -v -e '^src/api/' -e '^tools/' "$tmp" | xargs awk -f "$lint_dir/lint_strip.awk" |
        sed "s,ollama,,g" | grep -iE "\"[^\"]*($families)[^\"]*\"" | grep -v '#[ ]*include' |
        sed 's/$/  <- a text names a family outside its files/'
}

# What only a family knows: its image size and tokens an image, its ids and words, where its
# positions begin, that what is not learned is attended both ways.
assumed='image_tokens|tokens_per_image|(bos|eos|pad)_id|prefix_(len|newline)|caption en|<image>'
assumed="$assumed|(^|[^A-Za-z0-9_.-])224([^A-Za-z0-9_.]|\$)|positions?(\[[^]]*\])*[^=;]*= .*\+ 1;"

check_assumptions() {
    find src/models src/rows src/train src/generate src/api src/images -name '*.[ch]' |
        grep -vE "/[a-z]*($families)[a-z0-9_]*\.[ch]\$" | sort |
        xargs awk -f "$lint_dir/lint_strip.awk" | grep -E "^[^:]*:[0-9]*:.*($assumed)" |
        grep -v -e 'result->image_tokens' -e 'row->num_image_tokens' |
        sed 's/$/  <- only a family knows that/'
}

modules='language_model|vision_tower|vision_model|multi_modal|lm_head|visual[._"]'

# How a checkpoint spells its parts is known to the families alone: what others need to know they
# ask of a weight's group or of struct dlm_family.
check_modules() {
    find src tools/dlm include -name '*.[ch]' |
        grep -vE "^src/models/[a-z]*($families)[a-z0-9_]*\.[ch]\$" | sort |
        xargs awk -f "$lint_dir/lint_strip.awk" | grep -E "$modules" |
        sed 's/$/  <- a module of a checkpoint is named outside its family/'
}

intrinsics='(imm|xmm|emm|arm_)[a-z]*(intrin|neon)|arm_neon|[^a-z]_mm(256|512)?_[a-z]'
intrinsics="$intrinsics|__m(128|256|512)|[^a-z]_tile_|__builtin_ia32"

check_intrinsics() {
    find src -name '*.[ch]' ! -path 'src/cpukernels/*' | sort | xargs \
        awk -v strings=0 -f "$lint_dir/lint_strip.awk" | grep -E "$intrinsics" |
        sed 's/$/  <- intrinsics outside src\/cpukernels/'
}

# Python is for the golden makers; the build, the tests and the tools need none.
# The environment says where files lie (and where the hub is, and who asks there), in the files that
# look for them, and whether a terminal is to have colours, and nothing else: what a call does is in
# its parameters. A child process is given its environment.
check_environment() {
    find src include tools -name '*.[ch]' | sort | xargs awk -f "$lint_dir/lint_strip.awk" |
        grep -E '[^a-z_](secure_)?getenv *\(|[^a-z_]environ[^a-z_]' |
        grep -vE '^src/(base/path|doc/sources|hub/site|registry/resolve|store/store)\.c:' |
        grep -vE '^(src/doctor/driver_(files|identity)|tools/dlm/(child|colour|ollama))\.c:' |
        sed 's/$/  <- the environment is asked outside the files that find folders/'
}

check_python() {
    find . \( -path ./.git -o -path './build*' -o -path ./tools/dev \) -prune \
        -o -name '*.py' -print | sed 's|$|:1: Python outside tools/dev|'
    { script_files; echo meson.build; files_named meson.build; } | grep -v '/lint_' | sort -u |
        xargs grep -nE '\.py\b|[^a-z]python3?[^a-z]' | grep -v '^[^:]*:[0-9]*: *#' |
        sed 's/$/  <- Python in the build or a tool/'
}

# A path of the machine where something was written has no meaning anywhere else.
check_paths() {
    {
        code_files
        script_files
        files_named .py .md meson.build
        find . -maxdepth 1 -name '*.md'
    } | sort -u | grep -v '^tests/' | xargs awk '
    {
        line = $0
        while (match(line, /(^|[ `(=])\/[a-z][a-z0-9_.-]*\//)) {
            path = substr(line, RSTART, RLENGTH)
            sub(/^[^\/]/, "", path)
            if (path !~ /^\/(bin|dev|etc|lib|opt|path|proc|sbin|sys|tmp|usr|var)\//)
                print FILENAME ":" FNR ": a path of one machine: " path
            line = substr(line, RSTART + RLENGTH)
        }
    }
    /(^|[^A-Za-z0-9_.\/-])\.\.\/(\.\.\/)*shared\// {
        print FILENAME ":" FNR ": a path out of the tree"
    }'
}

tmp=$(mktemp) || exit 1
trap 'rm -f "$tmp"' EXIT
check 'file length' check_file_length
check 'function length' check_function_length
check 'columns' check_columns
check 'environment' check_environment
check 'white space' check_white_space
check 'vendors' check_vendors
check 'model families' check_families
check 'what families know' check_assumptions
check 'modules of checkpoints' check_modules
check 'intrinsics' check_intrinsics
check 'Python' check_python
check 'paths' check_paths
summary
