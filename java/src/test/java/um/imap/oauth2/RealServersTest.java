package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.mail.MessagingException;
import javax.mail.Session;
import javax.mail.internet.MimeMessage;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The whole chain: a token from oidc-provider, Dovecot behind XOAUTH2, the library, and UM's way of using it. */
class RealServersTest {
    private static final String TEST_DIR = "UM_TEST_DIR";
    private static final String IMAP_PORT = "UM_TEST_IMAP_PORT";
    private static final String TOKEN_URI = "UM_TEST_TOKEN_URI";
    private static final String CA = "UM_TEST_CA";
    private static final String SECRET = "UM_TEST_SECRET";
    private static final String CORPUS = "UM_TEST_CORPUS";
    /** Real bounces, where there are some. */
    private static final String REAL_BOUNCES = "UM_TEST_REAL_BOUNCES";

    private static final long FIRST_TIME = 1_760_000_000L;

    @TempDir
    private Path umHome;

    private final String clientId = UUID.randomUUID().toString();
    private final String user = clientId + "@example.test";
    private Path maildir;

    @BeforeAll
    static void theServersAreThere() {
        List<String> missing = Stream.of(TEST_DIR, IMAP_PORT, TOKEN_URI, CA, SECRET, CORPUS)
                .filter(name -> System.getenv(name) == null).collect(Collectors.toList());
        if (!missing.isEmpty()) {
            fail("This test needs the real servers: " + String.join(", ", missing) + " not set. Run `make test`, or"
                    + " `tests/servers/with-servers mvn -f java/pom.xml test`.");
        }
    }

    @BeforeEach
    void makeTheMailbox() throws IOException {
        maildir = mail().resolve(user);
    }

    @Test
    void theLinesOfTheManualAreEnoughAndEachOctetArrives() throws Exception {
        List<byte[]> mails = corpus();
        fill(mails);
        writeProperties(manual());
        int seen = 0;
        try (BounceMailbox mailbox = BounceMailbox.builder().umHome(umHome).open()) {
            Set<String> ids = new HashSet<>();
            for (BounceMessage mail : mailbox.fetch()) {
                // A large one can come after those behind it.
                int number = (int) mail.uid() - 1;
                byte[] onDisk = asServed(mails.get(number));
                assertArrayEquals(onDisk, mail.bytes(), mail.id());
                assertArrayEquals(onDisk, mail.inputStream().readAllBytes(), mail.id());
                assertFalse(mail.flags().contains("\\Seen"), mail.id());
                assertEquals(Optional.of(Instant.ofEpochSecond(FIRST_TIME + number)), mail.internalDate());
                assertEquals(user + "/INBOX;UIDVALIDITY=" + mail.uidValidity() + ";UID=" + mail.uid(), mail.id());
                assertTrue(ids.add(mail.id()));
                seen++;
            }
        }
        assertEquals(mails.size(), seen);
        // Fetching alone changes nothing.
        assertEquals(counted(mails), onDisk(""));
        assertEquals(0, seenOnDisk());
    }

    @Test
    void handledMailGoesToTheFolderOfItsKindWhenDebugIsOn() throws Exception {
        Map<String, String> properties = manual();
        properties.put("cmsbs.bounce.debug", "true");
        properties.put("cmsbs.mail.imap.folder.debug", "debug");
        properties.put("cmsbs.mail.imap.folder.error", "error");
        properties.put("cmsbs.mail.imap.folder.hardbounce", "bounces.hard");
        properties.put("cmsbs.mail.imap.folder.spam", "Sp\u00e4m");
        writeProperties(properties);
        Map<Outcome, String> folders = new HashMap<>();
        folders.put(Outcome.HARDBOUNCE, ".bounces.hard");
        folders.put(Outcome.SPAM, ".Sp&AOQ-m");
        for (Outcome outcome : List.of(Outcome.SOFTBOUNCE, Outcome.AUTORESPOND, Outcome.UNSUBSCRIBE, Outcome.HANDLED)) {
            folders.put(outcome, ".debug");
        }
        folders.put(Outcome.UNRECOGNISED, ".error");
        settleAndCompare(folders);
    }

