# Sourced by the other scripts: makes an environment in .venv from pyproject.toml, and puts it first in PATH.
# Usage: source scripts/environment.sh EXTRAS       (JMETA_VENV names another folder, JMETA_PYTHON another Python)

make_environment() {
    local extras=$1 venv=${JMETA_VENV:-.venv} python="" candidate stamp
    stamp="$venv/.installed-$extras"
    if [ ! -x "$venv/bin/python" ]; then
        for candidate in ${JMETA_PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
            if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
                python=$candidate
                break
            fi
        done
        if [ -z "$python" ]; then
            echo "jmeta needs Python 3.11 or newer with its venv module, and found none: install it and run this again." >&2
            return 2
        fi
        echo "Making an environment in $venv ($("$python" --version))"
        "$python" -m venv "$venv"
    fi
    if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
        echo "Installing jmeta and what it needs (a few minutes the first time)"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extras]"
        touch "$stamp"
    fi
    PATH="$PWD/$venv/bin:$PATH"
    case "$venv" in /*) PATH="$venv/bin:$PATH" ;; esac
    export PATH
}

make_environment "$1"
