package um.imap.oauth2;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;

/** Settings of a mailbox that can be opened (which touches no network). */
final class ExampleSettings {
    private ExampleSettings() {
    }

    static Map<String, String> oauth2() {
        Map<String, String> properties = new LinkedHashMap<>();
        properties.put("cmsbs.startbounce", "true");
        properties.put("cmsbs.mail.imap.server", "localhost");
        properties.put("cmsbs.mail.imap.port", "993");
        properties.put("cmsbs.mail.imap.ssl", "true");
        properties.put("cmsbs.mail.imap.user", "bounces@example.test");
        properties.put("cmsbs.mail.imap.password", "");
        properties.put("cmsbs.mail.imap.authenticationMethod", "oauth2");
        properties.put("cmsbs.mail.imap.oauth2.accessTokenUri",
                "https://localhost/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token");
        properties.put("cmsbs.mail.imap.oauth2.clientId", "6731de76-14a6-49ae-97bc-6eba6914391e");
        properties.put("cmsbs.mail.imap.oauth2.clientSecret", "s3cr~t/+=&% %");
        properties.put("cmsbs.mail.imap.oauth2.scope", "https://outlook.office365.com/.default");
        properties.put("cmsbs.mail.imap.oauth2.grantType", "client_credentials");
        properties.put("cmsbs.mail.imap.oauth2.debug", "true");
        return properties;
    }

    /** For another process. */
    static void write(Map<String, String> settings, Path file) throws IOException {
        Properties properties = new Properties();
        properties.putAll(settings);
        try (OutputStream out = Files.newOutputStream(file)) {
            properties.store(out, null);
        }
    }

    static Map<String, String> read(Path file) throws IOException {
        Properties properties = new Properties();
        try (InputStream in = Files.newInputStream(file)) {
            properties.load(in);
        }
        Map<String, String> settings = new LinkedHashMap<>();
        properties.stringPropertyNames().forEach(name -> settings.put(name, properties.getProperty(name)));
        return settings;
    }
}
