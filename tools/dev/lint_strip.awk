# C, OpenCL C and GLSL without comments: prints FILE:LINE:CODE for each line that has code. With
# -v strings=0, string literals are printed empty.
BEGIN {
    if (strings == "")
        strings = 1
    in_double = "^([^\"\\\\]|\\\\.)*\""
    in_single = "^([^'\\\\]|\\\\.)*'"
}
FNR == 1 { in_comment = 0 }
{
    line = $0
    out = ""
    while (line != "") {
        if (in_comment) {
            at = index(line, "*/")
            if (!at)
                break
            line = substr(line, at + 2)
            in_comment = 0
            continue
        }
        if (!match(line, /\/\*|\/\/|"|'/)) {
            out = out line
            break
        }
        out = out substr(line, 1, RSTART - 1)
        mark = substr(line, RSTART, RLENGTH)
        line = substr(line, RSTART + RLENGTH)
        if (mark == "//")
            break
        if (mark == "/*") {
            in_comment = 1
            continue
        }
        if (!match(line, mark == "\"" ? in_double : in_single)) {
            out = out mark
            continue
        }
        out = out mark (strings ? substr(line, 1, RLENGTH) : mark)
        line = substr(line, RLENGTH + 1)
    }
    if (out ~ /[^ \t]/)
        print FILENAME ":" FNR ":" out
}
