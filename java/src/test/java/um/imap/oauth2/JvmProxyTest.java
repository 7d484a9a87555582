package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The proxy of the JVM's system properties, which counts for the token request where no property of UM's says otherwise. */
class JvmProxyTest {
    private static final String[] PROPERTIES = {"https.proxyHost", "https.proxyPort", "http.nonProxyHosts"};

    @BeforeEach
    void theServersAreThere() {
        assertNotNull(System.getenv("UM_TEST_OPEN_PROXY"), "Run `make test`, or tests/servers/with-servers mvn …");
    }

    @AfterEach
    void noProxy() {
        for (String property : PROPERTIES) {
            System.clearProperty(property);
        }
    }

    @Test
    void theTokenIsAskedForThroughTheJvmsProxy() throws Exception {
        proxy("UM_TEST_OPEN_PROXY", "");
        long before = connects("open-proxy.log");
        fetch(settings());
        assertEquals(before + 1, connects("open-proxy.log"), "the token request, and not the IMAP connection");
    }

    @Test
    void itsExceptionsCountAsInTheJvm() throws Exception {
        for (String exceptions : new String[] {null, "*.example.com|localhost", "*.example.com", "local*", "*host", "*"}) {
            // Nothing would come through this one: it wants a login.
            proxy("UM_TEST_PROXY", exceptions);
            assertDoesNotThrow(() -> fetch(settings()), exceptions);
        }
    }

    @Test
    void aRefusalNamesTheSystemProperty() {
        proxy("UM_TEST_PROXY", "");
        MailboxException e = assertThrows(MailboxException.class, () -> fetch(settings()));
        assertEquals("proxy", e.step(), e.getMessage());
        assertEquals("https.proxyHost", e.key().orElse(""), e.getMessage());
        assertTrue(e.observed().contains("HTTP 407"), e.getMessage());
    }

    @Test
    void umsPropertiesComeFirst() {
        proxy("UM_TEST_PROXY", "");
        Map<String, String> direct = settings();
        direct.put("cmsbs.mail.imap.oauth2.proxy", "none");
        assertDoesNotThrow(() -> fetch(direct));
        Map<String, String> through = settings();
        through.put("cmsbs.proxy", System.getenv("UM_TEST_OPEN_PROXY"));
        assertDoesNotThrow(() -> fetch(through));
        through.put("cmsbs.proxy", System.getenv("UM_TEST_PROXY"));
        through.put("cmsbs.noproxy", "localhost");
        assertDoesNotThrow(() -> fetch(through));
    }

    private Map<String, String> settings() {
        // A token that is cached is not asked for.
        String id = UUID.randomUUID().toString();
        Map<String, String> settings = ExampleSettings.oauth2();
        settings.put("cmsbs.mail.imap.port", System.getenv("UM_TEST_IMAP_PORT"));
        settings.put("cmsbs.mail.imap.user", id + "@example.test");
        settings.put("cmsbs.mail.imap.oauth2.clientId", id);
        settings.put("cmsbs.mail.imap.oauth2.clientSecret", System.getenv("UM_TEST_SECRET"));
        settings.put("cmsbs.mail.imap.oauth2.accessTokenUri", System.getenv("UM_TEST_TOKEN_URI"));
        settings.put("cmsbs.mail.imap.ssl.caFile", System.getenv("UM_TEST_CA"));
        return settings;
    }

    private static void fetch(Map<String, String> settings) {
        try (BounceMailbox mailbox = BounceMailbox.builder().settings(settings).open()) {
            mailbox.fetch().forEach(mail -> { });
        }
    }

    private static void proxy(String variable, String exceptions) {
        URI proxy = URI.create(System.getenv(variable));
        System.setProperty("https.proxyHost", proxy.getHost());
        System.setProperty("https.proxyPort", String.valueOf(proxy.getPort()));
        if (exceptions == null) {
            System.clearProperty("http.nonProxyHosts");
        } else {
            System.setProperty("http.nonProxyHosts", exceptions);
        }
    }

    /** How often the proxy was told to connect. */
    private static long connects(String log) throws Exception {
        return Files.readAllLines(Path.of(System.getenv("UM_TEST_DIR"), log)).stream()
                .filter(line -> line.contains("CONNECT localhost:")).count();
    }
}
