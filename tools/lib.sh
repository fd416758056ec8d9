# What tools/test and tools/quickstart share: packages and the build. Sourced with $root set to the
# source tree. Messages go to stderr.

say() {
    echo "${0##*/}: $*" >&2
}

die() {
    say "$*"
    exit 1
}

# packages GROUP...: names, one a line
packages() {
    awk -v groups=" $* " '!/^#/ && NF && index(groups, " " $1 " ") { print $2 }' \
        "$root/tools/apt-packages"
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# The list for other systems, where packages have other names.
list_libraries() {
    awk -v groups=" $* " '!/^#/ && NF && index(groups, " " $1 " ") {
        name = $2
        sub(/^[^ ]+ +[^ ]+ +/, "")
        printf "    %-24s %s\n", name, $0
    }' "$root/tools/apt-packages" >&2
}

# install_packages GROUP...: installs what is missing with apt, after saying what.
install_packages() {
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        say "no apt here; install what these Debian packages hold, then use --no-install:"
        list_libraries "$@"
        exit 1
    fi
    missing=
    for package in $(packages "$@"); do
        is_installed "$package" || missing="$missing $package"
    done
    [ "$missing" ] || return 0

    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            die "not root and no sudo; as root, run: apt-get install$missing"
        as_root=sudo
    fi
    apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300"
    say "installs with ${as_root:+sudo }apt-get:$missing"
    # a list that cannot be refreshed may still do
    $apt update >&2 || say "warning: apt-get update failed"
    # shellcheck disable=SC2086
    $apt install -y --no-install-recommends $missing >&2 || die "apt-get could not install them"
    installed_now=1
}

check_meson() {
    command -v meson >/dev/null || die "meson is not installed"
    meson --version | awk -F. '{ exit !($1 >= 1) }' ||
        die "meson $(meson --version) is too old: 1.0 is needed (pipx install meson)"
}

# configure FOLDER [OPTION...]: sets up a build folder, or uses the one there; the options hold in
# both, and what else was set there stays.
configure() {
    config_dir=$1
    shift
    if ! [ -f "$config_dir/build.ninja" ]; then
        rm -rf "$config_dir/meson-private" "$config_dir/meson-info" # of a set-up that failed
        meson setup "$config_dir" "$root" "$@" >&2 || die "cannot configure '$config_dir'"
    elif [ "${installed_now:-}" ]; then
        # libraries that were looked for in vain may be there now
        meson setup --reconfigure "$config_dir" "$root" "$@" >&2 ||
            die "cannot configure '$config_dir'"
    elif [ $# -gt 0 ]; then
        meson configure "$config_dir" "$@" >&2 || die "cannot configure '$config_dir'"
    fi
}

# compile FOLDER [TARGET...]
compile() {
    ninja -C "$@" >&2 || die "the build in '$1' failed"
}
