#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# generate.sh          writes go/<folder>/*.pb.go from proto/<folder>/*.proto
# generate.sh --check  generates into a temporary folder and compares instead
#
# protoc-gen-go is built from the protobuf version that go/go.mod requires, so
# the generated code and the library it is linked with never drift apart.
set -euo pipefail

die() {
	echo "generate.sh: $*" >&2
	exit 1
}

# The files of one folder tree, without what depends on the machine: any protoc
# that knows proto3 writes the same code, but notes its own version in it.
normalize() {
	find "$1" -name '*.pb.go' -exec sed -i -E '/^\/\/ \tprotoc +v/d' {} +
}

cd "$(dirname "${BASH_SOURCE[0]}")"

check=false
case "${1-}" in
'') ;;
--check) check=true ;;
*) die "usage: generate.sh [--check]" ;;
esac

command -v go >/dev/null || die "go is missing: install Go as named in go/go.mod"
command -v protoc >/dev/null || die "protoc is missing: apt-get install protobuf-compiler libprotobuf-dev"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# protoc finds its own google/protobuf/*.proto, if they are installed at all.
printf 'syntax = "proto3";\nimport "google/protobuf/timestamp.proto";\n' >"$tmp/probe.proto"
protoc -I "$tmp" --descriptor_set_out=/dev/null "$tmp/probe.proto" 2>/dev/null ||
	die "google/protobuf/timestamp.proto is missing: apt-get install libprotobuf-dev"

(cd go && go build -o "$tmp/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go)

mapfile -t protos < <(find proto -name '*.proto' -printf '%P\n' | LC_ALL=C sort)
((${#protos[@]} > 0)) || die "no files in proto/"

mkdir "$tmp/go"
protoc --plugin="$tmp/protoc-gen-go" -I proto \
	--go_out="$tmp/go" --go_opt=paths=source_relative "${protos[@]}"

if $check; then
	mkdir "$tmp/committed"
	(cd go && find . -name '*.pb.go' -exec cp --parents -t "$tmp/committed" {} +)
	normalize "$tmp/go"
	normalize "$tmp/committed"
	diff -ru "$tmp/committed" "$tmp/go" ||
		die "go/ differs from proto/: run pkg/eve-api/generate.sh"
	exit 0
fi

# What has no .proto any more goes too.
find go -name '*.pb.go' -delete
cp -r "$tmp/go/." go/
