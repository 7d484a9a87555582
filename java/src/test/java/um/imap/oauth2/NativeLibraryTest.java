package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Each test loads the library by class loaders of its own, each as if it were a web application with the jar. */
class NativeLibraryTest {
    private static final Path LIBRARY = Path.of(System.getProperty(NativeLibrary.PROPERTY));
    private static final Platform PLATFORM = Platform.current();
    private static final String ALPINE = "7f2c7d1b2000-7f2c7d1b3000 r--p 00000000 08:01 1051 /lib/ld-musl-x86_64.so.1\n";

    /** For a JVM of its own, and what that has to end with where all is well. */
    private static final String NAME = Opening.class.getName();
    private static final String OPENED = new ChildJvm.Output(0, "bounces@example.test/INBOX", "").toString();

    @TempDir
    private Path directory;

    private String libraryPath;

    @BeforeEach
    void theLibraryIsBuilt() {
        assertTrue(Files.isRegularFile(LIBRARY), LIBRARY + " is missing: build it with cargo, or name one by"
                + " -Dnative.library=PATH");
        libraryPath = System.getProperty("java.library.path");
    }

    @AfterEach
    void restoreTheProperties() {
        System.setProperty(NativeLibrary.PROPERTY, LIBRARY.toString());
        System.setProperty("java.library.path", libraryPath);
    }

    @Test
    void theSystemPropertyNamesTheLibrary() throws Throwable {
        open(application(), null).close();
    }

    @Test
    void aWrongPropertyIsNotPassedOver() throws Throwable {
        Path missing = directory.resolve("missing.so");
        System.setProperty(NativeLibrary.PROPERTY, missing.toString());
        putIntoJar(directory);
        String message = failure(application(directory), null);
        assertContains(message, NativeLibrary.PROPERTY, missing.toString(), PLATFORM.name());
    }

    @Test
    void twoClassLoadersEachGetACopy() throws Throwable {
        AutoCloseable first = open(application(), null);
        AutoCloseable second = open(application(), null);
        first.close();
        assertDoesNotThrow(second::close);
    }

