package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** JVMs that lack something. */
class ScarcityTest {
    private static final int MAILS = 6;

    @TempDir
    private Path directory;

    @Test
    void aMailForWhichTheJavaHeapHasNoRoomComesAgain() throws Exception {
        new ChildJvm(directory).with("-Xcheck:jni", "-Xmx32m").runSilently(Heap.class, directory.toString());
    }

    @Test
    void whereNoThreadCanBeStartedTheFetchFailsLikeOneWithoutNetwork() throws Exception {
        // A thread of the library's with such a stack fits no address space.
        new ChildJvm(directory).with("-Xcheck:jni").under("env", "RUST_MIN_STACK=" + (1L << 47))
                .runSilently(Threads.class);
    }

    static final class Heap {
        public static void main(String[] arguments) throws IOException {
            String inbox = "{\"name\": \"INBOX\", \"generate\": {\"count\": " + MAILS
                    + ", \"size\": 7000000, \"large_every\": 0, \"large_size\": 0, \"seen_every\": 0}}";
            String mailboxes = "{\"user\": \"" + Standin.USER + "\", \"folders\": [" + inbox + "]}";
            try (Standin standin = new Standin(Path.of(arguments[0]), Standin.of(mailboxes, ""))) {
                Map<String, String> settings = standin.settings();
                // Room for all of them: else some go to files, and need none in the heap.
                settings.put("cmsbs.mail.imap.fetch.buffer", "64M");
                overflow(settings);
            }
        }

        private static void overflow(Map<String, String> settings) {
            try (BounceMailbox mailbox = open(settings)) {
                Iterator<BounceMessage> mails = mailbox.fetch().iterator();
                List<BounceMessage> kept = new ArrayList<>();
                assertThrows(OutOfMemoryError.class, () -> {
                    while (true) {
                        kept.add(mails.next());
                    }
                });
                assertTrue(kept.size() < MAILS);
                kept.clear();
                Set<Long> uids = new HashSet<>();
                mailbox.fetch().forEach(mail -> uids.add(mail.uid()));
                assertEquals(MAILS, uids.size());
            }
        }
    }

    static final class Threads {
        public static void main(String[] arguments) {
            try (BounceMailbox mailbox = open(ExampleSettings.oauth2())) {
                MailboxException e = assertThrows(MailboxException.class, mailbox::fetch);
                assertEquals(MailboxException.Kind.NETWORK, e.kind(), e.getMessage());
                assertTrue(e.retryable(), e.getMessage());
                assertEquals("too-many-threads", e.id().orElse(""), e.getMessage());
                Health health = mailbox.health();
                assertEquals(Health.State.FAILING, health.state());
                assertEquals(1, health.failures());
                assertEquals(e.getMessage(), health.failure().orElseThrow().getMessage());
            }
        }
    }

    private static BounceMailbox open(Map<String, String> settings) {
        return BounceMailbox.builder().settings(settings).log((level, text) -> { }).open();
    }
}
