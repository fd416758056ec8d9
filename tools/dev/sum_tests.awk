# Adds up a meson testlog.json: appends `PASSED FAILED SKIPPED` to the file `counts` and says what
# failed or was skipped in the build called `build`. A test without its line `# N passed, N failed,
# N skipped`, or that ended badly in spite of it, counts as one failure; so does one whose output
# matches `reject`, if given.
function field(name,    at, rest) {
    at = index($0, "\"" name "\": ")
    rest = substr($0, at + length(name) + 4)
    if (!at || !match(rest, /^"([^"\\]|\\.)*"/))
        return ""
    return substr(rest, 2, RLENGTH - 2)
}

function unescape(text) {
    gsub(/\\n/, "\n", text)
    gsub(/\\"/, "\"", text)
    gsub(/\\\//, "/", text)
    return text
}

{
    name = field("name")
    result = field("result")
    num = split(unescape(field("stdout")), lines, "\n")
    p = f = s = 0
    counted = 0
    for (i = 1; i <= num; i++) {
        if (lines[i] ~ /^# [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/) {
            split(lines[i], word, " ")
            p = word[2]
            f = word[4]
            s = word[6]
            counted = 1
        } else if (lines[i] ~ /^SKIP /) {
            what = substr(lines[i], 6)
            if (!skip_count[what]++)
                skips[++num_skips] = what
        }
    }
    if (!f && (!counted || (result != "OK" && result != "SKIP"))) {
        f++
        print "FAIL " build ": " name ": " (counted ? result : result ", without its last line")
    } else if (f) {
        print "FAIL " build ": " name ": " f " failed"
    }
    if (reject != "" && field("stdout") field("stderr") ~ reject) {
        f++
        print "FAIL " build ": " name ": its output has " reject
    }
    passed += p
    failed += f
    skipped += s
    tests++
}

END {
    for (i = 1; i <= num_skips; i++)
        print "skipped in " build ": " skips[i] \
            (skip_count[skips[i]] > 1 ? " (" skip_count[skips[i]] " times)" : "")
    printf "%s: %d programs, %d passed, %d failed, %d skipped\n", build, tests, passed, failed, \
        skipped
    print passed + 0, failed + 0, skipped + 0 >> counts
}
