package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import jakarta.mail.FetchProfile;
import jakarta.mail.Folder;
import jakarta.mail.Message;
import jakarta.mail.Session;
import jakarta.mail.Store;
import jakarta.mail.UIDFolder;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.eclipse.angus.mail.imap.IMAPStore;
import org.junit.jupiter.api.Test;

/** Compares the library with Angus, the reference for a readable dialogue: the library reads each dialogue that Angus reads to its end. */
class DialectsTest {
    /** The dialogues that Angus reads and the library does not, each with its reason: a line by its text, a dialect by its name. */
    private static final Map<String, String> EXCEPTIONS = Map.of(
            "PREAUTH", "Nobody knows whose mailbox a server opens without a login, so the library refuses it with that reason.");

    private final List<String> onlyAngus = new ArrayList<>();
    private final Set<String> exceptions = new TreeSet<>();

    @Test
    void anOddLineAnywhereIsReadAsAngusReadsIt() throws Exception {
        int sessions = 0;
        for (String line : lines()) {
            // Places are numbers of responses; a session has about 25.
            for (int place = 1;; place++) {
                OddServer.Dialect dialect = OddServer.Dialect.with(line, place);
                OddServer.Result ours = ours(dialect);
                if (!ours.complete()) {
                    compare(line, dialect, ours);
                }
                sessions++;
                if (!ours.reached()) {
                    break;
                }
            }
        }
        assertTrue(sessions > 500, sessions + " sessions");
        assertEquals(List.of(), onlyAngus);
    }

    @Test
    void aSessionInAnotherDialectIsReadAsAngusReadsIt() throws Exception {
        Map<String, OddServer.Dialect> dialects = OddServer.dialects();
        int read = 0;
        for (Map.Entry<String, OddServer.Dialect> dialect : dialects.entrySet()) {
            OddServer.Result ours = ours(dialect.getValue());
            read += ours.complete() ? 1 : 0;
            if (!ours.complete()) {
                compare(dialect.getKey(), dialect.getValue(), ours);
            }
        }
        assertEquals(List.of(), onlyAngus);
        assertEquals(EXCEPTIONS.keySet(), exceptions, "exceptions that are none any more");
        assertEquals(dialects.size() - EXCEPTIONS.size(), read, "dialects that the library reads");
    }

    @Test
    void angusReadsAnOrdinarySession() throws Exception {
        OddServer.Result angus = angus(new OddServer.Dialect());
        assertTrue(angus.complete(), angus::failure);
    }

    /** Looks whether Angus reads what the library did not. */
    private void compare(String name, OddServer.Dialect dialect, OddServer.Result ours) throws IOException {
        OddServer.Result angus = angus(dialect);
        if (angus.complete()) {
            if (EXCEPTIONS.containsKey(name)) {
                exceptions.add(name);
            } else {
                onlyAngus.add(name + ", before response " + dialect.place() + ": " + ours.failure());
            }
        }
    }

    private static OddServer.Result ours(OddServer.Dialect dialect) throws IOException {
        try (OddServer server = new OddServer(dialect)) {
            Map<String, String> settings = new LinkedHashMap<>();
            settings.put("cmsbs.mail.imap.server", "127.0.0.1");
            settings.put("cmsbs.mail.imap.port", String.valueOf(server.port()));
            settings.put("cmsbs.mail.imap.user", "um");
            settings.put("cmsbs.mail.imap.password", "secret");
            settings.put("cmsbs.mail.imap.journal", "none");
            settings.put("cmsbs.mail.imap.fetch.patience", "1s");
            settings.put("cmsbs.lang", "en");
            Map<Long, byte[]> read = new TreeMap<>();
            String failure = "";
            try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).log((level, text) -> { }).open()) {
                for (BounceMessage message : mailbox.fetch()) {
                    read.put(message.uid(), message.bytes());
                }
            } catch (MailboxException e) {
                failure = e.getMessage();
            }
            return server.result(read, failure);
        }
    }

    private static OddServer.Result angus(OddServer.Dialect dialect) throws IOException {
        try (OddServer server = new OddServer(dialect)) {
            Properties properties = new Properties();
            properties.put("mail.imap.peek", "true");
            properties.put("mail.imap.partialfetch", "false");
            properties.put("mail.imap.timeout", "1000");
            Map<Long, byte[]> read = new TreeMap<>();
            String failure = "";
            // Not by its name: JavaMail on the same class path has a store of that name, too.
            try (Store store = new IMAPStore(Session.getInstance(properties), null)) {
                store.connect("127.0.0.1", server.port(), "um", "secret");
                store.getDefaultFolder().list("*");
                Folder inbox = store.getFolder("INBOX");
                inbox.open(Folder.READ_WRITE);
                Message[] messages = inbox.getMessages();
                FetchProfile profile = new FetchProfile();
                profile.add(UIDFolder.FetchProfileItem.UID);
                profile.add(UIDFolder.FetchProfileItem.FLAGS);
                inbox.fetch(messages, profile);
                for (Message message : messages) {
                    ByteArrayOutputStream octets = new ByteArrayOutputStream();
                    message.writeTo(octets);
                    read.put(((UIDFolder) inbox).getUID(message), octets.toByteArray());
                }
            } catch (Exception e) {
                // Whatever it throws, it has not read the session to its end.
                failure = e.toString();
            }
            return server.result(read, failure);
        }
    }

    /** The lines of tests/dialects/lines.txt, with an octet in each character. */
    private static List<String> lines() throws IOException {
        Pattern octet = Pattern.compile("\\\\x(\\p{XDigit}{2})");
        List<String> lines = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of("..", "tests", "dialects", "lines.txt"), StandardCharsets.US_ASCII)) {
            if (line.startsWith("S:")) {
                String text = line.substring(2).replaceFirst("^ ", "");
                lines.add(octet.matcher(text).replaceAll(found -> Matcher.quoteReplacement(String.valueOf((char) Integer.parseInt(found.group(1), 16)))));
            }
        }
        assertTrue(lines.size() > 40);
        return lines;
    }
}
