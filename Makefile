# Every target runs from a clean checkout with Go alone, except oracle and bench-peers, which need Python.
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOLANGCI    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME    ?= 3000x
PYTHON      ?= python3
export CGO_ENABLED = 0

.PHONY: all build test race check vet fmt lint cross generate fuzz bench bench-peers oracle

all: test

build: ## the command, in ./winnow
	go build -trimpath -o winnow ./cmd/winnow

test: ## what the README says
	go test ./...

race:
	CGO_ENABLED=1 go test -race -short ./...

check: vet fmt lint cross generate-drift

vet:
	go vet ./...

fmt: ## fails when a file is not gofumpt-formatted
	@bad=$$(go run $(GOFUMPT) -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "not gofumpt-formatted:"; echo "$$bad"; exit 1; fi

lint:
	go run $(STATICCHECK) ./...
	go run $(GOLANGCI) run ./...

cross: ## other systems compile and pass vet
	GOOS=linux   GOARCH=arm64 go vet ./...
	GOOS=darwin  GOARCH=arm64 go vet ./...
	GOOS=windows GOARCH=amd64 go vet ./...
	go vet -tags noasm ./...
	go vet -tags noort ./...

generate: ## assembly from internal/kernel/_asm
	go generate ./internal/kernel

.PHONY: generate-drift
generate-drift: generate
	git diff --exit-code -- internal/kernel

fuzz: ## every fuzz target, a counted number of inputs each
	@for p in $$(git grep -lE '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$p/*_test.go | sed 's/func //'); do \
			echo "$$p $$f"; go test ./$$p -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x || exit 1; \
		done; done

bench:
	go test -run '^$$' -bench . -count 5 ./internal/kernel/ ./tests/engine/

bench-peers: ## full-size SD1.5 U-Net and ViT-H/14 against ONNX Runtime, a LoRA training step against torch + PEFT; PYTHON needs tests/oracle/requirements.txt
	PYTHON=$(PYTHON) tests/bench/peers/run.sh
	PYTHON=$(PYTHON) tests/bench/peers/run.sh -reward
	PYTHON=$(PYTHON) tests/bench/peers/run.sh -dpo
	PYTHON=$(PYTHON) tests/bench/peers/run.sh -train
	PYTHON=$(PYTHON) tests/bench/peers/run.sh -train -checkpoint

oracle: ## rewrites the golden files; PYTHON needs tests/oracle/requirements.txt
	PYTHON=$(PYTHON) tests/oracle/run.sh
