package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** No secret is in anything that a JVM with the library writes, whatever goes wrong and however much is logged. */
class SecretsTest {
    @TempDir
    private Path directory;

    @Test
    void noSecretIsInAnythingThatIsWritten() throws Exception {
        String proxy = System.getenv("UM_TEST_PROXY");
        assertNotNull(proxy, "Run `make test`, or tests/servers/with-servers mvn …");
        Files.createDirectories(directory.resolve("inputs"));
        Path temporary = Files.createDirectories(directory.resolve("tmp"));
        URI address = URI.create(proxy);
        Path out = directory.resolve("out");
        Path err = directory.resolve("err");
        Process jvm = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xcheck:jni",
                "-cp", System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                "-Djava.io.tmpdir=" + temporary, "-D" + NativeLibrary.PROPERTY + "=" + System.getProperty(NativeLibrary.PROPERTY),
                "-Dstandin=" + System.getProperty("standin"), PlantedSecrets.class.getName(), directory.toString(),
                address.getHost() + ":" + address.getPort()).directory(directory.toFile())
                .redirectOutput(out.toFile()).redirectError(err.toFile()).start();
        assertEquals(0, jvm.waitFor(), () -> read(err) + read(out));

        String said = read(out);
        for (String way : List.of("all is well: well", "expired: TOKEN at token", "wrong: TOKEN at token",
                "control character: CONFIGURATION at configuration", "two credentials: CONFIGURATION at configuration",
                "endpoint that repeats: TOKEN at token",
                "token that IMAP refuses: LOGIN at login", "tokens that were revoked: well",
                "certificate with a wrong password: CONFIGURATION at configuration",
                "certificate that is none: CONFIGURATION at configuration", "assertion that is refused: TOKEN at token",
                "assertion that is none: CONFIGURATION at configuration", "token proxy that refuses: NETWORK at proxy",
                "IMAP proxy that refuses: NETWORK at proxy", "proxy that is none: CONFIGURATION at configuration",
                "IMAP password: LOGIN at login", "server that repeats: LOGIN at login",
                "server that repeats later: REFUSED at search", "closed: CLOSED at call")) {
            assertTrue(said.contains("-- " + way), () -> "not tried: " + way + " in\n" + said);
        }
        // It is as verbose as can be.
        for (String text : List.of("access token requested", "AUTHENTICATE", "HTML instead of JSON", "it was cut off",
                "NO I still know ***")) {
            assertTrue(said.contains(text), () -> "no <" + text + "> in\n" + said);
        }

        try (Stream<Path> files = Files.walk(directory)) {
            List<Path> written = files.filter(path -> !path.startsWith(directory.resolve("inputs"))).collect(Collectors.toList());
            assertTrue(written.stream().anyMatch(path -> path.endsWith("status.json")), written.toString());
            for (Path file : written) {
                String text = file + (Files.isRegularFile(file) ? read(file) : "");
                for (String secret : forms()) {
                    assertFalse(text.contains(secret), () -> secret + " is in " + file + ": " + around(text, secret));
                }
            }
        }
    }

    /** What of a secret or an access token would be seen, also in Base64 wherever in it it begins. */
    private static List<String> forms() {
        List<String> forms = new ArrayList<>();
        // The beginning of each JSON Web Token.
        for (String secret : List.of(PlantedSecrets.MARK, "eyJ0eXAi", "eyJhbGci", "auth=Bearer ")) {
            forms.add(secret);
            for (int before = 0; before < 3; before++) {
                byte[] octets = ("xx".substring(0, before) + secret).getBytes(StandardCharsets.UTF_8);
                String encoded = Base64.getEncoder().withoutPadding().encodeToString(octets);
                // Without the characters that depend on what stands before and after.
                forms.add(encoded.substring(before == 0 ? 0 : before + 1, octets.length * 8 / 6));
            }
        }
        return forms;
    }

    private static String around(String text, String part) {
        int at = text.indexOf(part);
        return text.substring(Math.max(0, at - 200), Math.min(text.length(), at + 200));
    }

    /** Each octet as a character. */
    private static String read(Path file) {
        try {
            return Files.readString(file, StandardCharsets.ISO_8859_1);
        } catch (java.io.IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
