#!/usr/bin/env bash
# Builds target/tools/frazil-scaled, whose protocol ages FRAZIL_TEST_PROTOCOL_SCALE divides (tests only), then the shipped binary,
# so that target/release/frazil is never the scaled one.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p target/tools
cargo build --release --features scaled-protocol
cp "${CARGO_TARGET_DIR:-target}/release/frazil" target/tools/frazil-scaled.new
mv target/tools/frazil-scaled.new target/tools/frazil-scaled
cargo build --release
