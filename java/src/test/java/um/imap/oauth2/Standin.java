package um.imap.oauth2;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The stand-in for Entra ID and Exchange Online (tests/standin), which does what it is told. */
final class Standin implements AutoCloseable {
    static final String PROPERTY = "standin";
    static final String SECRET = "s3cr~t/+=&% %Q8";
    static final String CLIENT = "5a7d1c3e-0b42-4f6e-9c11-2d8e6f304a10";
    static final String USER = "bounces@example.com";

    private final Process process;
    private final BufferedReader answers;
    private final String where;

    /** {@code scenario}: a scenario in JSON. */
    Standin(Path directory, String scenario) throws IOException {
        Path program = Path.of(System.getProperty(PROPERTY));
        if (!Files.isExecutable(program)) {
            throw new IOException(program + " is missing. Run `make test`, or `cargo build --manifest-path"
                    + " tests/standin/Cargo.toml` and give its path by -Dstandin=…");
        }
        Path file = Files.writeString(directory.resolve("scenario.json"), scenario);
        process = new ProcessBuilder(program.toString(), file.toString()).redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        answers = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        where = answers.readLine();
        if (where == null) {
            throw new IOException(program + " did not start");
        }
    }

    /** A scenario with mails of one line in the inbox. */
    static String withMails(int count, String more) {
        StringBuilder mails = new StringBuilder();
        for (int i = 1; i <= count; i++) {
            mails.append(i == 1 ? "" : ",").append("{\"text\": \"Message-ID: <").append(i).append("@example.com>\\nSubject: ").append(i)
                    .append("\\n\\n\"}");
        }
        return "{\"mailboxes\": [{\"user\": \"" + USER + "\", \"folders\": [{\"name\": \"INBOX\", \"mails\": [" + mails
                + "]}]}]" + more + "}";
    }

    /** A mailbox of a scenario, with so many mails of some 5.6 kB in its inbox. */
    static String mailbox(String user, int count) {
        return "{\"user\": \"" + user + "\", \"folders\": [{\"name\": \"INBOX\", \"generate\": {\"count\": " + count
                + ", \"size\": 5600, \"large_every\": 0, \"large_size\": 0, \"seen_every\": 0}}]}";
    }

    /** A scenario with mailboxes and faults. */
    static String of(String mailboxes, String faults) {
        return "{\"mailboxes\": [" + mailboxes + "], \"faults\": [" + faults + "]}";
    }

    /** The properties of a user's mailbox there. */
    Map<String, String> settings(String user) {
        Map<String, String> settings = settings();
        settings.put("cmsbs.mail.imap.user", user);
        return settings;
    }

    /** How many mails lie in a folder of {@link #USER}. */
    int count(String folder) {
        Matcher matcher = Pattern.compile("\"" + Pattern.quote(folder) + "\":\\s*(\\d+)").matcher(ask("\"folders\""));
        return matcher.find() ? Integer.parseInt(matcher.group(1)) : 0;
    }

    /** The properties of a mailbox there. */
    Map<String, String> settings() {
        Map<String, String> properties = new LinkedHashMap<>();
        properties.put("cmsbs.lang", "en");
        properties.put("cmsbs.mail.imap.server", value("host"));
        properties.put("cmsbs.mail.imap.port", value("imap_port"));
        properties.put("cmsbs.mail.imap.ssl", "true");
        properties.put("cmsbs.mail.imap.user", USER);
        properties.put("cmsbs.mail.imap.ssl.caFile", value("ca_file"));
        properties.put("cmsbs.mail.imap.authenticationMethod", "oauth2");
        properties.put("cmsbs.mail.imap.oauth2.accessTokenUri", value("token_uri"));
        properties.put("cmsbs.mail.imap.oauth2.clientId", CLIENT);
        properties.put("cmsbs.mail.imap.oauth2.clientSecret", SECRET);
        properties.put("cmsbs.mail.imap.oauth2.scope", "https://outlook.office365.com/.default");
        properties.put("cmsbs.mail.imap.oauth2.grantType", "client_credentials");
        return properties;
    }

    /** From now on {@code secret} is the only one, and no token counts that was issued before. */
    void rotate(String secret) {
        ask("{\"change\": {\"secrets\": {\"values\": [\"" + secret + "\"]}}}");
        ask("{\"change\": \"expire_tokens\"}");
    }

    synchronized String ask(String request) {
        try {
            process.getOutputStream().write((request + "\n").getBytes(StandardCharsets.UTF_8));
            process.getOutputStream().flush();
            String answer = answers.readLine();
            if (answer == null || answer.startsWith("{\"error\":\"")) {
                throw new IllegalStateException(request + ": " + answer);
            }
            return answer;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private String value(String name) {
        Matcher matcher = Pattern.compile("\"" + name + "\":\"?([^\",}]*)").matcher(where);
        if (!matcher.find()) {
            throw new IllegalStateException(name + " is not in " + where);
        }
        return matcher.group(1);
    }

    @Override
    public void close() throws IOException {
        process.destroy();
        answers.close();
    }
}