    @Test
    void theJarsLibraryIsUnpackedOnceAndUsedAgain() throws Throwable {
        System.clearProperty(NativeLibrary.PROPERTY);
        Path jar = directory.resolve("um.jar");
        try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(jar))) {
            out.putNextEntry(new JarEntry(PLATFORM.resource().substring(1)));
            Files.copy(LIBRARY, out);
        }
        Path work = directory.resolve("work");
        open(application(jar), work).close();
        List<Path> unpacked = files(work.resolve("native"));
        assertEquals(1, unpacked.size(), unpacked.toString());
        assertArrayEquals(Files.readAllBytes(LIBRARY), Files.readAllBytes(unpacked.get(0)));
        assertTrue(unpacked.get(0).getParent().getFileName().toString().matches("0\\.1\\.0-[0-9a-f]{8}"));

        Object inode = Files.getAttribute(unpacked.get(0), "unix:ino");
        open(application(jar), work).close();
        assertEquals(unpacked, files(work.resolve("native")));
        assertEquals(inode, Files.getAttribute(unpacked.get(0), "unix:ino"));
    }

    @Test
    void anUnpackedLibraryThatWasChangedIsReplaced() throws Throwable {
        System.clearProperty(NativeLibrary.PROPERTY);
        putIntoJar(directory);
        Path work = directory.resolve("work");
        open(application(directory), work).close();
        Path unpacked = files(work.resolve("native")).get(0);
        // A new file: the old one is mapped into this process.
        byte[] changed = Files.readAllBytes(unpacked);
        changed[changed.length / 2] ^= 1;
        Files.delete(unpacked);
        Files.write(unpacked, changed);
        open(application(directory), work).close();
        assertArrayEquals(Files.readAllBytes(LIBRARY), Files.readAllBytes(unpacked));
    }

    @Test
    void whatIsUnpackedIsForThisAccountAloneWhateverTheUmaskIs() throws Exception {
        Path jar = directory.resolve("jar");
        putIntoJar(jar);
        Path work = directory.resolve("work");
        ChildJvm jvm = new ChildJvm(directory).classPath(jar).under("sh", "-c", "umask 000 && exec \"$0\" \"$@\"");
        assertEquals(OPENED, jvm.run(NAME, work.toString()).toString());
        Path library = files(work.resolve("native")).get(0);
        assertEquals("rw-------", mode(library));
        for (Path made = library.getParent(); !made.equals(directory); made = made.getParent()) {
            assertEquals("rwx------", mode(made), made.toString());
        }
    }

    @Test
    void aDirectoryThatAnotherAccountCanWriteIsPassedOver() throws Throwable {
        System.clearProperty(NativeLibrary.PROPERTY);
        putIntoJar(directory);
        for (String above : List.of("work", "work/native")) {
            Path work = Files.createDirectories(directory.resolve(above.replace('/', '-')).resolve("work"));
            Path shared = Files.createDirectories(work.getParent().resolve(above));
            for (String mode : List.of("rwxrwx---", "rwx---rwx")) {
                Files.setPosixFilePermissions(shared, PosixFilePermissions.fromString(mode));
                open(application(directory), work).close();
                assertEquals(List.of(), files(work));
                String observed = assertThrows(OwnDirectory.Refused.class, () -> OwnDirectory.make(shared.resolve("x"))).getMessage();
                assertContains(observed, shared.toRealPath().toString(), "can be written by other accounts");
            }
        }
    }

    @Test
    void aDirectoryOfAnotherAccountIsPassedOver() throws Throwable {
        Path shared = Files.createDirectory(directory.resolve("shared")).toRealPath();
        assumeTrue((Integer) Files.getAttribute(shared, "unix:uid") == 0, "only root can give a directory away");
        Files.setAttribute(shared, "unix:uid", 12345);
        System.clearProperty(NativeLibrary.PROPERTY);
        putIntoJar(directory);
        open(application(directory), shared.resolve("work")).close();
        assertEquals(List.of(), files(shared));
        OwnDirectory.Refused refused = assertThrows(OwnDirectory.Refused.class, () -> OwnDirectory.check(shared));
        assertContains(refused.getMessage(), "another account (user ID 12345");
        assertEquals("chown 0 '" + shared + "'", refused.command);
    }

    @Test
    void aTemporaryDirectoryThatOthersCanRearrangeIsRefusedWithTheCommandThatMendsIt() throws Exception {
        Path temporary = Files.createDirectory(directory.resolve("tmp")).toRealPath();
        Files.setPosixFilePermissions(temporary, PosixFilePermissions.fromString("rwxrwxrwx"));
        Path jar = directory.resolve("jar");
        putIntoJar(jar);
        ChildJvm jvm = new ChildJvm(directory).classPath(jar).with("-Djava.io.tmpdir=" + temporary);
        assertContains(jvm.run(NAME, temporary.resolve("work").toString()).out, "library: ", "Another account could replace the library",
                temporary + " can be written by other accounts (mode 777)", "Run: chmod go-w '" + temporary + "'");
    }

    @Test
    void aLinkOrAFileThatOthersCanWriteInTheLibrarysPlaceIsReplaced() throws Throwable {
        System.clearProperty(NativeLibrary.PROPERTY);
        putIntoJar(directory);
        Path work = directory.resolve("work");
        open(application(directory), work).close();
        Path library = files(work.resolve("native")).get(0);
        Path elsewhere = Files.copy(LIBRARY, directory.resolve("elsewhere"));
        Files.delete(library);
        Files.createSymbolicLink(library, elsewhere);
        open(application(directory), work).close();
        assertFalse(Files.isSymbolicLink(library));
        Files.setPosixFilePermissions(library, PosixFilePermissions.fromString("rw-rw-rw-"));
        Object inode = Files.getAttribute(library, "unix:ino");
        open(application(directory), work).close();
        assertEquals("rw-------", mode(library));
        assertNotEquals(inode, Files.getAttribute(library, "unix:ino"));
    }

    private static String mode(Path path) throws IOException {
        return PosixFilePermissions.toString(Files.getPosixFilePermissions(path));
    }

    @Test
    void withoutAWorkDirectoryNothingIsLeftBehind() throws Throwable {
        System.clearProperty(NativeLibrary.PROPERTY);
        putIntoJar(directory);
        Path temporary = Path.of(System.getProperty("java.io.tmpdir"));
        List<Path> before = children(temporary, "um-imap-oauth2-");
        open(application(directory), null).close();
        assertEquals(before, children(temporary, "um-imap-oauth2-"));
    }

    @Test
    void aWorkDirectoryThatCannotBeWrittenIsPassedOver() throws Throwable {
        System.clearProperty(NativeLibrary.PROPERTY);
        putIntoJar(directory);
        Path file = Files.createFile(directory.resolve("file"));
        open(application(directory), file).close();
    }

    @Test
    void theLibraryPathIsTheLastPlace() throws Throwable {
        System.clearProperty(NativeLibrary.PROPERTY);
        Files.copy(LIBRARY, directory.resolve(PLATFORM.file()));
        System.setProperty("java.library.path", "/nowhere" + File.pathSeparator + directory);
        open(application(), null).close();
    }

    @Test
    void whatWasLookedForWhereIsSaid() {
        System.clearProperty(NativeLibrary.PROPERTY);
        System.setProperty("java.library.path", directory.toString());
        assertContains(failure(application(), null), PLATFORM.name(), NativeLibrary.PROPERTY + ": not set",
                PLATFORM.resource(), "no native library", directory.toString());
    }

    @Test
    void aFileThatIsNoLibraryIsSaid() throws IOException {
        Path garbage = Files.writeString(directory.resolve("garbage.so"), "no library");
        System.setProperty(NativeLibrary.PROPERTY, garbage.toString());
        assertContains(failure(application(), null), garbage + " is not a library");
    }

    @Test
    void halfALibraryDoesNotEndTheJvm() throws IOException {
        Path half = Files.write(directory.resolve("half.so"), Arrays.copyOf(Files.readAllBytes(LIBRARY), 100_000));
        System.setProperty(NativeLibrary.PROPERTY, half.toString());
        assertContains(failure(application(), null), half + " is incomplete");
    }

    @Test
    void aMountWithNoexecIsNamedWithWhatToDo() throws Exception {
        Path mount = Files.createDirectory(directory.resolve("mount")).toRealPath();
        Path temporary = Files.createDirectory(mount.resolve("tmp"));
        // By another name, which the list of mounts does not know.
        Path link = Files.createSymbolicLink(directory.resolve("link"), mount);
        Path work = link.resolve("work");
        Path file = Files.copy(LIBRARY, link.resolve("copy.so"));
        String[] named = {"library: ", mount + " is mounted with noexec", "Use a work directory (or another java.io.tmpdir) that is mounted without noexec",
            "another java.io.tmpdir", "install-native DIRECTORY", NativeLibrary.PROPERTY};
        assertContains(jvm("noexec", mount, "-Djava.io.tmpdir=" + temporary).run(NAME, work.toString()).out, named);
        assertContains(jvm("noexec", mount, "-D" + NativeLibrary.PROPERTY + "=" + file).run(NAME).out, named);
        // One of the two is enough.
        assertEquals(OPENED, jvm("noexec", mount, "-Djava.io.tmpdir=" + directory).run(NAME, work.toString()).toString());
        assertEquals(OPENED, jvm("noexec", temporary, "-Djava.io.tmpdir=" + temporary).run(NAME, work.toString()).toString());
    }

    @Test
    void withoutADirectoryThatCanBeWrittenItIsSaidHowToInstallTheLibrary() throws Exception {
        Path mount = Files.createDirectory(directory.resolve("mount"));
        assertContains(jvm("ro", mount, "-Djava.io.tmpdir=" + mount).run(NAME, mount.resolve("work").toString()).out,
                "Read-only file system", "UM can write to neither of them. Let UM write to one of them, or", "install-native DIRECTORY", NativeLibrary.PROPERTY);
    }

    @Test
    void aJvmThatLoadsNoNativeLibrariesIsToldWithWhichOptionItDoes() throws Exception {
        assumeTrue(Runtime.version().feature() >= 24, "older JVMs load any library");
        String said = new ChildJvm(directory).withoutNativeAccess().with("--illegal-native-access=deny").run(NAME).out;
        assertContains(said, "library: ", "IllegalCallerException", "Start UM's JVM with --enable-native-access=ALL-UNNAMED.");
    }

    @Test
    void aSecurityManagerThatForbidsTheLibraryIsNamed() throws Exception {
        assumeTrue(Runtime.version().feature() < 24, "newer JVMs have no security managers");
        String files = "permission java.io.FilePermission \"<<ALL FILES>>\", \"read,write\";";
        String properties = "permission java.util.PropertyPermission \"*\", \"read,write\";";
        for (String granted : List.of(files + properties, properties)) {
            Path policy = Files.writeString(directory.resolve("policy"), "grant { " + granted + " };");
            String said = new ChildJvm(directory).with("-Djava.security.manager", "-Djava.security.policy==" + policy).run(NAME).out;
            assertContains(said, "library: ", "access denied", "Grant um-imap-oauth2.jar this permission");
        }
    }

    /** For a JVM of its own: opens a mailbox with this work directory and the library in the jar, or with neither. */
    static final class Opening {
        public static void main(String[] arguments) {
            BounceMailbox.Builder builder = BounceMailbox.builder().settings(ExampleSettings.oauth2());
            if (arguments.length > 0) {
                System.clearProperty(NativeLibrary.PROPERTY);
                builder.workDirectory(Path.of(arguments[0]));
            }
            try (BounceMailbox mailbox = builder.open()) {
                System.out.print(mailbox);
            } catch (MailboxException e) {
                System.out.print(e.getMessage());
            }
        }
    }

    @Test
    void aMissingLibraryForMuslIsExplained() throws Throwable {
        System.clearProperty(NativeLibrary.PROPERTY);
        assertContains(failureOn(application(), "Linux", "amd64", ALPINE), "linux-x86_64-musl", "Alpine");
    }

    @Test
    void aLibraryForTheOtherCLibraryIsSaid() throws Throwable {
        System.clearProperty(NativeLibrary.PROPERTY);
        Path file = directory.resolve("um/imap/oauth2/native/linux-x86_64-musl/libum_imap_oauth2.so");
        Files.createDirectories(file.getParent());
        Files.copy(LIBRARY, file);
        assertContains(failureOn(application(directory), "Linux", "amd64", ALPINE),
                "was built for the C library glibc, but this JVM uses musl");

        String text = new String(Files.readAllBytes(LIBRARY), StandardCharsets.ISO_8859_1);
        Path musl = directory.resolve("musl.so");
        Files.writeString(musl, text.replace("\0libc.so.6\0", "\0libc.so\0.6"), StandardCharsets.ISO_8859_1);
        System.setProperty(NativeLibrary.PROPERTY, musl.toString());
        assertContains(failure(application(), null), "was built for the C library musl, but this JVM uses glibc");
    }

    @Test
    void everyPlatformWhoseLibraryWasRemovedIsNamedWithTheFileThatItLacks() throws Throwable {
        System.clearProperty(NativeLibrary.PROPERTY);
        for (String[] jvm : new String[][] {
            {"linux-x86_64", "Linux", "amd64", ""},
            {"linux-x86_64-musl", "Linux", "x86_64", ALPINE},
            {"linux-aarch64", "Linux", "aarch64", ""},
            {"linux-aarch64-musl", "Linux", "arm64", ALPINE},
            {"windows-x86_64", "Windows Server 2019", "amd64", ""},
        }) {
            assertTrue(Platform.NAMES.contains(jvm[0]));
            String message = failureOn(application(), jvm[1], jvm[2], jvm[3]);
            assertContains(message, "no native library for " + jvm[0] + " could be loaded",
                    Platform.named(jvm[0]).resource() + ": not found; the jar contains no native library",
                    NativeLibrary.PROPERTY);
        }
    }

    @Test
    void aPlatformThatNoLibraryIsBuiltForIsToldWhatThereIs() throws Throwable {
        System.clearProperty(NativeLibrary.PROPERTY);
        for (String[] jvm : new String[][] {
            {"macosx-aarch64", "Mac OS X", "aarch64"},
            {"freebsd-x86_64", "FreeBSD", "amd64"},
            {"linux-riscv64", "Linux", "riscv64"},
            {"windows-x86", "Windows 11", "x86"},
            {"windows-aarch64", "Windows 11", "aarch64"},
        }) {
            assertContains(failureOn(application(), jvm[1], jvm[2], ""), jvm[0], String.join(", ", Platform.NAMES),
                    "continue to use UM's built-in reader");
        }
    }

    @Test
    void aLibraryOfAnotherVersionIsRefused() throws Throwable {
        Path version = Files.createDirectories(directory.resolve("um/imap/oauth2")).resolve("version");
        Files.writeString(version, "9.9.9\n");
        assertContains(failure(application(directory), null), "9.9.9", NativeLibrary.version(NativeLibrary.class));
    }

    @Test
    void aLibraryOfTheSameVersionThatLacksAMethodIsRefused() throws Throwable {
        for (String method : List.of("version", "openSettings")) {
            nameLibraryWithout(method);
            assertContains(failure(application(), null), "does not belong to this jar", method, "from the same build");
        }
        nameLibraryWithout("flush");
        try (AutoCloseable mailbox = open(application(), null)) {
            Method flush = mailbox.getClass().getMethod("flush");
            Throwable e = assertThrows(InvocationTargetException.class, () -> flush.invoke(mailbox)).getCause();
            assertContains(e.getMessage(), "library: ", "does not belong to this jar", "flush", "from the same build");
        }
        nameLibraryWithout("close");
        AutoCloseable mailbox = open(application(), null);
        assertDoesNotThrow(mailbox::close);
    }

    /** The JVM does not find the method under another name. */
    private void nameLibraryWithout(String method) throws IOException {
        String content = new String(Files.readAllBytes(LIBRARY), StandardCharsets.ISO_8859_1);
        String renamed = content.replace("\0Java_um_imap_oauth2_Native_" + method + "__", "\0Lava_um_imap_oauth2_Native_" + method + "__");
        Path file = Files.writeString(directory.resolve(method + ".so"), renamed, StandardCharsets.ISO_8859_1);
        System.setProperty(NativeLibrary.PROPERTY, file.toString());
    }

    @Test
    void theJarsVersionIsTheCrates() throws IOException {
        List<String> crate = Sources.all("(?m)^version = \"(.*)\"", Sources.rust("Cargo.toml"));
        assertEquals(crate.get(0), NativeLibrary.version(NativeLibrary.class));
    }

    /** A class loader that has the classes, and before them what {@code first} holds; no other native library than there. */
    private static ClassLoader application(Path... first) {
        List<URL> urls = new ArrayList<>();
        try {
            for (Path path : first) {
                urls.add(path.toUri().toURL());
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        URLClassLoader natives = new URLClassLoader(urls.toArray(new URL[0]), null);
        urls.add(BounceMailbox.class.getProtectionDomain().getCodeSource().getLocation());
        return new URLClassLoader(urls.toArray(new URL[0]), ClassLoader.getPlatformClassLoader()) {
            @Override
            public URL findResource(String name) {
                return name.startsWith("um/imap/oauth2/native/") ? natives.findResource(name) : super.findResource(name);
            }
        };
    }

    /** A JVM with the library in the jar, and a mount with this option. */
    private ChildJvm jvm(String option, Path mount, String... options) throws Exception {
        Path jar = directory.resolve("jar");
        if (!Files.exists(jar)) {
            putIntoJar(jar);
        }
        return new ChildJvm(directory).classPath(jar).with("-Xcheck:jni").with(options).underMount(option, mount);
    }

    private static void putIntoJar(Path jar) throws IOException {
        Path file = jar.resolve(PLATFORM.resource().substring(1));
        Files.createDirectories(file.getParent());
        Files.copy(LIBRARY, file);
    }

    private static AutoCloseable open(ClassLoader application, Path workDirectory) throws Throwable {
        try {
            Object builder = Class.forName("um.imap.oauth2.BounceMailbox", true, application).getMethod("builder").invoke(null);
            Class<?> type = builder.getClass();
            type.getMethod("settings", Map.class).invoke(builder, ExampleSettings.oauth2());
            if (workDirectory != null) {
                type.getMethod("workDirectory", Path.class).invoke(builder, workDirectory);
            }
            return (AutoCloseable) type.getMethod("open").invoke(builder);
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }

    /** The text of the exception of kind LIBRARY that opening a mailbox ends with. */
    private static String failure(ClassLoader application, Path workDirectory) {
        Throwable e = assertThrows(Throwable.class, () -> open(application, workDirectory));
        assertEquals("um.imap.oauth2.MailboxException", e.getClass().getName(), e.toString());
        assertTrue(e.getMessage().startsWith("library: "), e.getMessage());
        return e.getMessage();
    }

    /** As {@link #failure}, in a JVM on a machine with these properties. */
    private static String failureOn(ClassLoader application, String osName, String osArch, String maps) throws Throwable {
        Method of = Class.forName("um.imap.oauth2.Platform", true, application)
                .getDeclaredMethod("of", String.class, String.class, String.class);
        Class<?> type = Class.forName("um.imap.oauth2.NativeLibrary", true, application);
        Constructor<?> constructor = type.getDeclaredConstructor(String.class, of.getDeclaringClass());
        Method load = type.getDeclaredMethod("load", Path.class);
        of.setAccessible(true);
        constructor.setAccessible(true);
        load.setAccessible(true);
        Object library = constructor.newInstance("0.1.0", of.invoke(null, osName, osArch, maps));
        Throwable e = assertThrows(InvocationTargetException.class, () -> load.invoke(library, (Object) null)).getCause();
        assertEquals("um.imap.oauth2.MailboxException", e.getClass().getName(), e.toString());
        assertTrue(e.getMessage().startsWith("library: "), e.getMessage());
        return e.getMessage();
    }

    private static void assertContains(String text, String... parts) {
        for (String part : parts) {
            assertTrue(text.contains(part), () -> "no <" + part + "> in <" + text + ">");
        }
        assertFalse(text.contains("null"), text);
    }

    private static List<Path> files(Path directory) throws IOException {
        try (Stream<Path> paths = Files.walk(directory)) {
            return paths.filter(Files::isRegularFile).collect(Collectors.toList());
        }
    }

    private static List<Path> children(Path directory, String prefix) throws IOException {
        try (Stream<Path> paths = Files.list(directory)) {
            return paths.filter(path -> path.getFileName().toString().startsWith(prefix)).sorted().collect(Collectors.toList());
        }
    }
}
