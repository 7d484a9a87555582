"""Starts each IMAP server on free ports of the loopback interface. A function returns a Server; its processes end with `with_servers.kill`."""

import dataclasses
import importlib.machinery
import importlib.util
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
INSTALLED = HERE.parent.parent / "target" / "interop"

# It has no ending, since it is a program.
loader = importlib.machinery.SourceFileLoader("with_servers", str(HERE.parent / "servers" / "with-servers"))
with_servers = importlib.util.module_from_spec(importlib.util.spec_from_loader("with_servers", loader))
loader.exec_module(with_servers)

USER = "um"
PASSWORD = 'pl"ain\\p%w'  # wrong in any IMAP string that is not escaped
TOKEN = "access-token.of~interop"  # what the token endpoint gives to everybody


@dataclasses.dataclass
class Server:
    """A running server. `tls` and `starttls` are its ports for these, or none."""

    version: str
    plain: int
    tls: int | None = None
    starttls: int | None = None
    user: str = USER
    password: str = PASSWORD
    oauth2: bool = False
    # Some make folders only below the inbox, and want them named so in the properties.
    prefix: str = ""
    # Without UIDPLUS settled mail stays in the inbox, marked as deleted.
    uidplus: bool = True


class Place:
    """Where one server keeps its files and logs. `processes` is filled as they start."""

    def __init__(self, directory, pki, processes):
        self.directory, self.pki, self.processes = directory, pki, processes
        self.log = directory / "server.log"

    def start(self, *command, ports, environment=None):
        log = self.log if not self.log.exists() else self.directory / "front.log"
        settings = [f"{key}={value}" for key, value in (environment or {}).items()]
        process = with_servers.spawn([str(part) for part in ["env", *settings, *command]], log, self.processes)
        for port in ports:
            with_servers.wait_for(lambda: with_servers.accepts(port), process, str(command[0]), [log])

    def start_debian(self, packages, script, *arguments):
        """Starts one of the scripts in `debian`, on a plain and a TLS port."""
        root = self.directory / "root"
        root.mkdir()
        ports = with_servers.free_port(), with_servers.free_port()
        self.start("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
                   HERE / "debian" / "enter", root, INSTALLED / "debian" / packages, self.pki, HERE / "debian" / script,
                   *ports, USER, PASSWORD, *arguments, ports=ports)
        return ports

    def front(self, plain):
        """Puts TLS in front of a server that has none, and returns the port."""
        port = with_servers.free_port()
        self.start("python3", HERE / "tls_front.py", port, plain, self.pki, ports=[port])
        return port


def debian_version(packages, package):
    [file] = (INSTALLED / "debian" / packages).glob(f"{package}_*.deb")
    return file.name.split("_")[1].replace("%3a", ":")


def cyrus(place, prefix, *settings):
    plain, tls = place.start_debian("cyrus", "cyrus", *settings)
    return Server(f"Cyrus {debian_version('cyrus', 'cyrus-imapd')}", plain, tls, plain, prefix=prefix)


def cyrus_slash(place):
    return cyrus(place, "", "unixhierarchysep: yes", "altnamespace: yes")


def cyrus_dot(place):
    return cyrus(place, "INBOX.", "unixhierarchysep: no", "altnamespace: no")


def courier(place):
    plain, tls = place.start_debian("courier", "courier")
    return Server(f"Courier {debian_version('courier', 'courier-imap')}", plain, tls, plain, prefix="INBOX.")


def imap4d(place):
    plain, tls = place.start_debian("imap4d", "imap4d")
    return Server(f"GNU imap4d {debian_version('imap4d', 'mailutils-imap4d')}", plain, tls, plain, uidplus=False)


def pymap(place):
    plain = with_servers.free_port()
    place.start(INSTALLED / "pymap" / "bin" / "pymap", "--host", "127.0.0.1", "--port", plain, "--cert", place.pki / "server.pem",
                "--key", place.pki / "server.key", "--no-service", "managesieve", "--no-service", "admin",
                "dict", "--demo-user", USER, "--demo-password", PASSWORD, ports=[plain])
    return Server("pymap 0.36.7", plain, starttls=plain)


def greenmail(place):
    plain, tls = with_servers.free_port(), with_servers.free_port()
    store = place.directory / "server.p12"
    subprocess.run(["openssl", "pkcs12", "-export", "-in", place.pki / "server.pem", "-inkey", place.pki / "server.key",
                    "-out", store, "-passout", "pass:changeit"], check=True, stdin=subprocess.DEVNULL)
    [jar] = (INSTALLED / "maven").glob("greenmail-standalone-*.jar")
    settings = {"imap.hostname": "127.0.0.1", "imap.port": plain, "imaps.hostname": "127.0.0.1", "imaps.port": tls,
                "tls.keystore.file": store, "tls.keystore.password": "changeit", "startup.timeout": 60_000,
                # It takes the password for the access token, too.
                "users": f"{USER}:{TOKEN}@localhost.test"}
    place.start("java", "-Xmx512m", *(f"-Dgreenmail.{key}={value}" for key, value in settings.items()), "-jar", jar, ports=[plain, tls])
    return Server(jar.stem.replace("greenmail-standalone-", "GreenMail "), plain, tls, password=TOKEN, oauth2=True)


def memserver(place):
    plain = with_servers.free_port()
    place.start(INSTALLED / "go" / "imapmemserver", "-listen", f"127.0.0.1:{plain}", "-tls-cert", place.pki / "server.pem",
                "-tls-key", place.pki / "server.key", "-username", USER, "-password", PASSWORD, "-insecure-auth", ports=[plain])
    return Server("go-imap memserver v2.0.0-beta.8", plain, starttls=plain)


def gluon(place):
    plain = with_servers.free_port()
    place.start(INSTALLED / "go" / "gluon", ports=[plain],
                environment={"GLUON_DIR": str(place.directory / "data"), "GLUON_HOST": f"127.0.0.1:{plain}", "GLUON_USER_COUNT": "1",
                             "GLUON_LOG_LEVEL": "warning"})
    return Server("gluon v0.17.1", plain, place.front(plain), user="user1@example.com", password="pass")


def hoodiecrow(place, *plugins):
    password = "secret"  # it does not read escapes in a string
    plain, tls = with_servers.free_port(), with_servers.free_port()
    place.start("node", HERE / "hoodiecrow" / "server.js", plain, tls, place.pki, USER, password, TOKEN, *plugins, ports=[plain, tls],
                environment={"NODE_PATH": str(INSTALLED / "hoodiecrow" / "node_modules")})
    return Server("hoodiecrow 2.1.0", plain, tls, plain if "STARTTLS" in plugins else None, password=password, oauth2="XOAUTH2" in plugins,
                  uidplus="UIDPLUS" in plugins)


def hoodiecrow_full(place):
    return hoodiecrow(place, "UIDPLUS", "MOVE", "NAMESPACE", "SASL-IR", "AUTH-PLAIN", "XOAUTH2", "STARTTLS", "ID", "UNSELECT", "IDLE", "SPECIAL-USE")


def hoodiecrow_bare(place):
    return hoodiecrow(place)


# In each run of `.ci/run`.
CI = {"cyrus-slash": cyrus_slash, "cyrus-dot": cyrus_dot, "courier": courier, "imap4d": imap4d, "pymap": pymap, "greenmail": greenmail}
ALL = {**CI, "memserver": memserver, "gluon": gluon, "hoodiecrow": hoodiecrow_full, "hoodiecrow-bare": hoodiecrow_bare}
