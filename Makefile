# make        the library of this machine, the command line and the jar, for use (target/release, java/target)
# make natives       the libraries of all platforms, and the jar with all of them; the command line where it needs nothing else (target/bin)
# make natives try PLATFORMS='linux-x86_64 windows-x86_64'  of some platforms only
# make try           each of them is run: in JVMs, under qemu and Wine, and against the stand-ins
# make reproducible  two of them are built once more from a copy elsewhere: the same octets
# make deny   licences and origins of all dependencies
# make test   everything is tested against real servers, which are installed and started for it
# make interop-ci, make interop  the command line at Cyrus, Courier, GNU imap4d, pymap and GreenMail, or at all servers of tests/interop
# make faults-of-files  the mailbox directory under every fault of every system call
# make demo   UM's bounce loop reads a mailbox of stand-ins for Entra ID and Exchange Online, and shows what it does
# make bench  the engine's CPU time, memory and speed beside a bare TLS client and async-imap, and from Java beside JavaMail
# make simulate  histories of the engine against models of server, disk and callers: HISTORIES=n SEED=s, or SHOW=s for one of them
# make faults    one fault after the other is put into the engine: the simulator must catch each
# make lint   formatter and linter; the Java compiler's warnings are errors in every build

TARGET  := $(abspath $(or $(CARGO_TARGET_DIR),target))
# Which platform this machine is, its compiler knows: musl and glibc have one processor.
HOST    := $(shell rustc -vV | sed -n 's/^host: //p')
SYSTEM  := $(if $(findstring windows,$(HOST)),windows,linux)
LIBRARY := $(if $(findstring windows,$(HOST)),um_imap_oauth2.dll,libum_imap_oauth2.so)
NATIVE  := target/natives/$(SYSTEM)-$(firstword $(subst -, ,$(HOST)))$(if $(findstring musl,$(HOST)),-musl)/$(LIBRARY)
VERSION := $(firstword $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml))
JAR     := java/target/um-imap-oauth2-$(VERSION).jar
STANDIN := $(or $(CARGO_TARGET_DIR),tests/standin/target)/debug/um-standin
# Crates of their own beside the product.
CRATES  := . $(patsubst %/Cargo.toml,%,$(wildcard tests/standin/Cargo.toml))
MAVEN   := mvn --batch-mode --no-transfer-progress --file java/pom.xml

# Else Rust links musl into the library, and the process would have it twice.
ifneq (,$(findstring musl,$(HOST)))
export RUSTFLAGS += -C target-feature=-crt-static
endif

.PHONY: all jar natives try reproducible deny bench demo simulate simulate-on faults faults-of-files servers test test-beside-servers interop interop-ci lint clean

all: jar
	cargo build --release --locked --bins

# The jar has what lies in target/natives, and must not have libraries of another day.
jar:
	cargo build --release --locked --lib
	rm -rf target/natives
	install -D $(TARGET)/release/$(LIBRARY) $(NATIVE)
	$(MAVEN) -DskipTests package

