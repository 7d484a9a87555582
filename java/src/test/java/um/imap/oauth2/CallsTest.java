package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** Calls in an order that nobody means, against the stand-in. */
class CallsTest {
    @TempDir
    private Path directory;

    @Test
    void anIteratorThatIsGivenUpHalfwayCostsNothing() throws IOException {
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 50), "")); BounceMailbox mailbox = open(standin)) {
            Iterator<BounceMessage> givenUp = mailbox.fetch().iterator();
            BounceMessage first = givenUp.next();
            assertTrue(mailbox.settle(first, Outcome.UNRECOGNISED));
            BounceMessage second = givenUp.next();
            List<Long> again = new ArrayList<>();
            mailbox.fetch().forEach(mail -> again.add(mail.uid()));
            assertEquals(49, again.size());
            assertFalse(again.contains(first.uid()));
            assertTrue(again.contains(second.uid()));
            assertFails(MailboxException.Kind.USAGE, givenUp::next);
        }
    }

    @Test
    void theFirstSettlementOfAMailCounts() throws IOException {
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 1), "")); BounceMailbox mailbox = open(standin)) {
            BounceMessage mail = mailbox.fetch().iterator().next();
            assertTrue(mailbox.settle(mail, Outcome.UNRECOGNISED));
            assertFalse(mailbox.delete(mail));
            assertFalse(mailbox.move(mail, "elsewhere"));
            mailbox.flush();
            assertEquals(1, standin.count("error"));
        }
    }

    @Test
    void aFolderThatNoServerCanHaveIsRefusedAndTheMailStaysToBeSettled() throws IOException {
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 1), "")); BounceMailbox mailbox = open(standin)) {
            BounceMessage mail = mailbox.fetch().iterator().next();
            for (String folder : List.of("", " ", ".", "..", ".a", "a..b", "INBOX.", "inbox", "a. .b", "a\0b", "a\r\nx LOGOUT", "\7", "a\ud800b",
                    "\udc00", "x".repeat(501), "x".repeat(70_000))) {
                assertFails(MailboxException.Kind.USAGE, () -> mailbox.move(mail, folder));
            }
            assertEquals(0, mailbox.health().pending());
            assertTrue(mailbox.move(mail, "\ud83d\ude00".repeat(250)));
            mailbox.flush();
            assertEquals(0, standin.count("INBOX"));
        }
    }

    @Test
    void aMailOutlivesItsMailboxButCannotBeSettledAnyMore() throws IOException {
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 1), ""))) {
            BounceMailbox mailbox = open(standin);
            BounceMessage mail = mailbox.fetch().iterator().next();
            mailbox.close();
            assertTrue(mail.bytes().length > 5_000);
            assertFails(MailboxException.Kind.CLOSED, () -> mailbox.settle(mail, Outcome.HANDLED));
            assertFails(MailboxException.Kind.CLOSED, mailbox::health);
            try (BounceMailbox other = open(standin)) {
                assertFails(MailboxException.Kind.USAGE, () -> other.settle(mail, Outcome.HANDLED));
            }
            assertEquals(1, standin.count("INBOX"));
        }
    }

    @Test
    void closeEndsAFetchThatWaitsForTheServer() throws Exception {
        try (Standin standin = withFault("{\"on\": \"UID SEARCH\", \"do\": [\"stall\"]}")) {
            BounceMailbox mailbox = open(standin);
            CompletableFuture<Object> fetch = CompletableFuture.supplyAsync(mailbox::fetch);
            Vitals.await("at the server", () -> standin.ask("\"counters\"").contains("UID SEARCH"));
            mailbox.close();
            ExecutionException e = assertThrows(ExecutionException.class, fetch::get);
            assertEquals(MailboxException.Kind.CLOSED, ((MailboxException) e.getCause()).kind());
        }
    }

    @Test
    void aSecondCloseWaitsForTheFirst() throws Exception {
        // Long enough for a second close() that does not wait to be too early.
        try (Standin standin = withFault("{\"on\": \"UID MOVE\", \"do\": [{\"wait_ms\": 2000}, \"answer\"]}")) {
            BounceMailbox mailbox = open(standin);
            mailbox.settle(mailbox.fetch().iterator().next(), Outcome.UNRECOGNISED);
            CompletableFuture<Void> first = CompletableFuture.runAsync(mailbox::close);
            Vitals.await("being closed", () -> {
                try {
                    mailbox.health();
                    return false;
                } catch (MailboxException e) {
                    return e.kind() == MailboxException.Kind.CLOSED || e.kind() == MailboxException.Kind.USAGE;
                }
            });
            mailbox.close();
            assertEquals(1, standin.count("error"));
            first.get();
        }
    }

    @Test
    void anInterruptedThreadIsServedAndStaysInterrupted() throws IOException {
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 3), ""))) {
            Thread.currentThread().interrupt();
            BounceMailbox mailbox = open(standin);
            int mails = 0;
            for (BounceMessage mail : mailbox.fetch()) {
                mailbox.settle(mail, Outcome.UNRECOGNISED);
                mails++;
            }
            mailbox.flush();
            mailbox.close();
            assertTrue(Thread.interrupted());
            assertEquals(3, mails);
            assertEquals(3, standin.count("error"));
        } finally {
            Thread.interrupted();
        }
    }

    @Test
    void aLogFunctionMayWaitForAThreadThatAsksTheSameIterator() throws Exception {
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 400), ""))) {
            CountDownLatch logs = new CountDownLatch(1);
            CountDownLatch asked = new CountDownLatch(1);
            AtomicBoolean waits = new AtomicBoolean();
            BounceMailbox mailbox = talkative(standin, () -> {
                if (waits.getAndSet(false)) {
                    logs.countDown();
                    await(asked);
                }
            });
            Iterator<BounceMessage> mails = mailbox.fetch().iterator();
            waits.set(true);
            CompletableFuture<Boolean> first = CompletableFuture.supplyAsync(() -> {
                // Until there is something to say.
                while (waits.get() && mails.hasNext()) {
                    mails.next();
                }
                return true;
            }, CallsTest::inAThread);
            await(logs);
            CompletableFuture<Boolean> second = CompletableFuture.supplyAsync(mails::hasNext, CallsTest::inAThread);
            assertTrue(second.get(60, TimeUnit.SECONDS));
            asked.countDown();
            assertTrue(first.get(60, TimeUnit.SECONDS));
            mailbox.close();
        }
    }

    @Test
    void aLogFunctionMayAskTheIteratorAndNoMailIsLost() throws IOException {
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 200), ""))) {
            AtomicReference<Iterator<BounceMessage>> asked = new AtomicReference<>();
            BounceMailbox mailbox = talkative(standin, () -> {
                Iterator<BounceMessage> mails = asked.getAndSet(null);
                if (mails != null) {
                    mails.hasNext();
                }
            });
            Iterator<BounceMessage> mails = mailbox.fetch().iterator();
            Set<Long> uids = new HashSet<>();
            asked.set(mails);
            while (mails.hasNext()) {
                assertTrue(uids.add(mails.next().uid()));
                asked.set(mails);
            }
            assertEquals(200, uids.size());
            mailbox.close();
        }
    }

    @Test
    void whatLogAndHealthFunctionsThrowCostsNoMailAndHidesNoFailure() throws IOException {
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 50), ""))) {
            Map<String, String> settings = standin.settings();
            settings.put("cmsbs.mail.imap.trace", "true");
            BounceMailbox.Builder builder = BounceMailbox.builder().settings(settings).log((level, text) -> {
                throw new NoClassDefFoundError("org/slf4j/Logger");
            }).onHealth(health -> {
                throw new AssertionError(health);
            });
            List<String> logged = LogTest.librarySays(() -> {
                AtomicInteger mails = new AtomicInteger();
                try (BounceMailbox mailbox = builder.open()) {
                    mailbox.fetch().forEach(mail -> mails.incrementAndGet());
                }
                assertEquals(50, mails.get());
                settings.put("cmsbs.mail.imap.oauth2.clientSecret", "wrong");
                try (BounceMailbox mailbox = builder.open()) {
                    assertFails(MailboxException.Kind.TOKEN, mailbox::fetch);
                }
            });
            assertEquals(Set.of("The log function of a mailbox failed", "The health function of a mailbox failed"), new HashSet<>(logged));
        }
    }

    @Test
    void eachOfSeveralThreadsGetsMailsOfItsOwn() throws Exception {
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 400), "")); BounceMailbox mailbox = open(standin)) {
            Iterator<BounceMessage> mails = mailbox.fetch().iterator();
            List<Long> uids = Collections.synchronizedList(new ArrayList<>());
            List<CompletableFuture<Void>> threads = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                threads.add(CompletableFuture.runAsync(() -> {
                    try {
                        while (mails.hasNext()) {
                            uids.add(mails.next().uid());
                        }
                    } catch (NoSuchElementException e) {
                        // Another thread took the last one.
                    }
                }, CallsTest::inAThread));
            }
            for (CompletableFuture<Void> thread : threads) {
                thread.get(60, TimeUnit.SECONDS);
            }
            assertEquals(400, uids.size());
            assertEquals(400, new HashSet<>(uids).size());
            assertFalse(mails.hasNext());
        }
    }

    /** One that has something to say from the first mail to the last, for which {@code told} is run. */
    private static BounceMailbox talkative(Standin standin, Runnable told) {
        Map<String, String> settings = standin.settings();
        settings.put("cmsbs.mail.imap.trace", "true");
        // The smallest: later mails are asked for when earlier ones were taken.
        settings.put("cmsbs.mail.imap.fetch.buffer", "1048576");
        return BounceMailbox.builder().settings(settings).log((level, text) -> told.run()).open();
    }

    /** The pool that is the default may have one thread only. */
    private static void inAThread(Runnable task) {
        new Thread(task).start();
    }

    private static void await(CountDownLatch latch) {
        try {
            assertTrue(latch.await(60, TimeUnit.SECONDS));
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private Standin withFault(String fault) throws IOException {
        return new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 3), fault));
    }

    private static BounceMailbox open(Standin standin) {
        return BounceMailbox.builder().settings(standin.settings()).log((level, text) -> { }).open();
    }

    private static void assertFails(MailboxException.Kind kind, Executable call) {
        MailboxException e = assertThrows(MailboxException.class, call);
        assertEquals(kind, e.kind(), e.getMessage());
    }
}
