# Sourced by the commands beside it: makes the virtual environment and keeps it up to date. Not run by itself.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# Prints the first Python that is new enough; $PYTHON is asked first.
find_python() {
    local python
    for python in ${PYTHON:-} python3.11 python3.12 python3.13 python3 python; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$python"
            return 0
        fi
    done
    return 1
}

make_venv() {
    local python
    python=$(find_python) || die "needs Python 3.11 or newer; set PYTHON to where it is"
    "$python" -m venv "$venv" 2>/dev/null && "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return
    rm -rf "$venv"
    "$python" -m virtualenv "$venv" >/dev/null 2>&1 && return
    rm -rf "$venv"
    die "cannot make a virtual environment with $python (on Debian: apt-get install python3-venv)"
}

# What an environment depends on: the project's requirements, its extras asked for, and where it lies.
fingerprint() {
    { cat "$root/pyproject.toml"; echo "$root $*"; } | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1
}

# ensure_environment EXTRAS: installs the project with the extras unless the stamp says that nothing changed.
ensure_environment() {
    local extras=$1 stamp=$venv/.amondawa-stamp${1//[^a-z]/-} want
    want=$(fingerprint "$extras")
    if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
        return
    fi
    mkdir -p "$root/.cache"
    exec 9>"$root/.cache/environment.lock"
    if command -v flock >/dev/null; then flock 9; fi
    if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
        "$venv/bin/python" -c '' 2>/dev/null || { echo "Making $venv" >&2; make_venv; }
        echo "Installing what Amondawa needs (once, and after changes of pyproject.toml)" >&2
        install "$extras"
        warm_kernels
        echo "$want" >"$stamp"
    fi
    exec 9>&-
}

install() {
    local log=$venv/.amondawa-install.log
    "$venv/bin/python" -m pip install --disable-pip-version-check --editable "$root$1" >"$log" 2>&1 && return
    grep -E '^ *(ERROR|error)' "$log" | head -n 5 >&2
    die "installing failed; $log says why"
}

warm_kernels() {
    echo "Compiling the fast paths (once)" >&2
    (cd "$root" && "$venv/bin/python" -m amondawa.kernels.warm >/dev/null 2>"$venv/.amondawa-warm.log") ||
        echo "The fast paths could not be compiled ahead ($venv/.amondawa-warm.log says why); the first requests will be slower" >&2
}
