package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
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

    @Test
    void nearTheEndOfItsStackAThreadGetsAnErrorAndTheJvmGoesOn() throws Exception {
        new ChildJvm(directory).runSilently(Stack.class, directory.toString());
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

    static final class Stack {
        private static final int SIZE = 512 << 10;
        private static final Error DONE = new Error("done", null, false, false) { };

        private final Set<Throwable> thrown = ConcurrentHashMap.newKeySet();

        public static void main(String[] arguments) throws Exception {
            try (Standin standin = new Standin(Path.of(arguments[0]), Standin.withMails(MAILS, ""))) {
                new Stack().overflow(standin.settings());
                try (BounceMailbox mailbox = ScarcityTest.open(standin.settings())) {
                    Set<Long> uids = new HashSet<>();
                    mailbox.fetch().forEach(mail -> uids.add(mail.uid()));
                    assertEquals(MAILS, uids.size());
                }
            }
        }

        private void overflow(Map<String, String> settings) throws InterruptedException {
            prepareJava(settings);
            Map<String, String> wrong = new HashMap<>(settings);
            wrong.remove("cmsbs.mail.imap.server");
            for (int i = 0; i < 3; i++) {
                BounceMailbox mailbox = ScarcityTest.open(settings);
                Iterator<BounceMessage> mails = mailbox.fetch().iterator();
                BounceMessage first = mails.next();
                everywhere(() -> ScarcityTest.open(wrong));
                everywhere(() -> ScarcityTest.open(settings).close());
                everywhere(mailbox::health);
                everywhere(() -> assertTrue(!mails.hasNext() || mails.next() != null));
                everywhere(() -> mailbox.move(first, "INBOX"));
                everywhere(() -> mailbox.settle(first, Outcome.KEEP));
                everywhere(mailbox::check);
                everywhere(mailbox::flush);
                everywhere(mailbox::fetch);
                everywhere(mailbox::close);
                mailbox.close();
                everywhere(mailbox::fetch);
            }
            assertTrue(thrown.stream().anyMatch(StackOverflowError.class::isInstance));
            for (Throwable e : thrown) {
                assertTrue(e instanceof StackOverflowError || e instanceof MailboxException, e.toString());
            }
        }

        /** A class of Java's whose initialisation overflows the stack is of no use afterwards. */
        private static void prepareJava(Map<String, String> settings) throws InterruptedException {
            try (BounceMailbox mailbox = ScarcityTest.open(settings)) {
                mailbox.fetch().forEach(mail -> mailbox.settle(mail, Outcome.KEEP));
                mailbox.check();
                mailbox.health();
                assertThrows(MailboxException.class, () -> mailbox.move(mailbox.fetch().iterator().next(), "INBOX"))
                        .printStackTrace(new PrintWriter(new StringWriter()));
            }
            CountDownLatch latch = new CountDownLatch(1);
            Thread thread = new Thread(() -> assertDoesNotThrow(() -> latch.await()));
            thread.start();
            Thread.sleep(100);
            latch.countDown();
            thread.join();
        }

        /** Calls it where the stack has no room for it, and where it has just enough. */
        private void everywhere(Executable call) throws InterruptedException {
            Thread thread = new Thread(null, () -> assertThrows(Error.class, () -> down(call)), "near the end", SIZE);
            thread.start();
            thread.join();
        }

        private void down(Executable call) {
            try {
                down(call);
            } catch (StackOverflowError e) {
                // The caller's turn.
            }
            try {
                call.execute();
            } catch (StackOverflowError e) {
                thrown.add(e);
                throw e;
            } catch (Throwable e) {
                thrown.add(e);
            }
            throw DONE;
        }
    }

    private static BounceMailbox open(Map<String, String> settings) {
        return BounceMailbox.builder().settings(settings).log((level, text) -> { }).open();
    }
}
