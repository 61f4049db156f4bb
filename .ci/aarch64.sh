#!/usr/bin/env bash
# Build a wheel for 64-bit Arm with a cross compiler and run it in an emulator on the golden files: the same integers,
# pixels within one level. Usage: .ci/aarch64.sh PYTHON [FOLDER]; PYTHON has the tools to build a wheel.
# On Debian, with the packages g++-aarch64-linux-gnu and qemu-user; an Arm Python and its headers are unpacked into
# FOLDER, and nothing is installed.
set -euo pipefail
python=$(realpath -s "$1")
folder=$(mkdir -p "${2:-build/aarch64}" && realpath "${2:-build/aarch64}")
cd "$(dirname "$0")/.."
for tool in aarch64-linux-gnu-g++ qemu-aarch64 apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || { echo "$0: $tool is missing (apt-get install g++-aarch64-linux-gnu qemu-user)" >&2; exit 1; }
done
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
root=$folder/root site=$folder/site
pip=("$python" -m pip --disable-pip-version-check install --quiet -c constraints.txt --upgrade --target "$site"
  --only-binary :all: --python-version "$version" --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64)

# apt with folders of its own, as if on an Arm machine that has nothing yet.
if [ ! -e "$root/usr/bin/python$version" ]; then
  echo "unpacking Python $version for aarch64 from Debian's $suite"
  mkdir -p "$folder"/apt/lists/partial "$folder"/apt/archives/partial "$root"
  : > "$folder/apt/status"
  echo "deb http://deb.debian.org/debian $suite main" > "$folder/apt/sources.list"
  cat > "$folder/apt/apt.conf" <<CONF
APT::Architecture "arm64";
APT::Architectures "arm64";
APT::Install-Recommends "false";
Dir::State::lists "$folder/apt/lists";
Dir::State::status "$folder/apt/status";
Dir::Cache "$folder/apt";
Dir::Etc::sourcelist "$folder/apt/sources.list";
Dir::Etc::sourceparts "-";
Debug::NoLocking "true";
CONF
  APT_CONFIG=$folder/apt/apt.conf apt-get -qq update
  APT_CONFIG=$folder/apt/apt.conf apt-get -qq --yes --download-only install "libpython$version-dev" \
    "libpython$version-stdlib" "python$version-minimal" libstdc++6
  for package in "$folder"/apt/archives/*.deb; do dpkg-deb --extract "$package" "$root"; done
fi

echo "building the wheel"
rm -rf "$folder/dist"
suffix=.cpython-${version/./}-aarch64-linux-gnu.so
if ! PATH="$(dirname "$python"):$PATH" CXX=aarch64-linux-gnu-g++ _PYTHON_HOST_PLATFORM=linux-aarch64 \
  SETUPTOOLS_EXT_SUFFIX=$suffix "$python" -m build --wheel --no-isolation --outdir "$folder/dist" . \
  -C build-dir="$folder/wheel" -C cmake.define.CMAKE_SYSTEM_NAME=Linux -C cmake.define.CMAKE_SYSTEM_PROCESSOR=aarch64 \
  -C cmake.define.SPLAT2D_CUDA=OFF -C cmake.define.Python_INCLUDE_DIR="$root/usr/include/python$version" \
  -C cmake.define.CMAKE_CXX_FLAGS="-idirafter $root/usr/include" > "$folder/build.log" 2>&1; then
  tail -40 "$folder/build.log" >&2
  exit 1
fi

"${pip[@]}" numpy pillow pytest
"${pip[@]}" --platform linux_aarch64 --no-deps "$folder"/dist/*.whl
echo "running the golden files in the emulator"
checkout=$PWD
mkdir -p "$folder/run" && cd "$folder/run"
# The tiny decoder as a command would start this machine's programs from within the emulator.
qemu-aarch64 -L "$root" -E PYTHONPATH="$site" "$root/usr/bin/python$version" -m pytest -q -p no:cacheprovider \
  -c "$checkout/pyproject.toml" --rootdir "$checkout" "$checkout"/tests/format/test_conformance.py \
  "$checkout"/tests/format/test_golden.py -k "not command and not fails_in_one_line"
ls "$folder"/dist/*.whl
