# SPDX-License-Identifier: Apache-2.0
#
# Every target sets up what it needs by itself (see .ci/setup): on Debian as root it installs packages
# that are missing, otherwise it says in one line which to install.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(CURDIR)/.cache/go/bin:$(PATH):/usr/local/go/bin:/usr/sbin:/sbin

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
GOLANGCI_LINT := .cache/bin/golangci-lint-2.15.0

.PHONY: help build image install run test guests check lint bench fuzz generate clean

help: ## what there is to make
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## bin/eve-metadata, a static binary
	@.ci/setup go
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/eve-metadata ./cmd/eve-metadata

image: ## bin/image-amd64 and bin/image-arm64, images for an EVE device in the OCI layout
	@.ci/setup go image
	VERSION=$(VERSION) .ci/image amd64 bin/image-amd64
	VERSION=$(VERSION) .ci/image arm64 bin/image-arm64

install: build ## the binary, the units of systemd and the server's user, below DESTDIR
	install -D -m 0755 bin/eve-metadata $(DESTDIR)/usr/bin/eve-metadata
	install -D -m 0644 -t $(DESTDIR)/usr/lib/systemd/system packaging/systemd/*
	install -D -m 0644 -t $(DESTDIR)/usr/lib/sysusers.d packaging/sysusers.d/*
	install -D -m 0644 -t $(DESTDIR)/usr/lib/tmpfiles.d packaging/tmpfiles.d/*

run: build ## the service on its embedded example, and what its guests see; Ctrl-C ends it
	@.ci/setup run
	@CGO_ENABLED=0 go build -trimpath -o .cache/bin/demo ./examples/demo
	@.cache/bin/demo bin/eve-metadata

test: build ## every test, with the race detector
	@.ci/setup test
	go test -race -count=1 ./... # tests run programs of which Go's cache of results does not know

guests: build ## real guests in QEMU on the built service; ONE=openstack boots those with that in their name
	@.ci/setup go test guests
	go test -count=1 -v -timeout 80m ./tests/guest -guests -run '/$(ONE)'
	go test -count=1 -v -timeout 80m ./tests/eden -guests -run '/$(ONE)'

check: ## formatting, vet, lint, import rules, generated code
	@.ci/setup go check
	@test -z "$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go') | tee /dev/stderr)" || { echo "check: gofmt the files above" >&2; exit 1; }
	go vet ./...
	cd pkg/eve-api/go && go vet ./...
	go mod tidy -diff
	pkg/eve-api/generate.sh --check
	go test ./tests/architecture
	@$(MAKE) --no-print-directory lint

lint: $(GOLANGCI_LINT)
	$(GOLANGCI_LINT) run

$(GOLANGCI_LINT):
	@.ci/setup go
	GOBIN=$(CURDIR)/.cache/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv .cache/bin/golangci-lint $@

bench: build ## benchmarks, figures in bench.json
	@.ci/setup test guests
	go run ./tests/bench -o bench.json

FUZZTIME ?= 30s
fuzz: ## every fuzz test for FUZZTIME
	@.ci/setup go
	@grep -rl --include='*_test.go' --exclude-dir=.cache '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		for f in $$(grep -h -o '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -c6-); do \
			echo "$$dir $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x $$dir; \
		done; done

generate: ## the Go code of pkg/eve-api from its .proto files
	@.ci/setup go check
	pkg/eve-api/generate.sh

clean: ## what make made
	rm -rf bin .cache bench.json
