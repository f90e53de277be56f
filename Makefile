# racoon2: what one does with the source. "make help" lists the targets.

GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=
FUZZTIME ?= 60s
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X racoon2/agent.stamped=$(VERSION)
# The binary is static: without cgo all threads can drop privileges together.
BUILD   := CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)'

.PHONY: build test race lint fuzz bench demo interop vm cross install clean help

build: ## the racoon2 binary, static, in this folder
	$(BUILD) -o racoon2 .

test: ## every test (those that need root, strongSwan or QEMU say so when they skip)
	$(GO) test $(TESTFLAGS) ./...

race: ## the tests under the race detector, but for agent/integration's, whose agents are other processes
	$(GO) test -race -short $(TESTFLAGS) $$($(GO) list ./... | grep -v /agent/integration)

lint: ## gofmt, go vet, staticcheck, go mod tidy
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt:"; echo "$$out"; exit 1; }
	$(GO) vet ./... ./testdata/demo
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./... ./testdata/demo
	$(GO) mod tidy -diff

# To make each new input small would take most of that time. On a loaded machine a
# run can fail for its own deadline; what it finds is among the seeds afterwards.
fuzz: ## each fuzz target for FUZZTIME (default 60s)
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p || \
	    $(GO) test -run "^$$f\$$" $$p || exit 1; \
	  done; done

bench: ## benchmarks with their allocations
	$(GO) test -run '^$$' -bench . -benchmem ./...

demo: ## two hosts in network namespaces, a tunnel, ESP on the wire (root, Linux, nothing else)
	@$(GO) run ./testdata/demo

interop: ## against strongSwan in network namespaces (root; Debian's strongSwan packages)
	$(GO) test -count=1 -v -run Interop ./agent/integration

vm: ## the xfrm backend in a virtual machine with a full kernel (QEMU)
	$(GO) test -count=1 -v -run VM ./kernel/xfrm ./agent/integration

cross: ## compile and vet for the other systems and processors
	@for t in linux/arm64 linux/386 freebsd/amd64 freebsd/arm64 netbsd/amd64 netbsd/arm64; do \
	  echo "== $$t"; \
	  GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 $(GO) build -o /dev/null . || exit 1; \
	  GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 $(GO) vet ./... || exit 1; \
	done

install: build ## binary, man pages and completion under PREFIX (default /usr/local)
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 0755 racoon2 $(DESTDIR)$(PREFIX)/sbin/racoon2
	./racoon2 man --dir $(DESTDIR)$(PREFIX)/share/man/man8
	mv $(DESTDIR)$(PREFIX)/share/man/man8/*.5 $(DESTDIR)$(PREFIX)/share/man/man5/
	./racoon2 completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/racoon2

clean: ## what build left
	rm -f racoon2
	$(GO) clean -testcache

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
