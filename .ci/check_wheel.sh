#!/usr/bin/env bash
# Check that auditwheel accepts a Linux wheel, and repair it: its tag says which systems it runs on.
# Usage: .ci/check_wheel.sh WHEEL [FOLDER]; auditwheel and patchelf must be on the PATH.
set -euo pipefail
wheel=$1
folder=${2:-wheelhouse}
auditwheel show "$wheel"
auditwheel repair --wheel-dir "$folder" "$wheel"
repaired=$(ls -t "$folder"/*manylinux*.whl | head -1)
python3 - "$repaired" <<'PYTHON'
import sys, zipfile
names = zipfile.ZipFile(sys.argv[1]).namelist()
assert any(name.startswith("splat2d/_core") for name in names), "no native core"
assert "splat2d/configs/default.yaml" in names, "no presets"
assert any(name.endswith("share/man/man1/splat2d.1") for name in names), "no man page"
print(f"{sys.argv[1]}: {len(names)} files")
PYTHON
