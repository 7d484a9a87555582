#!/usr/bin/env python3
"""run.py UM_BENCH UM_STANDIN LIBRARY: the engine beside a bare TLS client and async-imap, and from Java beside JavaMail, on the servers of tests/servers and
on the stand-in.

    make bench                      # everything; BENCH="cpu latency settling java million jmh" are its parts
    UM_BENCH_ROUNDS=9 make bench    # medians of so many rounds (5)

Prints tables and writes tests/bench/results.json. What counts are the ratios of one run on one machine: in each round all clients run one after the other, and the
median is that of the rounds' ratios.
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import uuid
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "corpus"))
import fill  # noqa: E402

BENCH, STANDIN, LIBRARY = sys.argv[1:4]
ROUNDS = int(os.environ.get("UM_BENCH_ROUNDS", "5"))
PARTS = os.environ.get("BENCH", "cpu latency settling java million jmh").split()
MAILS = int(os.environ.get("UM_BENCH_MAILS", "20000"))
MILLION = int(os.environ.get("UM_BENCH_MILLION", "1000000"))
ROUND_TRIP_MS = 50
# tests/bench/java, with what it needs; and the JVM's default settings for all that run in it.
JAVA_BENCH = HERE / "target/java"
JAVA = ["java", "-cp", f"{JAVA_BENCH}/um-bench-java.jar:{JAVA_BENCH}/lib/*", f"-Dum.imap.oauth2.library={LIBRARY}"]


def main():
    results = {"mails": MAILS, "rounds": ROUNDS, "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory() as directory:
        if {"cpu", "latency", "settling", "java"} & set(PARTS):
            mailbox = Mailbox(pathlib.Path(directory))
            results["octets_a_mail"] = mailbox.octets_a_mail
            for part in [cpu, latency, settling, java]:
                if part.__name__ in PARTS:
                    results[part.__name__] = part(mailbox)
        if "million" in PARTS:
            results["million"] = million(pathlib.Path(directory))
        if "jmh" in PARTS:
            results["jmh"] = jmh(pathlib.Path(directory))
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")


def cpu(mailbox):
    """TLS on loopback: CPU time and memory."""
    home = mailbox.um_home(mailbox.port)
    commands = mailbox.directory / "commands"
    client("ours", home, "read", commands)  # the server makes its index, and we learn the commands
    clients = {
        "bare": ("bare", mailbox.port, CA, mailbox.user, PASSWORD, commands, "all"),
        "ours": ("ours", home, "read"),
        "async-imap": ("async-imap", mailbox.port, CA, mailbox.user, PASSWORD),
    }
    print(f"\n{MAILS} mails of {mailbox.octets_a_mail} octets, TLS on loopback, {ROUNDS} rounds\n")
    return rounds(clients, None, "cpu", [("ours / bare", "ours", "bare", 1.3), ("ours / async-imap", "ours", "async-imap", 1.0)],
                  [("ours, peak memory in kB", "ours", "peak_kb", 32 * 1024)])


def latency(mailbox):
    """A round trip of 50 ms: wall time beside a client that fetches everything with one command."""
    with Relay(mailbox.port) as relay:
        home = mailbox.um_home(relay.port)
        one = mailbox.directory / "one"
        one.write_text("UID SEARCH UNSEEN UNDELETED\nUID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])\n")
        client("ours", home, "read")
        clients = {"bare": ("bare", relay.port, CA, mailbox.user, PASSWORD, one, "all"), "ours": ("ours", home, "read")}
        print(f"\nThe same at a round trip of {ROUND_TRIP_MS} ms; bare: everything with one command\n")
        return rounds(clients, None, "seconds", [("ours / bare", "ours", "bare", 1.3)], [])


def settling(mailbox):
    """The same, and each mail is moved to one of three folders meanwhile."""
    with Relay(mailbox.port) as relay:
        home = with_work(mailbox.um_home(relay.port))
        commands = mailbox.directory / "moves"
        mailbox.keep()
        client("ours", home, "settle", commands)
        clients = {
            "bare": ("bare", relay.port, CA, mailbox.user, PASSWORD, commands, "two"),
            "ours": ("ours", home, "settle"),
        }
        print(f"\nThe same, each mail moved to one of three folders while the others are fetched; bare: the same commands, two at a time\n")
        result = rounds(clients, mailbox.restore, "seconds", [("ours / bare", "ours", "bare", 1.3)], [])
        lines = commands.read_text().splitlines()
        moves = sum(line.startswith("UID MOVE") for line in lines)
        result["commands"] = {"all": len(lines), "UID MOVE": moves}
        print(f"{len(lines)} commands, {moves} of them MOVE: {MAILS / max(moves, 1):.0f} mails each")
        return result


def java(mailbox):
    """From Java, the start of the JVM included: CPU time and memory beside JavaMail. The library's part is the octets; making a MimeMessage of them is
    JavaMail's part with either, and is shown without a target."""
    home = with_work(mailbox.um_home(mailbox.port))
    reader = [*JAVA, "um.imap.oauth2.Readers"]
    clients = {
        "javamail": (*reader, "javamail", mailbox.port, CA, mailbox.user, PASSWORD),
        "octets": (*reader, "octets", home),
        "mime": (*reader, "mime", home),
    }
    program(*clients["octets"])  # the server makes its index
    print(f"\n{MAILS} mails of {mailbox.octets_a_mail} octets, TLS on loopback, from Java; mime: each one made a MimeMessage, as JavaMail does\n")
    result = rounds(clients, None, "cpu", [], [], program)
    for measure, name, most in [("cpu", "octets", 0.25), ("cpu", "mime", None), ("peak_kb", "octets", 1.0), ("peak_kb", "mime", None)]:
        ratio(result, measure, f"{name} / javamail", name, "javamail", most)
    return result


