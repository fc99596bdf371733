# Sourced by ./demo and ./check: makes .venv at the root, from the versions in requirements.lock.

PYTHON_MIN="3.11"

# Print the best python there is: one in the path that is new enough.
find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null &&
            "$name" -c "import sys; sys.exit(sys.version_info < (${PYTHON_MIN/./, }))" 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "Tepui needs Python $PYTHON_MIN or later: $(python3 --version 2>&1 || true)" >&2
    return 1
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } >/dev/null
}

is_root_with_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

# Make .venv and install into it: "run" installs what Tepui needs, "develop" the tools as well.
set_up_venv() {
    local what="$1" stamp=".venv/.installed-$1" state python
    state="$(cat pyproject.toml requirements.lock | sha256sum)"
    if [ -x .venv/bin/tepui ] && [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then
        return
    fi
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python="$(find_python)" || return 1
        if ! "$python" -c "import ensurepip, venv" 2>/dev/null; then
            if is_root_with_apt; then
                apt_install python3-venv ca-certificates || return 1
            else
                echo "python3-venv is missing, run:  sudo apt-get install python3-venv" >&2
                return 1
            fi
        fi
        "$python" -m venv --clear .venv || return 1
    fi
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
    if [ "$what" = develop ]; then
        .venv/bin/python -m pip install --quiet --requirement requirements.lock &&
            .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable . ||
            return 1
    else
        PIP_CONSTRAINT=requirements.lock .venv/bin/python -m pip install --quiet --editable . ||
            return 1
    fi
    echo "$state" >"$stamp"
}

# Install what tests use, where that is possible without asking anybody; say what is not to be had.
# "fast" leaves out what only tests with real servers and containers use.
set_up_packages() {
    local what="$1" package program kind missing=() absent=()
    while read -r package program kind; do
        if [ "$what" = fast ] && [ "$kind" = real ]; then
            continue
        fi
        PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing+=("$package")
    done < <(grep -v '^#' .ci/apt-packages)
    if [ "${#missing[@]}" = 0 ]; then
        return
    fi
    if ! is_root_with_apt; then
        absent=("${missing[@]}")
    elif ! apt_install "${missing[@]}" 2>/dev/null; then
        # One that is not to be had keeps the others from being installed with it.
        for package in "${missing[@]}"; do
            apt_install "$package" || absent+=("$package")
        done
    fi
    if [ "${#absent[@]}" != 0 ]; then
        echo "missing, tests that use them are skipped: ${absent[*]}"
    fi
}
