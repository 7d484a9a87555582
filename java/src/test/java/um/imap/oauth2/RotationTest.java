package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A credential is replaced while a mailbox is open, at the server and in the configuration. */
class RotationTest {
    private static final String SECRET = "cmsbs.mail.imap.oauth2.clientSecret";
    private static final String NEW = "another~secret/+=&% %";

    @TempDir
    private Path directory;

    @Test
    void aSecretThatIsRotatedBetweenTwoPollsIsUsed() throws Exception {
        try (Standin standin = new Standin(directory, Standin.withMails(2, ""))) {
            Map<String, String> settings = new ConcurrentHashMap<>(standin.settings());
            try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).open()) {
                assertEquals(List.of(1L, 2L), read(mailbox));
                standin.rotate(NEW);
                standin.ask("\"drop_connections\"");
                settings.put(SECRET, NEW);
                assertEquals(List.of(1L, 2L), read(mailbox));
            }
        }
    }

    @Test
    void aSecretThatIsRotatedInTheMiddleOfAFetchDoesNotEndIt() throws Exception {
        try (Standin standin = new Standin(directory, Standin.withMails(400, ""))) {
            Map<String, String> settings = new ConcurrentHashMap<>(standin.settings());
            settings.put("cmsbs.mail.imap.fetch.pipeline", "1");
            settings.put("cmsbs.bounce.debug", "true");
            // The second FETCH of mails: eight have come by then.
            standin.ask("{\"fault\": {\"on\": \"UID FETCH\", \"containing\": \"BODY\", \"nth\": 2, \"do\": ["
                    + "{\"change\": {\"secrets\": {\"values\": [\"" + NEW + "\"]}}}, {\"change\": \"expire_tokens\"},"
                    + " {\"send\": \"* BYE Session invalidated - AccessTokenExpired\\r\\n\"}, \"close\"]}}");
            try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).open()) {
                List<Long> uids = new ArrayList<>();
                for (BounceMessage mail : mailbox.fetch()) {
                    // UM has the new one by the time that the old one is refused.
                    settings.put(SECRET, NEW);
                    uids.add(mail.uid());
                    assertTrue(mailbox.settle(mail, Outcome.HANDLED));
                }
                mailbox.flush();
                assertEquals(400, uids.size());
                assertEquals(400, uids.stream().distinct().count());
            }
            assertTrue(standin.ask("\"folders\"").contains("\"INBOX\":0"), standin.ask("\"folders\""));
            // One that the old secret gets, one that it does not get any more, one by the new one.
            String counters = standin.ask("\"counters\"");
            assertTrue(counters.contains("\"token_requests\":3"), counters);
        }
    }

    @Test
    void aSecretInAFileIsReadAgain() throws Exception {
        Path file = Files.writeString(directory.resolve("secret"), Standin.SECRET + "\n");
        try (Standin standin = new Standin(directory, Standin.withMails(1, ""))) {
            Map<String, String> settings = standin.settings();
            settings.remove(SECRET);
            settings.put(SECRET + "$file", file.toString());
            try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).open()) {
                assertEquals(List.of(1L), read(mailbox));
                standin.rotate(NEW);
                standin.ask("\"drop_connections\"");
                Files.writeString(file, NEW);
                assertEquals(List.of(1L), read(mailbox));
            }
        }
    }

    @Test
    void aSecretInUmsFilesIsReadAgain() throws Exception {
        try (Standin standin = new Standin(directory, Standin.withMails(1, ""))) {
            Map<String, String> settings = standin.settings();
            writeProperties(settings);
            try (BounceMailbox mailbox = BounceMailbox.builder().umHome(directory).open()) {
                assertEquals(List.of(1L), read(mailbox));
                standin.rotate(NEW);
                standin.ask("\"drop_connections\"");
                settings.put(SECRET, NEW);
                writeProperties(settings);
                assertEquals(List.of(1L), read(mailbox));
            }
        }
    }

    @Test
    void aSecretThatIsStillTheOldOneIsARefusalAfterTheSettingsWereAskedOnce() throws Exception {
        try (Standin standin = new Standin(directory, Standin.withMails(1, ""))) {
            Map<String, String> settings = standin.settings();
            AtomicInteger asked = new AtomicInteger();
            BounceMailbox.Builder builder = BounceMailbox.builder().settings(key -> {
                asked.addAndGet(key.equals(SECRET) ? 1 : 0);
                return settings.get(key);
            });
            try (BounceMailbox mailbox = builder.open()) {
                assertEquals(List.of(1L), read(mailbox));
                assertEquals(1, asked.get(), "as long as nothing is refused");
                standin.rotate(NEW);
                standin.ask("\"drop_connections\"");
                MailboxException e = assertThrows(MailboxException.class, mailbox::fetch);
                assertEquals(MailboxException.Kind.TOKEN, e.kind(), e.getMessage());
                assertEquals(SECRET, e.key().orElse(""));
                assertEquals(2, asked.get());
                assertEquals(0, e.getSuppressed().length);
            }
        }
    }

    @Test
    void aSettingsFunctionThatFailsThenDoesNotHideTheRefusal() throws Exception {
        try (Standin standin = new Standin(directory, Standin.withMails(1, ""))) {
            Map<String, String> settings = new ConcurrentHashMap<>(standin.settings());
            settings.put(SECRET, "wrong");
            CountDownLatch broken = new CountDownLatch(1);
            BounceMailbox.Builder builder = BounceMailbox.builder().settings(key -> {
                if (broken.getCount() == 0) {
                    throw new IllegalStateException("UM is shutting down");
                }
                return settings.get(key);
            });
            try (BounceMailbox mailbox = builder.open()) {
                broken.countDown();
                MailboxException e = assertThrows(MailboxException.class, mailbox::fetch);
                assertEquals(MailboxException.Kind.TOKEN, e.kind(), e.getMessage());
                assertEquals(1, e.getSuppressed().length);
                assertFalse(e.getSuppressed()[0].getMessage().contains("shutting down"));
            }
        }
    }

    @Test
    void aMailboxThatIsClosedWhileTheSettingsAreAskedSaysThatItIsClosed() throws Exception {
        try (Standin standin = new Standin(directory, Standin.withMails(1, ""))) {
            Map<String, String> settings = standin.settings();
            settings.put(SECRET, "wrong");
            AtomicReference<BounceMailbox> toClose = new AtomicReference<>();
            BounceMailbox mailbox = BounceMailbox.builder().settings(key -> {
                BounceMailbox open = toClose.getAndSet(null);
                if (open != null) {
                    open.close();
                }
                return settings.get(key);
            }).open();
            toClose.set(mailbox);
            MailboxException e = assertThrows(MailboxException.class, mailbox::fetch);
            assertEquals(MailboxException.Kind.CLOSED, e.kind(), e.getMessage());
        }
    }

    @Test
    void aConfigurationThatHasBecomeWrongIsWhatCheckFinds() throws Exception {
        try (Standin standin = new Standin(directory, Standin.withMails(1, ""))) {
            Map<String, String> settings = new ConcurrentHashMap<>(standin.settings());
            AtomicBoolean broken = new AtomicBoolean();
            BounceMailbox.Builder builder = BounceMailbox.builder().settings(key -> {
                if (broken.get()) {
                    throw new IllegalStateException("UM is shutting down");
                }
                return settings.get(key);
            });
            try (BounceMailbox mailbox = builder.open()) {
                assertEquals(CheckReport.Outcome.WELL, mailbox.check().outcome());
                settings.remove(SECRET);
                assertEquals(SECRET, unread(mailbox).key().orElse(""));
                broken.set(true);
                assertTrue(unread(mailbox).observed().contains("the settings function failed with java.lang.IllegalStateException"));
                broken.set(false);
                settings.put(SECRET, Standin.SECRET);
                assertEquals(CheckReport.Outcome.WELL, mailbox.check().outcome());
            }
        }
    }

    /** With what the first step of a check fails. */
    private static MailboxException unread(BounceMailbox mailbox) {
        CheckReport report = mailbox.check();
        assertEquals(CheckReport.Outcome.FAILED, report.outcome(), report.toString());
        CheckReport.Step first = report.steps().get(0);
        assertEquals("configuration", first.name());
        MailboxException failure = first.failure().orElseThrow();
        assertEquals(MailboxException.Kind.CONFIGURATION, failure.kind());
        assertFalse(failure.remedy().isEmpty());
        return failure;
    }

    private static List<Long> read(BounceMailbox mailbox) {
        List<Long> uids = new ArrayList<>();
        mailbox.fetch().forEach(mail -> uids.add(mail.uid()));
        return uids;
    }

    private void writeProperties(Map<String, String> properties) throws Exception {
        StringBuilder text = new StringBuilder();
        properties.forEach((key, value) -> text.append(key).append(" = \"").append(value).append("\"\n"));
        Files.createDirectories(directory.resolve("cmsbs-conf"));
        Files.writeString(directory.resolve("cmsbs-conf/cmsbs.properties"), text);
    }
}
