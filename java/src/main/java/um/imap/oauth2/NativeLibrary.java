package um.imap.oauth2;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.lang.System.Logger.Level;
import java.math.BigInteger;
import java.net.URL;
import java.net.URLConnection;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Answers the whole question: which native library, and where from. In this order:
 *
 * <ol>
 * <li>the path in the system property {@value #PROPERTY}; when that is set, nothing else counts;
 * <li>the jar's resource for this platform, unpacked to {@code <work directory>/native/<version>-<hash>/} and used again
 *     there if its SHA-256 is that of the jar's, or else to a private temporary directory; neither is used if another account
 *     can write there ({@link OwnDirectory});
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

    /** The one of this class loader. */
    static final NativeLibrary INSTANCE = new NativeLibrary(version(NativeLibrary.class), Platform.current());

    private final String version;
    private final Platform platform;
    private boolean loaded;
    private boolean prepared;
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
            Log.log(Log.LIBRARY, Level.DEBUG, "Loaded the native library " + origin, null);
        }
        String found;
        try {
            found = Native.version();
        } catch (UnsatisfiedLinkError e) {
            throw ofAnotherBuild(e);
        }
        if (!found.equals(version)) {
            throw MailboxException.library(
                    Texts.text("library.version.observed", found, Native.target(), version),
                    Texts.text("library.version.cause", PROPERTY), Texts.text("library.oneBuild.remedy"), null);
        }
        if (!prepared) {
            prepare();
            prepared = true;
        }
    }

    /** On a thread of its own: whoever calls can be near the end of its stack, or have a context class loader that is closed. */
    private static void prepare() {
        AtomicReference<Throwable> thrown = new AtomicReference<>();
        Thread thread = new Thread(null, Native::prepare, "um-imap-oauth2", 0, false);
        thread.setContextClassLoader(NativeLibrary.class.getClassLoader());
        thread.setDaemon(true);
        thread.setUncaughtExceptionHandler((ended, e) -> thrown.set(e));
        thread.start();
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        if (thrown.get() instanceof UnsatisfiedLinkError) {
            throw ofAnotherBuild((UnsatisfiedLinkError) thrown.get());
        }
        if (thrown.get() != null) {
            throw MailboxException.library(Texts.text("library.unprepared.observed", thrown.get()), "",
                    Texts.text("library.unprepared.remedy"), thrown.get());
        }
    }

    /** What a native method is that the library does not have, though it has the jar's version. */
    static MailboxException ofAnotherBuild(UnsatisfiedLinkError e) {
        return MailboxException.library(Texts.text("library.otherBuild.observed", e), "", Texts.text("library.oneBuild.remedy"), e);
    }

    /**
     * Tells the library whom the JVM trusts, unless it knows; to be called before anything that connects. Not earlier: in a JVM
     * that has just started the trust store takes longer than all the rest.
     */
    synchronized void trust() {
        if (trusted) {
            return;
        }
        byte[][] issuers;
        try {
            issuers = JvmTrust.issuers();
        } catch (GeneralSecurityException | RuntimeException e) {
            // It may be in order the next time. RuntimeException: a trust manager of the application's.
            Native.trust(null, e.getCause() == null ? e.toString() : e + " (" + e.getCause() + ")");
            return;
        }
        Native.trust(issuers, null);
        trusted = true;
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
        private OwnDirectory.Refused refused;

        Search(Path workDirectory) {
            this.workDirectory = workDirectory;
        }

        /** Returns where the library was loaded from. */
        String run() {
            String property = System.getProperty(PROPERTY);
            String origin;
            if (property != null) {
                origin = fromFile(Texts.text("seen.property", PROPERTY), property);
            } else {
                seen.add(Texts.text("seen.unset", PROPERTY));
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
                seen.add(Texts.text("seen.noFile", where, file.toAbsolutePath()));
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
            String where = Texts.text("seen.jar", platform.resource());
            URL resource = platform.inJar();
            if (resource == null) {
                seen.add(Texts.text("seen.notInJar", where, Platform.allInJar()));
                return null;
            }
            if (workDirectory != null) {
                try {
                    String origin = load(where, unpacked(resource));
                    if (origin != null) {
                        return origin;
                    }
                } catch (OwnDirectory.Refused e) {
                    refused(where, e);
                } catch (IOException e) {
                    seen(where, e);
                }
            }
            try {
                return fromCopy(where, content(resource));
            } catch (IOException e) {
                seen(where, e);
                return null;
            }
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
                seen.add(Texts.text("seen.notOnPath", platform.file(), path));
            }
            return null;
        }

        /** The library in the work directory, where it stays for the next start. */
        private Path unpacked(URL resource) throws IOException {
            byte[] content = content(resource);
            Path directory = workDirectory.resolve("native").resolve(version + "-" + sha256(content).substring(0, 8));
            return write(content, OwnDirectory.make(directory), platform);
        }

        /** A private copy, which nobody else finds. */
        private String fromCopy(String where, byte[] content) {
            try {
                Path directory = Files.createTempDirectory("um-imap-oauth2-").toRealPath();
                Path file = directory.resolve(platform.file());
                try {
                    OwnDirectory.check(directory);
                    OwnDirectory.write(file, content);
                    return load(where, file);
                } finally {
                    remove(file);
                    remove(directory);
                }
            } catch (OwnDirectory.Refused e) {
                refused(where, e);
                return null;
            } catch (IOException e) {
                unwritten = true;
                seen(where, e);
                return null;
            }
        }

        /** The search goes on, but its administrator has to know. */
        private void refused(String where, OwnDirectory.Refused e) {
            refused = e;
            seen(where, e);
            Log.log(Log.LIBRARY, Level.WARNING, Texts.text("library.log.refused", e.getMessage(), e.command), null);
        }

        private String load(String where, Path file) {
            Path path = file.toAbsolutePath();
            try {
                String fault = platform.fault(path);
                if (fault != null) {
                    seen.add(Texts.text("seen.fault", where, path, fault));
                    return null;
                }
                System.load(path.toString());
                return where + " (" + path + ")";
            } catch (IOException | RuntimeException e) {
                // RuntimeException: it may not be loaded, which IllegalCallerException and SecurityException say.
                seen(where, e);
                return null;
            } catch (LinkageError e) {
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
            String remedy = Texts.text("library.none.remedy", platform.name(), PROPERTY);
            if (last instanceof IllegalCallerException) {
                cause = Texts.text("library.denied.cause");
                remedy = Texts.text("library.denied.remedy");
            } else if (last instanceof SecurityException) {
                cause = Texts.text("library.security.cause");
                remedy = Texts.text("library.security.remedy");
            } else if (noexec != null) {
                cause = Texts.text("library.noexec.cause", noexec);
                remedy = Texts.text("library.noexec.remedy", PROPERTY);
            } else if (refused != null) {
                cause = Texts.text("library.refused.cause", refused.getMessage());
                remedy = Texts.text("library.refused.remedy", refused.command);
            } else if (unwritten) {
                cause = Texts.text("library.unwritten.cause");
                remedy = Texts.text("library.unwritten.remedy", PROPERTY);
            } else if (!Platform.NAMES.contains(platform.name())) {
                cause = Texts.text("library.platform.cause", String.join(", ", Platform.NAMES));
                remedy = Texts.text("library.platform.remedy");
            } else if (platform.isMusl() && platform.inJar() == null) {
                cause = Texts.text("library.musl.cause");
                remedy = Texts.text("library.musl.remedy", platform.name(), PROPERTY);
            }
            return MailboxException.library(
                    Texts.text("library.none.observed", platform.name(), String.join("; ", seen)),
                    cause, remedy, last);
        }
    }

    /** Makes sure that the directory has the library of the jar, for this account alone, and returns its file. */
    static Path write(byte[] content, Path directory, Platform platform) throws IOException {
        Path file = directory.resolve(platform.file());
        if (!OwnDirectory.holds(file) || !holds(file, content)) {
            // Another JVM may do the same at this moment: the file is there as a whole or not at all.
            Path unfinished = directory.resolve(platform.file() + "." + UUID.randomUUID() + ".tmp");
            try {
                OwnDirectory.write(unfinished, content);
                Files.move(unfinished, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            } catch (IOException e) {
                // On Windows a file that is in use cannot be replaced; the other JVM's does as well.
                if (!OwnDirectory.holds(file) || !holds(file, content)) {
                    throw e;
                }
            } finally {
                Files.deleteIfExists(unfinished);
            }
        }
        return file;
    }

    static byte[] content(URL resource) throws IOException {
        URLConnection connection = resource.openConnection();
        // Else the jar stays open, and cannot be replaced on Windows.
        connection.setUseCaches(false);
        try (InputStream in = connection.getInputStream()) {
            return in.readAllBytes();
        }
    }

    /** In hexadecimal digits. */
    static String sha256(byte[] content) {
        return String.format("%064x", new BigInteger(1, digest().digest(content)));
    }

    private static boolean holds(Path file, byte[] content) throws IOException {
        if (Files.size(file) != content.length) {
            return false;
        }
        MessageDigest digest = digest();
        try (InputStream in = Files.newInputStream(file, LinkOption.NOFOLLOW_LINKS)) {
            byte[] piece = new byte[64 * 1024];
            for (int read = in.read(piece); read > 0; read = in.read(piece)) {
                digest.update(piece, 0, read);
            }
        }
        return MessageDigest.isEqual(digest.digest(), digest().digest(content));
    }

    private static MessageDigest digest() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);     // every JVM has it
        }
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
