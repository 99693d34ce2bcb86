#!/usr/bin/env bash
# Makes target/tools/python, a virtual environment with tests/tools/python/requirements.txt; does nothing when it is current.
# `pip` takes packages from wherever it is configured to; an environment made elsewhere can be named with FRAZIL_PYTHON.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/target/tools/python
stamp=$out/.current-$(sha256sum tests/tools/python/requirements.txt | cut -c1-12)
[ -e "$stamp" ] && exit 0
command -v python3 >/dev/null || { echo "python.sh: Python 3 is missing; install Python 3.10 or newer" >&2; exit 1; }
rm -rf "$out"
python3 -m venv "$out"
"$out/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r tests/tools/python/requirements.txt
touch "$stamp"
