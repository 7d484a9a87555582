package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HealthTest {
    @TempDir
    private Path directory;

    @Test
    void whatTheHealthFunctionIsToldLastIsTrueThoughItTakesItsTime() throws Exception {
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 1), ""))) {
            Map<String, String> settings = new ConcurrentHashMap<>(standin.settings());
            settings.put("cmsbs.mail.imap.oauth2.clientSecret", "wrong");
            List<Health.State> told = Collections.synchronizedList(new ArrayList<>());
            CountDownLatch failing = new CountDownLatch(1);
            CountDownLatch well = new CountDownLatch(1);
            AtomicInteger inside = new AtomicInteger();
            BounceMailbox mailbox = BounceMailbox.builder().settings(settings).log((level, text) -> { }).onHealth(health -> {
                assertEquals(1, inside.incrementAndGet());
                if (told.isEmpty()) {
                    failing.countDown();
                    await(well);
                }
                told.add(health.state());
                inside.decrementAndGet();
            }).open();
            CompletableFuture<MailboxException> fetch = CompletableFuture.supplyAsync(
                    () -> assertThrows(MailboxException.class, mailbox::fetch));
            await(failing);
            settings.put("cmsbs.mail.imap.oauth2.clientSecret", Standin.SECRET);
            // Its end is in order, and is the first thread's to tell.
            mailbox.fetch().forEach(mail -> { });
            well.countDown();
            assertEquals(MailboxException.Kind.TOKEN, fetch.get().kind());
            assertEquals(List.of(Health.State.FAILING, Health.State.WELL), told);
            mailbox.close();
        }
    }

    @Test
    void aMailboxExceptionOfTheHealthFunctionIsLoggedLikeAnyOther() {
        List<String> logged = LogTest.librarySays(() -> {
            Map<String, String> settings = ExampleSettings.oauth2();
            settings.put("cmsbs.mail.imap.port", "1");
            try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).log((level, text) -> { }).onHealth(health -> {
                throw MailboxException.usage("of the application");
            }).open()) {
                assertThrows(MailboxException.class, mailbox::fetch);
            }
        });
        assertEquals(List.of("The health function of a mailbox failed"), logged);
    }

    private static void await(CountDownLatch latch) {
        try {
            assertTrue(latch.await(60, TimeUnit.SECONDS));
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void statesAreThoseOfTheNativeSide() throws IOException {
        String grades = Sources.between(Sources.rust("src/mailbox/health.rs"), "pub enum Grade {", "}");
        List<String> rust = Sources.all("\n    (\\w+),", grades).stream()
                .map(name -> name.toUpperCase(Locale.ROOT)).collect(Collectors.toList());
        assertEquals(rust, Stream.of(Health.State.values()).map(Enum::name).collect(Collectors.toList()));
    }
}
