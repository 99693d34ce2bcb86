# Each recipe is one line that can be pasted. `just` is a wheel (`pip install rust-just`) or comes with the system.

# Lists the recipes.
default:
    @just --list --unsorted

# One process on ./frazil-data, nothing to configure.
dev *ARGS:
    cargo run --release -- dev {{ARGS}}

# Everything, on a real MinIO too; arguments go to cargo test.
test *ARGS:
    ./test {{ARGS}}

# Form, lints, docs and the repository's own rules: quick, before each commit.
check:
    cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings && RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --workspace --document-private-items && cargo test --test tidy

# COUNT times kill -9 under four writers; TARGET is file or s3.
crash TARGET COUNT:
    tests/tools/minio.sh && FRAZIL_CRASH_COUNT={{COUNT}} cargo test --release --test blackbox crash_{{TARGET}} -- --nocapture

# A store a hundred times slower than 64 producers, and 1,000 followers that hardly read, for SECONDS.
load SECONDS:
    tests/tools/minio.sh && FRAZIL_LOAD_SECONDS={{SECONDS}} cargo test --release --test blackbox under_load -- --nocapture

# COUNT times kill -9 of any of three gateways and a janitor on MinIO, under writers by HTTP, of two tables at once, and FLIGHT ones by Flight.
crash-fleet COUNT FLIGHT="1":
    tests/tools/minio.sh && tests/tools/python.sh && FRAZIL_CRASH_COUNT={{COUNT}} FRAZIL_CRASH_FLIGHT={{FLIGHT}} cargo test --release --test blackbox a_fleet_under_kill_9 -- --nocapture

# The same, with members cut off from the store or from each other instead of killed.
cut-fleet COUNT FLIGHT="1":
    tests/tools/minio.sh && tests/tools/python.sh && FRAZIL_CRASH_COUNT={{COUNT}} FRAZIL_CRASH_FLIGHT={{FLIGHT}} cargo test --release --test blackbox a_fleet_that_is_cut_off -- --nocapture

# A loop that reads, processes and writes, and writes of two tables, under COUNT times kill -9: of one process, and of two gateways on MinIO.
exactly-once COUNT:
    tests/tools/minio.sh && FRAZIL_EXACTLY_ONCE_COUNT={{COUNT}} cargo test --release --test blackbox exactly_once -- --nocapture

# Each planted bug must be found by the simulation.
mutants:
    cargo run --release -p frazil-simulation -- mutants

# COUNT seeds of the real code on a faulty store.
simulate COUNT:
    cargo run --release -p frazil-simulation -- simulate {{COUNT}}

# One seed again, with its trace.
replay SEED:
    cargo run --release -p frazil-simulation -- replay {{SEED}}

# Cold start on synthetic logs of up to SLOTS slots.
cold SLOTS:
    cargo run --release -- bench cold {{SLOTS}}

# Fuzzes one decoder for SECONDS; needs a nightly toolchain and `cargo install cargo-fuzz`.
fuzz TARGET SECONDS:
    cargo +nightly fuzz run --fuzz-dir tests/fuzz {{TARGET}} -- -max_total_time={{SECONDS}}

# Ack latency beside raw PUTs on the same store, e.g. `just bench --store s3://bucket/prefix -o json`.
bench *ARGS:
    cargo run --release -- bench ack {{ARGS}}

# Licences, sources, and each heavy library in its one crate; needs `cargo install cargo-deny`.
deny:
    cargo deny check

# Formats all code.
fmt:
    cargo fmt --all

# Adds golden files of new format versions; those that exist never change.
golden:
    UPDATE_GOLDEN=1 cargo test --workspace golden

# Writes the generated pages of docs/ anew (tests named the_page_of_...).
docs:
    UPDATE_DOCS=1 cargo test --workspace the_page_of
