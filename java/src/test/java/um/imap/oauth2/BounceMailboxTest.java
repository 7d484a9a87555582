package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** What needs the native library but no server. */
class BounceMailboxTest {
    @Test
    void aBuilderWithoutAConfigurationIsRefused() {
        assertFails(MailboxException.Kind.USAGE, () -> BounceMailbox.builder().open());
    }

    @Test
    void aBuilderWithTwoConfigurationsIsRefused() {
        assertFails(MailboxException.Kind.USAGE,
                () -> BounceMailbox.builder().settings(Map.of()).umHome(Path.of("/opt/um")).open());
    }

    @Test
    void aMissingPropertyIsNamed() {
        Map<String, String> settings = ExampleSettings.oauth2();
        settings.remove("cmsbs.mail.imap.server");
        MailboxException e = assertFails(MailboxException.Kind.CONFIGURATION,
                () -> BounceMailbox.builder().settings(settings).open());
        assertEquals("cmsbs.mail.imap.server", e.key().orElse(""));
        assertEquals("configuration", e.step());
        assertFalse(e.retryable());
    }

    @Test
    void anAuthorityThatCannotBeReadIsExplained() {
        Map<String, String> settings = new HashMap<>(Map.of("cmsbs.lang", "en"));
        ExampleSettings.oauth2().forEach((key, value) -> settings.put(key.replace("cmsbs.", "cmsbs.bouncelistener.inbox_2."), value));
        settings.put("cmsbs.bouncelistener.inbox_2.mail.imap.ssl.caFile", "/nowhere/ca.pem");
        MailboxException e = assertFails(MailboxException.Kind.CONFIGURATION,
                () -> BounceMailbox.builder().settings(settings).listener("inbox_2").open());
        assertEquals("cmsbs.bouncelistener.inbox_2.mail.imap.ssl.caFile", e.key().orElse(""));
        assertTrue(e.observed().startsWith("/nowhere/ca.pem: "), e.observed());
        assertFalse(e.causeText().isEmpty(), e.getMessage());
        assertTrue(e.remedy().contains("PEM"), e.remedy());
    }

    @Test
    void aHomeWithoutPropertiesIsNamed(@TempDir Path home) {
        MailboxException e = assertFails(MailboxException.Kind.CONFIGURATION,
                () -> BounceMailbox.builder().umHome(home).open());
        assertTrue(e.getMessage().contains(home.toString()), e.getMessage());
    }

    @Test
    void theSettingsAreAskedForEachKeyAndItsFileAtEachOpen() {
        Map<String, String> settings = ExampleSettings.oauth2();
        List<String> asked = new ArrayList<>();
        BounceMailbox.Builder builder = BounceMailbox.builder().settings(key -> {
            asked.add(key);
            return settings.get(key);
        });
        builder.open().close();
        Set<String> first = new HashSet<>(asked);
        for (String key : List.of("cmsbs.mail.imap.server", "cmsbs.mail.imap.user", "cmsbs.mail.imap.oauth2.clientSecret")) {
            assertTrue(first.contains(key), key);
            assertTrue(first.contains(key + "$file"), key + "$file");
        }
        asked.clear();
        builder.open().close();
        assertEquals(first, new HashSet<>(asked));
    }

    @Test
    void aListenersKeysAreAskedFor() {
        Set<String> asked = new HashSet<>();
        assertThrows(MailboxException.class, () -> BounceMailbox.builder().listener("inbox_2").settings(key -> {
            asked.add(key);
            return null;
        }).open());
        assertTrue(asked.contains("cmsbs.bouncelistener.inbox_2.mail.imap.server"), asked.toString());
    }

    @Test
    void aSettingsFunctionThatFailsIsNamedWithTheKey() {
        RuntimeException broken = new IllegalStateException("cannot decrypt a value", new IOException("a value"));
        MailboxException e = assertFails(MailboxException.Kind.CONFIGURATION,
                () -> BounceMailbox.builder().workDirectory(Path.of("nowhere")).settings(key -> {
                    throw broken;
                }).open());
        assertTrue(e.key().isPresent());
        StringWriter trace = new StringWriter();
        e.printStackTrace(new PrintWriter(trace));
        assertFalse(trace.toString().contains("a value"), trace.toString());
        assertTrue(trace.toString().contains("Caused by: java.lang.IllegalStateException"), trace.toString());
        assertTrue(trace.toString().contains("Caused by: java.io.IOException"), trace.toString());
        assertArrayEquals(broken.getStackTrace(), e.getCause().getStackTrace());
    }

