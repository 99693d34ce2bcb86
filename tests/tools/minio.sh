#!/usr/bin/env bash
# Builds target/tools/{minio,mc} from the versions pinned in tests/tools/minio/go.mod; does nothing when they are current.
# The S3 server of the tests is the real MinIO, built from the Go module proxy (about 250 CPU-seconds, once).
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/target/tools
mkdir -p "$out"
stamp=$out/.minio-$(cat tests/tools/minio/go.mod tests/tools/minio/go.sum | sha256sum | cut -c1-12)
[ -e "$stamp" ] && exit 0
command -v go >/dev/null || { echo "minio.sh: Go is missing; install the version named in tests/tools/minio/go.mod" >&2; exit 1; }
cd tests/tools/minio
export GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0
for tool in minio mc; do
  nice -n 10 go build -p 2 -trimpath -buildvcs=false -ldflags '-s -w' -o "$out/$tool" "github.com/minio/$tool"
done
rm -f "$out"/.minio-*
touch "$stamp"
