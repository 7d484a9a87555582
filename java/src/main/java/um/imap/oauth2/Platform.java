package um.imap.oauth2;

import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** Operating system, processor and C library, as far as they decide which native library fits. */
final class Platform {
    /** The platforms that libraries are built for. */
    static final List<String> NAMES =
            List.of("linux-x86_64", "linux-x86_64-musl", "linux-aarch64", "linux-aarch64-musl", "windows-x86_64");

    private final String name;

    private Platform(String name) {
        this.name = name;
    }

    /** The platform of this JVM. */
    static Platform current() {
        return of(System.getProperty("os.name", ""), System.getProperty("os.arch", ""), read("/proc/self/maps"));
    }

    /**
     * Which C library it is shows in what the process has mapped; files that lie about prove nothing, since both can be
     * installed.
     *
     * @param maps the content of {@code /proc/self/maps}
     */
    static Platform of(String osName, String osArch, String maps) {
        String system = osName.toLowerCase(Locale.ROOT);
        String os = system.startsWith("windows") ? "windows" : system.replace(" ", "");
        String arch;
        switch (osArch.toLowerCase(Locale.ROOT)) {
            case "amd64":
            case "x86_64":
                arch = "x86_64";
                break;
            case "arm64":
            case "aarch64":
                arch = "aarch64";
                break;
            default:
                arch = osArch;
        }
        boolean musl = os.equals("linux") && (maps.contains("/ld-musl-") || maps.contains("/libc.musl-"));
        return new Platform(os + "-" + arch + (musl ? "-musl" : ""));
    }

    /** The platform of this name, which is one of {@link #NAMES}; null if it is none of them. */
    static Platform named(String name) {
        return NAMES.contains(name) ? new Platform(name) : null;
    }

    String name() {
        return name;
    }

    boolean isMusl() {
        return name.endsWith("-musl");
    }

    /** The library's file name. */
    String file() {
        return name.startsWith("windows-") ? "um_imap_oauth2.dll" : "libum_imap_oauth2.so";
    }

    /** The library's path in the jar. */
    String resource() {
        return "/um/imap/oauth2/native/" + name + "/" + file();
    }

    /** The library in the jar; null: there is none. */
    URL inJar() {
        return Platform.class.getResource(resource());
    }

    /** The platforms that the jar has a library for, in words. */
    static String allInJar() {
        String names = NAMES.stream()
                .filter(name -> new Platform(name).inJar() != null)
                .collect(Collectors.joining(", "));
        return names.isEmpty() ? Texts.text("jar.empty") : names;
    }

    /** The mount point above the file if it is mounted with {@code noexec}, else null. */
    static String noexecMount(Path file) {
        Path path = file;
        try {
            path = file.toRealPath();
        } catch (IOException e) {
            // Then without following links.
        }
        return noexecMount(path, read("/proc/self/mounts"));
    }

    static String noexecMount(Path path, String mounts) {
        String[] found = null;
        for (String line : mounts.split("\n")) {
            // proc(5): device, mount point, type, options; a blank in a name is \040
            String[] fields = line.split(" ");
            if (fields.length > 3) {
                fields[1] = fields[1].replace("\\040", " ");
                // The last mount on a path hides those before it.
                if (path.startsWith(fields[1]) && (found == null || fields[1].length() >= found[1].length())) {
                    found = fields;
                }
            }
        }
        return found != null && List.of(found[3].split(",")).contains("noexec") ? found[1] : null;
    }

    /**
     * What makes the file useless here, or null. The system's loader does not look: half a library (a copy that was cut
     * short) ends the JVM with SIGBUS, and for a file that is none the JVM writes a warning to standard error.
     */
    String fault(Path file) throws IOException {
        if (!name.startsWith("linux-")) {
            return null;
        }
        byte[] start;
        try (InputStream in = Files.newInputStream(file)) {
            start = in.readNBytes(ELF_HEADER);
        }
        ByteBuffer header = ByteBuffer.wrap(start).order(ByteOrder.LITTLE_ENDIAN);
        if (start.length < ELF_HEADER || header.getInt(0) != ELF_MAGIC) {
            return Texts.text("fault.noLibrary");
        }
        // elf(5): e_shoff + e_shentsize * e_shnum; linkers write the section headers last.
        long end = header.getLong(0x28) + (long) header.getChar(0x3a) * header.getChar(0x3c);
        if (end < 0 || Files.size(file) < end) {
            return Texts.text("fault.cut");
        }
        // The C library that it needs, among the names of its dynamic section. musl takes glibc's name for its own, so
        // that the library would be loaded, or fail for a symbol that tells nobody anything.
        boolean glibc = false;
        boolean musl = false;
        // Piece by piece, since UM's heap may be small; each with the end of the one before, in which a name may begin.
        // glibc's name decides, and lies in front: a JVM that has just started is slow with the megabytes behind it.
        try (InputStream in = Files.newInputStream(file)) {
            byte[] piece = new byte[PIECE];
            int kept = 0;
            for (int read = in.read(piece); read > 0 && !glibc; read = in.read(piece, kept, PIECE - kept)) {
                String names = new String(piece, 0, kept + read, StandardCharsets.ISO_8859_1);
                glibc |= names.contains("\0libc.so.6\0");
                musl |= names.contains("\0libc.so\0") || names.contains("\0libc.musl-");
                int filled = kept + read;
                kept = Math.min(filled, LONGEST_NAME);
                System.arraycopy(piece, filled - kept, piece, 0, kept);
            }
        }
        if (glibc && isMusl()) {
            return Texts.text("fault.glibc");
        }
        return musl && !glibc && !isMusl() ? Texts.text("fault.musl") : null;
    }

    private static String read(String file) {
        try {
            return new String(Files.readAllBytes(Path.of(file)), StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            return "";
        }
    }

    /** Octets of an ELF64 header. */
    private static final int ELF_HEADER = 64;

    /** Octets of a library that are looked at at once. */
    private static final int PIECE = 64 * 1024;

    /** No name that is looked for is longer. */
    private static final int LONGEST_NAME = 16;

    /** 0x7f, "ELF". */
    private static final int ELF_MAGIC = 0x464c457f;
}