def jmh(directory):
    """The way from the native side to Java, without any network in it; and opening the library."""
    print("\nHanding over mails of 5,600 octets that have arrived, and opening the library\n")
    file = directory / "jmh.json"
    # As in the product's jar; the system property that names the library comes first, unless a benchmark takes it away.
    jar = directory / "native.jar"
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as entries:
        entries.write(LIBRARY, f"um/imap/oauth2/native/linux-{os.uname().machine}/{os.path.basename(LIBRARY)}")
    java = [f"{part}:{jar}" if part.startswith(str(JAVA_BENCH)) else part for part in JAVA]
    # Must be HandingOver.MAILS; all of them fit into the mailbox's buffer.
    with Standin(directory, 2000) as standin:
        home = with_work(standin.um_home({}))
        subprocess.run([*java, f"-Dum.home={home}", "org.openjdk.jmh.Main", "-foe", "true", "-rf", "json", "-rff", str(file)], check=True, stdout=subprocess.DEVNULL)
    result = {}
    for run in json.loads(file.read_text()):
        name, score = run["benchmark"].removeprefix("um.imap.oauth2."), run["primaryMetric"]
        values = sorted(value for fork in score["rawData"] for value in fork)
        result[name] = {"median": statistics.median(values), "unit": score["scoreUnit"], "values": values}
        print(f"  {name:24}{statistics.median(values):10.3f} {score['scoreUnit']}   ({values[0]:.3f} to {values[-1]:.3f}, {len(values)} times)")
    print()
    more = result["HandingOver.iterate"]["median"] - result["HandingOver.copy"]["median"]
    target("µs a mail more than a copy", more, 3)
    target("ms to open the library", result["Opening.library"]["median"], 50)
    target("ms with all that the loader does", result["Opening.loader"]["median"], 50)
    target("ms to open a mailbox", result["Opening.mailbox"]["median"], 50)
    target("ms more at the first fetch", result["Opening.trust"]["median"], None)
    return result


