#!/usr/bin/env bash
# Prints the first Python that can make our virtual environment: 3.11 or newer, with the modules venv and ensurepip.
# usage: tools/find-python.sh [CANDIDATE]
set -u
for candidate in ${1:-python3 python3.13 python3.12 python3.11 python}; do
  "$candidate" -c 'import ensurepip, sys, venv; sys.version_info < (3, 11) and sys.exit(1); print(sys.executable)' \
    2>/dev/null && exit 0
done
{
  echo "No Python 3.11 or newer with its venv module was found (looked for: ${1:-python3, python3.13, python3.12, python3.11, python})."
  echo "Debian and Ubuntu: apt-get install python3 python3-venv. Elsewhere: name one, as in make test PYTHON=/path/to/python3.12"
} >&2
exit 1
