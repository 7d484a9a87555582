package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Each test runs the class as {@code java -jar} does, with the library just built where the jar has it. */
class MainTest {
    private static final Path LIBRARY = Path.of(System.getProperty(NativeLibrary.PROPERTY));
    private static final Platform PLATFORM = Platform.current();
    private static final String ENGLISH = "-Duser.language=en";

    @TempDir
    private Path directory;

    @Test
    void theLibraryIsWrittenForEveryAccountAndLoaded() throws Exception {
        Path target = directory.resolve("image/lib");
        Run run = run(directory, "install-native", target.toString());
        assertEquals(0, run.code, run.text);
        Path file = target.resolve(PLATFORM.file());
        assertArrayEquals(Files.readAllBytes(LIBRARY), Files.readAllBytes(file));
        byte[] sha256 = MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file));
        assertEquals("rwxr-xr-x", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
        assertContains(run.text, String.format("SHA-256 %064x", new BigInteger(1, sha256)), "It can be loaded here.",
                "-Dum.imap.oauth2.library=" + file);
        // Once more: a JVM may have it open. And after somebody has changed it.
        Object inode = Files.getAttribute(file, "unix:ino");
        assertEquals(0, run(directory, "install-native", target.toString()).code);
        assertEquals(inode, Files.getAttribute(file, "unix:ino"));
        Files.writeString(file, "changed");
        assertEquals(0, run(directory, "install-native", target.toString()).code);
        assertArrayEquals(Files.readAllBytes(LIBRARY), Files.readAllBytes(file));
    }

    @Test
    void aLibraryForAnotherPlatformIsWrittenAndNotLoaded() throws Exception {
        Path inJar = directory.resolve("um/imap/oauth2/native/windows-x86_64/um_imap_oauth2.dll");
        Files.createDirectories(inJar.getParent());
        Files.writeString(inJar, "any octets");
        Run run = run(directory, "install-native", directory.resolve("out").toString(), "windows-x86_64");
        assertEquals(0, run.code, run.text);
        assertEquals("any octets", Files.readString(directory.resolve("out/um_imap_oauth2.dll")));
        assertFalse(run.text.contains("loaded"), run.text);
    }

    @Test
    void aPlatformThatTheJarLacksAndOneThatThereIsNotAreNamed() throws Exception {
        String out = directory.resolve("out").toString();
        Run lacking = run(directory, "install-native", out, "windows-x86_64");
        assertEquals(1, lacking.code);
        assertContains(lacking.text, "no library for windows-x86_64");
        Run unknown = run(directory, "install-native", out, "solaris-sparc");
        assertEquals(2, unknown.code);
        assertContains(unknown.text, "solaris-sparc", "linux-aarch64-musl");
        assertFalse(Files.exists(Path.of(out)));
    }

    @Test
    void aDirectoryThatCannotBeWrittenIsNamed() throws Exception {
        Path file = Files.createFile(directory.resolve("file"));
        Run run = run(directory, "install-native", file.toString());
        assertEquals(1, run.code);
        assertContains(run.text, "The library could not be written to " + file);
    }

    @Test
    void aMountWithoutTheRightToWriteOrToLoadIsNamed() throws Exception {
        Path mount = Files.createDirectory(directory.resolve("mount")).toRealPath();
        Run writable = run(directory, "install-native", mount.toString());
        assertEquals(0, writable.code, writable.text);
        // What is there already need not be written.
        ChildJvm.Output same = jvm("ro", mount).run("um.imap.oauth2.Main", "install-native", mount.toString());
        assertContains(same.out, "It can be loaded here.");
        Files.delete(mount.resolve(PLATFORM.file()));
        ChildJvm.Output readOnly = jvm("ro", mount).run("um.imap.oauth2.Main", "install-native", mount.toString());
        assertEquals(1, readOnly.code, readOnly.toString());
        assertContains(readOnly.err, "The library could not be written to " + mount, "Read-only file system");
        ChildJvm.Output noexec = jvm("noexec", mount).run("um.imap.oauth2.Main", "install-native", mount.toString());
        assertEquals(1, noexec.code, noexec.toString());
        assertContains(noexec.err, "library: ", mount + " is mounted with noexec");
        assertFalse(noexec.out.contains("Start UM's JVM"), noexec.out);
    }

    @Test
    void aLibraryThatCannotBeLoadedIsExplained() throws Exception {
        Path inJar = Files.createDirectories(directory.resolve("um/imap/oauth2/native/" + PLATFORM.name()));
        Files.writeString(inJar.resolve(PLATFORM.file()), "no library");
        Run run = runWithout(directory, "install-native", directory.resolve("out").toString());
        assertEquals(1, run.code);
        assertContains(run.text, "library: ", "is not a library");
    }

    @Test
    void helpSaysWhatThereIsAndAWrongCallToo() throws Exception {
        Run help = run(directory, "--help");
        assertEquals(0, help.code);
        assertContains(help.text, "um-imap-oauth2 " + NativeLibrary.version(NativeLibrary.class), "install-native", PLATFORM.name());
        for (String[] wrong : new String[][] {
            {}, {"install-native"}, {"install", "out"}, {"install-native", "out", PLATFORM.name(), "more"}, {"--help", "more"}
        }) {
            Run run = run(directory, wrong);
            assertEquals(2, run.code, run.text);
            assertEquals(help.text, run.text);
        }
    }

    @Test
    void theLanguageIsThatOfTheJvm() throws Exception {
        run(directory, "--help");
        Run help = runIn("-Duser.language=de", directory, "--help");
        assertEquals(0, help.code, help.text);
        assertContains(help.text, "VERZEICHNIS", "schreibt die native Bibliothek", PLATFORM.name());
        String out = directory.resolve("out").toString();
        Run written = runIn("-Duser.language=de", directory, "install-native", out);
        assertEquals(0, written.code, written.text);
        assertContains(written.text, " wurde geschrieben (", "kann hier geladen werden", "Starten Sie die JVM des UM mit -D");
        Run unknown = runIn("-Duser.language=de", directory, "install-native", out, "solaris-sparc");
        assertContains(unknown.text, "Die Plattform solaris-sparc gibt es nicht.");
    }

    private ChildJvm jvm(String option, Path mount) throws Exception {
        return new ChildJvm(directory).with(ENGLISH).classPath(directory).underMount(option, mount);
    }

    private static final class Run {
        private final int code;
        private final String text;

        Run(int code, String text) {
            this.code = code;
            this.text = text;
        }
    }

    /** With the library of this platform in the jar, which {@code jar} stands for. */
    private static Run run(Path jar, String... arguments) throws IOException, InterruptedException {
        Path inJar = jar.resolve(PLATFORM.resource().substring(1));
        Files.createDirectories(inJar.getParent());
        if (!Files.exists(inJar)) {
            Files.copy(LIBRARY, inJar);
        }
        return runWithout(jar, arguments);
    }

    private static Run runWithout(Path jar, String... arguments) throws IOException, InterruptedException {
        return runIn(ENGLISH, jar, arguments);
    }

    private static Run runIn(String language, Path jar, String... arguments) throws IOException, InterruptedException {
        // Of the classes alone: what else lies beside them was built some other day.
        Path classes = Path.of(System.getProperty("user.dir"), "target/classes/um/imap/oauth2");
        Path copies = Files.createDirectories(jar.resolve("um/imap/oauth2"));
        try (var files = Files.newDirectoryStream(classes, path -> Files.isRegularFile(path))) {
            for (Path file : files) {
                Path copy = copies.resolve(file.getFileName());
                if (!Files.exists(copy)) {
                    Files.copy(file, copy);
                }
            }
        }
        List<String> command = new ArrayList<>();
        command.add(System.getProperty("java.home") + File.separator + "bin" + File.separator + "java");
        command.addAll(List.of(language, "-cp", jar.toString(), "um.imap.oauth2.Main"));
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        process.getOutputStream().close();
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        process.getInputStream().transferTo(text);
        return new Run(process.waitFor(), text.toString(StandardCharsets.UTF_8));
    }

    private static void assertContains(String text, String... parts) {
        for (String part : parts) {
            assertTrue(text.contains(part), () -> "no <" + part + "> in <" + text + ">");
        }
    }
}