def million(directory):
    """From the stand-in, which makes each mail when it is asked for it: memory."""
    print(f"\n1,000 and {MILLION:,} mails from the stand-in\n")
    result = {}
    for count in [1000, MILLION]:
        with Standin(directory, count) as standin:
            # Less than the 1,000 mails have, so that it is full in both cases.
            home = standin.um_home({"cmsbs.mail.imap.fetch.buffer": "4M"})
            for what in ["read", "keep"]:
                result[f"{count} {what}"] = run = client("ours", home, what)
                print(f"  {what} {run['mails']:>9,} mails  {run['seconds']:8.1f} s  {run['cpu']:7.2f} s CPU  peak {run['peak_kb']:,} kB  at 1,000 mails {run['kb_at_1000']:,} kB")
    for what in ["read", "keep"]:
        more = result[f"{MILLION} {what}"]["peak_kb"] - result[f"1000 {what}"]["peak_kb"]
        target("octets more a mail, " + what, more * 1024 / MILLION, 4)
        result[f"octets more a mail, {what}"] = more * 1024 / MILLION
    return result


def rounds(clients, prepare, measure, ratios, limits, run=None):
    runs = {name: [] for name in clients}
    for _ in range(ROUNDS):
        for name, arguments in clients.items():
            if prepare:
                prepare()
            runs[name].append((run or client)(*arguments))
    median = lambda name, key: statistics.median(run[key] for run in runs[name])
    print(f"  {'':12}{'CPU s':>9}{'user':>8}{'system':>8}{'wall s':>9}{'peak kB':>10}{'mails':>9}{'MB':>8}")
    for name in clients:
        print(f"  {name:12}{median(name, 'cpu'):9.3f}{median(name, 'user'):8.3f}{median(name, 'system'):8.3f}{median(name, 'seconds'):9.3f}"
              f"{median(name, 'peak_kb'):10.0f}{median(name, 'mails'):9.0f}{median(name, 'octets') / 1e6:8.1f}")
    print()
    result = {"runs": runs}
    for text, one, other, most in ratios:
        ratio(result, measure, text, one, other, most)
    for text, name, key, most in limits:
        result[text] = max(run[key] for run in runs[name])
        target(text, result[text], most)
    return result


def ratio(result, measure, text, one, other, most):
    each = [a[measure] / b[measure] for a, b in zip(result["runs"][one], result["runs"][other])]
    result[f"{measure}, {text}"] = statistics.median(each)
    target(f"{measure}, {text}", statistics.median(each), most, f"   ({min(each):.2f} to {max(each):.2f})")


def target(text, value, most, more=""):
    wanted = "no target" if most is None else f"at most {most}"
    print(f"  {text:40}{value:12.2f}   {wanted:16}{'' if most is None or value <= most else 'MISSED'}{more}")


def client(*arguments):
    return program(BENCH, *arguments)


def program(*command):
    """Runs one client; its CPU time is what the kernel says of the process."""
    command = [str(part) for part in command]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed")
    return {**json.loads(line), "user": usage.ru_utime, "system": usage.ru_stime, "cpu": usage.ru_utime + usage.ru_stime}


def um_home(home, port, user, ca, more):
    properties = {
        "cmsbs.startbounce": "true",
        "cmsbs.mail.imap.server": "localhost",
        "cmsbs.mail.imap.port": port,
        "cmsbs.mail.imap.ssl": "true",
        "cmsbs.mail.imap.user": user,
        "cmsbs.mail.imap.ssl.caFile": ca,
        "cmsbs.mail.imap.folder.hardbounce": "hard",
        "cmsbs.mail.imap.folder.softbounce": "soft",
        "cmsbs.bounce.debug": "true",
        **more,
    }
    conf = home / "cmsbs-conf"
    conf.mkdir(parents=True, exist_ok=True)
    quoted = lambda value: str(value).replace("\\", "\\\\").replace('"', '\\"')
    (conf / "cmsbs.properties").write_text("".join(f'{key} = "{quoted(value)}"\n' for key, value in properties.items()))
    return home


