# make        the library, the command line and the jar, for use (target/release, java/target)
# make test   everything is tested against real servers, which are installed and started for it
# make lint   formatter and linter; the Java compiler's warnings are errors in every build

TARGET  := $(abspath $(or $(CARGO_TARGET_DIR),target))
LIBRARY := libum_imap_oauth2.so
# Crates of their own beside the product.
CRATES  := . $(patsubst %/Cargo.toml,%,$(wildcard tests/standin/Cargo.toml))
MAVEN   := mvn --batch-mode --no-transfer-progress --file java/pom.xml

.PHONY: all servers test test-beside-servers lint clean

all:
	cargo build --release --locked
	install -D $(TARGET)/release/$(LIBRARY) target/natives/linux-$(shell uname -m)/$(LIBRARY)
	$(MAVEN) -DskipTests package

servers:
	tests/servers/install

test: servers
	tests/servers/with-servers $(MAKE) --no-print-directory test-beside-servers

# The debug build: `cargo test` makes most of it anyway, it checks for overflows, and there is no link-time optimisation to wait for.
test-beside-servers:
	python3 -B tests/servers/selfcheck.py
	cargo build --locked
	set -e; for crate in $(CRATES); do cargo test --locked --manifest-path $$crate/Cargo.toml; done
	$(MAVEN) -Dnative.library=$(TARGET)/debug/$(LIBRARY) verify

lint:
	set -e; for crate in $(CRATES); do \
		cargo fmt --check --manifest-path $$crate/Cargo.toml; \
		cargo clippy --locked --all-targets --manifest-path $$crate/Cargo.toml -- -D warnings; \
	done

clean:
	cargo clean
	rm -rf java/target tests/servers/node_modules $(wildcard tests/*/target)
