# What people and CI run. `just --list` shows it; `docs/TESTING.md` says what each suite is for.
# Needs: cargo install just cargo-deny cargo-fuzz --locked

set shell := ["bash", "-euo", "pipefail", "-c"]

_default:
    @just --list --unsorted

# Everything but tests that a change must pass
check: _format _lint _deny doc

_format:
    cargo fmt --all --check
    cargo fmt --manifest-path fuzz/Cargo.toml --check

_lint:
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    cargo clippy --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings

# Without advisories, whose database is fetched from the network.
_deny:
    cargo deny --workspace check bans licenses sources

# Known vulnerabilities in dependencies; fetches the RustSec database
advisories:
    cargo deny --workspace check advisories

# The quick tests, as CI runs them
test:
    cargo test --workspace

# The tests that take minutes, and every fuzz seed through its target
test-slow:
    cargo test --release -p vellum-tests --features slow
    cargo test --release -p vellum-cli --features slow
    cargo test --release -p vellum-testkit --features slow
    cargo test --release -p vellum-repository --features slow
    cargo test --manifest-path fuzz/Cargo.toml

# Only safe Rust decodes, so no sanitizer is needed, and without one the pinned toolchain can do it.
# Hostile bytes for one decoder; what breaks it is kept under fuzz/artifacts
fuzz TARGET SECONDS:
    mkdir -p fuzz/corpus/{{ TARGET }}
    cargo fuzz run --sanitizer none {{ TARGET }} fuzz/corpus/{{ TARGET }} fuzz/seeds/{{ TARGET }} -- \
        -max_total_time={{ SECONDS }} -max_len=4096 -rss_limit_mb=512 -timeout=10 -print_final_stats=1

# Each target for SECONDS, one after the other
fuzz-all SECONDS:
    for target in $(cargo fuzz list); do just fuzz "$target" {{ SECONDS }}; done

# Writes the fuzz seeds anew, after a new golden encoding
fuzz-seeds:
    cargo run --manifest-path fuzz/Cargo.toml --example seeds

# One benchmark of benches/
bench NAME:
    cargo bench -p vellum-benches --bench {{ NAME }}

# Writes golden fixtures that are not there yet, as root, and tells what changed; see fixtures/README.md
golden:
    cargo run -p vellum-tests --example write_golden
    git status --short -- fixtures

# The documentation of every library, warnings as errors
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace --lib
