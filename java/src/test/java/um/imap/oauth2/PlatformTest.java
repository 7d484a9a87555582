package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class PlatformTest {
    private static final String GLIBC =
            "7f2c7d1b2000-7f2c7d1b3000 r--p 00000000 08:01 1051 /usr/lib/x86_64-linux-gnu/libc.so.6\n";
    private static final String MUSL = "7f2c7d1b2000-7f2c7d1b3000 r--p 00000000 08:01 1051 /lib/ld-musl-x86_64.so.1\n";

    @Test
    void theCLibraryIsTheOneThatIsMapped() {
        assertEquals("linux-x86_64", Platform.of("Linux", "amd64", GLIBC).name());
        assertEquals("linux-x86_64-musl", Platform.of("Linux", "amd64", MUSL).name());
        assertEquals("linux-aarch64", Platform.of("Linux", "aarch64", "").name());
        assertEquals("linux-aarch64-musl", Platform.of("Linux", "aarch64", MUSL.replace("x86_64", "aarch64")).name());
    }

    @Test
    void windowsHasOneNameInAllItsVersions() {
        Platform platform = Platform.of("Windows Server 2022", "amd64", "");
        assertEquals("windows-x86_64", platform.name());
        assertEquals("/um/imap/oauth2/native/windows-x86_64/um_imap_oauth2.dll", platform.resource());
    }

    @Test
    void thisMachineIsOneThatLibrariesAreBuiltFor() {
        assertTrue(Platform.NAMES.contains(Platform.current().name()), Platform.current().name());
    }

    @Test
    void noexecIsReadFromTheMountThatHoldsThePath() {
        String mounts = "/dev/root / ext4 rw,relatime 0 0\n"
                + "tmpfs /tmp tmpfs rw,nosuid,nodev,noexec 0 0\n"
                + "tmpfs /tmp/with\\040blank tmpfs rw 0 0\n"
                + "tmpfs /srv tmpfs rw,noexec 0 0\n"
                + "tmpfs /srv tmpfs rw 0 0\n";
        assertEquals("/tmp", Platform.noexecMount(Path.of("/tmp/a/b.so"), mounts));
        assertNull(Platform.noexecMount(Path.of("/tmpfile"), mounts));
        assertNull(Platform.noexecMount(Path.of("/tmp/with blank/b.so"), mounts));
        assertNull(Platform.noexecMount(Path.of("/srv/b.so"), mounts));
        assertNull(Platform.noexecMount(Path.of("/tmp/b.so"), ""));
    }
}