# Some of natives/platforms; empty: all of them.
PLATFORMS :=
natives:
	rm -rf target/natives target/bin target/notices
	natives/build target $(PLATFORMS)
	natives/notices target/notices
	$(MAVEN) -DskipTests package
	@ls -l target/bin/* $(JAR) && [ $$(wc -c < $(JAR)) -lt 24000000 ] || { echo 'The jar must be smaller than 24 MB.' >&2; exit 1; }

try:
	cargo build --locked --manifest-path tests/standin/Cargo.toml
	natives/try --built target --jar $(JAR) --standin $(STANDIN) $(PLATFORMS)

# Each takes minutes. The format of Windows (PE) has room for the time of its making, that of Linux (ELF) has none.
REPRODUCE := linux-x86_64 windows-x86_64
reproducible:
	natives/reproduce target $(REPRODUCE)

deny:
	"$$(natives/tools cargo-deny)/cargo-deny" --locked check licenses bans sources

# The real jar with the real library in it; only the servers are not real.
# Maven writes "\033[0m" at its end otherwise, also into a pipe.
demo: export MAVEN_OPTS += -Djansi.noreset=true
demo:
	@echo '[1/3] The library and its jar (the first time some minutes)'
	@$(MAKE) --no-print-directory jar MAVEN='$(MAVEN) --quiet'
	@echo '[2/3] The stand-ins for Entra ID and Exchange Online'
	@cargo build --locked --manifest-path tests/standin/Cargo.toml
	@echo "[3/3] UM's bounce loop"
	@$(MAVEN) --quiet dependency:build-classpath -DincludeArtifactIds=javax.mail,activation -Dmdep.outputFile=target/javamail
	@javac --release 11 -Xlint:all -Werror -cp $(JAR):$$(cat java/target/javamail) -d java/target/examples java/examples/*.java
	@echo
	@python3 java/examples/demo.py --standin $(STANDIN) --classpath java/target/examples:$(JAR):$$(cat java/target/javamail)

# Every system call of the mailbox directory fails, and the power after each, as often as this says.
POWER_LOSSES := 200
faults-of-files:
	WORKDIR_POWER_LOSSES=$(POWER_LOSSES) cargo test --locked --release --test workdir

servers:
	tests/servers/install

# Calls from many threads in no order (StormTest): STORM=1000000 takes minutes.
STORM ?= 20000

test: servers
	tests/servers/with-servers $(MAKE) --no-print-directory test-beside-servers

# The debug build: `cargo test` makes most of it anyway, it checks for overflows, and there is no link-time optimisation to wait for.
test-beside-servers:
	python3 -B tests/servers/selfcheck.py
	cargo build --locked
	$(MAKE) --no-print-directory simulate
	set -e; for crate in $(CRATES); do cargo test --locked --manifest-path $$crate/Cargo.toml; done
	$(MAVEN) -Dnative.library=$(TARGET)/debug/$(LIBRARY) -Dstandin=$(abspath $(STANDIN)) -Dstorm.calls=$(STORM) verify
	set -e; for java in $$(java/jdks target/jdks); do \
		$(MAVEN) -Dnative.library=$(TARGET)/debug/$(LIBRARY) -Dstandin=$(abspath $(STANDIN)) \
			-Djvm=$$java -Dstorm.calls=2000 -Dcycles=100 surefire:test; \
	done

interop-ci: SERVERS := ci
interop:    SERVERS := all
interop interop-ci:
	tests/interop/install $(SERVERS)
	cargo build --locked --bin um-imap-oauth2
	tests/interop/run $(TARGET)/debug/um-imap-oauth2 $(SERVERS)

HISTORIES ?= 20000
SEED      ?= 1
simulate:
	HISTORIES=$(HISTORIES) SEED=$(SEED) cargo test --locked --profile simulation --test simulation -- --nocapture

# Plays 100,000 at a time until one fails or it is stopped.
simulate-on:
	seed=$(SEED); while $(MAKE) --no-print-directory simulate HISTORIES=100000 SEED=$$seed; do seed=$$((seed + 100000)); done; exit 1

faults:
	python3 -B tests/simulation/faults.py

# An otherwise idle machine; tests/bench/run.py tells what can be chosen.
bench: servers
	cargo build --release --locked --lib
	set -e; for crate in bench standin; do cargo build --release --locked --manifest-path tests/$$crate/Cargo.toml; done
	$(MAVEN:java/pom.xml=tests/bench/java/pom.xml) package
	tests/servers/with-servers python3 -B tests/bench/run.py $(or $(CARGO_TARGET_DIR),tests/bench/target)/release/um-bench \
		$(or $(CARGO_TARGET_DIR),tests/standin/target)/release/um-standin $(TARGET)/release/$(LIBRARY)

lint:
	set -e; for crate in $(CRATES); do \
		cargo fmt --check --manifest-path $$crate/Cargo.toml; \
		cargo clippy --locked --all-targets --manifest-path $$crate/Cargo.toml -- -D warnings; \
	done
	@# What is not built in each run must not be left behind.
	set -e; for crate in bench fuzz; do cargo metadata --locked --format-version 1 --manifest-path tests/$$crate/Cargo.toml > /dev/null; done

clean:
	cargo clean
	rm -rf java/target tests/servers/node_modules $(wildcard tests/*/target)
