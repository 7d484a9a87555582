package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** JVMs whose locale is not UTF-8, and a home with an umlaut in ISO-8859-1. */
class PathOctetsTest {
    @TempDir
    private Path directory;

    @Test
    void whereTheLocaleHasNoUmlautsTheHomeIsFound() throws Exception {
        child("LC_ALL=C").runSilently(Homes.class, directory.toString());
    }

    @Test
    void whereTheLocaleIsLatin1TheHomeIsFoundThatTheSettingsName() throws Exception {
        Path locale = directory.resolve("de_DE.ISO-8859-1");
        assumeTrue(Files.isDirectory(Path.of("/usr/share/i18n/locales")), "no locale can be made here");
        assertEquals(0, run("localedef", "-i", "de_DE", "-f", "ISO-8859-1", locale.toString()));
        child("LOCPATH=" + directory, "LC_ALL=" + locale.getFileName()).runSilently(Homes.class, directory.toString(), "latin1");
    }

    @Test
    void aPathIsAbsoluteAndItsOctetsAreNotChanged() {
        Path path = directory.resolve("100% a+b ~;?#");
        assertArrayEquals(path.toString().getBytes(StandardCharsets.UTF_8), PathOctets.of(path));
        assertArrayEquals(directory.toString().getBytes(StandardCharsets.UTF_8), PathOctets.of(directory));
        assertArrayEquals(new byte[] {'/'}, PathOctets.of(Path.of("/")));
        String here = Path.of("").toAbsolutePath().toString();
        assertArrayEquals(here.getBytes(StandardCharsets.UTF_8), PathOctets.of(Path.of("")));
    }

    @Test
    void aPathInTheJvmsOwnImageIsNoDirectory() {
        Path inImage = FileSystems.getFileSystem(URI.create("jrt:/")).getPath("/modules/java.base");
        MailboxException e = assertThrows(MailboxException.class, () -> PathOctets.of(inImage));
        assertEquals(MailboxException.Kind.USAGE, e.kind(), e.getMessage());
    }

    /** With this environment, and a home beside it whose name a JVM with UTF-8 could not write. */
    private ChildJvm child(String... environment) throws Exception {
        assertEquals(0, run("sh", "-c", "mkdir -p \"$0/homes/$(printf 'h\\374me')\"", directory.toString()));
        return new ChildJvm(directory).under("env").under(environment).with("-Xcheck:jni");
    }

    private static int run(String... command) throws Exception {
        return new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor();
    }

    /** Arguments: where the home is, and anything if this JVM can write its name. */
    static final class Homes {
        public static void main(String[] arguments) throws IOException {
            Path home;
            try (DirectoryStream<Path> homes = Files.newDirectoryStream(Path.of(arguments[0], "homes"))) {
                home = homes.iterator().next();
            }
            StringBuilder properties = new StringBuilder();
            ExampleSettings.oauth2().forEach((key, value) -> properties.append(key).append(" = \"").append(value).append("\"\n"));
            Files.createDirectories(home.resolve("cmsbs-conf"));
            Files.writeString(home.resolve("cmsbs-conf/cmsbs.properties"), properties);
            Path work = Files.createDirectories(home.resolve("cmsbs-work")).resolve("um-imap-oauth2");
            assertHas(work, "bounces@", BounceMailbox.builder().umHome(home));
            Path other = home.resolve("other");
            assertHas(other, "bounces@", BounceMailbox.builder().settings(ExampleSettings.oauth2()).workDirectory(other));
            if (arguments.length > 1) {
                Map<String, String> settings = ExampleSettings.oauth2();
                settings.put("cmsbs.server.home", home.toString());
                settings.put("cmsbs.mail.imap.user", "other@example.test");
                assertTrue(home.endsWith("h\u00fcme"), home.toString());
                assertHas(work, "other@", BounceMailbox.builder().settings(settings));
            }
        }

        /** The mailbox writes to the work directory when it is first asked for mail. */
        private static void assertHas(Path work, String user, BounceMailbox.Builder builder) throws IOException {
            List<String> said = new ArrayList<>();
            try (BounceMailbox mailbox = builder.log((level, text) -> said.add(level + " " + text)).open()) {
                assertThrows(MailboxException.class, mailbox::fetch);
                assertEquals(List.of(), mailbox.health().warnings());
            }
            assertTrue(said.stream().noneMatch(text -> text.startsWith("WARNING")), said.toString());
            try (Stream<Path> files = Files.list(work)) {
                assertTrue(files.anyMatch(file -> file.getFileName().toString().startsWith(user) && Files.exists(file.resolve("lock"))));
            }
        }
    }
}
