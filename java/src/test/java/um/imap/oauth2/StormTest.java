package um.imap.oauth2;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class StormTest {
    /** {@code -Dstorm.calls=20000} for a short one. */
    private static final long CALLS = Long.getLong("storm.calls", 1_000_000);

    /** With fewer, one or the other kind of call may not come up. */
    private static final long ENOUGH = 20_000;

    @Test
    void noCallInNoOrderFromNoThreadHarmsTheJvm(@TempDir Path directory) throws Exception {
        new ChildJvm(directory).with("-Xcheck:jni", "-Xmx512m").runSilently(Storm.class, directory.toString(), String.valueOf(CALLS));
        String report = Files.readString(directory.resolve("report"));
        if (Boolean.getBoolean("storm.report")) {
            Files.writeString(Path.of("target", "storm.txt"), report);
        }
        assertFalse(report.contains("broken"), report);
        long calls = report.lines().filter(line -> !line.startsWith("#")).mapToLong(line -> Long.parseLong(line.split("\t")[0])).sum();
        assertEquals(CALLS, calls, report);
        if (CALLS < ENOUGH) {
            return;
        }
        // It was one: mail was read and settled in it.
        for (String result : new String[] {"open", "close", "forget", "fetch", "next", "settle true", "check WELL", "MailboxException CLOSED"}) {
            assertTrue(report.contains("\t" + result + "\n"), report);
        }
    }
}
