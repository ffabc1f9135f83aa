# What CI runs, piece by piece. `just` is optional: each recipe is one line that runs without it.

_default:
    @just --list

# Everything that CI runs.
ci:
    .ci/run

# Formats the code.
format:
    cargo fmt --all

# Formatting as CI checks it.
format-check:
    cargo fmt --all --check

# Clippy, warnings are errors.
lint:
    cargo clippy --locked --all-targets -- --deny warnings

# Advisories, licences, bans and sources of the dependencies.
deny:
    .ci/deny

# All tests, or a part: `just test fast`, `just test kafka outage`, `just test --long`.
test *what:
    tests/run {{ what }}

# The Dockerfile, built and run in a container engine (root).
image:
    tests/image

# The chart on a real Kubernetes (root).
kubernetes:
    tests/kubernetes/run

# The main job in 30 seconds.
demo:
    cargo run --release -- demo