    @Test
    void noSecretIsInAFailureOfTheConfiguration() {
        Map<String, String> settings = ExampleSettings.oauth2();
        settings.put("cmsbs.mail.imap.port", "many");
        MailboxException e = assertFails(MailboxException.Kind.CONFIGURATION,
                () -> BounceMailbox.builder().settings(settings).open());
        assertEquals("cmsbs.mail.imap.port", e.key().orElse(""));
        assertFalse(e.toString().contains(settings.get("cmsbs.mail.imap.oauth2.clientSecret")));
    }

    @Test
    void aWorkDirectoryIsCreatedWithThoseAboveIt(@TempDir Path directory) {
        Path work = directory.resolve("not/there/yet");
        BounceMailbox.Builder builder = BounceMailbox.builder().settings(ExampleSettings.oauth2()).workDirectory(work);
        try (BounceMailbox mailbox = builder.log((level, text) -> { }).open()) {
            assertFails(MailboxException.Kind.NETWORK, mailbox::fetch);
            assertEquals(List.of(), mailbox.health().warnings());
            assertTrue(Files.isDirectory(work));
        }
    }

    @Test
    void afterCloseEveryCallSaysSo() {
        BounceMailbox mailbox = BounceMailbox.builder().settings(ExampleSettings.oauth2()).open();
        mailbox.close();
        assertFails(MailboxException.Kind.CLOSED, mailbox::fetch);
        assertFails(MailboxException.Kind.CLOSED, mailbox::flush);
        assertDoesNotThrow(mailbox::close);
    }

    @Test
    void aMailOfAnotherMailboxIsRefused() {
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(ExampleSettings.oauth2()).open()) {
            MessageOctets none = new MessageOctets.InMemory(new byte[0]);
            BounceMessage mail = new BounceMessage(new Object(), "other", none, 1, 1, Set.of(), null);
            assertFails(MailboxException.Kind.USAGE, () -> mailbox.settle(mail, Outcome.KEEP));
            assertFails(MailboxException.Kind.USAGE, () -> mailbox.move(mail, "folder"));
            assertFails(MailboxException.Kind.USAGE, () -> mailbox.delete(mail));
        }
    }

    @Test
    void aNullIsANullPointerException() {
        assertThrows(NullPointerException.class, () -> BounceMailbox.builder().umHome(null));
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(ExampleSettings.oauth2()).open()) {
            assertThrows(NullPointerException.class, () -> mailbox.settle(null, Outcome.KEEP));
            assertThrows(NullPointerException.class, () -> mailbox.delete(null));
        }
    }

    @Test
    void aLogThatFailsDisturbsNothing() {
        BounceMailbox mailbox = BounceMailbox.builder().settings(ExampleSettings.oauth2()).log((level, text) -> {
            throw new IllegalStateException("the log is full");
        }).open();
        assertDoesNotThrow(mailbox::close);
    }

    @Test
    void aMailboxIsCalledByItsUserAndInbox() {
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(ExampleSettings.oauth2()).open()) {
            assertEquals("bounces@example.test/INBOX", mailbox.toString());
        }
    }

    @Test
    void aForgottenMailboxIsClosedByTheGarbageCollector() throws InterruptedException {
        Set<String> logged = ConcurrentHashMap.newKeySet();
        Logger logger = Logger.getLogger("um.imap.oauth2");
        Handler handler = new Handler() {
            @Override
            public void publish(LogRecord entry) {
                logged.add(entry.getMessage());
            }

            @Override
            public void flush() {
            }

            @Override
            public void close() {
            }
        };
        logger.addHandler(handler);
        try {
            BounceMailbox.builder().settings(ExampleSettings.oauth2()).open();
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
            while (!logged.contains("A bounce mailbox was abandoned without close()")) {
                assertTrue(System.nanoTime() < end, logged.toString());
                System.gc();
                Thread.sleep(10);
            }
        } finally {
            logger.removeHandler(handler);
        }
    }

    private static MailboxException assertFails(MailboxException.Kind kind, Executable call) {
        MailboxException e = assertThrows(MailboxException.class, call);
        assertEquals(kind, e.kind(), e.getMessage());
        return e;
    }
}
