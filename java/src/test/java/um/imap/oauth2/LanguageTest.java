package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which language the library speaks. */
class LanguageTest {
    private final Locale before = Locale.getDefault();

    @TempDir
    private Path umHome;

    @AfterEach
    void restore() {
        Locale.setDefault(before);
    }

    @Test
    void theConfiguredLanguageIsSpokenElseThatOfTheJvm() throws Exception {
        for (Locale jvm : new Locale[] {Locale.GERMANY, Locale.UK, Locale.FRANCE}) {
            Locale.setDefault(jvm);
            assertSpoken(jvm == Locale.GERMANY ? "de" : "en", Map.of());
            assertSpoken("de", Map.of("cmsbs.lang", "de"));
            assertSpoken("en", Map.of("cmsbs.lang", "en"));
        }
    }

    @Test
    void alsoWhatIsRefusedIsSaidInTheConfiguredLanguageElseInThatOfTheJvm() throws IOException {
        for (Locale jvm : new Locale[] {Locale.GERMANY, Locale.UK}) {
            Locale.setDefault(jvm);
            boolean german = jvm == Locale.GERMANY;
            assertRefused(german ? "Tragen Sie" : "Write", Map.of());
            assertRefused("Tragen Sie", Map.of("cmsbs.lang", "de"));
            assertRefused("Write", Map.of("cmsbs.lang", "en"));
            MailboxException e = assertThrows(MailboxException.class,
                    () -> BounceMailbox.builder().umHome(umHome.resolve("nowhere")).open());
            String message = e.getMessage();
            assertTrue(message.contains(german ? "UM_HOME ist" : "UM_HOME is the"), message);
            assertTrue(message.contains(german ? "ist nicht vorhanden" : "does not exist"), message);
        }
    }

    private void assertRefused(String word, Map<String, String> lang) throws IOException {
        Map<String, String> settings = settings(lang);
        settings.remove("cmsbs.mail.imap.oauth2.clientId");
        for (BounceMailbox.Builder builder : builders(settings)) {
            MailboxException e = assertThrows(MailboxException.class, builder::open);
            assertTrue(e.remedy().contains(word), e.getMessage());
        }
    }

    private Map<String, String> settings(Map<String, String> lang) {
        Map<String, String> settings = new HashMap<>(ExampleSettings.oauth2());
        settings.remove("cmsbs.lang");
        settings.putAll(lang);
        return settings;
    }

    private BounceMailbox.Builder[] builders(Map<String, String> settings) throws IOException {
        StringBuilder file = new StringBuilder();
        settings.forEach((key, value) -> file.append(key).append(" = \"").append(value).append("\"\n"));
        Files.createDirectories(umHome.resolve("cmsbs-conf"));
        Files.writeString(umHome.resolve("cmsbs-conf/cmsbs.properties"), file, StandardCharsets.ISO_8859_1);
        return new BounceMailbox.Builder[] {
            BounceMailbox.builder().settings(settings), BounceMailbox.builder().umHome(umHome)};
    }

    private void assertSpoken(String language, Map<String, String> lang) throws IOException {
        Map<String, String> settings = settings(lang);
        // Nothing listens there.
        settings.put("cmsbs.mail.imap.oauth2.accessTokenUri", "https://localhost:1/t/oauth2/v2.0/token");
        for (BounceMailbox.Builder builder : builders(settings)) {
            try (BounceMailbox mailbox = builder.open()) {
                MailboxException e = assertThrows(MailboxException.class, mailbox::fetch);
                assertEquals(language, e.causeText().matches(".*\\b(und|nicht|lehnt|der)\\b.*") ? "de" : "en",
                        e.getMessage());
            }
        }
    }
}