    @Test
    void handledMailIsDeletedWhenDebugIsOff() throws Exception {
        writeProperties(manual());
        settleAndCompare(Map.of(Outcome.UNRECOGNISED, ".error"));
    }

    /** Settles the corpus by each outcome in turn, leaving every tenth mail alone, and looks where it is then. */
    private void settleAndCompare(Map<Outcome, String> folders) throws Exception {
        List<byte[]> mails = corpus();
        fill(mails);
        Map<String, Map<String, Integer>> expected = new TreeMap<>();
        Set<String> again = new TreeSet<>();
        int read = 0;
        Session session = Session.getInstance(new java.util.Properties());
        try (BounceMailbox mailbox = BounceMailbox.builder().umHome(umHome).open()) {
            int index = 0;
            for (BounceMessage mail : mailbox.fetch()) {
                parse(session, mail);
                int turn = index++ % (Outcome.values().length + 1);
                Outcome outcome = turn < Outcome.values().length ? Outcome.values()[turn] : null;
                boolean stays = outcome == null || outcome == Outcome.KEEP || outcome == Outcome.KEEP_READ;
                if (outcome != null) {
                    assertTrue(mailbox.settle(mail, outcome));
                    assertFalse(mailbox.settle(mail, Outcome.KEEP), "the first settlement counts");
                }
                if (outcome == Outcome.KEEP_READ) {
                    read++;
                } else if (stays) {
                    again.add(mail.id());
                }
                String folder = stays ? "" : folders.get(outcome);
                if (folder != null) {
                    expected.computeIfAbsent(folder, name -> new TreeMap<>()).merge(digest(mail.bytes()), 1, Integer::sum);
                }
            }
            assertEquals(mails.size(), index);
            mailbox.flush();
            for (Map.Entry<String, Map<String, Integer>> folder : expected.entrySet()) {
                assertEquals(folder.getValue(), onDisk(folder.getKey()), folder.getKey());
            }
            assertEquals(expected.keySet(), foldersOnDisk());
            assertEquals(read, seenOnDisk());

            // Each of them once, in whatever order a server answers two commands.
            for (BounceMessage mail : mailbox.fetch()) {
                assertTrue(again.remove(mail.id()), mail.id() + " was handed out again");
            }
            assertEquals(Set.of(), again, "kept, and not handed out again");
        }
    }

