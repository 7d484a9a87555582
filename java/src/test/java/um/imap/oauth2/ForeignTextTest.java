package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Whatever a server or a token endpoint says, no exception, log line or health has a control or format character or a part of
 * the secret. {@code -Dtexts=30} tries more than {@code make test} does.
 */
class ForeignTextTest {
    private static final String[] WORDS = {"\u001b[31m", "\u001b]0;x\u0007", "\r", "\n", "\r\n* OK forged", "\u009b2J", "\u202e",
        "\u2066", "\u2028", "\u2029", "\ufeff", "\u007f", " ordinary words ", "Gr\u00f6\u00dfe"};
    private static final int RUN = 8;

    /** Texts that had something to hide. */
    private long repeated;

    @TempDir
    private Path directory;

    @Test
    void whatAServerSaysIsEscapedAndWithoutSecrets() throws Exception {
        for (int seed = 1; seed <= Integer.getInteger("texts", 1); seed++) {
            Random random = new Random(seed);
            for (String on : List.of("greeting", "AUTHENTICATE", "SELECT", "UID SEARCH", "UID FETCH")) {
                String line = text(random).replaceAll("[\r\n{\"]", "\u009b");
                String answer = on.equals("greeting") ? "* BYE " + line : "{tag} NO " + line;
                tryIt("{\"on\": \"" + on + "\", \"times\": 0, \"do\": [{\"send\": " + json("* NO " + text(random) + "\r\n")
                        + "}, {\"send\": " + json(answer + "\r\n") + "}, \"close\"]}");
            }
            tryIt("{\"on\": \"token\", \"times\": 0, \"do\": [{\"respond\": {\"status\": 400, \"body\": {\"error\": "
                    + json(text(random)) + ", \"error_description\": " + json(text(random)) + "}}}]}");
            tryIt("{\"on\": \"token\", \"times\": 0, \"do\": [{\"respond\": {\"status\": 502, \"body\": " + json(text(random))
                    + "}}]}");
            int texts = seed;
            assertTrue(repeated >= 5L * texts, () -> repeated + " texts were repeated in " + texts + " rounds");
        }
    }

    private void tryIt(String fault) throws Exception {
        List<String> said = Collections.synchronizedList(new ArrayList<>());
        try (Standin standin = new Standin(directory, Standin.of(Standin.mailbox(Standin.USER, 1), fault));
                BounceMailbox mailbox = BounceMailbox.builder().settings(standin.settings())
                        .log((level, text) -> said.add(text)).open()) {
            try {
                mailbox.fetch().forEach(mail -> { });
            } catch (MailboxException e) {
                said.addAll(List.of(e.toString(), e.getMessage(), String.valueOf(e.observed()), e.causeText(), e.remedy()));
            }
            said.add(mailbox.health().toString());
        }
        // Not everything is repeated: of one mail that is refused, say, the log says that it comes later.
        repeated += said.stream().filter(text -> text.contains("***") || text.contains("\\u{")).count();
        for (String text : said) {
            text.codePoints().filter(c -> c != '\n').forEach(c -> assertFalse(isControl(c),
                    () -> String.format("U+%04X is in %s%nafter %s", c, text, fault)));
            for (int at = 0; at + RUN <= Standin.SECRET.length(); at++) {
                assertFalse(text.contains(Standin.SECRET.substring(at, at + RUN)), () -> text + "\nafter " + fault);
            }
        }
    }

    private static boolean isControl(int c) {
        int type = Character.getType(c);
        return type == Character.CONTROL || type == Character.FORMAT || type == Character.LINE_SEPARATOR
                || type == Character.PARAGRAPH_SEPARATOR;
    }

    private static String text(Random random) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 12; i++) {
            text.append(random.nextBoolean() ? WORDS[random.nextInt(WORDS.length)] : ' ' + secret(random) + ' ');
        }
        return text.toString();
    }

    /** At least eight characters of the secret, in some writing. */
    private static String secret(Random random) {
        int start = random.nextInt(Standin.SECRET.length() - RUN + 1);
        String part = Standin.SECRET.substring(start, start + RUN + random.nextInt(Standin.SECRET.length() - start - RUN + 1));
        switch (random.nextInt(4)) {
            case 0:
                return URLEncoder.encode(part, StandardCharsets.UTF_8);
            case 1:
                return Base64.getEncoder().encodeToString(part.getBytes(StandardCharsets.UTF_8));
            case 2:
                StringBuilder entities = new StringBuilder();
                part.chars().forEach(c -> entities.append("&#").append(c).append(';'));
                return entities.toString();
            default:
                return part;
        }
    }

    private static String json(String text) {
        StringBuilder json = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\' || c < ' ' || c > '~') {
                json.append(String.format("\\u%04x", (int) c));
            } else {
                json.append(c);
            }
        }
        return json.append('"').toString();
    }
}
