package um.imap.oauth2;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * A path as the native side takes it, so that both mean the same file: on Unix the octets that the operating system knows it by,
 * elsewhere UTF-8.
 *
 * <p>A {@link String} does not do. Java makes characters of those octets by the locale's encoding, which need not be UTF-8, and what
 * it does not have there cannot be turned back.
 */
final class PathOctets {
    private PathOctets() {
    }

    /**
     * Of the absolute path.
     *
     * @throws MailboxException if it lies in no file system of the operating system's (USAGE)
     */
    static byte[] of(Path path) {
        Path absolute = path.toAbsolutePath();
        URI uri = absolute.toUri();
        if (!"file".equals(uri.getScheme())) {
            throw MailboxException.usage(Texts.text("usage.path", uri));
        }
        if (File.separatorChar != '/') {
            return absolute.toString().getBytes(StandardCharsets.UTF_8);
        }
        return decoded(uri.getRawPath());
    }

    /** RFC 3986 §2.1. What is a directory ends with a slash there. */
    private static byte[] decoded(String raw) {
        ByteArrayOutputStream octets = new ByteArrayOutputStream();
        int end = raw.length() > 1 && raw.endsWith("/") ? raw.length() - 1 : raw.length();
        for (int i = 0; i < end; i++) {
            if (raw.charAt(i) == '%') {
                octets.write(Integer.parseInt(raw.substring(i + 1, i + 3), 16));
                i += 2;
            } else {
                octets.write(raw.charAt(i));
            }
        }
        return octets.toByteArray();
    }
}