def with_work(home):
    """As an installation of UM has it."""
    (home / "cmsbs-work").mkdir(exist_ok=True)
    return home


class Standin:
    """With so many mails in its inbox, which it makes when it is asked for them."""

    USER = "bounces@example.com"

    def __init__(self, directory, mails):
        self.home = directory / f"um-{mails}-made"
        scenario = directory / "scenario.json"
        folder = {"name": "INBOX", "generate": {"count": mails, "size": 5600}}
        scenario.write_text(json.dumps({"mailboxes": [{"user": self.USER, "password": PASSWORD, "folders": [folder]}]}))
        self.process = subprocess.Popen([STANDIN, scenario], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.told = json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def um_home(self, more):
        entra = self.told["clients"][0]
        return um_home(self.home, self.told["imap_port"], self.USER, self.told["ca_file"], {
            "cmsbs.mail.imap.authenticationMethod": "oauth2",
            "cmsbs.mail.imap.oauth2.accessTokenUri": self.told["token_uri"],
            "cmsbs.mail.imap.oauth2.clientId": entra["id"],
            "cmsbs.mail.imap.oauth2.clientSecret": entra["secret"],
            "cmsbs.mail.imap.oauth2.scope": "https://outlook.office365.com/.default",
            "cmsbs.mail.imap.oauth2.grantType": "client_credentials",
            **more,
        })


class Relay:
    def __init__(self, port):
        self.process = subprocess.Popen([BENCH, "relay", str(port), str(ROUND_TRIP_MS // 2)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


class Mailbox:
    """On the Dovecot of tests/servers: bounces of the corpus, 5.6 kB each on the average."""

    def __init__(self, directory):
        self.directory = directory
        self.port = os.environ["UM_TEST_IMAP_PORT"]
        self.user = f"{uuid.uuid4()}@example.test"
        self.maildir = pathlib.Path(os.environ["UM_TEST_DIR"]) / "mail" / self.user
        self.kept = self.maildir.with_suffix(".kept")
        corpus = sorted(pathlib.Path(os.environ["UM_TEST_CORPUS"]).glob("*.eml"))
        sizes = {file: len(fill.as_served(file.read_bytes())) for file in corpus}
        # The smaller ones, up to the size at which their average is 5.6 kB.
        bounces, octets = [], 0
        for file in sorted((file for file in corpus if sizes[file] >= 2000), key=sizes.get):
            if bounces and (octets + sizes[file]) / (len(bounces) + 1) > 5600:
                break
            bounces.append(file)
            octets += sizes[file]
        self.octets_a_mail = octets // len(bounces)
        bounces.sort()
        fill.fill(self.maildir, [bounces[n % len(bounces)] for n in range(MAILS)])

    def um_home(self, port):
        return um_home(self.directory / f"um-{port}", port, self.user, CA, {
            "cmsbs.mail.imap.authenticationMethod": "plain",
            "cmsbs.mail.imap.password": PASSWORD,
        })

    def keep(self):
        copy(self.maildir, self.kept)

    def restore(self):
        shutil.rmtree(self.maildir)
        copy(self.kept, self.maildir)


def copy(source, target):
    """Mails as links, for they do not change; what the server writes beside them as copies."""
    def one(file, to):
        if pathlib.Path(file).parent.name in ("cur", "new"):
            os.link(file, to)
        else:
            shutil.copy2(file, to)
            own(file, to)

    def own(file, to):
        if os.geteuid() == 0:
            stat = os.stat(file)
            os.chown(to, stat.st_uid, stat.st_gid)

    shutil.copytree(source, target, copy_function=one)
    for directory, _, _ in os.walk(source):
        own(directory, target / os.path.relpath(directory, source))


CA = os.environ.get("UM_TEST_CA")
PASSWORD = os.environ.get("UM_TEST_PASSWORD")

if __name__ == "__main__":
    main()
