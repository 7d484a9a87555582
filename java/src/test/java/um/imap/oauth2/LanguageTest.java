package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

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

    private void assertSpoken(String language, Map<String, String> lang) throws IOException {
        Map<String, String> settings = new HashMap<>(ExampleSettings.oauth2());
        settings.remove("cmsbs.lang");
        settings.putAll(lang);
        // Nothing listens there.
        settings.put("cmsbs.mail.imap.oauth2.accessTokenUri", "https://localhost:1/t/oauth2/v2.0/token");
        StringBuilder file = new StringBuilder();
        settings.forEach((key, value) -> file.append(key).append(" = \"").append(value).append("\"\n"));
        Files.createDirectories(umHome.resolve("cmsbs-conf"));
        Files.writeString(umHome.resolve("cmsbs-conf/cmsbs.properties"), file, StandardCharsets.ISO_8859_1);
        for (BounceMailbox.Builder builder : new BounceMailbox.Builder[] {
            BounceMailbox.builder().settings(settings), BounceMailbox.builder().umHome(umHome)}) {
            try (BounceMailbox mailbox = builder.open()) {
                MailboxException e = assertThrows(MailboxException.class, mailbox::fetch);
                assertEquals(language, e.causeText().matches(".*\\b(und|nicht|lehnt|der)\\b.*") ? "de" : "en",
                        e.getMessage());
            }
        }
    }
}
