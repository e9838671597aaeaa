#!/bin/sh
# An environment with Brian2, which needs an older numpy than aimco's: brian2.sh FOLDER [PYTHON]. A compiler for C++ must be there.
set -eu

folder=${1:?brian2: name the folder of the environment}
python=${2:-python3}

if ! command -v c++ > /dev/null 2>&1; then
    echo "brian2: c++ is missing (Debian and Ubuntu: apt-get install g++; macOS: xcode-select --install)" >&2
    exit 1
fi
if "$folder/bin/python" -c 'import brian2' > /dev/null 2>&1; then
    echo "brian2: is in $folder"
    exit 0
fi
echo "brian2: installing into $folder"
"$python" -m venv "$folder"
"$folder/bin/python" -m pip install -q --disable-pip-version-check 'brian2==2.9.0' 'numpy<2.4' setuptools
