package um.imap.oauth2;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;

/**
 * Directories in which no other account can put or exchange a file.
 *
 * <p>A library that is loaded from a directory runs with the rights of this process. So each directory from the root down must
 * belong to this account or to root, and nobody else may write to it; in one with the sticky bit, as {@code /tmp}, others
 * cannot touch a directory of ours. On Windows nothing is checked: access control lists decide there.
 */
final class OwnDirectory {
    /** Owner only, whatever the umask is: it takes rights away and gives none. */
    private static final String DIRECTORY_MODE = "rwx------";
    private static final String FILE_MODE = "rw-------";

    private static final int WRITABLE_FOR_OTHERS = 0022;
    private static final int STICKY = 01000;
    private static final long ROOT = 0;

    /** Another account owns the path or may write to it. */
    static final class Refused extends IOException {
        private static final long serialVersionUID = 1;

        /** The command that mends it. */
        final String command;

        private Refused(String observed, String command) {
            super(observed);
            this.command = command;
        }
    }

    private OwnDirectory() {
    }

    /**
     * Makes the directory where it is missing, for this account alone, and checks it.
     *
     * @return its path without links, so that nobody can lead the next step elsewhere
     */
    static Path make(Path directory) throws IOException {
        Path existing = directory.toAbsolutePath().normalize();
        while (existing.getParent() != null && !Files.exists(existing)) {
            existing = existing.getParent();
        }
        Path missing = existing.relativize(directory.toAbsolutePath().normalize());
        Path real = existing.toRealPath();
        check(real);
        Path made = missing.toString().isEmpty() ? real : real.resolve(missing);
        Files.createDirectories(made, attributes(made, DIRECTORY_MODE));
        made = made.toRealPath();
        check(made);
        return made;
    }

    /** Checks a directory and all above it. {@code real} has no links in it. */
    static void check(Path real) throws IOException {
        for (Path directory = real; directory != null; directory = directory.getParent()) {
            check(directory, true);
        }
    }

    /** Whether the file is a regular one that no other account can write, own or exchange; its directory was checked. */
    static boolean holds(Path file) throws IOException {
        if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
            return false;
        }
        try {
            check(file, false);
            return true;
        } catch (Refused e) {
            return false;
        }
    }

    /** Makes a new file for this account alone. An existing one, or a link, is an error. */
    static void write(Path file, byte[] content) throws IOException {
        Files.createFile(file, attributes(file, FILE_MODE));
        Files.write(file, content);
    }

    private static void check(Path path, boolean stickyHelps) throws IOException {
        if (!path.getFileSystem().supportedFileAttributeViews().contains("unix")) {
            return;
        }
        Map<String, Object> attributes = Files.readAttributes(path, "unix:uid,mode", LinkOption.NOFOLLOW_LINKS);
        long owner = ((Number) attributes.get("uid")).longValue() & 0xffffffffL;
        int mode = (Integer) attributes.get("mode");
        long account = account();
        if (owner != account && owner != ROOT) {
            throw new Refused(Texts.text("directory.owner", path, owner, account),
                    "chown " + account + " '" + path + "'");
        }
        boolean safe = (mode & WRITABLE_FOR_OTHERS) == 0 || stickyHelps && (mode & STICKY) != 0;
        if (!safe) {
            throw new Refused(Texts.text("directory.mode", path, Integer.toOctalString(mode & 07777)),
                    "chmod go-w '" + path + "'");
        }
    }

    private static FileAttribute<?>[] attributes(Path path, String mode) {
        return path.getFileSystem().supportedFileAttributeViews().contains("posix")
                ? new FileAttribute<?>[] {PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(mode))}
                : new FileAttribute<?>[0];
    }

    /** The effective user id: proc(5), {@code Uid:} has the real one, the effective one and two more. */
    private static long account() throws IOException {
        String status = new String(Files.readAllBytes(Path.of("/proc/self/status")), StandardCharsets.ISO_8859_1);
        for (String line : status.split("\n")) {
            if (line.startsWith("Uid:")) {
                return Long.parseLong(line.split("\\s+")[2]);
            }
        }
        throw new NoSuchFileException("/proc/self/status", null, Texts.text("directory.noUser"));
    }
}
