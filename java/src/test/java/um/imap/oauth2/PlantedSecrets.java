package um.imap.oauth2;

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A program that has a secret with {@value #MARK} in it in every credential, fails in every way, and says all that there is
 * to say: the log at its most verbose, each exception with its whole chain, and what everything calls itself.
 */
final class PlantedSecrets {
    static final String MARK = "Pl4nted";

    private static final String PASSWORD = MARK + "~known";
    private static final String OAUTH2 = "cmsbs.mail.imap.oauth2.";
    private static final PrintStream OUT = System.out;

    private final Path directory;
    private final Standin standin;

    private PlantedSecrets(Path directory, Standin standin) {
        this.directory = directory;
        this.standin = standin;
    }

    /** Arguments: a directory with {@code inputs} in it; proxies' address without user and password. */
    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[0]);
        Path inputs = directory.resolve("inputs");
        String scenario = Standin.withMails(3, ", \"clients\": [{\"id\": \"" + Standin.CLIENT + "\", \"secrets\": [\"" + MARK
                + "~good/+=&% %\"], \"expired_secrets\": [\"" + MARK + "~expired\"]}]")
                .replace("\"user\":", "\"password\": \"" + PASSWORD + "\", \"user\":");
        try (Standin standin = new Standin(inputs, scenario)) {
            new PlantedSecrets(directory, standin).everything(inputs, arguments[1]);
        }
        OUT.println("== the end");
    }

    private void everything(Path inputs, String proxy) throws Exception {
        String secret = OAUTH2 + "clientSecret";
        String good = MARK + "~good/+=&% %";
        tryIt("all is well", Map.of(secret, good));
        tryIt("expired", Map.of(secret, MARK + "~expired", secret + ".next", MARK + "~next"));
        tryIt("wrong", Map.of(secret, MARK + "~wrong/+=&% %"));
        tryIt("control character", Map.of(secret, MARK + "\u0007"));
        tryIt("two credentials", Map.of(secret, MARK, OAUTH2 + "clientAssertionFile", "/" + MARK));

        for (String answer : List.of("{\"status\": 401, \"body\": {\"error\": \"invalid_client\", \"error_description\": \"you sent ECHO\"}}",
                "{\"status\": 403, \"body\": \"you sent ECHO\"}", "{\"status\": 200, \"body\": \"{\\\"access_token\\\":\\\"ECHO\"}",
                "{\"status\": 200, \"headers\": {\"Content-Type\": \"text/html\"}, \"body\": \"<html><title>ECHO</title>\"}")) {
            // Each is another credential, so that no answer is kept from the one before.
            String own = MARK + "~" + Integer.toHexString(answer.hashCode());
            standin.ask("{\"fault\": {\"on\": \"token\", \"do\": [{\"respond\": " + answer.replace("ECHO", own) + "}]}}");
            tryIt("endpoint that repeats", Map.of(secret, own));
        }
        standin.ask("{\"fault\": {\"on\": \"token\", \"do\": [{\"grant\": {\"access_token\": \"" + MARK + "-token\"}}]}}");
        tryIt("token that IMAP refuses", Map.of(secret, good, OAUTH2 + "scope", "https://outlook.office.com/.default"));
        standin.ask("{\"change\": \"expire_tokens\"}");
        tryIt("tokens that were revoked", Map.of(secret, good));

        Path pem = Files.writeString(inputs.resolve("no.pem"), "-----BEGIN PRIVATE KEY-----\n" + MARK + "\n");
        Path jwt = Files.writeString(inputs.resolve("assertion"), "aGVhZGVy." + base64(MARK + "-claims") + "." + base64(MARK));
        Path text = Files.writeString(inputs.resolve("no assertion"), MARK);
        String password = OAUTH2 + "clientCertificatePassword";
        Path pfx = Path.of(System.getenv("UM_TEST_DIR"), "pki", "client.pfx");
        tryIt("certificate with a wrong password", Map.of(OAUTH2 + "clientCertificate", pfx.toString(), password, MARK));
        tryIt("certificate that is none", Map.of(OAUTH2 + "clientCertificate", pem.toString(), password, MARK));
        tryIt("assertion that is refused", Map.of(OAUTH2 + "clientAssertionFile", jwt.toString()));
        tryIt("assertion that is none", Map.of(OAUTH2 + "clientAssertionFile", text.toString()));

        String login = "http://proxy-user:" + MARK + "-proxy@" + proxy;
        tryIt("token proxy that refuses", Map.of(secret, MARK + "~by proxy", "cmsbs.proxy", login));
        tryIt("IMAP proxy that refuses", Map.of(secret, good, "cmsbs.mail.imap.proxy", login));
        tryIt("proxy that is none", Map.of(secret, good, OAUTH2 + "proxy", "socks5://" + MARK + "@" + proxy));

        String method = "cmsbs.mail.imap.authenticationMethod";
        tryIt("IMAP password", Map.of(method, "password", "cmsbs.mail.imap.password", MARK + "\"\\ pass"));
        standin.ask("{\"fault\": {\"on\": \"AUTHENTICATE\", \"do\": [{\"send\": \"{tag} NO I know " + MARK
                + "~echoed \\r\\n\"}]}}");
        tryIt("server that repeats", Map.of(method, "password", "cmsbs.mail.imap.password", MARK + "~echoed"));
        standin.ask("{\"fault\": {\"on\": \"UID SEARCH\", \"times\": 0, \"do\": [{\"send\": \"{tag} NO I still know "
                + PASSWORD + "\\r\\n\"}]}}");
        tryIt("server that repeats later", Map.of(method, "password", "cmsbs.mail.imap.password", PASSWORD));
    }

    /** Opens a mailbox with these settings beside the ordinary ones, uses it, and says everything. */
    private void tryIt(String name, Map<String, String> more) {
        OUT.println("== " + name);
        Map<String, String> settings = new LinkedHashMap<>(standin.settings());
        settings.remove(OAUTH2 + "clientSecret");
        settings.put(OAUTH2 + "debug", "true");
        settings.put("cmsbs.mail.imap.trace", "true");
        settings.put("cmsbs.bounce.processAll", "true");
        settings.put("cmsbs.mail.imap.fetch.patience", "1s");
        settings.putAll(more);
        BounceMailbox.Builder builder = BounceMailbox.builder().settings(settings).workDirectory(directory.resolve("work"))
                .log((level, text) -> OUT.println(level + " " + text));
        OUT.println(builder);
        BounceMailbox mailbox;
        try {
            mailbox = builder.open();
        } catch (MailboxException e) {
            say(name, e);
            return;
        }
        try {
            OUT.println(mailbox);
            for (BounceMessage mail : mailbox.fetch()) {
                OUT.println(mail);
                mailbox.settle(mail, Outcome.KEEP);
            }
            mailbox.flush();
            OUT.println("-- " + name + ": well");
        } catch (MailboxException e) {
            say(name, e);
        } finally {
            OUT.println(mailbox.health());
            mailbox.health().failure().ifPresent(failure -> say("health", failure));
            mailbox.close();
        }
        try {
            mailbox.fetch();
        } catch (MailboxException e) {
            say("closed", e);
        }
    }

    private static void say(String name, MailboxException e) {
        OUT.println("-- " + name + ": " + e.kind() + " at " + e.step());
        OUT.println(e);
        OUT.println(e.observed() + e.key() + e.causeText() + e.remedy());
        e.printStackTrace(OUT);
        e.printStackTrace();
    }

    private static String base64(String text) {
        return java.util.Base64.getUrlEncoder().withoutPadding().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    }
}
