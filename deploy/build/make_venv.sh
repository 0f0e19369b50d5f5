#!/bin/sh
# make_venv.sh PYTHON FOLDER: creates a virtual environment with pip in it, or says what is missing.
set -eu

python=$1
folder=$2

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

[ -n "$python" ] || fail 'Python 3.11 or later is needed; name one that make did not find with PYTHON=path.' \
    '  Debian 12, Ubuntu 24.04:  apt install python3 python3-venv' \
    '  macOS:                    brew install python'
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is not Python 3.11 or later."

echo "creating $folder with $("$python" --version)"
rm -rf "$folder"

# Debian and Ubuntu keep ensurepip, and with it pip, in a package of its own. A pip of the system can stand in.
if "$python" -c 'import ensurepip' 2>/dev/null; then
    "$python" -m venv "$folder"
elif "$python" -m pip --python "$python" --version >/dev/null 2>&1; then
    "$python" -m venv --without-pip "$folder"
    "$python" -m pip --python "$folder/bin/python" install --quiet --constraint constraints.txt pip
else
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    fail "$python can make no virtual environment, because ensurepip is missing." \
        "  Debian, Ubuntu:  apt install python$version-venv"
fi
