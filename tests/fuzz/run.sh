#!/usr/bin/env bash
# Has libFuzzer run every target of fuzz/ for SECONDS each (20), from the committed corpus:
#
#   tests/fuzz/run.sh [SECONDS] [TARGET…]
#
# With a nightly toolchain that is there already, under AddressSanitizer; else with the default one and without: no
# toolchain is downloaded. FUZZ_TOOLCHAIN=nightly or =stable chooses. Either way overflows and debug assertions are
# checked. Writes nothing into the repository: what is built, found and added to the corpus goes beside the build.
set -euo pipefail

readonly cargo_fuzz_version=0.13.2

seconds=${1:-20}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: $0 [SECONDS] [TARGET...]" >&2; exit 2; }
shift || true

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
folder=${CARGO_TARGET_DIR:-$root/target}/fuzz
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

toolchain=${FUZZ_TOOLCHAIN:-}
if [[ -z $toolchain ]]; then
  if command -v rustup >/dev/null && rustup toolchain list | grep -q '^nightly'; then
    toolchain=nightly
  else
    toolchain=stable
  fi
fi
case $toolchain in
  nightly) cargo=(cargo +nightly) sanitizer=address ;;
  stable) cargo=(cargo) sanitizer=none ;;
  *) echo "FUZZ_TOOLCHAIN is nightly or stable" >&2; exit 2 ;;
esac
echo "== $("${cargo[@]}" --version), sanitizer: $sanitizer"
if [[ $sanitizer == none ]]; then
  echo "== WITHOUT AddressSanitizer: what it needs is in no stable toolchain"
fi

if [[ ! -x $folder/tools/bin/cargo-fuzz ]]; then
  CARGO_TARGET_DIR=$folder/tools/build cargo install --quiet --locked --root "$folder/tools" "cargo-fuzz@$cargo_fuzz_version"
  rm -rf "$folder/tools/build"
fi
PATH=$folder/tools/bin:$PATH

cd "$root"
# Otherwise what follows would write another one.
"${cargo[@]}" metadata --quiet --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null || {
  echo "fuzz/Cargo.lock is out of date: cargo update --workspace --manifest-path fuzz/Cargo.toml" >&2
  exit 1
}
built=$folder/$toolchain
"${cargo[@]}" fuzz build --fuzz-dir fuzz --sanitizer "$sanitizer" --target-dir "$built"
programs=$(echo "$built"/*/release)

targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || mapfile -t targets < <(sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | tail -n +2)

# Leaks are looked for by ptrace, which containers forbid; memory that grows meets the limit.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_odr_violation=0:detect_leaks=0}
failed=()
for target in "${targets[@]}"; do
  mkdir -p "$folder/corpus/$target" "$folder/artifacts"
  log=$folder/$target.log
  # The first corpus is the one that is added to.
  if "$programs/$target" "$folder/corpus/$target" "fuzz/corpus/$target" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=256 -max_len=65536 \
    -dict=fuzz/dictionary.txt -artifact_prefix="$folder/artifacts/$target-" -print_final_stats=1 \
    >"$log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    rss=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
    counters=$(sed -nE 's/^#[0-9]+\s+DONE +(cov: .*) lim: .*$/\1/p' "$log")
    printf '%-20s ok      %9d runs  %5s MB  %s\n' "$target" "$runs" "$rss" "$counters"
  else
    failed+=("$target")
    printf '%-20s FAILED, see %s\n' "$target" "$log"
    grep -vE '^(#|INFO|stat::)' "$log" | tail -n 60 >&2 || true
    artifact=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    if [[ -n $artifact ]]; then
      echo "  again:    $programs/$target $artifact"
      echo "  smaller:  $programs/$target -minimize_crash=1 -max_total_time=60 $artifact"
      echo "  to keep:  cp $artifact fuzz/corpus/$target/A-NAME; cargo test --workspace --test fuzzing"
    fi
  fi
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "FAILED: ${failed[*]}" >&2
  exit 1
fi
