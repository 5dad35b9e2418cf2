# What people and CI run. `just --list` shows it; `docs/TESTING.md` says what each suite is for.
# Needs: cargo install just cargo-deny cargo-fuzz cargo-mutants --locked

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
    cargo clippy -p vellum -p vellum-cli -- -D warnings
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
    cargo test -p vellum-benches --features measure

# All of the torture suites with full counts, as root: three quarters of an hour on two cores. Goes on after a failure
torture *OPTIONS:
    #!/usr/bin/env bash
    set -u
    just torture-build || exit 1
    failed=() SECONDS=0
    # It builds a `vellum` of its own in the place of the one that the others run.
    just torture-hostile || failed+=(hostile)
    # A crowd of processes lasts as long as it is told to, what is simulated needs nothing but a processor, and the
    # others wait for disks much of the time. No result depends on time.
    nice -n 15 just torture-processes {{ OPTIONS }} & processes=$!
    just torture-simulated & simulated=$!
    for suite in kill powercut calls lying-disk full-disk memory stopped-writer clocks source local-state; do
        just "torture-$suite" {{ OPTIONS }} || failed+=("$suite")
    done
    wait "$simulated" || failed+=(simulated)
    wait "$processes" || failed+=(processes)
    echo "took $((SECONDS / 60)) minutes and $((SECONDS % 60)) seconds, without the builds"
    echo "failed suites: ${failed[*]:-none}"
    [[ ${#failed[@]} == 0 ]]

# The suites without processes, with full counts: crash states, schedules, fault points, damage, parity, memory faults
torture-simulated:
    #!/usr/bin/env bash
    set -u
    failed=()
    for suite in crash-states schedules fault-points damage parity memory-faults; do
        just "torture-$suite" || failed+=("$suite")
    done
    echo "failed simulated suites: ${failed[*]:-none}"
    [[ ${#failed[@]} == 0 ]]

# What these suites run, built before any of them is timed
torture-build:
    cargo build --release -p vellum-cli -p vellum-torture
    just _simulated vellum-tests --list >/dev/null
    just _simulated vellum-repository --list >/dev/null
    just _simulated vellum-cli --list >/dev/null

_simulated PACKAGE FILTER:
    cargo test --release --quiet -p {{ PACKAGE }} --features slow -- --nocapture --test-threads=2 {{ FILTER }}

# Different states of the disk after a power cut
torture-crash-states COUNT="1000000":
    VELLUM_CRASH_STATES={{ COUNT }} just _simulated vellum-tests crash::what_was_acknowledged_survives_a_great_many

# Orders of the calls of writers, prunes and a forgetter
torture-schedules COUNT="100000":
    VELLUM_SCHEDULES={{ COUNT }} just _simulated vellum-tests schedules::no_schedule_of_a_great_many

# Everything that may happen, at each time that any operation reaches a fault point
torture-fault-points: (_simulated "vellum-tests" "fault_points::whatever_happens")

# Every byte of a repository flipped, and every truncation
torture-damage: (_simulated "vellum-tests" "damage::every_byte")

# Ten thousand patterns of damage healed by parity, or told
torture-parity: (_simulated "vellum-repository" "parity::")

# Repositories written by who holds the keys and lies: restores, and every command on each
torture-hostile: (_simulated "vellum-tests" "hostile::") (_simulated "vellum-cli" "hostile")

# A bit flipped between any two stages of a backup
torture-memory-faults: (_simulated "vellum-tests" "memory_faults")

# What a suite takes, such as `just torture-kill --seed 7 --count 50`: see `vellum-torture` without arguments
_torture *WORDS:
    cargo build --release --quiet -p vellum-cli -p vellum-torture
    "${CARGO_TARGET_DIR:-target}/release/vellum-torture" {{ WORDS }}

# kill -9 and requests to end, at any moment
torture-kill *OPTIONS: (_torture "kill" OPTIONS)

# Power cuts of a mounted ext4 and XFS
torture-powercut *OPTIONS: (_torture "powercut --fs ext4" OPTIONS) (_torture "powercut --fs xfs" OPTIONS)

# Every system call of every verb fails
torture-calls *OPTIONS: (_torture "calls" OPTIONS)

# System calls that report success and do nothing, on ext4 and XFS
torture-lying-disk *OPTIONS: (_torture "lying-disk --fs ext4" OPTIONS) (_torture "lying-disk --fs xfs --count 100" OPTIONS)

# A disk that is full after each block and inode
torture-full-disk *OPTIONS: (_torture "full-disk" OPTIONS)

# Too little memory
torture-memory *OPTIONS: (_torture "memory" OPTIONS)

# Writers, pruners, a forgetter and a reader at the same time
torture-processes *OPTIONS: (_torture "processes" OPTIONS)

# Clients that sleep while others forget, prune and write
torture-stopped-writer *OPTIONS: (_torture "stopped-writer" OPTIONS)

# Clocks that are years off, or jump
torture-clocks *OPTIONS: (_torture "clocks" OPTIONS)

# A source that lies and fails
torture-source *OPTIONS: (_torture "source" OPTIONS)

# Three suites again, with local state that is deleted, rolled back or scrambled between any two runs
torture-local-state *OPTIONS:
    #!/usr/bin/env bash
    set -eu
    for state in deleted rolled-back scrambled; do
        just _torture kill --count 200 --local-state $state {{ OPTIONS }}
        just _torture full-disk --count 200 --local-state $state {{ OPTIONS }}
        just _torture processes --minutes 1 --local-state $state {{ OPTIONS }}
    done

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

# Building takes longer than the tests, so nothing is optimised for them but dependencies.
# Changes the code in every small way and tells what no test noticed, such as `just mutants -p vellum-format -- --lib`
mutants *OPTIONS:
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=0 cargo mutants --timeout 20 {{ OPTIONS }}

# One benchmark of benches/
bench NAME:
    cargo bench -p vellum-benches --features measure --bench {{ NAME }}

# Vellum beside other backup programs, or on more and more data; without options it tells which there are
compare *OPTIONS:
    cargo run --release --quiet -p vellum-benches --features measure --bin compare -- {{ OPTIONS }}

# Writes golden fixtures that are not there yet, as root, and tells what changed; see fixtures/README.md
golden:
    cargo run -p vellum-tests --example write_golden
    git status --short -- fixtures

# The documentation of every library, warnings as errors
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace --lib
