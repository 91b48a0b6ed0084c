#!/usr/bin/env bash
# Others accept our log: an export is checked by golang.org/x/mod (Debian's packages) and by a naive checker; a changed one is refused.
# usage: tlog_export.sh TLOG_SAMPLE
set -euo pipefail
sample=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$sample" "$folder"
# Debian puts Go libraries below /usr/share/gocode: the old GOPATH mode finds them there without any network.
export GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="$folder/cache" GOFLAGS=
(cd "$here/golang-verifier" && go build -o "$folder/golang-verifier" .)
"$folder/golang-verifier" "$folder"
/usr/bin/python3 "$here/naive_verify.py" "$folder/tlog"

# Both must be able to say no: one bit of one record, one bit of one tile.
for victim in tlog/tile/entries/007 tlog/tile/1/000; do
  cp "$folder/$victim" "$folder/kept"
  /usr/bin/python3 - "$folder/$victim" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[len(data) // 2] ^= 1
open(sys.argv[1], "wb").write(data)
PY
  if "$folder/golang-verifier" "$folder" 2>/dev/null; then echo "golang-verifier accepted a changed $victim" >&2; exit 1; fi
  if /usr/bin/python3 "$here/naive_verify.py" "$folder/tlog" >/dev/null 2>&1; then echo "naive_verify accepted a changed $victim" >&2; exit 1; fi
  cp "$folder/kept" "$folder/$victim"
done
echo "a changed record and a changed tile were refused by both"