    @Test
    void settingsOfUmDoAsWellAsFiles() throws Exception {
        fill(List.of("Subject: one\n\n1\n".getBytes(StandardCharsets.UTF_8), "Subject: two\n\n2\n".getBytes(StandardCharsets.UTF_8),
                "Subject: three\n\n3\n".getBytes(StandardCharsets.UTF_8)));
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(manual()::get).open()) {
            for (BounceMessage mail : mailbox.fetch()) {
                if (mail.uid() == 1) {
                    assertTrue(mailbox.move(mail, "by hand.checked"));
                } else if (mail.uid() == 2) {
                    assertTrue(mailbox.delete(mail));
                }
            }
        }
        // close() has told the server.
        assertEquals(Set.of("", ".by hand.checked"), foldersOnDisk());
        assertEquals(1, onDisk(".by hand.checked").size());
        assertEquals(Map.of(digest("Subject: three\r\n\r\n3\r\n".getBytes(StandardCharsets.UTF_8)), 1), onDisk(""));
    }

    @Test
    void readMailIsReadAgainOnlyWithProcessAll() throws Exception {
        fill(List.of("Subject: one\n\n1\n".getBytes(StandardCharsets.UTF_8)));
        Map<String, String> settings = manual();
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).open()) {
            for (BounceMessage mail : mailbox.fetch()) {
                mailbox.settle(mail, Outcome.KEEP_READ);
            }
            mailbox.flush();
            assertFalse(mailbox.fetch().iterator().hasNext());
        }
        settings.put("cmsbs.bounce.processAll", "true");
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).open()) {
            BounceMessage mail = mailbox.fetch().iterator().next();
            assertTrue(mail.flags().contains("\\Seen"), mail.flags().toString());
        }
    }

    @Test
    void aNewerFetchEndsTheOneBefore() throws Exception {
        fill(List.of("Subject: one\n\n1\n".getBytes(StandardCharsets.UTF_8)));
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(manual()).open()) {
            Iterable<BounceMessage> first = mailbox.fetch();
            Iterable<BounceMessage> second = mailbox.fetch();
            MailboxException e = assertThrows(MailboxException.class, () -> first.iterator().hasNext());
            assertEquals(MailboxException.Kind.USAGE, e.kind());
            assertTrue(second.iterator().hasNext());
        }
    }

    @Test
    void aRefusedSecretIsAFailureOfTheToken() {
        Map<String, String> settings = manual();
        settings.put("cmsbs.mail.imap.oauth2.clientSecret", "not-the-secret");
        MailboxException e = failure(settings);
        assertEquals(MailboxException.Kind.TOKEN, e.kind(), e.getMessage());
        assertEquals("token", e.step());
        assertTrue(e.observed().contains("invalid_client"), e.observed());
        assertEquals(Optional.of("cmsbs.mail.imap.oauth2.clientSecret"), e.key());
        assertFalse(e.toString().contains("not-the-secret"), e.toString());
    }

    @Test
    void aRefusedLoginIsAFailureOfTheLogin() {
        Map<String, String> settings = manual();
        settings.put("cmsbs.mail.imap.user", UUID.randomUUID() + "@example.test");
        MailboxException e = failure(settings);
        assertEquals(MailboxException.Kind.LOGIN, e.kind(), e.getMessage());
        assertEquals("login", e.step());
    }

    @Test
    void anUnknownCertificateIsAFailureOfTls() {
        Map<String, String> settings = manual();
        settings.remove("cmsbs.mail.imap.ssl.caFile");
        MailboxException e = failure(settings);
        assertEquals(MailboxException.Kind.TLS, e.kind(), e.getMessage());
        assertEquals("tls", e.step());
    }

    @Test
    void anUnreachableServerIsAFailureOfTheNetwork() {
        Map<String, String> settings = manual();
        settings.put("cmsbs.mail.imap.port", "1");
        MailboxException e = failure(settings);
        assertEquals(MailboxException.Kind.NETWORK, e.kind(), e.getMessage());
        assertEquals("connect", e.step());
        assertTrue(e.retryable());
    }

    @Test
    void aMailLargerThanTheBufferIsReadFromItsFileUntilItIsClosed() throws Exception {
        byte[] large = new byte[3_000_000];
        for (int i = 0; i < large.length; i++) {
            large[i] = (byte) (i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'a' + i % 23);
        }
        fill(List.of(large, corpus().get(0)));
        Map<String, String> settings = manual();
        settings.put("cmsbs.mail.imap.fetch.buffer", "1048576");
        List<BounceMessage> mails = new ArrayList<>();
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).open()) {
            mailbox.fetch().forEach(mails::add);
        }
        mails.sort(Comparator.comparing(BounceMessage::uid));
        // The mailbox is closed by now.
        BounceMessage mail = mails.get(0);
        assertEquals(large.length, mail.size());
        assertArrayEquals(large, mail.bytes());
        try (InputStream one = mail.inputStream(); InputStream other = mail.inputStream()) {
            assertEquals('a', one.read());
            assertArrayEquals(large, other.readAllBytes());
            assertEquals('b', one.read());
        }
        InputStream open = mail.inputStream();
        mail.close();
        mail.close();
        assertThrows(IOException.class, open::read);
        assertThrows(UncheckedIOException.class, mail::bytes);
        mails.get(1).close();
        assertArrayEquals(asServed(corpus().get(0)), mails.get(1).bytes());
    }

    @Test
    void healthOutlivesTheMailboxAndItsFunctionIsToldOfTheWorseAndTheBetter() throws Exception {
        fill(corpus().subList(0, 3));
        Map<String, String> settings = manual();
        settings.put("cmsbs.mail.imap.oauth2.clientSecret", "not-the-secret");
        List<Health> told = new ArrayList<>();
        BounceMailbox.Builder builder = BounceMailbox.builder().settings(settings).onHealth(told::add);
        try (BounceMailbox mailbox = builder.open()) {
            assertEquals(Health.State.WELL, mailbox.health().state());
            assertThrows(MailboxException.class, mailbox::fetch);
            assertThrows(MailboxException.class, mailbox::fetch);
            Health health = mailbox.health();
            assertEquals(Health.State.FAILING, health.state());
            assertEquals(2, health.failures());
            assertEquals(MailboxException.Kind.TOKEN, health.failure().orElseThrow().kind());
            assertTrue(health.failingSince().isPresent());
            assertEquals(Optional.empty(), health.lastSuccess());
            assertTrue(health.toString().contains("invalid_client"), health.toString());
        }
        settings.put("cmsbs.mail.imap.oauth2.clientSecret", System.getenv(SECRET));
        settings.put("cmsbs.mail.imap.oauth2.clientSecretExpires", LocalDate.now(ZoneOffset.UTC).plusDays(9).toString());
        try (BounceMailbox mailbox = builder.open()) {
            assertEquals(2, mailbox.health().failures());
            mailbox.fetch().forEach(mail -> mailbox.settle(mail, Outcome.KEEP));
            mailbox.flush();
            Health health = mailbox.health();
            assertEquals(Health.State.WARNING, health.state(), "the secret ends soon");
            assertEquals(0, health.failures());
            assertTrue(health.lastSuccess().isPresent());
            assertEquals(Optional.of(LocalDate.now(ZoneOffset.UTC).plusDays(9)), health.credentialEnds());
            assertTrue(health.warnings().get(0).observed().contains("in 9 days"), health.toString());
            assertFalse(health.warnings().get(0).remedy().isEmpty());
            assertEquals(user + "/INBOX", health.mailbox());
        }
        assertEquals(List.of(Health.State.FAILING, Health.State.FAILING, Health.State.WARNING),
                told.stream().map(Health::state).collect(Collectors.toList()));
    }

    @Test
    void aCheckTellsOfEachStepAndChangesNothing() throws Exception {
        List<byte[]> mails = corpus().subList(0, 3);
        fill(mails);
        Map<String, String> settings = manual();
        settings.put("cmsbs.lang", "en");
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).open()) {
            CheckReport report = mailbox.check();
            assertEquals(CheckReport.Outcome.WELL, report.outcome(), report.toString());
            List<String> names = report.steps().stream().map(CheckReport.Step::name).distinct().collect(Collectors.toList());
            assertEquals(List.of("configuration", "files", "proxy", "dns", "tcp", "tls", "token", "claims", "greeting",
                    "login", "namespace", "inbox", "junk", "folders", "deletion", "clock", "expiry"), names);
            CheckReport.Step inbox = step(report, "inbox");
            assertEquals(CheckReport.Status.DONE, inbox.status());
            assertEquals(List.of("INBOX: 3 mails, 3 unread"), inbox.seen());
            assertEquals(Optional.empty(), inbox.failure());
            assertEquals(Optional.of("imap"), step(report, "greeting").connection());
            assertTrue(report.toJson().contains("\"outcome\": \"well\""), report.toJson());
            assertTrue(report.toString().contains("All is well: "), report.toString());
            assertFalse(report.toString().contains("\u001b"), "no colours");
        }
        assertEquals(counted(mails), onDisk(""));
        assertEquals(0, seenOnDisk());
    }

    @Test
    void aCheckExplainsWhatFailsAndThrowsNothing() {
        Map<String, String> settings = manual();
        settings.put("cmsbs.mail.imap.oauth2.clientSecret", "not-the-secret");
        settings.put("cmsbs.lang", "de");
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).open()) {
            CheckReport report = mailbox.check();
            assertEquals(CheckReport.Outcome.FAILED, report.outcome());
            MailboxException failure = step(report, "token").failure().orElseThrow();
            assertEquals(MailboxException.Kind.TOKEN, failure.kind());
            assertFalse(failure.causeText().isEmpty());
            assertFalse(failure.remedy().isEmpty());
            assertEquals(CheckReport.Status.DONE, step(report, "greeting").status());
            assertEquals(CheckReport.Status.NOT_REACHED, step(report, "login").status());
            assertEquals("Zugriffstoken: FAILED", step(report, "token").toString());
            assertFalse((report + report.toJson() + failure).contains("not-the-secret"), report.toString());
        }
    }

    @Test
    void aCheckTestsTheCredentialThatIsConfiguredNow() {
        Map<String, String> settings = manual();
        settings.put("cmsbs.mail.imap.oauth2.clientSecret", "not-the-secret");
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).open()) {
            assertEquals(CheckReport.Status.FAILED, step(mailbox.check(), "token").status());
            settings.put("cmsbs.mail.imap.oauth2.clientSecret", System.getenv(SECRET));
            assertEquals(CheckReport.Status.DONE, step(mailbox.check(), "token").status());
        }
    }

    @Test
    void closeEndsACheckThatWaitsForTheServer() throws Exception {
        try (ServerSocket silent = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            Map<String, String> settings = manual();
            settings.put("cmsbs.mail.imap.port", Integer.toString(silent.getLocalPort()));
            BounceMailbox mailbox = BounceMailbox.builder().settings(settings).open();
            CompletableFuture<CheckReport> check = CompletableFuture.supplyAsync(mailbox::check);
            silent.accept();
            mailbox.close();
            ExecutionException e = assertThrows(ExecutionException.class, () -> check.get(5, TimeUnit.SECONDS));
            assertEquals(MailboxException.Kind.CLOSED, ((MailboxException) e.getCause()).kind());
        }
    }

    private static CheckReport.Step step(CheckReport report, String name) {
        return report.steps().stream().filter(step -> step.name().equals(name)).findFirst().orElseThrow();
    }

    private static MailboxException failure(Map<String, String> settings) {
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).open()) {
            return assertThrows(MailboxException.class, () -> mailbox.fetch().iterator().hasNext());
        }
    }

    /** As UM does; a mail that JavaMail cannot read is none that UM can. */
    private static void parse(Session session, BounceMessage mail) throws IOException {
        try {
            assertNotNull(new MimeMessage(session, mail.inputStream()).getAllHeaderLines());
        } catch (MessagingException e) {
            throw new IOException(mail.id(), e);
        }
    }

    /** The OAuth2 block of UM's manual, and the CA of the test's servers. */
    private Map<String, String> manual() {
        Map<String, String> properties = new LinkedHashMap<>();
        properties.put("cmsbs.startbounce", "true");
        properties.put("cmsbs.mail.imap.server", "localhost");
        properties.put("cmsbs.mail.imap.port", System.getenv(IMAP_PORT));
        properties.put("cmsbs.mail.imap.ssl", "true");
        properties.put("cmsbs.mail.imap.user", user);
        properties.put("cmsbs.mail.imap.password", "");
        properties.put("cmsbs.mail.imap.authenticationMethod", "oauth2");
        properties.put("cmsbs.mail.imap.oauth2.accessTokenUri", System.getenv(TOKEN_URI));
        properties.put("cmsbs.mail.imap.oauth2.clientId", clientId);
        properties.put("cmsbs.mail.imap.oauth2.clientSecret", System.getenv(SECRET));
        properties.put("cmsbs.mail.imap.oauth2.scope", "https://outlook.office365.com/.default");
        properties.put("cmsbs.mail.imap.oauth2.grantType", "client_credentials");
        properties.put("cmsbs.mail.imap.oauth2.debug", "true");
        properties.put("cmsbs.mail.imap.ssl.caFile", System.getenv(CA));
        return properties;
    }

    private void writeProperties(Map<String, String> properties) throws IOException {
        StringBuilder text = new StringBuilder();
        properties.forEach((key, value) ->
                text.append(key).append(" = \"").append(value.replace("\\", "\\\\").replace("\"", "\\\"")).append("\"\n"));
        Path file = umHome.resolve("cmsbs-conf/cmsbs.properties");
        Files.createDirectories(file.getParent());
        Files.writeString(file, text, StandardCharsets.ISO_8859_1);
    }

    /** The project's own mails, and the real ones where there are some. */
    private static List<byte[]> corpus() throws IOException {
        List<byte[]> mails = new ArrayList<>();
        for (String name : List.of(CORPUS, REAL_BOUNCES)) {
            if (System.getenv(name) != null) {
                for (Path file : children(Path.of(System.getenv(name)))) {
                    if (file.toString().endsWith(".eml")) {
                        mails.add(Files.readAllBytes(file));
                    }
                }
            }
        }
        assertTrue(mails.size() >= 600, "only " + mails.size() + " mails in " + System.getenv(CORPUS));
        return mails;
    }

    /** Unread mails, whose UIDs are 1, 2, 3 … since Dovecot gives them by the time in the name. */
    private void fill(List<byte[]> mails) throws IOException {
        for (Path directory : List.of(maildir, maildir.resolve("cur"), maildir.resolve("new"), maildir.resolve("tmp"))) {
            give(Files.createDirectory(directory));
        }
        for (int i = 0; i < mails.size(); i++) {
            long time = FIRST_TIME + i;
            Path file = maildir.resolve("new").resolve(time + ".M" + i + "P1.test");
            Files.write(file, mails.get(i));
            Files.setLastModifiedTime(file, FileTime.from(Instant.ofEpochSecond(time)));
            give(file);
        }
    }

    /** Dovecot works as the owner of the directory that holds the mailboxes. */
    private static void give(Path path) throws IOException {
        Object owner = Files.getAttribute(mail(), "unix:uid");
        if (!owner.equals(Files.getAttribute(path, "unix:uid"))) {
            Files.setAttribute(path, "unix:uid", owner);
        }
    }

    private static Path mail() {
        return Path.of(System.getenv(TEST_DIR), "mail");
    }

    /** What Dovecot 2.3 sends for a file: lone LF as CRLF, NUL as 0x80 (RFC 9051 §4.3), all else as it is. */
    private static byte[] asServed(byte[] file) {
        ByteArrayOutputStream served = new ByteArrayOutputStream(file.length + file.length / 32);
        for (int i = 0; i < file.length; i++) {
            if (file[i] == '\n' && (i == 0 || file[i - 1] != '\r')) {
                served.write('\r');
            }
            served.write(file[i] == 0 ? 0x80 : file[i]);
        }
        return served.toByteArray();
    }

    private static Map<String, Integer> counted(List<byte[]> mails) {
        Map<String, Integer> counted = new TreeMap<>();
        mails.forEach(mail -> counted.merge(digest(asServed(mail)), 1, Integer::sum));
        return counted;
    }

    /** The mails that lie in a folder (empty: the inbox) on disk, as they are served, and how often each. */
    private Map<String, Integer> onDisk(String folder) throws IOException {
        List<byte[]> mails = new ArrayList<>();
        for (Path file : files(folder)) {
            mails.add(Files.readAllBytes(file));
        }
        return counted(mails);
    }

    /** The folders that hold mail on disk; the inbox is the empty one. */
    private Set<String> foldersOnDisk() throws IOException {
        Set<String> folders = new HashSet<>();
        for (Path child : children(maildir)) {
            String name = child.getFileName().toString();
            if (name.startsWith(".") && Files.isDirectory(child) && !files(name).isEmpty()) {
                folders.add(name);
            }
        }
        if (!files("").isEmpty()) {
            folders.add("");
        }
        return folders;
    }

    /** How many mails of the inbox are marked as read on disk. */
    private long seenOnDisk() throws IOException {
        return files("").stream().filter(file -> file.toString().matches(".*:2,[A-Z]*S[A-Z]*")).count();
    }

    private List<Path> files(String folder) throws IOException {
        List<Path> files = new ArrayList<>(children(maildir.resolve(folder).resolve("cur")));
        files.addAll(children(maildir.resolve(folder).resolve("new")));
        return files;
    }

    private static List<Path> children(Path directory) throws IOException {
        if (!Files.isDirectory(directory)) {
            return List.of();
        }
        try (Stream<Path> paths = Files.list(directory)) {
            return paths.sorted().collect(Collectors.toList());
        }
    }

    /** Enough to tell the mails of a corpus apart. */
    private static String digest(byte[] octets) {
        return octets.length + " octets, " + Integer.toHexString(Arrays.hashCode(octets));
    }
}
