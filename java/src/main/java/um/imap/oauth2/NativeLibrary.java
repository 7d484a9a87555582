package um.imap.oauth2;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * Answers the whole question: which native library, and where from. In this order:
 *
 * <ol>
 * <li>the path in the system property {@value #PROPERTY}; when that is set, nothing else counts;
 * <li>the jar's resource for this platform, unpacked to {@code <work directory>/native/<version>-<hash>/} and used again
 *     there, or else to a private temporary directory;
 * <li>{@code java.library.path}.
 * </ol>
 *
 * <p>The JVM gives one file to one class loader only: whoever comes second loads a temporary copy.
 *
 * <p>What stays when a web application is undeployed: its class loader can be collected, no thread is left, and the library
 * stays mapped (some 6 MB of address space, shared with the file) until the JVM ends. The next deployment uses the same mapping
 * if it has a work directory and the class loader before was collected by then; else it maps a copy of its own.
 */
final class NativeLibrary {
    static final String PROPERTY = "um.imap.oauth2.library";

    private static final String ELSEWHERE = "put the library elsewhere (java -jar um-imap-oauth2.jar install-native DIRECTORY)"
            + " and name it in the system property " + PROPERTY + ".";

    private static final String FROM_ONE_BUILD = "Take jar and library from one build, and restart the JVM.";

    /** The one of this class loader. */
    static final NativeLibrary INSTANCE = new NativeLibrary(version(NativeLibrary.class), Platform.current());

    private final String version;
    private final Platform platform;
    private boolean loaded;
    private boolean trusted;

    NativeLibrary(String version, Platform platform) {
        this.version = version;
        this.platform = platform;
    }

    /**
     * Loads the library, unless it is loaded.
     *
     * @param workDirectory null: there is none
     * @throws MailboxException of kind LIBRARY
     */
    synchronized void load(Path workDirectory) {
        if (!loaded) {
            String origin = new Search(workDirectory).run();
            loaded = true;
            Log.LIBRARY.log(Level.DEBUG, "Loaded the native library " + origin);
        }
        String found;
        try {
            found = Native.version();
        } catch (UnsatisfiedLinkError e) {
            throw ofAnotherBuild(e);
        }
        if (!found.equals(version)) {
            throw MailboxException.library(
                    "the native library has version " + found + " (" + Native.target() + "), the jar has " + version,
                    "A library of another version was found first, in the system property " + PROPERTY
                            + " or on java.library.path.",
                    FROM_ONE_BUILD, null);
        }
    }

    /** What a native method is that the library does not have, though it has the jar's version. */
    static MailboxException ofAnotherBuild(UnsatisfiedLinkError e) {
        return MailboxException.library("the native library that was loaded is not the one of this jar: " + e, "", FROM_ONE_BUILD, e);
    }

    /**
     * Tells the library whom the JVM trusts, unless it knows; to be called before anything that connects. Not earlier: in a JVM
     * that has just started the trust store takes longer than all the rest.
     */
    synchronized void trust() {
        if (!trusted) {
            try {
                Native.trust(JvmTrust.issuers(), null);
                trusted = true;
            } catch (GeneralSecurityException e) {
                // It may be in order the next time.
                Native.trust(null, e.getCause() == null ? e.toString() : e + " (" + e.getCause() + ")");
            }
        }
    }

    /** The jar's version. */
    static String version(Class<?> of) {
        try (InputStream in = of.getResourceAsStream("version")) {
            return in == null ? "unknown" : new String(in.readAllBytes(), StandardCharsets.UTF_8).trim();
        } catch (IOException e) {
            return "unknown";
        }
    }

    /** One search from the first place to the last, with what was seen on the way. */
    private final class Search {
        private final Path workDirectory;
        private final List<String> seen = new ArrayList<>();
        private Throwable last;
        private String noexec;
        private boolean unwritten;

        Search(Path workDirectory) {
            this.workDirectory = workDirectory;
        }

        /** Returns where the library was loaded from. */
        String run() {
            String property = System.getProperty(PROPERTY);
            String origin;
            if (property != null) {
                origin = fromFile("system property " + PROPERTY, property);
            } else {
                seen.add("system property " + PROPERTY + ": not set");
                origin = fromJar();
                if (origin == null) {
                    origin = fromLibraryPath();
                }
            }
            if (origin == null) {
                throw failure();
            }
            return origin;
        }

        private String fromFile(String where, String path) {
            Path file;
            try {
                file = Path.of(path);
            } catch (InvalidPathException e) {
                seen(where, e);
                return null;
            }
            if (!Files.isRegularFile(file)) {
                seen.add(where + ": there is no file " + file.toAbsolutePath());
                return null;
            }
            String origin = load(where, file);
            if (origin == null && last != null && last.getMessage() != null
                    && last.getMessage().toLowerCase(Locale.ROOT).contains("already loaded in another")) {
                try {
                    return fromCopy(where, Files.readAllBytes(file));
                } catch (IOException e) {
                    seen(where, e);
                }
            }
            return origin;
        }

        private String fromJar() {
            String where = "the jar's " + platform.resource();
            byte[] content;
            try {
                content = inJar(platform);
            } catch (IOException e) {
                seen(where, e);
                return null;
            }
            if (content == null) {
                seen.add(where + ": not there; the jar has " + Platform.inJar());
                return null;
            }
            if (workDirectory != null) {
                try {
                    String origin = load(where, unpacked(content));
                    if (origin != null) {
                        return origin;
                    }
                } catch (IOException e) {
                    seen(where, e);
                }
            }
            return fromCopy(where, content);
        }

        private String fromLibraryPath() {
            String path = System.getProperty("java.library.path", "");
            boolean found = false;
            for (String directory : path.split(File.pathSeparator)) {
                File file = new File(directory, platform.file());
                if (!directory.isEmpty() && file.isFile()) {
                    found = true;
                    String origin = fromFile("java.library.path", file.getPath());
                    if (origin != null) {
                        return origin;
                    }
                }
            }
            if (!found) {
                seen.add("java.library.path: no " + platform.file() + " in " + path);
            }
            return null;
        }

        /** The library in the work directory, where it stays for the next start. */
        private Path unpacked(byte[] content) throws IOException {
            String hash = hash(content).substring(0, 16);
            return write(content, workDirectory.resolve("native").resolve(version + "-" + hash), platform);
        }

        /** A private copy, which nobody else finds. */
        private String fromCopy(String where, byte[] content) {
            try {
                Path directory = Files.createTempDirectory("um-imap-oauth2-");
                Path file = directory.resolve(platform.file());
                try {
                    Files.write(file, content);
                    return load(where, file);
                } finally {
                    remove(file);
                    remove(directory);
                }
            } catch (IOException e) {
                unwritten = true;
                seen(where, e);
                return null;
            }
        }

        private String load(String where, Path file) {
            Path path = file.toAbsolutePath();
            try {
                String fault = platform.fault(path);
                if (fault != null) {
                    seen.add(where + ": " + path + " " + fault);
                    return null;
                }
                System.load(path.toString());
                return where + " (" + path + ")";
            } catch (IOException e) {
                seen(where, e);
                return null;
            } catch (UnsatisfiedLinkError e) {
                last = e;
                seen.add(where + ": " + e.getMessage());
                if (noexec == null) {
                    noexec = Platform.noexecMount(path);
                }
                return null;
            }
        }

        private void seen(String where, Exception e) {
            last = e;
            seen.add(where + ": " + e);
        }

        private MailboxException failure() {
            String cause = "";
            String remedy = "Name a library for " + platform.name() + " in the system property " + PROPERTY + ".";
            if (noexec != null) {
                cause = noexec + " is mounted with noexec, so that no library can be loaded from there.";
                remedy = "Take a work directory that is mounted without noexec (or another java.io.tmpdir), or " + ELSEWHERE;
            } else if (unwritten) {
                cause = "The library is unpacked to the work directory, where there is one, or to java.io.tmpdir; neither can be written.";
                remedy = "Let UM write to one of them, or " + ELSEWHERE;
            } else if (!Platform.NAMES.contains(platform.name())) {
                cause = "There are libraries for " + String.join(", ", Platform.NAMES) + " only.";
                remedy = "Run UM with a 64-bit JVM on one of these, or go on with UM's own reader.";
            } else if (platform.isMusl() && NativeLibrary.class.getResource(platform.resource()) == null) {
                cause = "This JVM runs on the C library musl (Alpine Linux); a library that was built for glibc cannot be"
                        + " loaded there, and the jar has none for musl.";
                remedy = "Take a jar that was built with " + platform.name() + ", or name such a library in the system property "
                        + PROPERTY + ".";
            }
            return MailboxException.library(
                    "no native library for " + platform.name() + " could be loaded (" + String.join("; ", seen) + ").",
                    cause, remedy, last);
        }
    }

    /** What the jar has for the platform, or null. */
    static byte[] inJar(Platform platform) throws IOException {
        try (InputStream in = NativeLibrary.class.getResourceAsStream(platform.resource())) {
            return in == null ? null : in.readAllBytes();
        }
    }

    /** Makes sure that the directory has the library, octet for octet, and returns its file. */
    static Path write(byte[] content, Path directory, Platform platform) throws IOException {
        Path file = directory.resolve(platform.file());
        if (!holds(file, content)) {
            Files.createDirectories(directory);
            // Another JVM may do the same at this moment: the file is there as a whole or not at all.
            Path unfinished = Files.createTempFile(directory, platform.file(), ".tmp");
            try {
                Files.write(unfinished, content);
                Files.move(unfinished, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            } catch (IOException e) {
                // On Windows a file that is in use cannot be replaced; the other JVM's does as well.
                if (!holds(file, content)) {
                    throw e;
                }
            } finally {
                Files.deleteIfExists(unfinished);
            }
        }
        return file;
    }

    /** SHA-256, in hexadecimal digits. */
    static String hash(byte[] content) {
        try {
            StringBuilder hex = new StringBuilder();
            for (byte octet : MessageDigest.getInstance("SHA-256").digest(content)) {
                hex.append(String.format("%02x", octet));
            }
            return hex.toString();
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);     // every JVM has it
        }
    }

    private static boolean holds(Path file, byte[] content) throws IOException {
        return Files.isRegularFile(file) && Files.size(file) == content.length
                && Arrays.equals(Files.readAllBytes(file), content);
    }

    /** At once where a mapped file can be removed, else when the JVM ends. */
    private static void remove(Path path) {
        try {
            Files.delete(path);
        } catch (IOException e) {
            path.toFile().deleteOnExit();
        }
    }
}
