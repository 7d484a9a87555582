package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Nothing of a mail, and no recipient's address, is in anything that is said of it, however much is logged. */
class ContentTest {
    private static final List<String> PLANTED = List.of("reader.pl4nted@example.org", "pl4nted-host", "pl4nted subject", "pl4nted body", "cGw0bnRlZ");
    private static final String MAIL = "From: MAILER-DAEMON@pl4nted-host.example\r\nTo: reader.pl4nted@example.org\r\n"
            + "X-Original-To: reader.pl4nted@example.org\r\nSubject: pl4nted subject\r\n\r\n"
            + "A1 OK pl4nted body\r\n* 1 FETCH (UID 1 pl4nted body cGw0bnRlZ\r\n* pl4nted body of a list\r\n";

    @TempDir
    private Path directory;

    private final StringBuffer said = new StringBuffer();

    @Test
    void neitherContentNorRecipientsAreInAnythingThatIsSaid() throws Exception {
        poll("");
        assertTrue(said.indexOf("S: ") >= 0 && said.indexOf("octets") >= 0, "there is no trace in\n" + said);
        // Servers that count wrongly: what follows of the mail is taken for protocol, or what follows the mail for a part of it.
        int length = MAIL.length();
        for (int wrong : new int[] {0, 10, length - 80, length - 30, length - 1, length + 1, length + 50}) {
            poll("{\"on\": \"UID FETCH\", \"containing\": \"BODY\", \"times\": 0, \"do\": [{\"replace\": {\"find\": \"{" + length
                    + "}\", \"with\": \"{" + wrong + "}\"}}, \"answer\"" + (wrong > length ? ", \"close\"" : "") + "]}");
        }
        poll("{\"on\": \"UID FETCH\", \"containing\": \"BODY\", \"times\": 0, \"do\": [{\"cut_after\": 300}, \"answer\"]}");
        poll("{\"on\": \"UID MOVE\", \"times\": 0, \"do\": [{\"send\": \"{tag} NO not now.\\r\\n\"}]}");
        try (Stream<Path> files = Files.walk(directory.resolve("work"))) {
            for (Path file : files.filter(Files::isRegularFile).collect(Collectors.toList())) {
                said.append(Files.readString(file, StandardCharsets.ISO_8859_1));
            }
        }
        for (String planted : PLANTED) {
            int at = said.indexOf(planted);
            assertFalse(at >= 0, () -> planted + " was said: " + said.substring(Math.max(0, at - 300), Math.min(said.length(), at + 100)));
        }
    }

    private void poll(String fault) throws IOException {
        String mail = "{\"base64\": \"" + Base64.getEncoder().encodeToString(MAIL.getBytes(StandardCharsets.US_ASCII)) + "\"}";
        String inbox = "{\"user\": \"" + Standin.USER + "\", \"folders\": [{\"name\": \"INBOX\", \"mails\": [" + mail + ", " + mail + "]}]}";
        try (Standin standin = new Standin(directory, Standin.of(inbox, fault))) {
            Map<String, String> settings = standin.settings();
            settings.put("cmsbs.mail.imap.trace", "true");
            settings.put("cmsbs.mail.imap.oauth2.debug", "true");
            settings.put("cmsbs.bounce.debug", "true");
            settings.put("cmsbs.mail.imap.fetch.patience", "1s");
            BounceMailbox mailbox = BounceMailbox.builder().settings(settings).workDirectory(directory.resolve("work"))
                    .log((level, text) -> said.append(level).append(' ').append(text).append('\n')).onHealth(said::append).open();
            try {
                for (BounceMessage message : mailbox.fetch()) {
                    said.append(message).append(message.flags());
                    mailbox.settle(message, Outcome.SOFTBOUNCE);
                }
                mailbox.flush();
            } catch (MailboxException e) {
                for (Throwable cause = e; cause != null; cause = cause.getCause()) {
                    said.append(cause);
                }
            }
            said.append(mailbox.health()).append(mailbox);
            mailbox.close();
        }
    }
}
