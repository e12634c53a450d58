# Multiplane. Each target sets itself up: a fresh Debian 12 with Rust, as root, is enough.
.DEFAULT_GOAL := help
.PHONY: help demo test bench dist lint setup

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

demo: ## a pod on three more planes and what Envoy makes of it; then the story of 2018, before and after
	@tests/setup/all.sh envoy
	@cargo run --locked --quiet --package testbed --bin demo

test: ## everything CI runs: lint, tests, real peers, microVM, static build, documents, demo
	@tests/steps/test.sh

bench: ## side by side with the reference plugins, Multus and the kernel alone; ratios
	@tests/setup/all.sh packages peers
	@tests/steps/dist.sh >/dev/null
	@MULTIPLANE_BINARIES=$${CARGO_TARGET_DIR:-target}/dist cargo run --locked --quiet --package testbed --bin bench

dist: ## static binaries in target/dist
	@tests/steps/dist.sh --package cni-plugin --package bootstrap-gen --package iptables --package control-plane

lint: ## formatting, clippy and rustdoc, warnings denied
	@tests/steps/lint.sh

setup: ## fetch and build the peers that the tests start (make test does it by itself)
	@tests/setup/all.sh
